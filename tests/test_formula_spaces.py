"""Where a variable lives: half lines, tables, zero vectors, what an integral looks at, integrals without a value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from vaelib.derivation import IllTyped, derive
from vaelib.distributions import MultivariateNormal, Normal
from vaelib.estimate import Estimate
from vaelib.formula import GAUSS, TRAPEZOID, Scope, tex
from vaelib.formula.environment import Diverges
from vaelib.formula.rules import Rule
from vaelib.formula.spaces import HalfLine, Interval, Pieces
from vaelib.formula.tables import Independent
from vaelib.formula.worlds import JointGaussian, Law
from vaelib.quadrature import DoesNotConverge

both_rules = pytest.mark.parametrize("rule", [TRAPEZOID, GAUSS], ids=["trapezoid", "gauss"])


def number(value: object) -> float:
    return float(value.value if isinstance(value, Estimate) else value)  # type: ignore[arg-type]


@dataclass(frozen=True)
class LogNormal:
    law: Normal

    def log_prob(self, y: np.ndarray) -> np.ndarray:
        return np.asarray(self.law.log_prob(np.log(y)) - np.log(y))


@both_rules
def test_half_line_holds_what_is_tiny_and_what_is_huge(rule: Rule) -> None:
    scope = Scope(worlds={"g": Law("y", LogNormal(Normal(0.4, 2.5)))}, spaces={"y": HalfLine()})
    assert number(tex(r"\int_0^\infty g(y)\,dy").value(scope, rule)) == pytest.approx(1, abs=1e-10)
    assert number(tex(r"\int_0^\infty g(y)\,\log y\,dy").value(scope, rule)) == pytest.approx(0.4, abs=1e-9)
    with pytest.raises(Diverges, match="converges"):
        tex(r"\int_0^\infty \frac{1}{1 + y}\,dy").value(scope, rule)


def test_divergent_integral_has_no_value_and_a_slip_that_diverges_is_rejected() -> None:
    assert issubclass(Diverges, DoesNotConverge) and issubclass(Diverges, IllTyped)

    @dataclass(frozen=True)
    class Two:
        q: Normal
        p: Normal

        @classmethod
        def draw(cls, rng: np.random.Generator) -> Two:
            return cls(Normal(0.3, 2.0), Normal(0.0, float(rng.uniform(0.5, 0.7))))

        def scope(self) -> Scope:
            return Scope(worlds={"q": Law("z", self.q), "p": Law("z", self.p)})

    chain = (
        derive("X1", "a mean of weights", Two.draw)
        .start(tex("1"))
        .eq(tex(r"\int q(z)\,\frac{p(z)}{q(z)}\,dz"), "p integrates to one")
        .slip("upside down", tex(r"\int q(z)\,\frac{q(z)}{p(z)}\,dz"), "the weight is upside down.")
    )
    report = chain.check()
    assert report.holds
    assert all(result.rejected for result in report.slips)
    broken = chain.with_slip("upside down").check()
    assert broken.broken == (1,)
    assert "no value" in broken.rows[1].note and "ill-typed" not in broken.rows[1].note


@both_rules
def test_integral_looks_where_its_own_densities_lie(rule: Rule) -> None:
    """A wide q in the scope does not spread the nodes of an integral in which it does not occur."""
    narrow = MultivariateNormal(np.array([0.5, -0.3]), np.array([[0.01, 0.004], [0.004, 0.02]]))
    wide = MultivariateNormal(np.zeros(2), 400 * np.eye(2))
    scope = Scope(worlds={"p": Law("z", narrow), "q": Law("z", wide)}, definitions={"w": r"p(z)^2"})
    expected = 1 / np.sqrt(np.linalg.det(4 * np.pi * narrow.covariance))
    for formula in (r"\int p(z)^2\,dz", r"\int w\,dz"):
        assert number(tex(formula).value(scope, rule)) == pytest.approx(expected, rel=1e-9)


@both_rules
def test_range_that_the_scope_names_holds_under_a_law_too(rule: Rule) -> None:
    """E_q[p/q] with a q so narrow that its own nodes miss most of p; and a jump that no smooth rule integrates."""
    laws = {"q": Law("z", Normal(0.0, 0.05)), "p": Law("z", Normal(0.0, 1.0))}
    weights = tex(r"\mathbb{E}_{q}\left[\frac{N(z;\, 0, 1)}{q(z)}\right]")
    with pytest.raises(Diverges):
        weights.value(Scope(worlds={"q": laws["q"]}), rule)
    named = Scope(worlds=laws, spaces={"z": Interval(-12.0, 12.0)})
    assert number(weights.value(named, rule)) == pytest.approx(1, rel=1e-9)
    jump = tex(r"\mathbb{E}_{p}\left[\mathbb{1}[z > 0.3]\right]")
    pieces = Scope(worlds=laws, spaces={"z": Pieces((-12.0, 0.3, 12.0), soft=True)})
    assert number(jump.value(pieces, rule)) == pytest.approx(0.3820885778, abs=1e-9)
    hard = Scope(worlds=laws, spaces={"z": Pieces((-1.0, 1.0))})  # ends that are meant do not cut a law short
    assert number(tex(r"\mathbb{E}_{p}[z^2]").value(hard, rule)) == pytest.approx(1, abs=1e-9)


def test_independent_tables_are_a_product() -> None:
    tables = np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    q = Independent("z", tables)
    scope = Scope(worlds={"q": q, "q_": q.coordinate}, values={"k": 2}, ranges={"j": 2, "s": 2})
    assert tex(r"\sum_z q(z)").value(scope) == pytest.approx(1)
    assert tex(r"\mathrm{H}(q)").value(scope) == pytest.approx(-np.sum(tables * np.log(tables)))
    assert tex(r"\sum_j \mathrm{H}(q_j)").value(scope) == pytest.approx(-np.sum(tables * np.log(tables)))
    assert tex(r"\mathbb{E}_{q}\left[\sum_s z_s\right]").value(scope) == pytest.approx(1.3 + 0.5)
    with pytest.raises(IllTyped, match="vector z"):
        tex(r"q(1)").value(scope)


def test_zero_is_the_zero_vector_where_a_vector_is_expected() -> None:
    world = JointGaussian({"z": 2, "x": 1}, np.zeros(3), np.eye(3))
    scope = Scope(worlds={"p": world}, observed={"x": np.array([0.0])})
    assert tex(r"\log p(x, 0)").value(scope) == pytest.approx(-1.5 * np.log(2 * np.pi))
    with pytest.raises(IllTyped, match="vector of 2"):
        tex(r"\log p(x, 1)").value(scope)


def test_line_that_holds_for_every_index() -> None:
    scope = Scope(values={"a": np.array([1.0, 2.0, 4.0])}, ranges={"j": 3})
    np.testing.assert_allclose(tex(r"a_j^2 \quad \forall j").value(scope), [1, 4, 16])
    np.testing.assert_allclose(tex(r"2 \quad \forall j").value(scope), [2, 2, 2])
