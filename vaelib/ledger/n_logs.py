r"""Chapter N, continued: logarithms of numbers that no float can hold.

The tail of a Gaussian (N2), and the determinant of a covariance in many dimensions (N3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, ndtr

from vaelib.derivation import GENERIC, Derivation, derive
from vaelib.distributions import MultivariateNormal
from vaelib.formula import given, tex
from vaelib.formula.scope import Map, Scope
from vaelib.formula.spaces import Interval
from vaelib.witnesses import away_from_zero, generic_correlation, generic_scale

Array = np.ndarray
Rng = np.random.Generator


# ------------------------------------------------------------------------------------------------- far out, N2


@dataclass(frozen=True)
class FarOut:
    """Three distances from the mean, in standard deviations: the tail beyond the last is too small for a float."""

    t: Array

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> FarOut:
        t = np.array([7.2, 15.0, 60.0]) * rng.uniform(0.95, 1.05, 3)
        return cls(t * {"near": 0.95, "far": 3.0}.get(kind, 1.0))

    def members(self) -> list[Scope]:
        """t, and the density of a standard normal."""
        return [
            Scope(
                values={"t": t},
                spaces={"u": Interval(0.0, 45.0 / t, hard_low=True), "v": Interval(0.0, 45.0, hard_low=True)},
                maps={r"\Phi": Map(ndtr, of=("t",))},
            )
            for t in self.t
        ]


REST = r"\int_0^\infty e^{-v - v^2 / (2 t^2)}\,dv"

N2 = (
    derive(
        "N2",
        "the logarithm of a Gaussian tail",
        FarOut.draw,
        assumptions="t > 0, here 7 to 180: the tail itself is as small as e^-16000",
        source="Abramowitz and Stegun 1964, section 7.1.13 for the bounds; Mills 1926",
    )
    .start(
        tex(r"\log \int_0^\infty N(t + u;\, 0, 1)\,du"),
        why="log P(z > t), as in the likelihood of a censored or discretized pixel",
    )
    .eq(
        tex(r"-\tfrac{t^2}{2} - \tfrac12 \log 2\pi + \log \int_0^\infty e^{-t u - u^2 / 2}\,du"),
        "write out the square: the huge part is free of u",
        why="what is tiny goes outside, as its logarithm",
    )
    .slip(
        "mixed term lost",
        tex(r"-\tfrac{t^2}{2} - \tfrac12 \log 2\pi + \log \int_0^\infty e^{-u^2 / 2}\,du"),
        "the mixed term t u of (t + u)^2 is missing.",
    )
    .slip(
        "one minus the distribution function",
        given(r"\log(1 - \Phi(t)) \text{ in floats}", lambda w: np.log(np.maximum(1 - ndtr(w.t), 1e-300))),
        "1 - Phi(t) was computed: Phi is 1 to all digits, so nothing, or noise, is left.",
    )
    .slip(
        "constant inside the logarithm",
        tex(r"\log\left(10^{-12} + \int_0^\infty N(t + u;\, 0, 1)\,du\right)"),
        "a small constant was added so that log 0 is avoided: then it is all that is left.",
    )
    .eq(
        tex(rf"-\tfrac{{t^2}}{{2}} - \tfrac12 \log 2\pi - \log t + \log {REST}"),
        "substitute v = t u: du = dv / t",
        why="the integral is now close to 1, whatever t",
        needs="t > 0",
    )
    .slip(
        "sign of log t",
        tex(rf"-\tfrac{{t^2}}{{2}} - \tfrac12 \log 2\pi + \log t + \log {REST}"),
        "du = dv / t was taken for t dv.",
    )
    .slip(
        "exponent not divided",
        tex(r"-\tfrac{t^2}{2} - \tfrac12 \log 2\pi - \log t + \log \int_0^\infty e^{-v - v^2 / 2}\,dv"),
        "u^2 was not changed to v^2 / t^2.",
    )
    .eq(
        given(r"\log\Phi(-t) \text{ as computed by } \mathtt{log\_ndtr}", lambda w: log_ndtr(-w.t)),
        "a library function made for it; all digits are right",
        relative=True,
    )
    .slip(
        "single precision",
        given(
            r"\log\Phi(-t),\ t \text{ in single precision}",
            lambda w: log_ndtr(-w.t.astype(np.float32).astype(float)),
        ),
        "t was stored in single precision: t^2 / 2 is then off by 1e-7 of itself.",
    )
    .lt(
        tex(r"-\tfrac{t^2}{2} - \tfrac12 \log 2\pi - \log t"),
        "e^(-v^2 / 2 t^2) < 1: the integral is below 1",
        why="the leading order is a bound from above, and close for a large t",
        gap=tex(rf"-\log {REST}"),
    )
    .slip(
        "leading order for the whole",
        says="the leading order was taken for the tail: it is too large by log(1 + 1/t^2), about.",
        relation="=",
    )
    .slip("from below", says="the leading order was taken for a lower bound.", relation=">")
)


# ------------------------------------------------------------------------------------------ many dimensions, N3


@dataclass(frozen=True)
class ManyPixels:
    """A Gaussian in 40 dimensions with scales of about 1e-9, or 1e9: no float holds its determinant."""

    loc: Array
    covariance: Array

    @classmethod
    def draw(cls, rng: Rng, k: int = 40, *, kind: str = GENERIC) -> ManyPixels:
        unit = {"narrow": 1e-9, "wide": 1e9, "near": 1e-4, "far": 1e4}.get(kind, 1e-9)
        scale = unit * generic_scale(rng, (k,))
        return cls(away_from_zero(rng, 0.3, 1.5, (k,)), np.outer(scale, scale) * generic_correlation(rng, k))

    @property
    def q(self) -> MultivariateNormal:
        return MultivariateNormal(self.loc, self.covariance)

    def scope(self) -> Scope:
        """Sigma = L L^T with a triangular L; Sigma's eigenvalues lambda; v_j, the variance of z_j given those before."""
        k = len(self.loc)
        s = self.covariance
        given_before = [s[0, 0]] + [s[j, j] - s[j, :j] @ np.linalg.solve(s[:j, :j], s[:j, j]) for j in range(1, k)]
        unit = np.sqrt(np.diag(s)[0])
        return Scope(
            values={r"\Sigma": s, "L": np.linalg.cholesky(s), "v": np.array(given_before), "k": k}
            | {r"\lambda": np.linalg.eigvalsh(s / unit**2), "u": unit},
            ranges={"j": k},
        )


N3 = (
    derive(
        "N3",
        "the log-determinant of a covariance, without its determinant",
        ManyPixels.draw,
        assumptions="Sigma = L L^T positive definite, L lower triangular; here k = 40, and scales of 1e-9 to 1e9",
        source="Golub and Van Loan 2013, section 4.2; Rasmussen and Williams 2006, appendix A.4",
    )
    .start(
        tex(r"\sum_j \log v_j"),
        why="product rule for densities: v_j is the variance of z_j given z_1, ..., z_{j-1}",
    )
    .eq(
        tex(r"\sum_j \log(u^2 \lambda_j)"),
        "a determinant is the product of its eigenvalues",
        why="of Sigma in the unit u: a sum of logarithms, no product",
        needs="Sigma positive definite",
    )
    .slip(
        "variances for eigenvalues",
        tex(r"\sum_j \log \Sigma_{jj}"),
        "the diagonal was taken: that leaves out the correlations.",
    )
    .slip(
        "unit taken out once",
        tex(r"\log u^2 + \sum_j \log \lambda_j"),
        "the unit was taken out once: each of the k eigenvalues holds it.",
    )
    .eq(
        tex(r"2 \sum_j \log L_{jj}"),
        "det(L L') = det(L)^2; a triangle's is its diagonal",
        why="L is there anyway, to draw samples and to solve",
    )
    .slip("no 2", tex(r"\sum_j \log L_{jj}"), "the 2 is missing: Sigma holds L twice.")
    .slip(
        "logarithm of the sum",
        tex(r"2 \log \sum_j L_{jj}"),
        "the diagonal was added and then the logarithm taken: that belongs to a trace.",
    )
    .slip(
        "product in floats",
        given(
            r"\log\left(\prod_j L_{jj}^2\right) \text{ in floats}",
            lambda w: np.log(np.clip(np.prod(np.diag(np.linalg.cholesky(w.covariance)) ** 2), 1e-300, 1e300)),
        ),
        "the product was taken first: it leaves the range of floats, 1e-308 to 1e308.",
    )
    .eq(
        given(
            r"2\,\mathrm{H}(q) - k \log 2\pi e \text{ as computed by } \mathtt{entropy}",
            lambda w: 2 * w.q.entropy() - len(w.loc) * np.log(2 * np.pi * np.e),
        ),
        "D2: the entropy of a Gaussian in the package",
        relative=True,
    )
    .slip(
        "entropy of one dimension",
        given(
            r"2\,\mathrm{H}(q) - \log 2\pi e",
            lambda w: 2 * w.q.entropy() - np.log(2 * np.pi * np.e),
        ),
        "the constant was subtracted once: each of the k dimensions holds it.",
    )
)

CHAPTER: tuple[Derivation, ...] = (N2, N3)
