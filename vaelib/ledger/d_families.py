r"""Chapter D, continued: entropies of other families, of scaled variables, of pairs and of mixtures.

Each entropy is integrated or summed from its definition; the package's own `entropy()` is a line beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import digamma, gamma

from vaelib.derivation import GENERIC, derive
from vaelib.distributions import Categorical, Exponential, Gamma, Laplace, Normal
from vaelib.formula import given, tex
from vaelib.formula.scope import Map, Scope
from vaelib.formula.spaces import HalfLine, Pieces
from vaelib.formula.worlds import Law
from vaelib.ledger.c_bounds import MixturePair
from vaelib.ledger.c_geometry import Joint
from vaelib.models import DiscreteLatent
from vaelib.witnesses import away_from_zero, generic_probabilities, generic_scale

Array = np.ndarray
Rng = np.random.Generator

GAMMA_FUNCTIONS = {r"\Gamma": Map(gamma, ("a",)), r"\psi": Map(digamma, ("a",))}  # psi is the slope of log Gamma


def around_peaks(*laws: Laplace) -> Pieces:
    """A line with a kink at the peak of each law, as far as any has mass: e^-45 of it is left out."""
    ends = [float(law.loc + sign * 45 * law.scale) for law in laws for sign in (-1, 1)]
    return Pieces((min(ends), *sorted(float(law.loc) for law in laws), max(ends)), soft=True)


# ----------------------------------------------------------------------------------------------- D5: another unit


@dataclass(frozen=True)
class Rescaled:
    """A Laplace variable z, and y = a z + c."""

    q: Laplace
    a: float
    c: float

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> Rescaled:
        q = Laplace(away_from_zero(rng, 0.3, 1.5), generic_scale(rng))
        a = rng.choice([-1.0, 1.0]) * generic_scale(rng) * {"narrow": 0.05, "wide": 8.0}.get(kind, 1.0)
        return cls(q, float(a), float(away_from_zero(rng, 0.3, 1.5)))

    @property
    def of_y(self) -> Laplace:
        return Laplace(self.a * self.q.loc + self.c, np.abs(self.a) * self.q.scale)

    def scope(self) -> Scope:
        """The law q of z with scale s, and q_Y of y."""
        return Scope(
            worlds={"q": Law("z", self.q), "q_Y": Law("y", self.of_y)},
            values={"a": self.a, "c": self.c, "s": self.q.scale},
            spaces={"z": around_peaks(self.q), "y": around_peaks(self.of_y)},
        )


D5 = (
    derive(
        "D5",
        "entropy depends on the unit: y = a z + c",
        Rescaled.draw,
        assumptions="a is not 0; here z has a Laplace law with the scale s",
        source="Cover and Thomas 2006, theorems 8.6.3 and 8.6.4",
    )
    .start(
        tex(r"-\int q_Y(y) \log q_Y(y)\,dy"),
        why="the entropy of y, such as that of pixels in another unit",
    )
    .eq(
        tex(r"-\int q_Y(y) \log \frac{q\left(\frac{y - c}{a}\right)}{|a|}\,dy"),
        "change of variables (A12)",
        why="where the map stretches, the density gets thinner",
        needs="a is not 0",
    )
    .slip(
        "stretch without its logarithm",
        tex(r"-\int q_Y(y) \left[\log q\left(\frac{y - c}{a}\right) - a\right] dy"),
        "the density is divided by |a|, so log |a| is subtracted, not a; and a may be negative.",
    )
    .eq(
        tex(r"-\int q(z) \log q(z)\,dz + \log|a|"),
        "substitute z = (y - c)/a; log |a| is a constant",
        why="the shift c is gone: it moves the density, and does not stretch it",
    )
    .slip(
        "the unit does not matter",
        tex(r"-\int q(z) \log q(z)\,dz"),
        "entropy was taken to be the same in every unit: that holds for KL (C8), and for discrete variables.",
    )
    .slip(
        "minus the logarithm",
        tex(r"-\int q(z) \log q(z)\,dz - \log|a|"),
        "the sign is turned: a variable that is stretched is more uncertain.",
    )
    .slip(
        "times the factor",
        tex(r"-|a| \int q(z) \log q(z)\,dz"),
        "the entropy was multiplied like a standard deviation: it is a mean of logarithms, so log |a| is added.",
    )
    .eq(
        tex(r"1 + \log 2s + \log|a|"),
        "entropy of a Laplace law (D6)",
        why="a logarithm of the width, in whatever unit",
    )
    .slip(
        "shift added",
        tex(r"1 + \log 2s + \log|a| + \log|c|"),
        "the shift was counted: it moves the density without stretching it.",
    )
    .eq(
        given(r"\mathrm{H}(q_Y) \text{ as computed by } \mathtt{entropy}", lambda w: w.of_y.entropy()),
        "the package's q.entropy(), of y",
    )
)


# --------------------------------------------------------------------------------------------- D6: three closed forms


@dataclass(frozen=True)
class ThreeFamilies:
    """A Laplace law of x, a Gamma law of y, an exponential law of z."""

    laplace: Laplace
    gamma: Gamma
    exponential: Exponential

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> ThreeFamilies:
        factor = {"narrow": 0.1, "wide": 6.0}.get(kind, 1.0)
        shape = rng.choice([0.6, 2.2]) * np.exp(rng.uniform(-0.2, 0.5))  # on either side of 1, the exponential law
        return cls(
            Laplace(away_from_zero(rng, 0.3, 1.5), factor * generic_scale(rng)),
            Gamma(shape, generic_scale(rng) / factor),
            Exponential(generic_scale(rng) / factor),
        )

    def scope(self) -> Scope:
        """The laws q_1 = Laplace(m, s), q_2 = Gamma(a, b) and q_3 = Exponential(r); b and r are rates."""
        return Scope(
            worlds={
                "q_1": Law("x", self.laplace),
                "q_2": Law("y", self.gamma),
                "q_3": Law("z", self.exponential),
            },
            values={"m": self.laplace.loc, "s": self.laplace.scale, "a": self.gamma.concentration}
            | {"b": self.gamma.rate, "r": self.exponential.rate},
            maps=GAMMA_FUNCTIONS,
            spaces={"x": around_peaks(self.laplace), "y": HalfLine()},
        )


D6 = (
    derive(
        "D6",
        "entropies of a Laplace, a Gamma and an exponential law",
        ThreeFamilies.draw,
        assumptions="q_1 = Laplace(m, s), q_2 = Gamma(a, b), q_3 = Exponential(r); s is a scale, b and r are rates",
        source="Cover and Thomas 2006, table 17.1",
    )
    .start(
        tex(
            r"-\int q_1(x) \log q_1(x)\,dx,\ -\int_0^\infty q_2(y) \log q_2(y)\,dy,"
            r"\ -\int_0^\infty q_3(z) \log q_3(z)\,dz"
        ),
        why="the definition, three times",
    )
    .eq(
        tex(
            r"\log 2s + \tfrac1s\,\mathbb{E}_{q_1}[|x - m|],"
            r"\ \log\Gamma(a) - a \log b - (a - 1)\,\mathbb{E}_{q_2}[\log y] + b\,\mathbb{E}_{q_2}[y],"
            r"\ -\log r + r\,\mathbb{E}_{q_3}[z]"
        ),
        "insert the log-densities; constants leave E",
        why="a few means are left, one for each part of the exponent",
        needs="s, a, b, r > 0",
    )
    .slip(
        "normalizer forgotten",
        tex(
            r"\tfrac1s\,\mathbb{E}_{q_1}[|x - m|],"
            r"\ -(a - 1)\,\mathbb{E}_{q_2}[\log y] + b\,\mathbb{E}_{q_2}[y],\ r\,\mathbb{E}_{q_3}[z]"
        ),
        "the constants of the densities were dropped: in an entropy they do not cancel.",
    )
    .eq(
        tex(r"1 + \log 2s,\ a - \log b + \log\Gamma(a) + (1 - a)\,\psi(a),\ 1 - \log r"),
        "E|x - m| = s; E[y] = a/b, E[log y] = ψ(a) - log b; E[z] = 1/r",
        why="each is the logarithm of a width, and a number that belongs to the shape",
    )
    .slip(
        "logarithm of the mean",
        tex(r"1 + \log 2s,\ a - \log b + \log\Gamma(a) + (1 - a) \log a,\ 1 - \log r"),
        "the mean of log y was taken for the logarithm of its mean: by Jensen (C2) it is less, ψ(a) for log a.",
    )
    .slip(
        "scale for rate",
        tex(r"1 + \log 2s,\ a + \log b + \log\Gamma(a) + (1 - a)\,\psi(a),\ 1 + \log r"),
        "a rate was taken for a scale: a large rate means a narrow law, and a small entropy.",
    )
    .slip(
        "Laplace on one side",
        tex(r"1 + \log s,\ a - \log b + \log\Gamma(a) + (1 - a)\,\psi(a),\ 1 - \log r"),
        "the 2 of the Laplace law is missing: it has two sides, an exponential law has one.",
    )
    .eq(
        given(
            r"\text{as computed by } \mathtt{entropy}",
            lambda w: np.array([law.entropy() for law in (w.laplace, w.gamma, w.exponential)]),
        ),
        "the package's q.entropy(), three times",
    )
)


# ------------------------------------------------------------------------------------------------ D10: mixtures


def far_apart(rng: Rng) -> MixturePair:
    """Parts of one width that do not overlap."""
    w = MixturePair.draw(rng)
    loc, scale = w.q.loc[0], w.q.scale[0]
    return replace(w, q=Normal(loc + 20 * scale * np.arange(3), np.full(3, scale)))


COMPONENTS = r"\sum_i \tfrac{w_i}{2} \log 2\pi e\,s_i^2"

D10 = (
    derive(
        "D10",
        "the entropy of a mixture, between two bounds",
        MixturePair.draw,
        assumptions="q is a mixture of N(m_i, s_i^2) with the weights w_i; k is the label of the part",
        source="Cover and Thomas 2006, section 2.7; Huber et al. 2008, theorem 3, for the upper bound",
    )
    .start(
        tex(COMPONENTS),
        why="the entropies of the parts, averaged: these are known (D1)",
    )
    .eq(
        tex(r"\mathbb{E}_{q(k)}[\mathrm{H}(q(z \mid k))]"),
        "D1 for each part; w is the law of the label",
        why="how uncertain z is for one who knows the part",
    )
    .slip(
        "entropy of the mean variance",
        tex(r"\tfrac12 \log\left(2\pi e \sum_i w_i s_i^2\right)"),
        "the variances were averaged before the logarithm: by Jensen that is more.",
    )
    .le(
        tex(r"-\int q(z) \log q(z)\,dz"),
        "KL ≥ 0 (C1): what z tells of the label",
        why="the entropy of the mixture, which has no closed form",
        needs="equal only if all parts are alike",
        gap=tex(r"\mathbb{E}_{q(k)}[\mathrm{KL}(q(z \mid k) \,\Vert\, q(z))]"),
        equality=MixturePair.draw_shifted,
    )
    .slip(
        "mean of the entropies",
        says="the entropy of a mixture was taken for the mean of the entropies: not to know the part adds uncertainty.",
        relation="=",
    )
    .slip(
        "mixing reduces entropy",
        says="the bound was turned around: entropy is concave, a mixture has more than its parts on average.",
        relation=">=",
    )
    .eq(
        tex(
            r"\mathrm{H}(q(k)) + \mathbb{E}_{q(k)}[\mathrm{H}(q(z \mid k))] - \mathbb{E}_{q(z)}[\mathrm{H}(q(k \mid z))]"
        ),
        "chain rule (D11), both ways",
        why="label and place together, less the label once the place is known",
    )
    .slip(
        "label counted in full",
        tex(r"\mathrm{H}(q(k)) + \mathbb{E}_{q(k)}[\mathrm{H}(q(z \mid k))]"),
        "the entropy of the label was added in full: where parts overlap, z does not tell the label.",
    )
    .le(
        tex(r"-\sum_i w_i \log w_i + " + COMPONENTS),
        "entropy ≥ 0, for the label is discrete",
        why="a bound that can be computed: the label costs at most its entropy",
        needs="equal only if the parts do not overlap",
        gap=tex(r"\mathbb{E}_{q(z)}[\mathrm{H}(q(k \mid z))]"),
        equality=far_apart,
    )
    .slip(
        "overlap forgotten",
        says="the parts were taken not to overlap: only then is the label known from z.",
        relation="=",
    )
    .slip(
        "label without its entropy",
        tex(COMPONENTS),
        "the entropy of the label was left out: that is the lower bound.",
    )
)


# ------------------------------------------------------------------------------------------------ D11: the chain rule


def independent(rng: Rng) -> Joint:
    """z says nothing about x."""
    return Joint(DiscreteLatent(generic_probabilities(rng, (4,)), np.tile(generic_probabilities(rng, (3,)), (4, 1))))


def entropy_in_two_parts(w: Joint) -> float:
    """H(z) and the mean over z of H(x | z), by the package."""
    prior, rows = Categorical(np.log(w.model.prior)), Categorical(np.log(w.model.likelihood))
    return float(prior.entropy() + w.model.prior @ rows.entropy())


D11 = (
    derive(
        "D11",
        "chain rule of entropy; what is known already makes less uncertain",
        Joint.draw,
        assumptions="p(x, z) > 0; the sums are over all values of x and z",
        source="Cover and Thomas 2006, theorems 2.2.1 and 2.6.5",
    )
    .start(tex(r"-\sum_{x,z} p(x, z) \log p(x, z)"), why="the uncertainty about the pair")
    .eq(
        tex(r"-\sum_{x,z} p(x, z) \left[\log p(z) + \log p(x \mid z)\right]"),
        "product rule (A2)",
        why="z first, then x for one who knows z",
    )
    .slip(
        "both conditioned",
        tex(r"-\sum_{x,z} p(x, z) \left[\log p(z \mid x) + \log p(x \mid z)\right]"),
        "both factors were conditioned on the other: in the product rule one of them comes first.",
    )
    .eq(
        tex(r"\mathrm{H}(z) + \mathbb{E}_{p(z)}[\mathrm{H}(p(x \mid z))]"),
        "in the first term x is summed out",
        why="the second term is called H(x|z)",
    )
    .slip(
        "taken to be independent",
        tex(r"\mathrm{H}(z) + \mathrm{H}(x)"),
        "x and z were taken to be independent: z tells something of x.",
    )
    .slip(
        "plain mean over z",
        tex(r"\mathrm{H}(z) + \tfrac14 \sum_z \mathrm{H}(p(x \mid z))"),
        "every z was given the same weight: a frequent z counts more, by p(z).",
    )
    .slip(
        "entropy subtracted",
        tex(r"\mathrm{H}(z) - \mathbb{E}_{p(z)}[\mathrm{H}(p(x \mid z))]"),
        "H(x|z) was subtracted: the pair is at least as uncertain as z alone.",
    )
    .eq(
        given(r"\text{as computed by } \mathtt{entropy}", entropy_in_two_parts),
        "the package's entropy(), of the prior and of each row",
    )
    .le(
        tex(r"\mathrm{H}(z) + \mathrm{H}(x)"),
        "KL ≥ 0 (C1): knowing z does not harm, on average",
        why="so H(x|z) ≤ H(x); what is lost is the mutual information (C21)",
        needs="equal only if x and z are independent",
        gap=tex(r"\sum_{x,z} p(x, z) \log\frac{p(x, z)}{p(x)\,p(z)}"),
        equality=independent,
    )
    .slip(
        "knowing harms",
        says="the bound was turned around: one z may leave x more uncertain than before, but not their average.",
        relation=">=",
    )
    .slip(
        "strict",
        says="the case of equality was forgotten: independent variables tell nothing of each other.",
        relation="<",
    )
)

CHAPTER = (D5, D6, D10, D11)
