"""The checks let good arguments pass, refuse bad ones with what, where and why, and know when not to look."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from vaelib import _checks
from vaelib._door import as_integers

INF, NAN = math.inf, math.nan
KINDS = [np.asarray, lambda v: torch.as_tensor(np.asarray(v)), lambda v: torch.tensor(v, dtype=torch.float32)]
each_kind = pytest.mark.parametrize("make", KINDS, ids=["numpy", "torch", "float32"])


@each_kind
@pytest.mark.parametrize(
    ("check", "good"),
    [
        (_checks.finite, [[0.0, -1.0], [3.0, 2.0]]),
        (_checks.finite, 3.0),
        (_checks.not_nan, [0.0, INF, -INF]),
        (_checks.positive, [1e-30, 2.0, 1e30]),
        (_checks.positive, np.zeros((0, 3)).tolist()),
        (_checks.binary, [[0.0, 1.0], [1.0, -0.0]]),
        (_checks.binary, 1.0),
        (_checks.probability, [0.0, 0.4, 1.0]),
        (_checks.table, [[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]]),
        (_checks.categorical_logits, [[0.0, -INF], [3.0, 1e4]]),
        (_checks.covariance, [[2.0, 0.3], [0.3, 1.0]]),
    ],
)
def test_good_argument_passes(check: Callable[..., None], good: Any, make: Callable[..., Any]) -> None:
    check("name", make(good))


@each_kind
@pytest.mark.parametrize(
    ("check", "bad", "message"),
    [
        (
            _checks.finite,
            [0.0, INF],
            r"Expected `name` to be finite everywhere, but got inf at index \(1,\) of shape \(2,\)\.",
        ),
        (_checks.finite, NAN, r"Expected `name` to be finite everywhere, but got nan\.$"),
        (_checks.finite, [INF, -INF], r"but got inf at index \(0,\) of shape \(2,\), and 1 more such\."),
        (_checks.not_nan, [[0.0], [NAN]], r"Expected `name` to be a number everywhere, but got nan at index \(1, 0\)"),
        (_checks.positive, [2.0, 0.0], r"Expected `name` to be finite and > 0 everywhere, but got 0.0 at index \(1,\)"),
        (_checks.positive, [2.0, NAN], r"but got nan at index \(1,\)"),
        (_checks.positive, [INF, 1.0], r"but got inf at index \(0,\)"),
        (_checks.binary, [0.0, 0.1, 1.0], r"Expected `name` to be 0 or 1 everywhere, but got 0.1 at index \(1,\)"),
        (_checks.binary, [-1.0, 1.0], r"but got -1.0 at index \(0,\)"),
        (_checks.binary, [1.0, NAN], r"but got nan at index \(1,\)"),
        (_checks.binary, [1.0, INF], r"but got inf at index \(1,\)"),
        (_checks.probability, [0.1, -0.2], r"Expected `name` to be between 0 and 1, but got -0.2 at index \(1,\)"),
        (
            _checks.table,
            [[0.5, 0.5], [0.3, 0.6]],
            r"`name.sum\(-1\)` to be 1, but got 0.9.* at index \(1,\) .* Divide",
        ),
        (_checks.table, [1.2, -0.2], r"Expected `name` to be >= 0 everywhere, but got -0.2 at index \(1,\)"),
        (_checks.table, [0.5, NAN], r"Expected `name` to be >= 0 everywhere, but got nan"),
        (_checks.table, 1.0, r"Expected `name` to have a last axis, which holds the probabilities of the values"),
        (_checks.categorical_logits, [0.0, INF], r"below \+inf everywhere, but got inf .* exclude the others"),
        (_checks.categorical_logits, [[0.0], [-INF]], r"`name.max\(-1\)` to be finite, but got -inf at index \(1,\)"),
        (_checks.covariance, [1.0, 2.0], r"Expected `name` to be square in its last two axes, but got shape \(2,\)"),
        (_checks.covariance, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], r"but got shape \(2, 3\)"),
        (_checks.covariance, [[1.0, 0.4], [-0.4, 1.0]], r"to be symmetric, but got 0.4 at index \(0, 1\)"),
        (_checks.covariance, [[1.0, NAN], [NAN, 1.0]], r"to be finite everywhere"),
        (
            _checks.covariance,
            [[1.0, 0.0], [0.0, 0.0]],
            r"`diagonal of name` to be > 0 everywhere, but got 0.0 at index \(1,\)",
        ),
    ],
)
def test_bad_argument_is_refused(check: Callable[..., None], bad: Any, message: str, make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=message):
        check("name", make(bad))


def test_hint_names_the_likely_cause() -> None:
    with pytest.raises(ValueError, match=r"but got -1.0\. Did you pass log_scale\?$"):
        _checks.positive("scale", np.array(-1.0), "Did you pass log_scale?")


@each_kind
def test_noise_outside_the_unit_interval_is_refused(make: Callable[..., Any]) -> None:
    _checks.uniform_noise(make([0.2, 0.9]))
    for bad in (0.0, 1.0, -0.4, NAN):
        with pytest.raises(ValueError, match=r"Expected `noise` to be strictly between 0 and 1, but got .* draw_noise"):
            _checks.uniform_noise(make([0.2, bad]))


def test_category_is_an_integer_below_the_size() -> None:
    for make in (np.asarray, torch.as_tensor):
        _checks.category("x", make(np.array([0, 3])), 4)
        with pytest.raises(ValueError, match=r"Expected `x` to be between 0 and 3, but got 4 at index \(1,\)"):
            _checks.category("x", make(np.array([0, 4])), 4)
        with pytest.raises(ValueError, match=r"but got -1 at index \(0,\)"):
            _checks.category("x", make(np.array([-1, 2])), 4)
        with pytest.raises(TypeError, match=r"Expected `x` to hold integers, .* but got dtype float64"):
            as_integers("x", make(np.array([0.0, 1.0])), like=make(np.zeros(2)))


def test_covariance_is_symmetric_to_rounding_in_its_own_precision() -> None:
    exact = np.array([[2.0, 1e-4], [1e-4, 1e-6]])
    shaken = exact * (1 + np.array([[0.0, 1e-10], [-1e-10, 0.0]]))
    _checks.covariance("covariance", shaken)
    single = torch.tensor(exact, dtype=torch.float32) * torch.tensor([[1.0, 1 + 1e-6], [1.0, 1.0]])
    _checks.covariance("covariance", single)
    with pytest.raises(ValueError, match="symmetric"):
        _checks.covariance("covariance", exact * np.array([[1.0, 1.001], [1.0, 1.0]]))


def test_broadcastable_gives_the_common_shape_or_names_all_shapes() -> None:
    assert _checks.broadcastable(a=np.zeros((2, 1)), b=np.zeros(3)) == (2, 3)
    assert _checks.broadcastable(a=torch.zeros(2, 1), b=torch.zeros(2, 1)) == (2, 1)
    assert _checks.broadcastable(a=np.float64(1.0), b=torch.zeros(4)) == (4,)
    with pytest.raises(
        ValueError, match=r"Expected `a` and `b` and `c` .* but got \(2,\) and \(3,\) and \(\)\. Axes are"
    ):
        _checks.broadcastable(a=np.zeros(2), b=np.zeros(3), c=np.float64(0.0))


def test_event_must_be_as_long_as_the_parameters() -> None:
    _checks.event_size("x", np.zeros((5, 3)), 3)
    for wrong in (np.zeros((3, 5)), np.float64(3.0), torch.zeros(1)):
        with pytest.raises(ValueError, match=r"Expected `x` to have a last axis of size 3, but got shape \("):
            _checks.event_size("x", wrong, 3)


def test_values_are_not_looked_at_where_that_costs_or_fails() -> None:
    bad = torch.tensor([-1.0, NAN])
    assert _checks.can_look(bad)
    assert _checks.can_look(np.float64(-1.0))
    assert _checks.can_look(torch.nn.Parameter(bad))
    assert not _checks.can_look(torch.zeros(2, device="meta"))
    with FakeTensorMode() as mode:
        fake = mode.from_tensor(bad)
        assert not _checks.can_look(fake)
        _checks.positive("scale", fake)

    def checked(x: torch.Tensor) -> torch.Tensor:
        assert not _checks.can_look(x)
        _checks.positive("scale", x)
        _checks.binary("x", x)
        return x.sum()

    assert torch.func.vmap(checked)(bad[:, None]).shape == (2,)
    assert torch.func.grad(checked)(bad).tolist() == [1.0, 1.0]

    def unchecked_when_compiled(x: torch.Tensor) -> torch.Tensor:
        _checks.positive("scale", x)
        _checks.covariance("covariance", x * torch.eye(2))
        return x + 1

    compiled = torch.compile(unchecked_when_compiled, fullgraph=True, backend="eager")
    assert compiled(bad)[0] == 0.0


def test_check_leaves_the_tensor_and_its_graph_alone() -> None:
    leaf = torch.tensor([0.3, 0.7], requires_grad=True)
    value = leaf * 2
    before = value._version
    for check in (_checks.finite, _checks.positive, _checks.not_nan, _checks.probability):
        check("x", value / 2)
    _checks.binary("x", (value > 1).double())
    assert value._version == before
    value.sum().backward()
    assert leaf.grad is not None
