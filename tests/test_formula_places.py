"""Formulas at a place, entries of functions, diagonals, mixtures of vectors, and what a replaced line had said."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from vaelib.derivation import IllTyped, derive
from vaelib.distributions import DiagonalNormal, Normal
from vaelib.formula import Map, Parameter, Scope, tex
from vaelib.formula.spaces import States
from vaelib.formula.worlds import Conditional, Law, Mixture


def number(latex: str, scope: Scope) -> float:
    value = tex(latex).value(scope)
    return float(getattr(value, "value", value))


def squares(t: float) -> Scope:
    """A scope with a parameter t, on which u = t^2."""
    return Scope(values={"u": t**2, "a": 5.0}, parameters={"t": Parameter(t, squares)}, observed={"x": 2.0})


def test_at_moves_a_parameter_and_all_that_depends_on_it() -> None:
    assert number(r"\left. u \right|_{t = 3}", squares(2.0)) == 9.0
    assert number(r"\left. \partial_t u \right|_{t = a}", squares(2.0)) == pytest.approx(10.0, rel=1e-10)


def test_at_moves_an_observation() -> None:
    assert number(r"\left. x^2 \right|_{x = a} - x^2", squares(2.0)) == 21.0


def test_at_needs_a_name_and_a_value() -> None:
    with pytest.raises(IllTyped, match=r"Expected a place such as x = a, but got u > 1"):
        number(r"\left. u \right|_{u > 1}", squares(2.0))


def test_entry_of_a_function_is_taken_at_its_argument() -> None:
    maps = {"f": Map(lambda z: np.stack([z, z**2], axis=-1), rank=1)}
    scope = Scope(maps=maps, values={"m": 3.0}, ranges={"j": 2})
    assert number(r"f_2(m)", scope) == 9.0
    assert number(r"\sum_j f_j(m)^2", scope) == 90.0


def test_diagonal_of_a_matrix_leaves_nothing_beside_it() -> None:
    matrix = np.array([[2.0, 1.0], [1.0, 3.0]])
    scope = Scope(values={"S": matrix})
    np.testing.assert_array_equal(tex(r"\mathrm{diag}(S)").value(scope), np.diag([2.0, 3.0]))
    assert number(r"\log\det \mathrm{diag}(S)", scope) == pytest.approx(np.log(6))


def test_mixture_of_vectors_agrees_with_scipy() -> None:
    weights, loc, scale = np.array([0.3, 0.7]), np.array([[0.0, 1.0], [2.0, -1.0]]), np.array([[0.5, 1.0], [1.5, 0.7]])
    points = np.array([[0.2, 0.4], [1.0, -2.0], [3.0, 0.0]])
    world = Mixture("x", weights, DiagonalNormal(loc, scale), label="z")
    scope = Scope(worlds={"p": world}, values={"x": points}, ranges={"i": 3})
    parts = np.array([stats.multivariate_normal(m, np.diag(s**2)).pdf(points) for m, s in zip(loc, scale, strict=True)])
    joint = weights[:, None] * parts
    assert number(r"\sum_i \log p(x_i)", scope) == pytest.approx(np.log(joint.sum(axis=0)).sum(), rel=1e-13)
    entropies = stats.entropy(joint / joint.sum(axis=0))
    assert number(r"\sum_i \mathrm{H}(p(z \mid x_i))", scope) == pytest.approx(entropies.sum(), rel=1e-13)
    expected = (joint / joint.sum(axis=0) * np.log(parts)).sum()
    assert number(r"\sum_i \mathbb{E}_{p(z \mid x_i)}[\log p(x_i \mid z)]", scope) == pytest.approx(expected, rel=1e-13)


@dataclass(frozen=True)
class One:
    a: float = 3.0

    def scope(self) -> Scope:
        return Scope(values={"a": self.a})


def test_lines_below_a_replaced_line_still_know_what_it_said() -> None:
    chain = (
        derive("T", "three", lambda rng: One())
        .start(tex("a"))
        .eq(tex(r"m,\ m = a"))
        .slip("two", tex("2 a"), "it was doubled.")
        .eq(tex("m"))
    )
    assert chain.check().holds
    report = chain.with_slip("two").check()
    assert report.broken == (1,)
    assert "no value" not in str(report)
    assert chain.with_line(1, tex(r"2 m,\ m = \tfrac12 a")).check().broken == (2,)  # its own words hold below it


def test_sum_over_a_set_that_is_drawn() -> None:
    batches = np.array([[1, 2], [1, 3], [2, 3]])
    law = Conditional("B", (), lambda: Uniform())
    scope = Scope(
        values={"a": np.array([1.0, 10.0, 100.0])}, worlds={"u": law}, spaces={"B": States(batches)}, laws={"B": "u(B)"}
    )
    assert number(r"\mathbb{E}_{B}\left[\sum_{i \in B} a_i\right]", scope) == pytest.approx(111 * 2 / 3, rel=1e-14)
    assert number(r"\mathbb{E}_{B}\left[\left(\sum_{i \in B} a_i\right)^2\right]", scope) == pytest.approx(
        (11**2 + 101**2 + 110**2) / 3, rel=1e-14
    )


class Uniform:
    def log_prob(self, value: np.ndarray) -> np.ndarray:
        return np.full(value.shape[:-1], -np.log(3))


def test_density_times_a_gradient_is_integrated_as_a_vector() -> None:
    law = Normal(0.5, 2.0)
    parameters = {r"\theta": Parameter(np.array([1.0, 3.0]), lambda theta: gradient_scope(theta, law))}
    scope = Scope(worlds={"q": Law("z", law)}, values={r"\theta": np.array([1.0, 3.0])}, parameters=parameters)
    found = tex(r"\int q(z)\,\nabla_\theta (\theta_1 z + \theta_2 z^2)\,dz").value(scope)
    np.testing.assert_allclose(found.value, [0.5, 4.25], rtol=1e-9)


def gradient_scope(theta: np.ndarray, law: Normal) -> Scope:
    return Scope(worlds={"q": Law("z", law)}, values={r"\theta": theta})
