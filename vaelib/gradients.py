r"""Gradients of an expectation E_q[f(z)] in the parameters of a Gaussian q, one for each sample.

Pathwise (differentiate f along z = loc + scale noise) and by the score function (differentiate the density instead).
Pure functions of standard normal noise: the mean over the samples estimates the gradient without bias, and the samples
themselves show what it costs.

Sources: Kingma and Welling 2014; Williams 1992; Mohamed, Rosca, Figurnov and Mnih 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from vaelib import _checks
from vaelib._arrays import Array
from vaelib._door import as_arrays, as_numpy, described, require_function
from vaelib._quiet import quiet
from vaelib.distributions import DiagonalNormal, Normal
from vaelib.estimate import Estimate
from vaelib.montecarlo import sample_mean

Gaussian = Normal | DiagonalNormal
Function = Callable[[Any], Any]


class Gradients(NamedTuple):
    """One gradient for each sample; both of the shape of z, (n, d) for a DiagonalNormal and (n,) for one Normal."""

    loc: Array  # in the mean
    scale: Array  # in the standard deviation, not its logarithm


@quiet
def pathwise(q: Gaussian, slope: Function, noise: Array) -> Gradients:
    r"""grad f(z) (1, noise) at z = loc + scale noise: the gradient along the path of each sample.

    Unbiased if f is differentiable, or continuous with kinks; biased if it jumps (identity H19).

    Args:
        slope: the gradient of f, z of shape (n, d) -> (n, d); for a Normal the derivative, elementwise.
        noise: standard normal, (n, d); for a Normal (n,).

    Raises:
        ValueError: `slope` returns another shape than z has.

    Source: Kingma and Welling 2014, section 2.4; Mohamed et al. 2020, section 5.
    """
    z, noise = _points(q, noise)
    require_function("slope", slope)
    (along, _) = as_arrays(**{"slope(z)": slope(z), "z": z})
    if along.shape != z.shape:
        raise ValueError(
            f"Expected `slope` to return shape {tuple(z.shape)}, one derivative for each coordinate of z, but got "
            f"{tuple(along.shape)}. Is it f itself?"
        )
    return Gradients(along, along * noise)


@quiet
def score(q: Gaussian, z: Array) -> Gradients:
    r"""grad log q(z) = (u, u^2 - 1) / scale with u = (z - loc) / scale; its mean under q is zero.

    Args:
        z: points, (n, d); for a Normal (n,).
    """
    _require_gaussian(q)
    z, loc, scale = as_arrays(z=z, loc=q.loc, scale=q.scale)
    _require_batch("z", z, q)
    u = (z - loc) / scale
    return Gradients(u / scale, (u * u - 1) / scale)


@quiet
def score_function(q: Gaussian, f: Function, noise: Array, baseline: Any = 0.0) -> Gradients:
    r"""(f(z) - baseline) grad log q(z) at z = loc + scale noise. f is evaluated, never differentiated.

    `baseline` is a control variate: since E_q[grad log q] = 0, the mean stays and the variance changes.

    Args:
        f: z of shape (n, d) -> (n,), one number for each sample; for a Normal elementwise.
        noise: standard normal, (n, d); for a Normal (n,).
        baseline: a number, or (n,): one for each sample that does not depend on that sample (`leave_one_out`).

    Raises:
        ValueError: `f` returns another shape than one number for each sample.

    Source: Williams 1992; Mohamed et al. 2020, sections 4 and 7.4.
    """
    z, _ = _points(q, noise)
    require_function("f", f)
    weight, baseline, z = as_arrays(**{"f(z)": f(z), "baseline": baseline, "z": z})
    event = len(q.event_shape)
    expected = tuple(z.shape[: z.ndim - event])
    if tuple(weight.shape) != expected:
        raise ValueError(
            f"Expected `f` to return shape {expected}, one number for each sample, but got {tuple(weight.shape)}. "
            "Was the last axis not summed?"
        )
    _checks.agree(weight=weight, baseline=baseline)
    weight = weight - baseline
    weight = weight[..., None] if event else weight  # (n, 1) beside the scores (n, d)
    by_loc, by_scale = score(q, z)
    return Gradients(weight * by_loc, weight * by_scale)


@quiet
def leave_one_out(values: Array) -> Array:
    """For each sample the mean of f over the others, (n,): a baseline that does not depend on the sample itself.

    Args:
        values: f(z), (n,) with n >= 2; the first axis is left out one by one.

    Raises:
        ValueError: fewer than two samples.

    Source: Mnih and Rezende 2016; Kool, van Hoof and Welling 2019.
    """
    (values,) = as_arrays(values=values)
    count = values.shape[0] if values.ndim else 0
    if count < 2:
        raise ValueError(f"Expected at least 2 samples, each a baseline for the others, but got {count}.")
    return (values.sum(0) - values) / (count - 1)


@quiet
def optimal_baseline(values: Array, scores: Gradients) -> Array:
    """b* = E[f |s|^2] / E[|s|^2], the number at which the total variance of (f - b) s is smallest; s = grad log q.

    Estimate it on other samples than those it is used with: a baseline that depends on its own sample is biased.

    Args:
        values: f(z), (n,). scores: `score` of the same samples.

    Source: Greensmith, Bartlett and Baxter 2004; Mohamed et al. 2020, section 7.4.
    """
    if not isinstance(scores, Gradients):
        raise TypeError(f"Expected `scores` to be Gradients, as `score` returns them, but got {described(scores)}.")
    values, loc, scale = as_arrays(values=values, loc=scores.loc, scale=scores.scale)
    for name, part in (("scores.loc", loc), ("scores.scale", scale)):
        if values.ndim != 1 or len(values) == 0 or part.ndim == 0 or len(part) != len(values):
            raise ValueError(
                f"Expected `values` of shape (n,) and `{name}` of shape (n, ...), but got {tuple(values.shape)} and"
                f" {tuple(part.shape)}."
            )
    size = sum((part.reshape(len(values), -1) ** 2).sum(-1) for part in (loc, scale))  # |s|^2, (n,)
    return (values * size).sum() / size.sum()


@quiet
def total_variance(samples: Array, mean: Any = None) -> Estimate:
    """Trace of the covariance of a gradient, E|g - E g|^2, with the standard error of this estimate. NumPy.

    Args:
        samples: one gradient for each sample, (n, d) or (n,).
        mean: E g, where it is known; otherwise the mean of the samples, and n - 1 in the denominator.
    """
    (samples,) = as_numpy(samples=samples)
    n = len(samples) if samples.ndim else 0
    if n < 2:
        raise ValueError(f"Expected at least two samples along the first axis, but got shape {samples.shape}.")
    correction = n / (n - 1) if mean is None else 1.0
    (center,) = as_numpy(mean=samples.mean(axis=0) if mean is None else mean)
    if center.ndim and center.shape != samples.shape[1:]:
        raise ValueError(
            f"Expected `mean` to be of the shape of one sample, {samples.shape[1:]}, but got {center.shape}."
        )
    samples, center = samples.reshape(n, -1), center.reshape(-1)
    return sample_mean(((samples - center) ** 2).sum(axis=-1)) * correction


def _require_gaussian(q: Gaussian) -> None:
    if not isinstance(q, Normal | DiagonalNormal):
        raise TypeError(f"Expected `q` to be a Normal or a DiagonalNormal of vaelib, but got {described(q)}.")


def _require_batch(name: str, z: Array, q: Gaussian) -> None:
    """One Gaussian and n points, or n and n; or many Gaussians and points that are the same for all, (n, 1).

    Where (n,) is meant, (n, 1) would be spread into (n, n).
    """
    for_all = not q.event_shape and z.ndim > q.loc.ndim > 0 and set(z.shape[-q.loc.ndim :]) == {1}
    if not for_all and tuple(z.shape) != _checks.broadcastable(**{name: z, "loc": q.loc}):
        raise ValueError(
            f"Expected `{name}` to have one entry for each sample, (n, d) or (n,), with the parameters of q, which have"
            f" shape {tuple(q.loc.shape)}, but got {tuple(z.shape)}."
        )


def _points(q: Gaussian, noise: Array) -> tuple[Array, Array]:
    """z = loc + scale noise, and the noise, as arrays of one kind and shape."""
    _require_gaussian(q)
    noise, _ = as_arrays(noise=noise, loc=q.loc)
    _require_batch("noise", noise, q)
    return q.transform(noise), noise
