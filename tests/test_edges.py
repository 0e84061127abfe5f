"""Values and slopes at the edges of every domain, and KL over the whole range of floats; the oracle is mpmath.

At an edge a value is exact, and a slope is the one-sided derivative; where that is infinite, it is that of the nearest
float inside (`vaelib.distributions.discrete`): of the right sign, at least as large as at any float inside, and finite.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import mpmath as mp
import numpy as np
import oracles
import pytest
import torch

from vaelib import (
    Bernoulli,
    Categorical,
    DiagonalNormal,
    DiscreteLatent,
    Exponential,
    Gamma,
    Laplace,
    MultivariateNormal,
    Normal,
    kl_divergence,
)
from vaelib.distributions import Distribution
from vaelib.em import GaussianMixture, mixture_m_step

INF = math.inf
DTYPES = {"float32": torch.float32, "float64": torch.float64}
each_dtype = pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)


@pytest.fixture(autouse=True)
def strictly() -> Iterator[None]:
    """No warning, and no error of NumPy's, whatever its state."""
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        yield


def leaf(value: Any, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(value, dtype=dtype, requires_grad=True)


def derivatives(value: torch.Tensor, at: torch.Tensor) -> tuple[float, float]:
    """The first and the second derivative of the one-sided limit, by autograd."""
    (first,) = torch.autograd.grad(value, at, create_graph=True)
    if not first.requires_grad:
        return first.item(), 0.0
    (second,) = torch.autograd.grad(first, at, allow_unused=True)
    return first.detach().item(), 0.0 if second is None else second.item()


# ------------------------------------------------------------------------------------- probabilities of exactly 0 and 1

OTHER = 0.3
SCORES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {  # functions of P(1), in torch
    "log_prob(1)": lambda p: Bernoulli.from_probs(p).log_prob(1.0),
    "log_prob(0)": lambda p: Bernoulli.from_probs(p).log_prob(0.0),
    "entropy": lambda p: Bernoulli.from_probs(p).entropy(),
    "mean": lambda p: Bernoulli.from_probs(p).mean,
    "variance": lambda p: Bernoulli.from_probs(p).variance,
    "cross_entropy(., other)": lambda p: Bernoulli.from_probs(p).cross_entropy(Bernoulli.from_probs(OTHER)),
    "cross_entropy(other, .)": lambda p: Bernoulli.from_probs(OTHER).cross_entropy(Bernoulli.from_probs(p)),
    "kl(., other)": lambda p: kl_divergence(Bernoulli.from_probs(p), Bernoulli.from_probs(OTHER)),
    "kl(other, .)": lambda p: kl_divergence(Bernoulli.from_probs(OTHER), Bernoulli.from_probs(p)),
    "kl(., logits)": lambda p: kl_divergence(Bernoulli.from_probs(p), Bernoulli(0.7)),
    "kl(logits, .)": lambda p: kl_divergence(Bernoulli(0.7), Bernoulli.from_probs(p)),
}


def truths(p: Any) -> dict[str, Any]:
    """The textbook's formulas, in as many digits as are set."""
    o, s = mp.mpf(OTHER), oracles.sigmoid(mp.mpf(0.7))
    log = lambda x: mp.log(x) if x != 0 else -mp.inf  # noqa: E731
    cross = lambda q, r: -sum(a * log(b) for a, b in ((q, r), (1 - q, 1 - r)) if a != 0)  # noqa: E731
    return {
        "log_prob(1)": log(p),
        "log_prob(0)": log(1 - p),
        "entropy": cross(p, p),
        "mean": p,
        "variance": p * (1 - p),
        "cross_entropy(., other)": cross(p, o),
        "cross_entropy(other, .)": cross(o, p),
        "kl(., other)": cross(p, o) - cross(p, p),
        "kl(other, .)": cross(o, p) - cross(o, o),
        "kl(., logits)": cross(p, s) - cross(p, p),
        "kl(logits, .)": cross(s, p) - cross(s, s),
    }


@each_dtype
@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_bernoulli_of_certain_probability(name: str, edge: float, dtype: torch.dtype) -> None:
    p = leaf(edge, dtype)
    value = SCORES[name](p)
    with mp.workdps(400):
        truth = truths(mp.mpf(edge))[name]
        assert float(value.detach()) == pytest.approx(float(truth), rel=1e-6 if dtype == torch.float32 else 1e-14)
        step = mp.mpf(10) ** -200
        inside = mp.mpf(edge) + (step if edge == 0.0 else -step)
        slope = mp.diff(lambda at: truths(at)[name], inside, h=step / 10**50)
    first, second = derivatives(value, p)
    assert math.isfinite(first) and math.isfinite(second)
    if abs(slope) < 50:
        assert first == pytest.approx(float(slope), rel=1e-6 if dtype == torch.float32 else 1e-12, abs=1e-6)
    else:  # infinite in the limit, like 1/p or like log p: there it is that of the nearest float inside
        nearest = mp.mpf(float(torch.finfo(dtype).tiny))
        if abs(truth) == mp.inf:
            expected = slope * step / nearest
        else:
            expected = mp.sign(slope) * abs(mp.log(nearest))
        assert first == pytest.approx(float(expected), rel=0.001, abs=5.0)


@each_dtype
def test_second_derivatives_at_certain_probabilities(dtype: torch.dtype) -> None:
    for edge, name, expected in (
        (1.0, "log_prob(1)", -1.0),
        (0.0, "log_prob(0)", -1.0),
        (0.0, "variance", -2.0),
        (1.0, "variance", -2.0),
        (1.0, "cross_entropy(., other)", 0.0),
    ):
        p = leaf(edge, dtype)
        assert derivatives(SCORES[name](p), p)[1] == pytest.approx(expected, abs=1e-6)


@each_dtype
@pytest.mark.parametrize("logit", [20.0, -20.0, 60.0, -200.0, 800.0])
@pytest.mark.parametrize("name", SCORES)
def test_saturated_sigmoid_before_it_gives_no_nan(name: str, logit: float, dtype: torch.dtype) -> None:
    """float32's sigmoid(20) is 1, and its slope 0: nothing is to become NaN, as in torch's BCELoss."""
    a = leaf(logit, dtype)
    value = SCORES[name](torch.sigmoid(a))
    first, second = derivatives(value, a)
    if math.isfinite(float(value.detach())):
        assert math.isfinite(first) and math.isfinite(second)
        assert abs(first) < 10
    assert not math.isnan(float(value.detach()))


@each_dtype
def test_categorical_with_probabilities_of_zero(dtype: torch.dtype) -> None:
    log_2, tiny = math.log(2.0), float(torch.finfo(dtype).tiny)
    p = leaf([0.0, 0.5, 0.5], dtype)
    q = Categorical.from_probs(p)
    fair = Categorical.from_probs(torch.tensor([0.25, 0.25, 0.5], dtype=dtype))
    huge = -math.log(tiny)
    expected: list[tuple[torch.Tensor, float, list[float]]] = [
        (q.entropy(), log_2, [huge - log_2, 0.0, 0.0]),
        (q.log_prob(1), -log_2, [-1.0, 1.0, -1.0]),
        (q.cross_entropy(fair), 1.5 * log_2, [0.5 * log_2, 0.5 * log_2, -0.5 * log_2]),
        (kl_divergence(q, fair), 0.5 * log_2, [-huge + 1.5 * log_2, 0.5 * log_2, -0.5 * log_2]),
        (kl_divergence(q, q), 0.0, [0.0, 0.0, 0.0]),
    ]
    for value, number, slopes in expected:
        assert float(value.detach()) == pytest.approx(number, abs=1e-6)
        (gradient,) = torch.autograd.grad(value, p, retain_graph=True)
        np.testing.assert_allclose(gradient.numpy(), slopes, rtol=0.02, atol=1e-5)
    assert float(q.log_prob(0).detach()) == -INF and float(kl_divergence(fair, q).detach()) == INF
    logits = leaf([[-300.0, 0.0, 0.0], [0.0, 900.0, 0.0]], dtype)  # softmax underflows
    table = Categorical.from_probs(torch.softmax(logits, -1))
    for value in (table.entropy(), table.log_prob(1), table.cross_entropy(fair), kl_divergence(table, fair)):
        (gradient,) = torch.autograd.grad(value.sum(), logits, retain_graph=True)
        assert gradient.isfinite().all()
    pixels = leaf([0.0, 1.0, 0.25], dtype)
    (gradient,) = torch.autograd.grad(Bernoulli.from_probs(pixels).log_prob([0.0, 1.0, 1.0]).sum(), pixels)
    assert gradient.tolist() == [-1.0, 1.0, 4.0]


def test_probabilities_are_kept_as_they_were_given() -> None:
    for probs in ([0.0, 1e-300, 1e-20, 0.3, 1.0], torch.tensor([0.0, 1e-30, 0.3, 1.0])):
        q = Bernoulli.from_probs(probs)
        assert np.asarray(q.probs).tolist() == np.asarray(probs).tolist()
        assert (
            np.asarray(q.sample(9, rng=torch.Generator() if torch.is_tensor(probs) else np.random.default_rng(0)))[
                :, 0
            ].tolist()
            == [0.0] * 9
        )
    assert Bernoulli.from_probs(1e-20).log_prob(0.0) == -1e-20
    same = Bernoulli(Bernoulli.from_probs([0.1, 0.9]).logits)
    np.testing.assert_allclose(same.probs, [0.1, 0.9], rtol=1e-15)


# ----------------------------------------------------------------------------------------- edges of the other families


@each_dtype
def test_densities_at_the_end_of_their_support(dtype: torch.dtype) -> None:
    for make in (lambda rate: Gamma(leaf(1.0, dtype), rate), Exponential):
        x, rate = leaf(0.0, dtype), leaf(2.5, dtype)
        value = make(rate).log_prob(x)  # log rate - rate x
        by_x, by_rate = torch.autograd.grad(value, (x, rate))
        assert [float(value.detach()), by_x.item(), by_rate.item()] == pytest.approx(
            [math.log(2.5), -2.5, 0.4], rel=1e-6
        )
        assert derivatives(make(rate).log_prob(x), x)[1] == 0.0
    for a, end in ((0.5, INF), (3.0, -INF)):
        x, shape = leaf(0.0, dtype), leaf(a, dtype)
        value = Gamma(shape, 2.5).log_prob(x)
        assert float(value.detach()) == end
        assert not any(
            gradient.isnan()
            for gradient in torch.autograd.grad(value, (x, shape), allow_unused=True)
            if gradient is not None
        )
    outside = leaf(-1.0, dtype)
    for q in (Gamma(2.0, leaf(1.0, dtype)), Exponential(leaf(1.0, dtype))):
        (gradient,) = torch.autograd.grad(q.log_prob(outside), outside)
        assert float(q.log_prob(outside).detach()) == -INF and gradient.item() == 0.0


@each_dtype
def test_kinks_of_the_laplace_have_the_slope_between(dtype: torch.dtype) -> None:
    loc, scale = leaf(0.7, dtype), leaf(1.5, dtype)
    q = Laplace(loc, scale)
    zero = [q.log_prob(loc.detach()), q.mean_distance(loc.detach()), kl_divergence(q, Laplace(loc.detach(), 2.0))]
    zero += [Normal(0.7, scale).cross_entropy(q), q.cross_entropy(Laplace(loc.detach(), 2.0))]
    for value in zero:
        first, second = derivatives(value, loc)
        assert first == 0.0 and math.isfinite(second)
    (gradient,) = torch.autograd.grad(q.transform(torch.tensor(0.5, dtype=dtype)), scale)
    assert gradient.item() == 0.0


@each_dtype
def test_nothing_is_nan_at_extreme_parameters(dtype: torch.dtype) -> None:
    """Every method of every family, values and gradients, at the ends of the range of floats."""
    ends = [1e-30, 1e-10, 1.0, 1e10, 1e30]
    for small, large in itertools.product(ends, ends):
        for q in families(leaf(small, dtype), leaf(large, dtype)):
            for value in (q.log_prob(torch.tensor(small, dtype=dtype)), q.entropy(), q.mean, q.cross_entropy(q)):
                assert not value.isnan(), (q, value)
            for value in (q.entropy(), kl_divergence(q, q)):
                assert not any(
                    gradient.isnan()
                    for gradient in torch.autograd.grad(value, parameters(q), allow_unused=True, retain_graph=True)
                    if gradient is not None
                ), q


def families(a: torch.Tensor, b: torch.Tensor) -> list[Any]:
    return [Normal(a, b), Laplace(a, b), Gamma(a, b), Exponential(b)]


def parameters(q: Distribution) -> list[torch.Tensor]:
    names = ("concentration", "rate") if isinstance(q, Gamma) else ("loc", "scale")
    return [tensor for name in names if (tensor := getattr(q, name)).requires_grad]


# --------------------------------------------------------------------------------------- ratios that no float can hold

MAKERS: dict[str, tuple[Callable[[float], Any], list[float], float]] = {
    "numpy": (np.float64, [1e-300, 1e-200, 0.7, 1e200, 1e300], 1e-12),
    "float64": (lambda v: torch.tensor(v, dtype=torch.float64), [1e-300, 1e-200, 0.7, 1e200, 1e300], 1e-12),
    "float32": (lambda v: torch.tensor(v, dtype=torch.float32), [1e-37, 1e-25, 0.75, 1e25, 1e37], 1e-6),
}
each_kind = pytest.mark.parametrize("kind", MAKERS)
LARGEST = {"numpy": 1.7976e308, "float64": 1.7976e308, "float32": 3.4028e38}


def require_close(value: Any, truth: Any, kind: str, what: Any) -> None:
    found = float(value)
    if truth > LARGEST[kind]:
        assert found == INF, what
    else:
        with mp.workdps(60):
            assert abs(mp.mpf(found) - truth) <= MAKERS[kind][2] * abs(truth) + 1e-300, (what, found, truth)


@each_kind
def test_kl_holds_over_the_whole_range_of_floats(kind: str) -> None:
    make, ends, _ = MAKERS[kind]
    for small, large, gap in itertools.product(ends, ends, [0.0, 0.5]):
        numbers = [float(np.float32(v)) if kind == "float32" else v for v in (0.25 + gap, small, 0.25, large)]
        m1, s1, m2, s2 = (make(v) for v in numbers)
        for f, g, truth in (
            (Normal, Normal, oracles.normal_normal),
            (Laplace, Laplace, oracles.laplace_laplace),
            (Normal, Laplace, oracles.normal_laplace),
            (Laplace, Normal, oracles.laplace_normal),
        ):
            if gap and small == large:  # beyond the 60 digits of the oracle
                continue
            require_close(kl_divergence(f(m1, s1), g(m2, s2)), truth(*numbers), kind, (f, g, numbers))
        vectors = [DiagonalNormal(m[None], s[None]) for m, s in ((m1, s1), (m2, s2))]
        if not (gap and small == large):
            require_close(kl_divergence(*vectors), oracles.normal_normal(*numbers), kind, numbers)
        rates = numbers[1], numbers[3]
        require_close(
            kl_divergence(Exponential(s1), Exponential(s2)), oracles.exponential_exponential(*rates), kind, rates
        )


@each_kind
def test_kl_of_gammas_holds_over_the_whole_range_of_floats(kind: str) -> None:
    make, ends, _ = MAKERS[kind]
    textbook = oracles.exact(
        oracles.gamma_gamma.__closure__[1].cell_contents, digits=700
    )  # a small difference of large terms
    for numbers in itertools.product(ends[::2], repeat=4):
        exact = [float(np.float32(v)) if kind == "float32" else v for v in numbers]
        a1, b1, a2, b2 = (make(v) for v in exact)
        require_close(kl_divergence(Gamma(a1, b1), Gamma(a2, b2)), textbook(*exact), kind, exact)


def test_gradients_of_kl_at_ratios_that_no_float_can_hold() -> None:
    for small, large in ((1e-25, 1e25), (1e25, 1e-25), (1e-30, 1.0), (1.0, 1e-30)):
        for family in (Normal, Laplace, Exponential, Gamma):
            q_, p_ = (leaf(float(np.float32(v)), torch.float32) for v in (small, large))
            first = (torch.tensor(0.25),) if family in (Normal, Laplace) else (torch.tensor(1.0),)
            first = first if family is not Exponential else ()
            value = kl_divergence(family(*first, q_), family(*first, p_))
            for gradient in torch.autograd.grad(value, (q_, p_)):
                assert not gradient.isnan(), (family, small, large)
    a = leaf(1e-30, torch.float32)
    (gradient,) = torch.autograd.grad(kl_divergence(Gamma(a, 1.0), Gamma(1.0, 1.0)), a)
    assert gradient.item() == -INF  # -1e60


def test_full_covariances_hold_at_ratios_that_no_float_can_hold() -> None:
    narrow, wide = MultivariateNormal([0.1, 0.2], 1e-300 * np.eye(2)), MultivariateNormal([0.3, 0.1], 1e300 * np.eye(2))
    assert kl_divergence(narrow, wide) == pytest.approx(600 * math.log(10) - 1.0, rel=1e-13)
    assert kl_divergence(wide, narrow) == INF
    flat = DiagonalNormal([0.1, 0.2], [1e200, 1e200])  # its covariance overflows
    unit = MultivariateNormal([0.1, 0.2], np.eye(2))
    assert kl_divergence(unit, flat) == pytest.approx(400 * math.log(10) - 1.0, rel=1e-13)
    assert kl_divergence(flat, unit) == INF


def test_cross_entropy_and_log_prob_of_tiny_and_huge_scales() -> None:
    for scale in (1e-200, 1e200):
        for q in (Normal(0.3 * scale, scale), Laplace(0.3 * scale, scale), Gamma(2.0, scale), Exponential(scale)):
            assert q.cross_entropy(q) == pytest.approx(q.entropy(), rel=1e-13)
        vector = DiagonalNormal([0.3 * scale], [scale])
        assert vector.cross_entropy(vector) == pytest.approx(vector.entropy(), rel=1e-13)
        x = 1 / scale  # rate * x is 1
        assert Gamma(2.0, scale).log_prob(x) == pytest.approx(float(oracles.gamma_log_prob(x, 2.0, scale)), rel=1e-12)
    assert Gamma(1.0, 1e-200).log_prob(1e-200) == pytest.approx(-200 * math.log(10), rel=1e-13)
    assert Gamma(1.0, 1e200).log_prob(1e200) == -INF
    assert Laplace(0.0, 1e308).entropy() == pytest.approx(308 * math.log(10) + math.log(2) + 1, rel=1e-14)


# --------------------------------------------------------------------------------------- precision that came in, halves


def test_probabilities_in_single_precision_are_taken_at_its_tolerance() -> None:
    rng = np.random.default_rng(0)
    for size in (2, 3, 100):
        logits = torch.tensor(rng.normal(size=(200, size)), dtype=torch.float32)
        table = torch.softmax(logits, 1).numpy()
        assert any(abs(row.astype(float).sum() - 1) > 1e-8 for row in table)
        for given in (table, list(table), table.astype(">f4"), table[:, ::-1], torch.tensor(table)):
            np.testing.assert_allclose(np.asarray(Categorical.from_probs(given).probs).sum(-1), 1.0, rtol=1e-6)
        mixture_m_step(rng.normal(size=(200, 2)), table)
        model = DiscreteLatent(table[0], table[:size])
        assert np.exp(model.log_evidence(0)) == pytest.approx(float(model.prior @ model.likelihood[:, 0]), rel=1e-12)
        model.sample(5, rng=rng)  # NumPy's own tolerance is that of float64
        GaussianMixture(table[0], rng.normal(size=(size, 2)), np.ones(size)).sample(5, rng=rng)
        with pytest.raises(ValueError, match=r"Expected `probs.sum\(-1\)` to be 1"):
            Categorical.from_probs(table.astype(float) * (1 + 1e-6))  # not what float64 is off by
        with pytest.raises(ValueError, match=r"Expected `probs.sum\(-1\)` to be 1"):
            Categorical.from_probs(table * np.float32(1.001))


def test_covariance_in_single_precision_is_taken_at_its_tolerance() -> None:
    shaken = np.array([[2.0, 0.3], [0.3 * (1 + 1e-5), 1.0]])
    for given in (shaken.astype(np.float32), torch.tensor(shaken, dtype=torch.float32)):
        assert MultivariateNormal([0.0, 0.0], given).batch_shape == ()
    with pytest.raises(ValueError, match="symmetric"):
        MultivariateNormal([0.0, 0.0], shaken)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(half: torch.dtype) -> None:
    x = torch.tensor(300.0, dtype=half)
    value = Normal(torch.zeros((), dtype=half), 1.0).log_prob(x)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(-45000.919, rel=1e-6)  # float16 ends at 65504, and its square at 256
    q = MultivariateNormal(torch.zeros(2, dtype=half), torch.eye(2, dtype=half))
    assert q.sample(3, rng=torch.Generator()).dtype == torch.float32
    leaf_ = torch.zeros(2, dtype=half, requires_grad=True)
    (gradient,) = torch.autograd.grad(Normal(leaf_, 1.0).log_prob(torch.ones(2)).sum(), leaf_)
    assert gradient.dtype == half and gradient.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("grey", [1e-4, 1e-6, 6e-8, 1e-30, 1e-45, 1 - 1e-3, 1 - 1e-7])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_grey_that_is_nearly_a_bit_is_refused(grey: float, dtype: torch.dtype) -> None:
    x = torch.tensor([0.0, grey, 1.0], dtype=dtype)
    if x[1] not in (0.0, 1.0):
        with pytest.raises(ValueError, match="Expected `x` to be 0 or 1 everywhere"):
            Bernoulli(torch.zeros(3, dtype=dtype)).log_prob(x)
    for given in (grey, [grey] * 3, np.full(3, grey)):  # what rounds to a bit beside a tensor is still grey
        with pytest.raises(ValueError, match="Expected `x` to be 0 or 1 everywhere"):
            Bernoulli(torch.zeros(3, dtype=dtype)).log_prob(given)


def test_nothing_in_the_last_axis_is_refused() -> None:
    for make in (
        lambda: Categorical(np.zeros((3, 0))),
        lambda: Categorical(torch.zeros(3, 0)),
        lambda: Categorical.from_probs(np.zeros((3, 0))),
        lambda: MultivariateNormal(np.zeros(0), np.zeros((0, 0))),
        lambda: MultivariateNormal(torch.zeros(4, 0), torch.zeros(0, 0)),
        lambda: DiscreteLatent([1.0], np.zeros((1, 0))),
    ):
        with pytest.raises(ValueError, match=r"Expected `.*` to have a last axis of at least one entry"):
            make()
    assert Categorical(np.zeros((0, 3))).entropy().shape == (0,)
    assert MultivariateNormal(np.zeros((0, 2)), np.eye(2)).log_prob(np.zeros((0, 2))).shape == (0,)
