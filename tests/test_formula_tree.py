"""The tree: operators, printing, equality; what is printed is read back as the same tree with the same value."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vaelib.formula as words
from vaelib.derivation import Line
from vaelib.derivation.changes import underlined
from vaelib.formula import (
    HALF,
    KL,
    Cov,
    E,
    H,
    N,
    Node,
    Var,
    absolute,
    chi2,
    det,
    exp,
    for_all,
    function,
    grad,
    integral,
    log,
    mark,
    norm,
    over,
    prod,
    sqrt,
    symbol,
    symbols,
    tex,
    tr,
    where,
)
from vaelib.formula.tree import Bracket, Number, Product
from vaelib.formula.tree import Sum as SumNode
from vaelib.witnesses import CurvedWitness, DiscreteWitness, LinearWitness, NormalPair

mu_q, sigma_q, mu_p, sigma_p = symbols(r"\mu_q \sigma_q \mu_p \sigma_p")
x, z, p, q, i, m, S = symbols("x z p q i m S")
W, c, r, k = symbols("W c r k")
f = symbol("f")


@pytest.mark.parametrize(
    ("formula", "latex"),
    [
        (sigma_p / sigma_q, r"\frac{\sigma_p}{\sigma_q}"),
        (log(sigma_p / sigma_q), r"\log\frac{\sigma_p}{\sigma_q}"),
        (mu_q + mu_p - sigma_q, r"\mu_q + \mu_p - \sigma_q"),
        (mu_q - (mu_p - sigma_q), r"\mu_q - (\mu_p - \sigma_q)"),
        (-(mu_q + mu_p), r"-(\mu_q + \mu_p)"),
        (mu_q - -mu_p, r"\mu_q - (-\mu_p)"),
        (2 * mu_q, r"2 \mu_q"),
        (mu_q * 2, r"\mu_q\cdot 2"),
        (2 * (mu_q + 1), r"2 (\mu_q + 1)"),
        (mu_q * (mu_p + 1), r"\mu_q\, (\mu_p + 1)"),
        ((mu_q - mu_p) ** 2, r"(\mu_q - \mu_p)^2"),
        ((mu_q / mu_p) ** 2, r"\left(\frac{\mu_q}{\mu_p}\right)^2"),
        (mu_q**2 / (2 * sigma_p**2), r"\frac{\mu_q^2}{2 \sigma_p^2}"),
        (mu_q**-1, r"\mu_q^{-1}"),
        (-HALF * mu_q, r"-\tfrac12\, \mu_q"),
        (-mu_q / mu_p, r"-\frac{\mu_q}{\mu_p}"),
        (-1 / (2 * mu_q), r"-\frac{1}{2 \mu_q}"),
        (mu_q * -mu_p, r"\mu_q\, (-\mu_p)"),
        (HALF * mu_q, r"\tfrac12\, \mu_q"),
        (mu_q - HALF, r"\mu_q - \tfrac12"),
        (1 - mu_q, r"1 - \mu_q"),
        (0.5 * mu_q, r"0.5 \mu_q"),
        (Fraction(3, 4) + mu_q, r"\tfrac34 + \mu_q"),
        (log(mu_q) * mu_p, r"(\log \mu_q)\, \mu_p"),
        (mu_p * log(mu_q), r"\mu_p\, \log \mu_q"),
        (log(mu_q * mu_p), r"\log(\mu_q\, \mu_p)"),
        (log(mu_q) ** 2, r"(\log \mu_q)^2"),
        (p(x | z), r"p(x \mid z)"),
        (p(x, z), "p(x, z)"),
        (E(q, log(p(x, z)) - log(q(z))), r"\mathbb{E}_{q}[\log p(x, z) - \log q(z)]"),
        (E(q, f(z)) ** 2, r"\mathbb{E}_{q}[f(z)]^2"),
        (KL(q, p(z | x)), r"\mathrm{KL}(q \,\Vert\, p(z \mid x))"),
        (H(q, p), r"\mathrm{H}(q, p)"),
        (over(i, m[i] + c), r"\sum_i (m_i + c)"),
        (over(i, m[i]) + c, r"\sum_i m_i + c"),
        (over(i, m[i]) * c, r"\left(\sum_i m_i\right)\, c"),
        (integral(p(x, z), z), r"\int p(x, z)\,dz"),
        (log(integral(p(x, z), z)), r"\log \int p(x, z)\,dz"),
        (N(x, m, S), r"N(x;\, m,\, S)"),
        (r.T * W * r, r"r^\top\, W\, r"),
        (tr(W * S), r"\mathrm{tr}(W\, S)"),
        (mark(mu_q) + mu_p, r"\underline{\mu_q} + \mu_p"),
        (sqrt(mu_q), r"\sqrt{\mu_q}"),
        (grad(E(q, f(z)), mu_q), r"\partial_{\mu_q} \mathbb{E}_{q}[f(z)]"),
    ],
)
def test_formula_is_written_in_the_order_typed(formula: Node, latex: str) -> None:
    assert formula.latex == latex
    assert tex(latex) == formula


def test_formula_written_with_operators_is_the_formula_that_is_read() -> None:
    built = log(sigma_p / sigma_q) + (sigma_q**2 + (mu_q - mu_p) ** 2) / (2 * sigma_p**2) - HALF
    read = tex(r"\log\frac{\sigma_p}{\sigma_q} + \frac{\sigma_q^2 + (\mu_q-\mu_p)^2}{2\sigma_p^2} - \tfrac12")
    assert built == read and hash(built) == hash(read)
    assert {built: 1}[read] == 1


def test_equality_sees_structure_and_not_looks() -> None:
    assert tex(r"\frac{a}{b}") == tex(r"a / b") == tex(r"\dfrac a b")
    assert tex("a b") == tex(r"a\,b") == tex(r"a \cdot b")
    assert tex(r"\left(a + b\right)") == tex("[a + b]")
    assert tex("a b") != tex("b a")
    assert tex("(a)") != tex("a")
    assert tex("a + b - c") != tex("a + (b - c)")
    assert tex("a") != "a"


def test_nodes_cannot_be_changed_and_can_be_pickled() -> None:
    formula = tex(r"\log p(x \mid z) + \tfrac12")
    with pytest.raises(AttributeError):
        formula.terms = ()  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(formula)) == formula


def test_free_names_are_those_that_nothing_binds() -> None:
    assert tex(r"\log p(x \mid z)").free == {"x", "z"}
    assert E(q, log(p(x | z))).free == {"x"}
    assert tex(r"\sum_i t_i + c").free == {"t", "c"}
    assert tex(r"t_i").free == {"t_i"}
    assert tex(r"\int q(z) f(z)\,dz").free == set()
    assert tex(r"\int_0^a s\,ds").free == {"a"}
    assert tex(r"\mathbb{E}_{z' \sim q}[z' + z]").free == {"z"}
    assert tex(r"m + c,\quad m = a^2").free == {"a", "c"}
    assert tex(r"\log p(z) \quad \forall z").free == set()


def test_numbers_and_other_things_beside_a_formula() -> None:
    assert (np.float64(2) * mu_q).latex == r"2 \mu_q"
    assert (np.float64(0.25) + mu_q).latex == r"0.25 + \mu_q"
    assert (1e-20 * mu_q).latex == r"1\cdot 10^{-20}\, \mu_q"
    for wrong in ("a", None, True, [1]):
        with pytest.raises(TypeError, match="Expected a formula or a number"):
            mu_q + wrong  # type: ignore[operator]
    with pytest.raises(ValueError, match="finite"):
        mu_q * math.inf
    with pytest.raises(TypeError, match="mean, variance"):
        N(x)
    with pytest.raises(TypeError, match="variable"):
        integral(x)
    with pytest.raises(ValueError, match="names with spaces"):
        symbols("a a+b")
    with pytest.raises(TypeError, match="one law or two"):
        H()


def test_long_sum_built_term_by_term_is_one_node() -> None:
    total: Node = mu_q
    for _ in range(3000):
        total = total + mu_q
    assert isinstance(total, SumNode) and len(total.terms) == 3001
    product: Node = mu_q
    for _ in range(500):
        product = product * mu_q
    assert isinstance(product, Product) and len(product.factors) == 501


def test_formula_stands_in_a_line_of_a_derivation() -> None:
    line = Line(KL(q, p))
    assert line.latex == r"\mathrm{KL}(q \,\Vert\, p)"
    witness = NormalPair.draw(np.random.default_rng(0))
    assert line.evaluate(witness).value == pytest.approx(float(words.tex(line.latex).value(witness).value))


def test_mark_changes_nothing_but_the_look() -> None:
    witness = NormalPair.draw(np.random.default_rng(1))
    assert (mark(mu_q) * 2).value(witness) == (mu_q * 2).value(witness)
    assert tex(mark(mu_q + 1).latex) == mark(mu_q + 1)


# ------------------------------------------------------------------------------- what is printed is read as the same

Pair = tuple[Node, Callable[[dict[str, float]], float]]
LETTERS = {"mu_q": mu_q, "sigma_q": sigma_q, "mu_p": mu_p, "sigma_p": sigma_p}


def leaf() -> st.SearchStrategy[Pair]:
    names = st.sampled_from(sorted(LETTERS)).map(lambda name: (LETTERS[name], lambda v: v[name]))
    whole = st.integers(0, 12).map(lambda n: (Number(str(n)), lambda v: float(n)))
    decimal = st.integers(1, 99).map(lambda n: (Number(f"0.{n:02d}"), lambda v: n / 100))
    return st.one_of(names, whole, decimal)


def larger(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    def two(combine: Callable, direct: Callable) -> st.SearchStrategy[Pair]:
        def join(a: Pair, b: Pair) -> Pair:
            return combine(a[0], b[0]), lambda v: direct(a[1](v), b[1](v))

        return st.builds(join, inner, inner)

    def one(combine: Callable, direct: Callable) -> st.SearchStrategy[Pair]:
        return inner.map(lambda a: (combine(a[0]), lambda v: direct(a[1](v))))

    return st.one_of(
        two(lambda a, b: a + b, lambda a, b: a + b),
        two(lambda a, b: a - b, lambda a, b: a - b),
        two(lambda a, b: a * b, lambda a, b: a * b),
        two(lambda a, b: a / (b**2 + 1), lambda a, b: a / (b**2 + 1)),
        one(lambda a: -a, lambda a: -a),
        one(lambda a: a**2, lambda a: a**2),
        one(lambda a: log(a**2 + 1), lambda a: math.log(a**2 + 1)),
        one(lambda a: exp(-(a**2)), lambda a: math.exp(-(a**2))),
        one(lambda a: sqrt(absolute(a)), lambda a: math.sqrt(abs(a))),
        one(lambda a: function("softplus", a), lambda a: max(a, 0) + math.log1p(math.exp(-abs(a)))),
        one(lambda a: mark(a), lambda a: a),
        one(lambda a: over(symbol("i"), symbol("i") * a, 1, 3), lambda a: 6 * a),
        one(lambda a: E(q, a + 0 * z), lambda a: a),
    )


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.recursive(leaf(), larger, max_leaves=8))
def test_random_formula_is_read_back_and_has_the_value_of_plain_arithmetic(pair: Pair) -> None:
    formula, direct = pair
    again = tex(formula.latex)
    assert again == formula, formula.latex
    for seed in range(5):
        w = NormalPair.draw(np.random.default_rng(seed))
        names = {"mu_q": w.q.loc, "sigma_q": w.q.scale, "mu_p": w.p.loc, "sigma_p": w.p.scale}
        value = formula.value(w)
        value = float(getattr(value, "value", value))
        assert value == pytest.approx(direct({n: float(v) for n, v in names.items()}), rel=1e-9, abs=1e-9)


SHAPES: list[tuple[Node, type]] = [
    (E(q, log(p(x | z))) - KL(q, p(z)), CurvedWitness),
    (log(E(q, p(x, z) / q(z))), CurvedWitness),
    (for_all(z, log(p(x, z)) - log(p(z | x))), CurvedWitness),
    (Var(q, log(p(x | z))), CurvedWitness),
    (Cov(q, z, log(p(x | z))), CurvedWitness),
    (chi2(p(z | x), q), DiscreteWitness),
    (where(m * sigma_q, (m, mu_q + 1)), NormalPair),
    (grad(KL(q, p), *symbols(r"\mu \sigma")), NormalPair),
    (grad(KL(q, p), symbols(r"\mu")[0], order=2), NormalPair),
    (H(q, p) - H(q), NormalPair),
    (integral(q(z) * (log(q(z)) - log(p(z))), z), NormalPair),
    (integral(z**2, z, lower=mu_q, upper=mu_p), NormalPair),
    (prod(symbol("i"), symbol("i") + sigma_q, 1, 4), NormalPair),
    (log(det(W.T * W)) + tr(W.T * W) + norm(r) ** 2, LinearWitness),
]


@pytest.mark.parametrize("formula", [shape for shape, _ in SHAPES], ids=lambda formula: formula.plain[:40])
def test_formula_of_each_kind_is_read_back_with_its_value(formula: Node) -> None:
    kind = next(kind for shape, kind in SHAPES if shape is formula)
    again = tex(formula.latex)
    assert again == formula, formula.latex
    for seed in range(5):
        witness = kind.draw(np.random.default_rng(seed))
        first, second = formula.value(witness), tex(formula.latex).value(witness)
        np.testing.assert_array_equal(getattr(first, "value", first), getattr(second, "value", second))


def test_bracket_is_set_where_precedence_needs_it_and_nowhere_else() -> None:
    assert not any(isinstance(part, Bracket) for part in (mu_q * mu_p / sigma_q + log(sigma_p / sigma_q)).walk())
    assert sum(isinstance(part, Bracket) for part in ((mu_q + mu_p) * (mu_q - mu_p)).walk()) == 2


@pytest.mark.parametrize(
    ("above", "below", "shown"),
    [
        ("a + b", "a - c", r"a - \underline{c}"),
        (r"\sum_z f(z) g(z)", r"\sum_s f(s)", r"\sum_s f(s)"),
        (r"\sum_z f(z) g(z)", r"\sum_z f(z)", r"\sum_z \underline{f(z)}"),
    ],
)
def test_what_changed_is_underlined_as_a_whole(above: str, below: str, shown: str) -> None:
    assert underlined(tex(above), tex(below)) == shown
