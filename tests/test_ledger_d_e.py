"""Chapters D and E, and the published chains: known values, independent oracles, what must break."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy import stats

from vaelib.derivation import Derivation, Line
from vaelib.distributions import DiagonalNormal, MultivariateNormal, Normal, kl_divergence
from vaelib.formula import tex
from vaelib.ledger import d_entropy, e_gaussian
from vaelib.ledger.d_entropy import D1, D2, D3, TablePair, ThreeGaussians, by_trapezoid
from vaelib.ledger.e_gaussian import E1, E2, E3, E4, E8, E9, CovariancePairs, Encoding, NearlyEqual
from vaelib.ledger.published import (
    NOTE_A,
    NOTE_B1,
    NOTE_B2,
    NOTE_C1,
    NOTE_C2,
    NOTE_D1,
    NOTE_D2,
    PUBLISHED,
    Published,
)
from vaelib.models import CurvedGaussian
from vaelib.terms import E, log_joint, log_q, q
from vaelib.witnesses import CurvedFamily, CurvedWitness, MultivariatePair, NormalPair

IDENTITIES = (*d_entropy.CHAPTER, *e_gaussian.CHAPTER)
by_id = pytest.mark.parametrize("derivation", IDENTITIES, ids=lambda d: d.id)
by_note = pytest.mark.parametrize("published", PUBLISHED, ids=lambda p: p.id)

# z ~ N(0, 1), x | z ~ N(2 z, 0.5), x = 1, q = N(0.3, 0.4^2): a curved model with no curvature
TOY_MODEL = CurvedGaussian(np.array([2.0]), np.array([0.0]), np.array([0.0]), 0.5)
TOY = CurvedWitness(TOY_MODEL, np.array([1.0]), Normal(0.3, 0.4))


def value(line: Line, witness: Any) -> Any:
    result = line.evaluate(witness)
    return np.asarray(getattr(result, "value", result), dtype=float)[()]


def number(latex: str, witness: Any) -> float:
    result = tex(latex).value(witness)
    return float(getattr(result, "value", result))


def values(derivation: Derivation, witness: Any) -> list[Any]:
    """The values of the lines that are not sampled."""
    return [value(line, witness) for line in derivation.lines if line.samples is None]


def toy_family(*qs: Normal) -> CurvedFamily:
    return CurvedFamily(TOY.model, TOY.x, qs or (TOY.q,) * 6)


# ---------------------------------------------------------------------------------------------------- the ledger


@by_id
@pytest.mark.parametrize("seed", [0, 11])
def test_identity_holds_and_slips_are_rejected(derivation: Derivation, seed: int) -> None:
    report = derivation.check(witnesses=4, seed=seed)
    assert report.holds, f"\n{report}"
    assert derivation.slips
    for result in report.slips:
        assert result.rejected, f"{result.slip.name}: {result.error or 'no witness rejects it'}"


@by_id
def test_slip_alone_breaks_its_line(derivation: Derivation) -> None:
    """Put into the chain, a slip breaks its own line and leaves the lines below to stand on those above."""
    exact = [slip for slip in derivation.slips if slip.samples is None]
    for slip in exact:
        line = slip.apply(derivation.lines[slip.line])
        report = derivation.with_line(slip.line, line).check(witnesses=2)
        assert report.broken == (slip.line,), f"{slip.name}\n{report}"
        assert report.rows[slip.line].note.endswith(slip.says)


def test_chapters_hold_what_the_ledger_lists() -> None:
    assert [d.id for d in IDENTITIES] == ["D1", "D2", "D3", "E1", "E2", "E3", "E4", "E8", "E9"]
    assert {d.id: sum(bool(s.real) for s in d.slips) for d in IDENTITIES if any(s.real for s in d.slips)} == {
        "E1": 3,
        "E2": 1,
        "E8": 1,
    }


@pytest.mark.parametrize("item", [*IDENTITIES, *(p.derivation for p in PUBLISHED)], ids=lambda d: d.id)
def test_formulas_and_reasons_fit_a_table(item: Derivation) -> None:
    for line in item.lines:
        assert "|" not in line.latex.replace(r"\|", ""), "a bare bar ends a table cell: use \\mid or \\Vert"
        assert line.latex.count("{") == line.latex.count("}")
        assert not re.search(r"\\[nt]ag|\\label|\\text(?:tt|sc)|\\bm|\\boldsymbol|\\ensuremath", line.latex)
        assert len(line.latex) <= 200 and len(line.reason) <= 60, line
    assert all(line.reason for line in item.lines[1:])
    assert all(slip.says.startswith("It looks like ") and slip.says.endswith(".") for slip in item.slips)


def test_ledger_imports_no_heavy_package() -> None:
    heavy = ("torch", "matplotlib", "scipy.stats", "scipy.integrate")
    code = f"import sys, vaelib.ledger.published; print([m for m in {heavy!r} if m in sys.modules])"
    root = Path(__file__).resolve().parent.parent
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# ----------------------------------------------------------------------------------- oracles and known values, D and E


def test_entropy_matches_scipy() -> None:
    w = ThreeGaussians.draw(np.random.default_rng(5))
    expected = [
        stats.norm(w.scalar.loc, w.scalar.scale).entropy(),
        stats.multivariate_normal(w.diagonal.loc, np.diag(w.diagonal.scale**2)).entropy(),
        stats.multivariate_normal(w.full.loc, w.full.covariance).entropy(),
    ]
    for computed in values(D1, w):
        np.testing.assert_allclose(computed, expected, rtol=1e-12)


def test_entropy_of_the_standard_gaussian() -> None:
    w = ThreeGaussians(
        Normal(0.0, 1.0), DiagonalNormal(np.zeros(2), np.ones(2)), MultivariateNormal(np.zeros(3), np.eye(3))
    )
    for computed in values(D1, w):
        np.testing.assert_allclose(computed, np.array([1, 2, 3]) * 1.4189385332046727, rtol=1e-12)


def test_cross_entropy_known_value() -> None:
    # KL(q || p) + H(q) on the toy: 0.541290732 + 1/2 log(2 pi e 0.16)
    for computed in values(D2, NormalPair(Normal(0.3, 0.4), Normal(0.0, 1.0))):
        assert computed == pytest.approx(0.541290732 + 0.5026478013, abs=1e-9)


def test_table_kl_matches_scipy() -> None:
    w = TablePair.draw(np.random.default_rng(2))
    assert abs(w.q_weights.sum() - 1) > 0.1  # the logits are not normalized
    for computed in values(D3, w):
        assert computed == pytest.approx(stats.entropy(w.q_weights, w.p_weights), rel=1e-12)


@pytest.mark.parametrize(
    ("q_parameters", "p_parameters", "expected"),
    [
        ((0.3, 0.4), (0.0, 1.0), 0.541290732),
        ((0.3, 0.4), (0.0, 2.0), 1.140688),
        ((0.0, 0.5), (0.0, 1.0), 0.318147),
        ((0.0, 2.0), (0.0, 1.0), 0.806853),
        ((1.0, 2.0), (0.0, 1.0), 1.306853),
    ],
)
def test_univariate_kl_known_values(q_parameters: Any, p_parameters: Any, expected: float) -> None:
    for computed in values(E1, NormalPair(Normal(*q_parameters), Normal(*p_parameters))):
        assert computed == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("ratio", [1e-3, 1e3])
def test_univariate_kl_holds_at_extreme_scale_ratios(ratio: float) -> None:
    report = E1.check([NormalPair(Normal(0.8, 0.7 * ratio), Normal(-0.4, 0.7))])
    assert report.holds, f"\n{report}"


def test_sampled_kl_notices_the_wrong_sampler_on_every_witness() -> None:
    for slip in [slip for slip in E1.slips if slip.samples is not None]:
        for seed in range(4):
            report = replace(E1, slips=(slip,)).check(witnesses=1, seed=seed)
            assert report.slips[0].rejected, slip.name


def test_diagonal_kl_matches_torch() -> None:
    torch = pytest.importorskip("torch")
    w = E3.draw(np.random.default_rng(3))
    first, second = (torch.distributions.Normal(torch.as_tensor(d.loc), torch.as_tensor(d.scale)) for d in (w.q, w.p))
    expected = float(torch.distributions.kl_divergence(first, second).sum())
    for computed in values(E3, w):
        assert computed == pytest.approx(expected, rel=1e-12)


def test_full_kl_matches_torch() -> None:
    torch = pytest.importorskip("torch")
    w = CovariancePairs.draw(np.random.default_rng(3))

    def as_torch(d: Any) -> Any:
        covariance = d.covariance if isinstance(d, MultivariateNormal) else np.diag(d.scale**2)
        return torch.distributions.MultivariateNormal(torch.as_tensor(d.loc), torch.as_tensor(covariance))

    expected = [float(torch.distributions.kl_divergence(as_torch(a), as_torch(b))) for a, b in w.pairs]
    assert len(set(np.round(expected, 6))) == 3
    for computed in values(E4, w):
        np.testing.assert_allclose(computed, expected, rtol=1e-11)


def test_full_kl_holds_where_q_is_a_tilted_narrow_ellipse() -> None:
    tilted = np.array([[1.0, 0.995, 0.0], [0.995, 1.0, 0.0], [0.0, 0.0, 1e-4]])
    pair = MultivariatePair(
        MultivariateNormal(np.array([0.5, -0.4, 0.9]), tilted),
        MultivariateNormal(np.array([-0.6, 0.7, 1.3]), np.eye(3) + 0.4),
    )
    report = E4.check([CovariancePairs(pair, DiagonalNormal(np.array([0.4, 0.6, -0.5]), np.array([0.6, 1.7, 2.2])))])
    assert report.holds, f"\n{report}"


def test_gradient_matches_autograd() -> None:
    torch = pytest.importorskip("torch")
    w = Encoding.draw(np.random.default_rng(4))
    loc = torch.tensor(w.q.loc, requires_grad=True)
    log_variance = torch.tensor(w.log_variance, requires_grad=True)
    law = DiagonalNormal(loc, torch.exp(log_variance / 2))
    kl_divergence(law, DiagonalNormal(torch.zeros(4, dtype=loc.dtype), torch.ones(4, dtype=loc.dtype))).backward()
    expected = np.stack([loc.grad.numpy(), log_variance.grad.numpy()], axis=-1)
    np.testing.assert_allclose(value(E8.lines[2], w), expected, rtol=1e-13)
    np.testing.assert_allclose(value(E8.lines[1], w), expected, rtol=1e-11)


def test_difference_quotient_converges_to_the_gradient_at_second_order() -> None:
    w = Encoding.draw(np.random.default_rng(8))
    exact = value(E8.lines[2], w)[:, 1]
    errors = [np.abs(E8.lines[0].evaluate(w, h).value[:, 1] - exact) for h in (0.1, 0.05)]
    np.testing.assert_allclose(errors[0] / errors[1], 4.0, rtol=0.01)


def test_nearly_equal_witness_is_exact() -> None:
    """Nothing is rounded when the whole numbers become Gaussians: the reference is exact on what float64 holds."""
    for seed in range(10):
        w = NearlyEqual.draw(np.random.default_rng(seed))
        for i in range(5):
            p_loc, p_scale = Fraction(w.eighths, 8), Fraction(2) ** w.exponent
            assert Fraction(float(w.p.scale[i])) == p_scale
            assert Fraction(float(w.q.scale[i])) == p_scale * (1 + Fraction(int(w.steps[i]), 2**40))
            assert Fraction(float(w.q.loc[i])) == p_loc + p_scale * Fraction(int(w.shifts[i]), 2**40)


def test_nearly_equal_kl_matches_mpmath() -> None:
    w = NearlyEqual.draw(np.random.default_rng(1))
    with mpmath.workdps(60):
        expected = []
        for mu_q, sigma_q, mu_p, sigma_p, growth in zip(
            *(map(mpmath.mpf, map(float, row)) for row in (w.q.loc, w.q.scale, w.p.loc, w.p.scale, w.growth)),
            strict=True,
        ):
            kl = (
                mpmath.log(sigma_p / sigma_q) + (sigma_q**2 + (mu_q - mu_p) ** 2) / (2 * sigma_p**2) - mpmath.mpf(1) / 2
            )
            expected.append(float(kl / growth**2))
    assert np.all(np.array(expected) > 0.9)  # 1 + (shift / growth)^2 / 2: of size one, so no digit hides
    for computed in values(E9, w):
        np.testing.assert_allclose(computed, expected, rtol=1e-13)


def test_textbook_formula_loses_all_digits_near_equality() -> None:
    w = NearlyEqual.draw(np.random.default_rng(1))
    exact = value(E9.lines[0], w)
    slips = {slip.name: np.abs(value(slip.apply(E9.lines[3]), w) / exact - 1) for slip in E9.slips if slip.line == 3}
    smallest = int(np.argmin(np.abs(w.growth)))
    assert slips["textbook formula in float64"][smallest] > 0.1
    assert 1e-12 < slips["log1p only"][smallest] < 0.1  # better, but not to all digits


# ------------------------------------------------------------------------------------------------- the published chains


EXPECTED_BREAKS = {
    "note A": (4,),
    "note B1": (1,),
    "note B2": (1, 2),
    "note C1": (2, 3, 4, 5),
    "note C2": (2, 3),
    "note D1": (1,),
    "note D2": (),
    "note D3": (),
}


def test_published_chains_are_listed_and_stay_apart_from_the_ledger() -> None:
    assert {p.id: p.derivation.breaks_at for p in PUBLISHED} == EXPECTED_BREAKS
    assert not {p.id for p in PUBLISHED} & {d.id for d in IDENTITIES}
    assert {p.derivation.source for p in PUBLISHED} == {"a published lecture note", "a published blog post"}
    assert all(p.what_is_wrong and p.repair for p in PUBLISHED)


@by_note
def test_published_chain_breaks_where_it_is_wrong_and_holds_when_repaired(published: Published) -> None:
    witnesses = 1 if published.id.startswith("note C") else 4  # a witness of note C is six q
    report = published.derivation.check(witnesses, seed=1)
    assert report.broken == EXPECTED_BREAKS[published.id], f"\n{report}"
    assert report.as_expected
    assert set(published.corrections) == set(published.derivation.breaks_at)
    repaired = published.repaired.check(witnesses, seed=1)
    assert repaired.holds, f"\n{repaired}"
    for result in report.slips:
        assert result.rejected, result.slip.name
        if result.slip.line in report.broken:
            assert result.slip.says.removesuffix(".") in report.rows[result.slip.line].note


def test_note_a_on_the_toy() -> None:
    lines = values(NOTE_A.derivation, TOY)
    assert lines[0] == pytest.approx(-1.782088343, abs=1e-9)
    assert lines[1:4] == pytest.approx([lines[0]] * 3, abs=1e-12)
    assert lines[4] == pytest.approx(-1.043939, abs=1e-6)
    assert lines[5] == pytest.approx(-1.913655675, abs=1e-9)
    assert values(NOTE_A.repaired, TOY)[4] == pytest.approx(lines[0], abs=1e-12)


def test_note_a_third_term_can_be_negative() -> None:
    """x | z ~ N(0.1 z, 0.5), q proportional to p(x|z): the term called KL is -log 10."""
    law = Normal(10.0, 10 * np.sqrt(0.5))
    term = by_trapezoid(law, lambda z: law.log_prob(z) - Normal(0.1 * z, np.sqrt(0.5)).log_prob(1.0))
    assert term.value == pytest.approx(-2.302585, abs=1e-6)
    assert TOY_MODEL.integrate(lambda z: np.exp(TOY_MODEL.log_likelihood(TOY.x, z))).value == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("loc", "scale", "published", "true"),
    [(1.0, 1.0, -0.5, 0.5), (2.0, 0.5, -1.681853, 2.318147), (0.3, 0.4, 0.451291, 0.541291)],
)
def test_note_b1_sign_of_the_mean(loc: float, scale: float, published: float, true: float) -> None:
    w = Encoding(DiagonalNormal(np.array([loc]), np.array([scale])))
    assert values(NOTE_B1.derivation, w) == pytest.approx([true, published], abs=1e-6)
    assert values(NOTE_B1.repaired, w) == pytest.approx([true, true], abs=1e-6)
    assert values(E2, w) == pytest.approx([true] * 4, abs=1e-6)


def test_note_b1_slip_hides_at_zero_mean() -> None:
    w = Encoding(DiagonalNormal(np.zeros(3), np.array([0.5, 1.4, 2.0])))
    assert NOTE_B1.derivation.check([w]).holds  # why a witness must not have mu = 0


@pytest.mark.parametrize(
    ("first", "second", "no_log", "mean_only", "true"),
    [
        ((0.0, 0.5), (0.0, 1.0), -0.375, 0.0, 0.318147),
        ((0.0, 2.0), (0.0, 1.0), 1.5, 0.0, 0.806853),
        ((1.0, 2.0), (0.0, 1.0), 2.0, 0.5, 1.306853),
    ],
)
def test_note_b2_without_logarithm(first: Any, second: Any, no_log: float, mean_only: float, true: float) -> None:
    w = NormalPair(Normal(*first), Normal(*second))
    assert values(NOTE_B2.derivation, w) == pytest.approx([true, no_log, mean_only], abs=1e-6)
    assert values(NOTE_B2.repaired, w) == pytest.approx([true] * 3, abs=1e-6)


def test_note_b2_agrees_where_the_scales_do() -> None:
    w = NormalPair(Normal(1.3, 0.7), Normal(-0.2, 0.7))
    assert NOTE_B2.derivation.check([w]).holds  # why a witness must not have equal scales


def test_note_c_on_the_toy() -> None:
    published = [line[0] for line in values(NOTE_C1.derivation, toy_family())]
    assert published == pytest.approx([0.131567, 0.131567, 13.855639, -1.858531, 3.695744, 3.695744], abs=1e-6)
    repaired = [line[0] for line in values(NOTE_C1.repaired, toy_family())]
    assert repaired == pytest.approx([0.131567332] * 6, abs=1e-9)


def test_note_c_broken_lines_have_another_minimum() -> None:
    posterior, published = 1 / 9, 0.018698
    family = toy_family(
        *(Normal(4 / 9, np.sqrt(h)) for h in (0.98 * published, published, 1.02 * published, posterior))
    )
    line_2, kl = value(NOTE_C2.derivation.lines[2], family), value(NOTE_C2.derivation.lines[0], family)
    assert np.argmin(line_2) == 1
    assert np.argmin(kl) == 3 and kl[3] == pytest.approx(0, abs=1e-12)
    line_3 = value(NOTE_C2.derivation.lines[3], toy_family(TOY.q, Normal(3.0, 0.4), Normal(8.0, 0.4)))
    assert line_3[0] > line_3[1] > line_3[2] and line_3[2] < -100  # no minimum


def test_dropping_the_evidence_keeps_the_argmin_and_not_the_value() -> None:
    dropped = E(q, log_q) - E(q, log_joint)
    as_argmin = NOTE_C2.derivation.with_line(5, dropped).check(witnesses=1)
    assert as_argmin.broken == (2, 3)
    as_values = NOTE_C1.derivation.with_line(5, dropped).check(witnesses=1)
    assert 5 in as_values.broken
    assert NOTE_C1.repaired.with_line(5, dropped).check(witnesses=1).broken == (5,)


def test_note_d1_on_the_toy() -> None:
    densities = [line.latex.removesuffix(r" \quad \forall z") for line in NOTE_D1.derivation.lines]
    at_half = replace(TOY.scope(), observed={"x": TOY.x, "z": np.array(0.5)})
    assert [number(density, at_half) for density in densities] == pytest.approx([1.180319, 3.352557], abs=1e-6)
    masses = [number(rf"\int {density}\,dz", TOY) for density in densities]
    assert masses == pytest.approx([1.0, 2.971126], abs=1e-6)


def test_note_d2_expectation_under_the_q_of_another_observation() -> None:
    """The encoder N(0.3 x + 0.1, 0.49): at x(i) = 1 inside, at x = -1 where z is drawn."""
    w = replace(TOY, q=Normal(0.4, 0.7))
    assert values(NOTE_D2.derivation, w) == pytest.approx([0.971952] * 4, abs=1e-6)
    elsewhere = by_trapezoid(Normal(-0.2, 0.7), lambda z: w.q.log_prob(z) - TOY_MODEL.log_posterior(w.x, z))
    assert elsewhere.value == pytest.approx(2.464605, abs=1e-6)
