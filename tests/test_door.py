"""What comes in at every public function: the right number, or a refusal in our words, and never anything else.

`CALLS` says how each function is called; `SAME` writes the same numbers in other ways, `ODD` is what holds no real
numbers. Each cell of calls x arguments x inputs gives the result of the plain call (to the precision that came in), or
ValueError or TypeError with a message that begins "Expected". Warnings are errors, NumPy's error state is at its worst,
and torch's default dtype is not the usual one: none of it may matter.
"""

from __future__ import annotations

import array
import datetime
import inspect
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
import torch.distributions as td

import vaelib
from vaelib import _door, elbo, em, estimate, gradients, kl, models, montecarlo, quadrature
from vaelib.distributions import base, discrete, divergence, gaussian, scalar
from vaelib.estimate import Estimate
from vaelib.evaluate import baseline
from vaelib.vae import VAE

Array = np.ndarray

# ----------------------------------------------------------------------------------------- how each function is called


@dataclass(frozen=True)
class Call:
    """A function of named arguments; those in `arrays` are tried in every way, `counts` with sizes of every kind."""

    function: Callable[..., Any]
    arrays: dict[str, Any]
    fixed: dict[str, Any] | None = None
    counts: dict[str, int] | None = None
    objects: dict[str, Any] | None = None  # distributions, models, functions: what is no array is refused

    def __call__(self, **changed: Any) -> Any:
        given = {**self.arrays, **(self.fixed or {}), **(self.counts or {}), **(self.objects or {}), **changed}
        return self.function(**{name: value() if name == "rng" else value for name, value in given.items()})


def new_rng() -> np.random.Generator:
    return np.random.default_rng(3)


def of(make: Callable[..., Any], method: str) -> Callable[..., Any]:
    """A method of what `make` makes of the arguments with an underscore in front."""

    def call(**named: Any) -> Any:
        parameters = {name[1:]: value for name, value in named.items() if name.startswith("_")}
        rest = {name: value for name, value in named.items() if not name.startswith("_")}
        member = getattr(make(**parameters), method)
        return member(**rest) if callable(member) else member

    return call


LOC, SCALE, HALVES = np.array([0.5, -1.5, 2.0]), np.array([0.5, 2.0, 1.0]), np.array([0.25, 0.5, 0.25])
BITS, X = np.array([1.0, 0.0, 1.0]), np.array([1.0, -2.0, 3.0])
TABLE = np.array([[0.25, 0.75], [0.5, 0.5], [0.125, 0.875]])
COVARIANCE = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.25], [0.0, 0.25, 4.0]])
FACTOR = np.array([[1.0, 0.0, 0.0], [0.5, 2.0, 0.0], [0.25, -0.5, 1.0]])
POINTS = np.array([[1.0, 0.5, 2.0], [0.0, 1.0, -1.0], [2.0, -0.5, 0.25], [0.5, 3.0, 1.0], [-1.0, 0.0, 0.5]])
RESPONSIBLE = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0], [0.75, 0.25], [0.0, 1.0]])
NOISE = np.array([0.25, 0.5, 0.75])
RNG = {"rng": new_rng}
UNIFORM, NORMAL = {"noise": NOISE}, {"noise": X}


def _square(z: Any) -> Any:
    return z * z


def _sum_of_squares(z: Any) -> Any:
    return (z * z).sum(-1)


LAWS: dict[str, tuple[Any, dict[str, Any], dict[str, Any], dict[str, Any]]] = {  # parameters, x, noise
    "Normal": (vaelib.Normal, {"loc": LOC, "scale": SCALE}, {"x": X}, NORMAL),
    "Laplace": (vaelib.Laplace, {"loc": LOC, "scale": SCALE}, {"x": X}, UNIFORM),
    "Gamma": (vaelib.Gamma, {"concentration": SCALE, "rate": HALVES}, {"x": SCALE}, UNIFORM),
    "Exponential": (vaelib.Exponential, {"rate": SCALE}, {"x": HALVES}, UNIFORM),
    "DiagonalNormal": (vaelib.DiagonalNormal, {"loc": LOC, "scale": SCALE}, {"x": X}, NORMAL),
    "MultivariateNormal": (vaelib.MultivariateNormal, {"loc": LOC, "covariance": COVARIANCE}, {"x": X}, NORMAL),
    "DiscretizedLogistic": (
        vaelib.DiscretizedLogistic,
        {"loc": LOC, "scale": SCALE},
        {"x": np.array([0.0, 0.2, 1.0])},  # 0, 51 and 255 of 255
        UNIFORM,
    ),
    "Bernoulli": (vaelib.Bernoulli, {"logits": LOC}, {"x": BITS}, UNIFORM),
    "Categorical": (vaelib.Categorical, {"logits": LOC}, {"x": np.array([0, 2, 1])}, NORMAL),
    "Bernoulli.from_probs": (vaelib.Bernoulli.from_probs, {"probs": HALVES}, {"x": BITS}, UNIFORM),
    "Categorical.from_probs": (vaelib.Categorical.from_probs, {"probs": HALVES}, {"x": np.array([0, 2, 1])}, NORMAL),
}


def calls_of_distributions() -> dict[str, Call]:
    calls: dict[str, Call] = {}
    for name, (make, parameters, x, noise) in LAWS.items():
        inner = {f"_{key}": value for key, value in parameters.items()}
        calls[name] = Call(make, parameters)
        calls[f"{name}.log_prob"] = Call(of(make, "log_prob"), {**inner, **x})
        calls[f"{name}.entropy"] = Call(of(make, "entropy"), inner)
        calls[f"{name}.transform"] = Call(of(make, "transform"), {**inner, **noise})
        same = make(**parameters)
        calls[f"{name}.cross_entropy"] = Call(of(make, "cross_entropy"), inner, objects={"p": same})
        for method in ("sample", "draw_noise"):
            calls[f"{name}.{method}"] = Call(of(make, method), {}, {**inner, **RNG}, {"sample_shape": 4})
        calls[f"kl_divergence of {name}"] = Call(vaelib.kl_divergence, {}, objects={"q": same, "p": same})
    for name in ("Normal", "Laplace"):
        make, parameters, *_ = LAWS[name]
        inner = {f"_{key}": value for key, value in parameters.items()}
        calls[f"{name}.mean_distance"] = Call(of(make, "mean_distance"), {**inner, "point": X})
    return calls


def calls_of_kl() -> dict[str, Call]:
    two = {"loc_q": LOC, "scale_q": SCALE, "loc_p": X, "scale_p": HALVES}
    gammas = {"concentration_q": SCALE, "rate_q": HALVES, "concentration_p": HALVES, "rate_p": SCALE}
    vectors = {"loc_q": LOC, "covariance_q": FACTOR @ FACTOR.T, "factor_q": FACTOR}
    vectors |= {"loc_p": X, "covariance_p": 4 * FACTOR @ FACTOR.T, "factor_p": 2 * FACTOR}
    q, p = np.array([0.25, 0.5, 0.25]), np.array([0.5, 0.25, 0.25])
    return {
        "kl.normal": Call(kl.normal, two),
        "kl.laplace": Call(kl.laplace, two),
        "kl.laplace_normal": Call(kl.laplace_normal, two),
        "kl.exponential": Call(kl.exponential, {"rate_q": SCALE, "rate_p": HALVES}),
        "kl.gamma": Call(kl.gamma, gammas),
        "kl.gamma_means": Call(kl.gamma_means, gammas),
        "kl.gamma_normal": Call(kl.gamma_normal, {"concentration": SCALE, "rate": HALVES, "loc": LOC, "scale": SCALE}),
        "kl.normal_laplace": Call(kl.normal_laplace, {"distance": 4 * SCALE, "scale_q": SCALE, "scale_p": HALVES}),
        "kl.bernoulli": Call(kl.bernoulli, {"logits_q": LOC, "logits_p": X}),
        "kl.categorical": Call(kl.categorical, {"logits_q": LOC, "logits_p": X}),
        "kl.of_probabilities": Call(kl.of_probabilities, {"q": q, "p": p}, {"log_q": np.log(q), "log_p": np.log(p)}),
        "kl.multivariate_normal": Call(kl.multivariate_normal, vectors),
    }


LINEAR = {"loading": FACTOR[:, :2], "offset": LOC, "noise_variance": 0.5}
CURVED = {"loading": LOC, "curvature": SCALE, "offset": X, "noise_variance": 0.5}
DISCRETE = {"prior": HALVES, "likelihood": TABLE}
SCALAR = {"slope": LOC, "bias": X}
MIXTURE = {"weights": HALVES, "loc": POINTS[:3], "scale": SCALE}
Q_1 = vaelib.Normal(0.5, 0.25)
Q_2 = vaelib.DiagonalNormal([0.5, -0.5], [0.25, 1.0])


def calls_of_models() -> dict[str, Call]:
    calls = {
        "LinearGaussian": Call(vaelib.LinearGaussian, LINEAR),
        "CurvedGaussian": Call(vaelib.CurvedGaussian, CURVED),
        "DiscreteLatent": Call(vaelib.DiscreteLatent, DISCRETE),
        "ScalarBernoulli": Call(models.ScalarBernoulli, SCALAR),
        "GaussianMixture": Call(em.GaussianMixture, MIXTURE),
    }
    z2, z1, k = np.array([0.5, -1.0]), np.array([0.5, -1.0, 2.0]), np.array([0, 2, 1])

    def add(make: Any, parameters: dict[str, Any], **methods: dict[str, Any]) -> None:
        for method, arguments in methods.items():
            arrays = {name: value for name, value in arguments.items() if isinstance(value, Array | int | float)}
            objects = {name: value for name, value in arguments.items() if name not in arrays}
            model = make(**parameters)
            call = Call(getattr(model, method), arrays, objects=objects)
            calls[f"{make.__name__}.{method}"] = call
        sample = getattr(make(**parameters), "sample")  # noqa: B009
        calls[f"{make.__name__}.sample"] = Call(sample, {}, RNG, {"n": 4})

    add(
        vaelib.LinearGaussian,
        LINEAR,
        likelihood={"z": z2},
        log_prior={"z": z2},
        log_likelihood={"x": X, "z": z2},
        log_joint={"x": X, "z": z2},
        log_evidence={"x": X},
        posterior={"x": X},
        log_posterior={"x": X, "z": z2},
        expected_log_likelihood={"x": X, "q": Q_2},
        elbo={"x": X, "q": Q_2},
    )
    scalar_latent = {
        "log_prior": {"z": z1},
        "log_likelihood": {"x": X, "z": z1},
        "log_joint": {"x": X, "z": z1},
        "log_evidence": {"x": X},
        "log_posterior": {"x": X, "z": z1},
        "integrate": {"f": _bump},
    }
    add(vaelib.CurvedGaussian, CURVED, **scalar_latent, decoder={"z": z1}, likelihood={"z": z1})
    of_bits = {name: {**given, "x": BITS} if "x" in given else given for name, given in scalar_latent.items()}
    add(models.ScalarBernoulli, SCALAR, **of_bits, logits={"z": z1})
    add(
        vaelib.DiscreteLatent,
        DISCRETE,
        log_prior={"z": k},
        log_likelihood={"x": 1, "z": k},
        log_joint={"x": 1, "z": k},
        log_evidence={"x": 1},
        log_posterior={"x": 1, "z": k},
        posterior={"x": 1},
        integrate={"f": np.cos},
    )
    add(em.GaussianMixture, MIXTURE, log_joint={"x": POINTS}, log_evidence={"x": POINTS})
    return calls


def _bump(z: Array) -> Array:
    """It has decayed at the ends of the range, as what is integrated over the whole line must."""
    return np.exp(-(np.asarray(z) ** 2))


def calls_of_functions() -> dict[str, Call]:
    mixture = em.GaussianMixture(np.array([0.25, 0.75]), POINTS[:2], np.array([0.5, 2.0]))
    linear = vaelib.LinearGaussian(**LINEAR)
    bits = (POINTS > 0.4).astype(float)
    sample = np.array([[1.0, 2.0], [0.5, 1.0], [3.0, -1.0]])
    bernoullis = baseline.BernoulliMixture(np.log([0.25, 0.75]), np.array([[0.25, 0.5, 0.25], [0.5, 0.75, 0.5]]))
    z, interval = np.array([0.5, -1.0, 2.0]), {"a": -1.0, "b": 2.0}
    normal = vaelib.Normal(0.5, 2.0)
    scores = gradients.score(normal, z)
    from_f = {"f": np.cos}
    return {
        "kl_divergence": Call(vaelib.kl_divergence, {}, objects={"q": Q_1, "p": normal}),
        "elbo.elbo": Call(elbo.elbo, {"log_likelihood": X, "kl": SCALE, "beta": 2.0}),
        "elbo.importance_weighted_bound": Call(
            elbo.importance_weighted_bound, {"log_weights": POINTS}, counts={"axis": 1}
        ),
        "elbo.density_times": Call(elbo.density_times, {"log_density": X, "f": LOC}),
        "elbo.bound_terms": Call(
            elbo.bound_terms, {"x": X}, objects={"model": vaelib.CurvedGaussian(**CURVED), "q": Q_1}
        ),
        "estimate.Estimate": Call(Estimate, {"value": X, "error": SCALE}, counts={"num_samples": 4}),
        "estimate.Estimate.log": Call(of(Estimate, "log"), {"_value": SCALE, "_error": HALVES}),
        "montecarlo.sample_mean": Call(montecarlo.sample_mean, {"samples": POINTS}),
        "montecarlo.largest_share": Call(montecarlo.largest_share, {"samples": POINTS}),
        "montecarlo.z_score": Call(montecarlo.z_score, {"reference": X}, objects={"estimate": Estimate(LOC, SCALE, 9)}),
        "montecarlo.samples_for_power": Call(
            montecarlo.samples_for_power, {"effect": 0.5, "deviation": 2.0, "power": 0.75, "threshold": 4.0}
        ),
        "quadrature.trapezoid": Call(quadrature.trapezoid, interval, counts={"n": 40}, objects=from_f),
        "quadrature.log_trapezoid": Call(
            quadrature.log_trapezoid, interval, counts={"n": 40}, objects={"log_f": np.cos}
        ),
        "quadrature.over_the_line": Call(
            quadrature.over_the_line, {"a": -8.0, "b": 9.0}, counts={"n": 60}, objects={"f": _bump}
        ),
        "quadrature.gauss_legendre": Call(
            quadrature.gauss_legendre, interval, counts={"panels": 3, "n": 5}, objects=from_f
        ),
        "quadrature.log_gauss_legendre": Call(
            quadrature.log_gauss_legendre, interval, counts={"panels": 3, "n": 5}, objects={"log_f": np.cos}
        ),
        "quadrature.gauss_hermite": Call(
            quadrature.gauss_hermite, {"loc": 0.5, "scale": 2.0}, counts={"n": 5}, objects=from_f
        ),
        "quadrature.gauss_hermite_multivariate": Call(
            quadrature.gauss_hermite_multivariate,
            {"loc": np.array([0.5, 1.0]), "scale_tril": FACTOR[:2, :2]},
            counts={"n": 3},
            objects={"f": _sum_of_squares},
        ),
        "quadrature.enumerate_states": Call(
            quadrature.enumerate_states, {}, counts={"num_states": 4}, objects={"f": np.cos}
        ),
        "gradients.pathwise": Call(gradients.pathwise, {"noise": z}, objects={"q": normal, "slope": _square}),
        "gradients.score": Call(gradients.score, {"z": z}, objects={"q": normal}),
        "gradients.score_function": Call(
            gradients.score_function, {"noise": z, "baseline": X}, objects={"q": normal, "f": _square}
        ),
        "gradients.leave_one_out": Call(gradients.leave_one_out, {"values": X}),
        "gradients.optimal_baseline": Call(gradients.optimal_baseline, {"values": X}, objects={"scores": scores}),
        "optimal_baseline of scores": Call(
            lambda loc, scale: gradients.optimal_baseline(X, gradients.Gradients(loc, scale)), {"loc": z, "scale": z}
        ),
        "gradients.total_variance": Call(gradients.total_variance, {"samples": sample, "mean": np.array([0.5, 1.0])}),
        "em.mixture_e_step": Call(em.mixture_e_step, {"x": POINTS}, objects={"model": mixture}),
        "em.mixture_m_step": Call(em.mixture_m_step, {"x": POINTS, "responsibilities": RESPONSIBLE}),
        "em.mixture_bound": Call(
            em.mixture_bound, {"x": POINTS, "responsibilities": RESPONSIBLE}, objects={"model": mixture}
        ),
        "em.ppca_e_step": Call(em.ppca_e_step, {"x": POINTS}, objects={"model": linear}),
        "em.ppca_m_step": Call(em.ppca_m_step, {"x": POINTS}, objects={"q": linear.posterior(POINTS)}),
        "em.ppca_maximum": Call(em.ppca_maximum, {"x": POINTS}, counts={"latent_dim": 2}),
        "baseline.BernoulliMixture": Call(
            baseline.BernoulliMixture, {"log_weights": bernoullis.log_weights, "probs": bernoullis.probs}
        ),
        "baseline.BernoulliMixture.log_joint": Call(bernoullis.log_joint, {"x": bits}),
        "baseline.BernoulliMixture.log_prob": Call(bernoullis.log_prob, {"x": bits}),
        "baseline.independent_pixels": Call(baseline.independent_pixels, {"x": bits, "smoothing": 0.5}),
        "baseline.fit_mixture": Call(
            baseline.fit_mixture, {"x": bits, "smoothing": 0.5}, RNG, {"components": 2, "iterations": 3}
        ),
        "baseline.em_step": Call(
            baseline.em_step,
            {"x": bits, "mean": bits.mean(0), "smoothing": 0.5},
            objects={"mixture": bernoullis},
        ),
    }


def calls_of_vae() -> dict[str, Call]:
    """The methods of a model, as `vaelib.train.load` returns one, in double precision."""

    def made(scale: float | None, hidden: tuple[int, ...]) -> VAE:
        return VAE(3, 2, hidden, scale, rng=torch.Generator().manual_seed(1)).double().requires_grad_(False)

    model, linear = made(None, (4,)), made(0.5, ())
    q = model.encode(torch.tensor(BITS))
    z = np.array([0.5, -1.0])
    return {
        "VAE.encode": Call(model.encode, {"x": BITS}),
        "VAE.decode": Call(model.decode, {"z": z}),
        "VAE.log_likelihood": Call(model.log_likelihood, {"x": BITS, "z": z}),
        "VAE.expected_log_likelihood": Call(linear.expected_log_likelihood, {"x": X}, objects={"q": q}),
        "VAE.kl": Call(model.kl, {}, objects={"q": q}),
        "VAE.sample": Call(model.sample, {}, {"rng": lambda: torch.Generator().manual_seed(2)}, {"n": 4}),
    }


CALLS: dict[str, Call] = {
    **calls_of_distributions(),
    **calls_of_kl(),
    **calls_of_models(),
    **calls_of_functions(),
    **calls_of_vae(),
}

# -------------------------------------------------------------------------------------------------- odd things to give


class Frame:
    """What pandas has: a table that is no array, and can be asked for one."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    def __array__(self, dtype: Any = None) -> Array:
        return self.values if dtype is None else self.values.astype(dtype)

    def __len__(self) -> int:
        return len(self.values)


class Broken:
    """A table that cannot be read."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        raise RuntimeError("the file was closed")


def read_only(value: Any) -> Array:
    array = np.array(value)
    array.flags.writeable = False
    return array


def reversed_twice(value: Any) -> Array:
    return np.flip(np.ascontiguousarray(np.flip(value))) if np.ndim(value) else np.array(value)


def objects_of(kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        array = np.empty(np.shape(value), dtype=object)
        for index in np.ndindex(array.shape):
            array[index] = kind(np.asarray(value)[index].item())
        return array if array.ndim else array[()]

    return convert


def whole(value: Any, dtype: Any) -> Any:
    """The same numbers in an integer dtype, where they fit; else as they are."""
    array = np.asarray(value)
    fits = np.all(array == np.floor(array)) and np.all(array >= np.iinfo(dtype).min)
    return array.astype(dtype) if fits else array


def bools(value: Any) -> Any:
    array = np.asarray(value)  # a truth value is a number, but no category
    return array.astype(bool) if array.dtype.kind == "f" and np.all((array == 0) | (array == 1)) else array


def floats(dtype: Any) -> Callable[[Any], Any]:
    """In another floating dtype; whole numbers, which stand for categories, stay."""

    def convert(value: Any) -> Any:
        array = np.asarray(value)
        return array.astype(dtype) if array.dtype.kind == "f" else array

    return convert


def tensors(dtype: torch.dtype, **options: Any) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        array = np.asarray(value)
        return torch.tensor(array, dtype=dtype, **options) if array.dtype.kind == "f" else torch.tensor(array)

    return convert


def strided(value: Any) -> Any:
    return np.stack([np.asarray(value)] * 2, axis=-1)[..., 0]


def matrix(value: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on its way out, but there
        return np.matrix(value) if np.ndim(value) == 2 else value


def transposed(value: Any) -> torch.Tensor:
    return torch.tensor(np.array(np.transpose(value))).permute(tuple(range(np.ndim(value)))[::-1])


SAME: dict[str, tuple[Callable[[Any], Any], float]] = {  # how the same numbers are written, and to what precision
    "list": (lambda v: np.asarray(v).tolist(), 1e-12),
    "tuple": (lambda v: tuple(np.asarray(v).tolist()) if np.ndim(v) else v, 1e-12),
    "array": (np.array, 1e-12),
    "0-d or list of NumPy numbers": (lambda v: list(v) if np.ndim(v) else np.asarray(v)[()], 1e-12),
    "float32": (floats(np.float32), 1e-4),
    "float16": (floats(np.float16), 0.1),
    "longdouble": (floats(np.longdouble), 1e-12),
    "big-endian": (lambda v: np.asarray(v).astype(np.asarray(v).dtype.newbyteorder(">")), 1e-12),
    "big-endian float32": (floats(">f4"), 1e-4),
    "negative strides": (reversed_twice, 1e-12),
    "read-only": (read_only, 1e-12),
    "broadcast view": (lambda v: np.broadcast_to(np.array(v), np.shape(v)), 1e-12),
    "strided view": (strided, 1e-12),
    "Fortran order": (lambda v: np.array(v, order="F"), 1e-12),
    "int64": (lambda v: whole(v, np.int64), 1e-12),
    "uint16": (lambda v: whole(v, np.uint16), 1e-12),
    "uint64": (lambda v: whole(v, np.uint64), 1e-12),
    "int8": (lambda v: whole(v, np.int8), 1e-12),
    "bool": (bools, 1e-12),
    "frame": (Frame, 1e-12),
    "frame of float32": (lambda v: Frame(floats(np.float32)(v)), 1e-4),
    "objects": (objects_of(lambda item: item), 1e-12),
    "Decimal": (objects_of(lambda item: Decimal(item) if isinstance(item, float) else item), 1e-12),
    "Fraction": (objects_of(lambda item: Fraction(item) if isinstance(item, float) else item), 1e-12),
    "list of Fractions": (lambda v: SAME["Fraction"][0](v).tolist() if np.ndim(v) else v, 1e-12),
    "mask that hides nothing": (lambda v: np.ma.array(v, mask=False), 1e-12),
    "matrix": (matrix, 1e-12),
    "tensor": (tensors(torch.float64), 1e-12),
    "float32 tensor": (tensors(torch.float32), 1e-4),
    "float16 tensor": (tensors(torch.float16), 0.1),
    "bfloat16 tensor": (tensors(torch.bfloat16), 0.3),
    "tensor with a gradient": (tensors(torch.float64, requires_grad=True), 1e-12),
    "parameter": (lambda v: torch.nn.Parameter(torch.tensor(np.asarray(v)), requires_grad=False), 1e-12),
    "transposed tensor": (
        lambda v: torch.tensor(np.array(np.transpose(v))).permute(tuple(range(np.ndim(v)))[::-1]),
        1e-12,
    ),
    "list of tensors": (lambda v: [torch.tensor(part) for part in np.asarray(v)] if np.ndim(v) else v, 1e-12),
}


def masked(value: Any) -> Any:
    array = np.ma.array(np.array(value, dtype=float))
    if not array.ndim:
        return np.ma.masked
    array[(0,) * array.ndim] = np.ma.masked
    return array


def with_first(first: Any) -> Callable[[Any], Any]:
    """The same numbers but the first, in a list."""

    def convert(value: Any) -> Any:
        changed = objects_of(lambda item: item)(value)
        if not np.ndim(value):
            return first
        changed[(0,) * changed.ndim] = first
        return changed.tolist()

    return convert


def quantized(shape: tuple[int, ...]) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, but there
        return torch.quantize_per_tensor(torch.ones(shape), 0.1, 0, torch.qint8)


def nested() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a prototype, but there
        return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])


ODD: dict[str, Callable[[Any], Any]] = {
    "None": lambda v: None,
    "text": lambda v: "abc",
    "bytes": lambda v: b"1.5",
    "text of a number": lambda v: "1.5",
    "list of texts": lambda v: np.asarray(v).astype(str).tolist(),
    "array of texts": lambda v: np.asarray(v).astype(str),
    "None among numbers": with_first(None),
    "text among numbers": with_first("0.5"),
    "complex among numbers": with_first(1j),
    "tensor among numbers": lambda v: with_first(torch.tensor(0.5))(v) if np.ndim(v) else None,
    "too large an integer": with_first(10**400),
    "signaling Decimal": with_first(Decimal("sNaN")),
    "complex": lambda v: np.asarray(v) + 1j,
    "complex tensor": lambda v: torch.tensor(np.asarray(v) + 1j),
    "masked": masked,
    "list of masked": lambda v: [masked(part) for part in v] if np.ndim(v) else np.ma.masked,
    "ragged": lambda v: [[1.0, 2.0], [3.0]],
    "sparse matrix": lambda v: scipy.sparse.csr_matrix(np.atleast_2d(np.asarray(v))),
    "sparse array": lambda v: scipy.sparse.coo_array(np.atleast_2d(np.asarray(v))),
    "sparse tensor": lambda v: torch.tensor(np.asarray(v, dtype=float)).to_sparse(),
    "meta tensor": lambda v: torch.empty(np.shape(v), device="meta"),
    "quantized tensor": lambda v: quantized(np.shape(v)),
    "nested tensor": lambda v: nested(),
    "dates": lambda v: np.zeros(np.shape(v), dtype="M8[D]"),
    "durations": lambda v: np.ones(np.shape(v), dtype="m8[s]"),
    "date": lambda v: datetime.date(2024, 1, 1),
    "structured": lambda v: np.zeros(np.shape(v), dtype=[("a", float), ("b", float)]),
    "void": lambda v: np.zeros(np.shape(v), dtype="V4"),
    "set": lambda v: {1.0, 2.0},
    "dictionary": lambda v: {"a": 1.0},
    "generator": lambda v: (item for item in [1.0, 2.0]),
    "function": lambda v: math.cos,
    "class": lambda v: float,
    "object": lambda v: object(),
    "broken table": lambda v: Broken(),
    "module": lambda v: math,
    "Estimate": lambda v: Estimate(1.0, 0.5),
    "torch distribution": lambda v: td.Normal(0.0, 1.0),
    "our distribution": lambda v: vaelib.Normal(0.0, 1.0),
    "ellipsis": lambda v: ...,
    "slice": lambda v: slice(None),
    "empty": lambda v: np.zeros((0,) * max(1, np.ndim(v)), dtype=np.asarray(v).dtype),
    "empty list": lambda v: [],
    "empty last axis": lambda v: np.zeros((*np.shape(v)[:-1], 0)),
    "NaN": lambda v: np.full(np.shape(v), np.nan),
    "too many axes": lambda v: np.ones((2, 2, 2, 7)),
    "another size": lambda v: np.ones(np.array(np.shape(v)) + 4),
}
SIZES: dict[str, Callable[[int], Any]] = {
    **{dtype.__name__: dtype for dtype in (np.int8, np.int32, np.int64, np.uint16, np.uint64)},
    "0-d array": np.array,
    "tensor": torch.tensor,
}
ODD_SIZES: dict[str, Any] = {
    **{repr(size): size for size in (True, 1.5, 4.0, np.float32(4.0), "4", 1j, math.nan, -99, math.inf)},
    **{"None": None, "list of text": ["4"], "array": np.array([1.5, 2.5]), "object": object(), "set": {4}},
    **{"tensor of several": torch.tensor([1.0, 2.0]), "shape with -1": (2, -1), "bool": np.bool_(True)},
}
ODD_OBJECTS: dict[str, Any] = {
    **{"None": None, "number": 3.0, "text": "abc", "array": np.ones(3), "tensor": torch.ones(3), "object": object()},
    **{"torch distribution": td.Normal(0.0, 1.0), "class": vaelib.Normal, "Estimate": Estimate(1.0)},
}

# ------------------------------------------------------------------------------------------------------------ the cells


def numbers_in(result: Any) -> Iterator[Array]:
    """Every number of a result: arrays, tensors, fields of dataclasses."""
    if isinstance(result, torch.Tensor):
        yield result.detach().double().numpy()
    elif is_dataclass(result) and not isinstance(result, type):
        for item in fields(result):
            yield from numbers_in(getattr(result, item.name))
    elif isinstance(result, tuple):
        for part in result:
            yield from numbers_in(part)
    elif result is not None:
        yield np.asarray(result, dtype=float)


def judged(call: Call, plain: list[Array], changed: dict[str, Any], tolerance: float) -> str:
    """'same', 'refused', or what is wrong with the result."""
    try:
        result = list(numbers_in(call(**changed)))
    except (ValueError, TypeError, NotImplementedError) as error:
        return "refused" if str(error).startswith("Expected") else f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    for found, expected in zip(result, plain, strict=False):
        if found.shape != expected.shape or not np.allclose(
            found, expected, rtol=tolerance, atol=tolerance, equal_nan=True
        ):
            return f"another result: {found.tolist()} for {expected.tolist()}"
    return "same" if len(result) == len(plain) else "another result"


@contextmanager
def hostile() -> Iterator[None]:
    """Whatever state others may have left: none of it may matter."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with warnings.catch_warnings(), np.errstate(all="raise"), np.printoptions(precision=1), torch.no_grad():
            warnings.simplefilter("error")
            yield
    finally:
        torch.set_default_dtype(before)


def cells(name: str) -> Iterator[tuple[str, dict[str, Any], float, bool]]:
    """(what is given, the changed argument, the precision, must it be refused?)"""
    call = CALLS[name]
    for argument, value in call.arrays.items():
        for kind, (convert, tolerance) in SAME.items():
            yield f"{argument}: {kind}", {argument: convert(value)}, tolerance, None
        for kind, make in ODD.items():
            yield f"{argument}: {kind}", {argument: make(value)}, 0.0, kind not in MAY_PASS
    for argument, size in (call.counts or {}).items():
        for kind, make in SIZES.items():
            yield f"{argument}: {kind}", {argument: make(size)}, 1e-12, False
        for kind, odd in ODD_SIZES.items():
            yield f"{argument}: {kind}", {argument: odd}, 0.0, True
    for argument in call.objects or {}:
        for kind, odd in ODD_OBJECTS.items():
            if not (kind == "class" and callable((call.objects or {})[argument])):  # what it does is its own business
                yield f"{argument}: {kind}", {argument: odd}, 0.0, True


# shapes that broadcast, and NaN where it is data: a number of another shape is right, or it is refused
MEANT = {  # what is odd elsewhere, and has a meaning here
    ("elbo.elbo", "log_likelihood: Estimate"),
    ("elbo.elbo", "kl: Estimate"),
    ("estimate.Estimate", "num_samples: None"),
    ("montecarlo.z_score", "estimate: Estimate"),
    ("gradients.total_variance", "mean: None"),
}
MAY_BE_REFUSED = ("tensor with a gradient", "list of tensors")  # by what is NumPy's alone
MAY_PASS = ("empty", "empty list", "empty last axis", "NaN", "too many axes", "another size")


def wrong_cells(name: str) -> tuple[int, list[str]]:
    """How many cells there are, and those that are wrong."""
    call, count, wrong = CALLS[name], 0, []
    plain = list(numbers_in(call()))
    for what, changed, tolerance, must_refuse in cells(name):
        count += 1
        with hostile():
            verdict = judged(call, plain, changed, tolerance)
        kind = what.split(": ")[1]
        if (name, what) in MEANT:
            continue
        if must_refuse is None:
            no_inverse = name == "Gamma.transform" and ("tensor" in kind or kind == "parameter")  # torch has none
            allowed = verdict == "same" or (verdict == "refused" and (kind in MAY_BE_REFUSED or no_inverse))
        else:
            allowed = verdict == "refused" or (not must_refuse and (verdict == "same" or kind in MAY_PASS))
        if not allowed or (what.split(": ")[1] in MAY_PASS and "Error" in verdict.split(":")[0]):
            wrong.append(f"{name}, {what}: {verdict[:200]}")
    return count, wrong


# ------------------------------------------------------------------------------------------------ nothing is forgotten

MODULES: tuple[ModuleType, ...] = (baseline, elbo, em, estimate, gradients, kl, models, montecarlo, quadrature)
MODULES += (base, discrete, divergence, gaussian, scalar)
NO_ARRAYS = {  # public, and why no array comes in
    **dict.fromkeys(("Derivation", "Line", "Slip"), "text and functions; tests/test_derivation.py"),
    **dict.fromkeys(("Distribution", "LocationScale"), "abstract: tried through its families"),
    **dict.fromkeys(("BoundTerms", "BoundTerms.forms"), "made by bound_terms of Estimates"),
    "Gradients": "holds what is returned; optimal_baseline looks at it",
    "DoesNotConverge": "an error",
    "VAE.placed": "moves what evaluation has looked at already",
    **dict.fromkeys(("of_parameters", "in_double"), "make functions of formulas"),
    **dict.fromkeys(("check_vector", "location_and_scale"), "take the arrays of a distribution"),
}


def public_callables() -> Iterator[str]:
    """Functions, classes and methods that have a name without an underscore, by `Class.method` or `function`."""
    named = {name: getattr(vaelib, name) for name in vaelib.__all__} | {"VAE": VAE}
    for module in MODULES:
        named |= {
            name: member
            for name, member in vars(module).items()
            if not name.startswith("_") and getattr(member, "__module__", "") == module.__name__
        }
    for name, member in named.items():
        if inspect.isfunction(member):
            yield name
        elif inspect.isclass(member):
            if member is not VAE:
                yield name
            for method, inside in inspect.getmembers(member, callable):
                home = getattr(inside, "__module__", "") or ""
                if not method.startswith("_") and home.startswith("vaelib") and name not in NO_ARRAYS:
                    yield f"{name}.{method}"


def covered() -> set[str]:
    """The names in CALLS, those of modules with and without their module."""
    return set(CALLS) | {name.partition(".")[2] for name in CALLS} | set(NO_ARRAYS)


def test_no_public_function_is_left_out() -> None:
    public = set(public_callables())
    assert {"Normal.log_prob", "LinearGaussian.elbo", "VAE.encode", "mixture_m_step", "BernoulliMixture"} <= public
    assert sorted(public - covered()) == []
    assert set(NO_ARRAYS) - public <= {"BoundTerms.forms"}  # no reason outlives what it is for


def test_function_that_is_not_in_the_table_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def novel(x: Array) -> Array:
        return x

    monkeypatch.setattr(elbo, "novel", novel, raising=False)
    monkeypatch.setattr(novel, "__module__", elbo.__name__)
    assert set(public_callables()) - covered() == {"novel"}


@pytest.mark.parametrize("name", CALLS)
def test_every_input_gives_the_right_number_or_our_refusal(name: str) -> None:
    count, wrong = wrong_cells(name)
    assert count > 0
    assert wrong == []


@pytest.mark.parametrize(
    ("function", "cell"),
    [
        (lambda x: np.asarray(x, dtype=float).sum(), "x: None: another result"),  # None is read as NaN
        (lambda x: np.asarray(x, dtype=float).sum(), "x: masked: same"),
        (lambda x: np.asarray(x, dtype=float).sum(), "x: complex: ComplexWarning"),
        (lambda x: np.asarray(x, dtype=float).sum(), "x: ragged: ValueError: setting an array element"),
        (lambda x: torch.as_tensor(x).sum(), "x: negative strides: ValueError: At least one stride"),
        (lambda x: np.exp(-1e3 * np.square(_door.as_numpy(x=x)[0])).sum(), "x: array: FloatingPointError: under"),
    ],
)
def test_function_without_a_door_is_noticed(
    function: Callable[..., Any], cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CALLS, "bare", Call(function, {"x": X}))
    wrong = wrong_cells("bare")[1]
    assert any(cell in text for text in wrong), wrong


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        ([1, 2], "a list"),
        (Fraction(1, 2), "a fractions.Fraction"),
        (array.array("d", [1.0]), "an array.array"),
        (dict, "the class dict"),
        (np.array([1.0]), "an array of float64"),
        ("x" * 50, "'" + 36 * "x" + "..."),
    ],
)
def test_what_came_is_described_in_a_few_words(value: Any, words: str) -> None:
    assert _door.described(value) == words
