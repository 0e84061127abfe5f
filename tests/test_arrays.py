"""NumPy and torch through one set of functions: which kind results are of, and that both kinds agree."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import torch

from vaelib import _arrays, kl
from vaelib._door import as_arrays, as_integers, precision

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(2, 3, 3))
VECTOR = RNG.normal(size=(2, 3))
FACTOR = np.tril(MATRIX) + 2 * np.eye(3)


def test_namespace_follows_the_arguments() -> None:
    assert _arrays.namespace(1.0, [2.0], np.ones(3)) is np
    assert _arrays.namespace(1.0, torch.ones(3)) is torch
    assert _arrays.special(np.ones(3)) is scipy.special
    assert _arrays.special(1.0, torch.ones(3)) is torch.special
    assert _arrays.is_tensor(torch.nn.Parameter(torch.ones(2)))
    assert not _arrays.is_tensor(np.ones(2))


def test_module_does_not_import_torch() -> None:
    code = "import sys; from vaelib import _door; _door.as_arrays(a=1.0, b=[2]); print('torch' in sys.modules)"
    root = Path(__file__).resolve().parent.parent
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def arrays_of(*values: Any) -> tuple[Any, ...]:
    return as_arrays(**{f"v{i}": value for i, value in enumerate(values)})


def test_numbers_and_arrays_become_float64() -> None:
    for value in arrays_of(1, [2, 3], np.float32(0.5), np.arange(3), True):
        assert isinstance(value, np.ndarray)
        assert value.dtype == np.float64


def test_anything_beside_a_tensor_becomes_a_tensor_of_its_dtype() -> None:
    tensor = torch.ones(2)
    view = np.broadcast_to(np.arange(3.0), (2, 3))  # read-only, which torch would warn about
    arrays = arrays_of(1, tensor, [2, 3], view, torch.arange(2), torch.tensor([True]), np.float64(0.3))
    assert all(array.dtype == torch.float32 for array in arrays)
    assert arrays[1] is tensor
    assert arrays[3].tolist() == view.tolist()


def test_tensors_are_promoted_to_the_widest_dtype_and_at_least_to_single() -> None:
    single, double = torch.ones(2), torch.ones(2, dtype=torch.float64)
    assert [array.dtype for array in arrays_of(single, double, 1.0)] == [torch.float64] * 3
    assert arrays_of(single, single)[0] is single
    for half in (torch.float16, torch.bfloat16):  # logits of an autocast network, alone and beside float32 pixels
        assert arrays_of(torch.ones(2, dtype=half))[0].dtype == torch.float32
        assert arrays_of(torch.ones(2, dtype=half), single)[0].dtype == torch.float32


def test_default_dtype_of_torch_decides_nothing() -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert [array.dtype for array in arrays_of(torch.arange(2), torch.arange(3))] == [torch.float32] * 2
        certain = torch.tensor([float("inf"), 0.5], dtype=torch.float32)
        assert kl.bernoulli(certain, certain).dtype == torch.float32
    finally:
        torch.set_default_dtype(before)


def test_conversion_keeps_the_gradient() -> None:
    leaf = torch.ones(2, requires_grad=True)
    (converted, _) = arrays_of(leaf, torch.ones(2, dtype=torch.float64))
    converted.sum().backward()
    assert leaf.grad is not None
    assert not _arrays.detach(converted).requires_grad
    assert _arrays.detach(VECTOR) is VECTOR


def test_tensors_on_two_devices_are_refused_with_both() -> None:
    class Elsewhere(torch.Tensor):  # a GPU that every machine has
        device = torch.device("cuda:0")

    elsewhere = torch.ones(2).as_subclass(Elsewhere)
    with pytest.raises(ValueError, match="Expected `a` and `b` to be on one device, but got cpu and cuda:0"):
        as_arrays(a=torch.ones(2), b=elsewhere)


def test_integers_become_int64_of_the_kind_of_another() -> None:
    assert as_integers("x", [0, 2], like=VECTOR).dtype == np.int64
    assert as_integers("x", np.array([0, 2], dtype=np.uint8), like=torch.ones(2)).dtype == torch.int64
    assert as_integers("x", torch.tensor([0, 2]), like=VECTOR).tolist() == [0, 2]
    assert as_integers("x", np.array([2**64 - 1], dtype=np.uint64), like=VECTOR)[0] > 2**60  # does not wrap around


def test_precision_is_that_of_what_came() -> None:
    single, double = float(np.finfo(np.float32).eps), float(np.finfo(float).eps)
    for value in (np.float32([0.1]), torch.ones(2), [np.float32(0.1)], np.ones(2, ">f4")):
        assert precision(value) == single
    for value in ([0.1], 0.3, np.ones(2), torch.ones(2, dtype=torch.float64), [1, 0], np.ones(2, np.longdouble)):
        assert precision(value) == double


BRIDGES: dict[str, Callable[[Callable[..., Any]], Any]] = {
    "broadcast": lambda make: _arrays.broadcast(make(VECTOR[:, None]), make(MATRIX))[0],
    "broadcast_to": lambda make: _arrays.broadcast_to(make(VECTOR[0]), (2, 3)),
    "where": lambda make: _arrays.where(make(VECTOR) > 0, make(VECTOR), 7.0),
    "take_along_last": lambda make: _arrays.take_along_last(make(VECTOR), make(np.array([2, 0]))),
    "positions": lambda make: _arrays.positions(4, like=make(VECTOR)),
    "is_largest": lambda make: _arrays.is_largest(make(np.array([[1.0, 3.0, 3.0], [5.0, 4.0, 0.0]]))),
    "transpose": lambda make: _arrays.transpose(make(MATRIX)),
    "diagonal": lambda make: _arrays.diagonal(make(MATRIX)),
    "diagonal_matrix": lambda make: _arrays.diagonal_matrix(make(VECTOR)),
    "matvec": lambda make: _arrays.matvec(make(MATRIX[0]), make(VECTOR)),
    "matvec batched": lambda make: _arrays.matvec(make(MATRIX), make(VECTOR)),
    "solve_lower": lambda make: _arrays.solve_lower(make(FACTOR[0]), make(MATRIX)),
    "solve_lower batched": lambda make: _arrays.solve_lower(make(FACTOR), make(MATRIX[0])),
    "solve_lower_vector": lambda make: _arrays.solve_lower_vector(make(FACTOR[0]), make(VECTOR)),
    "solve_lower_vector batched": lambda make: _arrays.solve_lower_vector(make(FACTOR), make(VECTOR)),
}
EXPECTED: dict[str, Any] = {
    "broadcast": np.broadcast_to(VECTOR[:, None], (2, 3, 3)),
    "broadcast_to": np.stack([VECTOR[0]] * 2),
    "where": np.where(VECTOR > 0, VECTOR, 7.0),
    "take_along_last": np.array([VECTOR[0, 2], VECTOR[1, 0]]),
    "positions": np.array([0, 1, 2, 3]),
    "is_largest": np.array([[False, True, False], [True, False, False]]),
    "transpose": np.stack([matrix.T for matrix in MATRIX]),
    "diagonal": np.stack([np.diag(matrix) for matrix in MATRIX]),
    "diagonal_matrix": np.stack([np.diag(vector) for vector in VECTOR]),
    "matvec": np.stack([MATRIX[0] @ vector for vector in VECTOR]),
    "matvec batched": np.stack([m @ v for m, v in zip(MATRIX, VECTOR, strict=True)]),
    "solve_lower": np.stack([scipy.linalg.solve_triangular(FACTOR[0], m, lower=True) for m in MATRIX]),
    "solve_lower batched": np.stack([scipy.linalg.solve_triangular(f, MATRIX[0], lower=True) for f in FACTOR]),
    "solve_lower_vector": np.stack([scipy.linalg.solve_triangular(FACTOR[0], v, lower=True) for v in VECTOR]),
    "solve_lower_vector batched": np.stack(
        [scipy.linalg.solve_triangular(f, v, lower=True) for f, v in zip(FACTOR, VECTOR, strict=True)]
    ),
}


@pytest.mark.parametrize("name", BRIDGES)
def test_bridge_matches_numpy_and_scipy_for_both_kinds(name: str) -> None:
    array, tensor = BRIDGES[name](np.asarray), BRIDGES[name](torch.as_tensor)
    assert isinstance(tensor, torch.Tensor)
    assert not isinstance(array, torch.Tensor)
    np.testing.assert_allclose(array, EXPECTED[name], rtol=1e-13)
    np.testing.assert_allclose(tensor.numpy(), EXPECTED[name], rtol=1e-13)


def test_broadcast_of_equal_shapes_copies_nothing() -> None:
    first, second = _arrays.broadcast(VECTOR, VECTOR)
    assert first is VECTOR
    assert second is VECTOR
    assert _arrays.broadcast_to(VECTOR, (2, 3)) is VECTOR


def test_choice_among_scalars_is_a_scalar() -> None:
    assert isinstance(_arrays.where(np.float64(1.0) > 0, 2.0, 3.0), float)


def test_forward_substitution_keeps_digits_across_scales() -> None:
    """A general solver exchanges rows here, and loses half of the digits."""
    scales = np.array([1e-9, 1e8, 1e-3])
    solution = np.array([1.3, -0.7, 0.4])
    factor = scales[:, None] * FACTOR[0]
    right = np.array([np.dot(row, solution) for row in factor])[:, None]
    np.testing.assert_allclose(_arrays.solve_lower(factor, right)[:, 0], solution, rtol=1e-14)
