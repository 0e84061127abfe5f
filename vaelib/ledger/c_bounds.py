r"""Chapter C, continued: what happens to KL when variables are processed or mixed, and bounds between KL and its relatives.

Every law is a table, so that all sums are exact; what a bound gives away is spelled out as a divergence by itself. E22,
two mixtures of Gaussians, is here as well: it is C10 for densities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from vaelib.derivation import GENERIC, derive
from vaelib.distributions import Categorical, Normal, kl_divergence
from vaelib.formula import given, tex
from vaelib.formula.scope import Map, Scope
from vaelib.formula.worlds import Mixture, Table
from vaelib.ledger.c_divergence import TablePair, package_divergence
from vaelib.ledger.c_geometry import Joint
from vaelib.witnesses import away_from_zero, generic_probabilities

Array = np.ndarray
Rng = np.random.Generator


# ---------------------------------------------------------------------------------------------- C9: data processing


@dataclass(frozen=True)
class Processed:
    """Two laws q and p of z, and a random rule T(y | z) that makes y of z: a row for each z."""

    pair: TablePair
    rule: Array  # (4, 3)

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> Processed:
        return cls(TablePair.draw(rng, (4,), kind=kind), generic_probabilities(rng, (4, 3)))

    @classmethod
    def draw_one_to_one(cls, rng: Rng) -> Processed:
        """A rule that only gives the values of z other names."""
        return cls(TablePair.draw(rng, (4,)), np.eye(4)[rng.permutation(4)])

    def scope(self) -> Scope:
        """The joint laws q and p of z and y: q(z) T(y | z) and p(z) T(y | z)."""
        joint = {name: getattr(self.pair, name)[:, None] * self.rule for name in "qp"}
        return Scope(
            worlds={name: Table(("z", "y"), table) for name, table in joint.items()},
            values={"n": self.rule.shape[1]},
        )


C9 = (
    derive(
        "C9",
        "data processing: what is made of z tells q and p apart no better",
        Processed.draw,
        assumptions="y is made of z by one rule, the same under q and under p",
        source="Cover and Thomas 2006, sections 2.8 and 4.4",
    )
    .start(tex(r"\sum_z q(z) \log\frac{q(z)}{p(z)}"), why="how well z tells q from p")
    .eq(
        tex(r"\mathrm{KL}(q(z) \,\Vert\, p(z)) + \mathbb{E}_{q(z)}[\mathrm{KL}(q(y \mid z) \,\Vert\, p(y \mid z))]"),
        "the second term is 0: given z, y has one law",
        why="brings in y, at no cost",
        needs="the same rule for q and p",
    )
    .eq(
        tex(r"\sum_{z,y} q(z, y) \log\frac{q(z, y)}{p(z, y)}"),
        "chain rule (C6)",
        why="the pair can be taken apart in two ways",
    )
    .slip(
        "y counted twice",
        tex(r"\sum_{z,y} q(z, y) \log\frac{q(z, y)}{p(z, y)} + \sum_y q(y) \log\frac{q(y)}{p(y)}"),
        "the KL of y was added to that of the pair, which holds y already.",
    )
    .eq(
        tex(r"\mathrm{KL}(q(y) \,\Vert\, p(y)) + \mathbb{E}_{q(y)}[\mathrm{KL}(q(z \mid y) \,\Vert\, p(z \mid y))]"),
        "chain rule, the other way round",
        why="now y comes first, and z after it",
    )
    .slip(
        "average under p",
        tex(r"\mathrm{KL}(q(y) \,\Vert\, p(y)) + \mathbb{E}_{p(y)}[\mathrm{KL}(q(z \mid y) \,\Vert\, p(z \mid y))]"),
        "the conditional part was averaged under p(y): all averages here are under q.",
    )
    .slip(
        "z and y independent",
        tex(r"\mathrm{KL}(q(y) \,\Vert\, p(y)) + \mathrm{KL}(q(z) \,\Vert\, p(z))"),
        "z and y were taken to be independent: once y is known, z tells less.",
    )
    .ge(
        tex(r"\sum_y q(y) \log\frac{q(y)}{p(y)}"),
        "KL ≥ 0 (C1) at each y",
        why="what z tells beyond y is left out",
        needs="equal only if q(z|y) = p(z|y): then y holds all that tells them apart",
        gap=tex(r"\mathbb{E}_{q(y)}[\mathrm{KL}(q(z \mid y) \,\Vert\, p(z \mid y))]"),
        equality=Processed.draw_one_to_one,
    )
    .slip(
        "processing helps",
        says="processing was taken to add information: y is made of z and of chance alone.",
        relation="<=",
    )
    .slip(
        "nothing is lost",
        says="the rule was taken to be one-to-one: one that mixes values of z loses what told them apart.",
        relation="=",
    )
    .slip(
        "always a loss",
        says="the case of equality was forgotten: other names for the values of z lose nothing.",
        relation=">",
    )
    .eq(
        given(
            r"\mathrm{KL}(q(y) \,\Vert\, p(y))",
            lambda w: package_divergence(w.pair.q @ w.rule, w.pair.p @ w.rule),
        ),
        "definition of KL, as computed by the package",
    )
)


# ---------------------------------------------------------------------------------------- C10 and E22: mixing two pairs


@dataclass(frozen=True)
class TwoPairs:
    """Two pairs of tables over five states, and the weight of the first pair."""

    first: TablePair
    second: TablePair
    weight: float

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> TwoPairs:
        first, second = (TablePair.draw(rng, (5,), kind=kind) for _ in range(2))
        return cls(first, second, float(rng.choice([0.2, 0.7]) + rng.uniform(0, 0.1)))

    @classmethod
    def draw_alike(cls, rng: Rng) -> TwoPairs:
        """The second pair is the first: nothing is mixed."""
        w = cls.draw(rng)
        return replace(w, second=w.first)

    def mixed(self, name: str) -> Array:
        """lambda q_1 + (1 - lambda) q_2, or the same of p."""
        weights = np.array([self.weight, 1 - self.weight])
        return np.asarray(weights @ np.stack([getattr(self.first, name), getattr(self.second, name)]))

    def scope(self) -> Scope:
        """The four laws of z, their mixtures, and the joint laws r and s of a label k = 1, 2 and z."""
        worlds = {
            f"{name}_{k}": Table(("z",), getattr(pair, name))
            for name in "qp"
            for k, pair in ((1, self.first), (2, self.second))
        }
        worlds |= {rf"\bar {name}": Table(("z",), self.mixed(name)) for name in "qp"}
        weights = np.array([[self.weight], [1 - self.weight]])
        labelled = {
            label: Table(("k", "z"), weights * np.stack([getattr(self.first, name), getattr(self.second, name)]))
            for label, name in (("r", "q"), ("s", "p"))
        }
        return Scope(worlds=worlds | labelled, values={r"\lambda": self.weight})


C10 = (
    derive(
        "C10",
        "KL is convex in both laws at once",
        TwoPairs.draw,
        assumptions=r"0 < lambda < 1; the bars are mixtures with the weights lambda and 1 - lambda",
        source="Cover and Thomas 2006, theorem 2.7.2",
    )
    .start(
        tex(r"\lambda\,\mathrm{KL}(q_1 \,\Vert\, p_1) + (1 - \lambda)\,\mathrm{KL}(q_2 \,\Vert\, p_2)"),
        why="one pair or the other, told which by a coin",
    )
    .eq(
        tex(
            r"\sum_z \left[\lambda\,q_1(z) \log\frac{\lambda\,q_1(z)}{\lambda\,p_1(z)}"
            r" + (1 - \lambda)\,q_2(z) \log\frac{(1 - \lambda)\,q_2(z)}{(1 - \lambda)\,p_2(z)}\right]"
        ),
        "definition of KL; the weights cancel in the quotients",
        why="at each z two terms a log a/b, ready to be joined",
        needs="the same weights for q and p",
    )
    .ge(
        tex(
            r"\sum_z \left(\lambda\,q_1(z) + (1 - \lambda)\,q_2(z)\right)"
            r" \log\frac{\lambda\,q_1(z) + (1 - \lambda)\,q_2(z)}{\lambda\,p_1(z) + (1 - \lambda)\,p_2(z)}"
        ),
        "log-sum inequality at each z",
        why="the label is forgotten: data processing (C9)",
        needs="equal only if z tells no more of the label under q than under p",
        gap=tex(r"\mathbb{E}_{r(z)}[\mathrm{KL}(r(k \mid z) \,\Vert\, s(k \mid z))]"),
        equality=TwoPairs.draw_alike,
    )
    .slip(
        "concave",
        says="KL was taken for concave: mixing makes laws more alike, so it lowers KL.",
        relation="<=",
    )
    .slip(
        "linear",
        says="KL was taken to be linear: the logarithm is of the mixture, not a mixture of logarithms.",
        relation="=",
    )
    .slip(
        "only q mixed",
        tex(
            r"\sum_z \left(\lambda\,q_1(z) + (1 - \lambda)\,q_2(z)\right)"
            r" \log\frac{\lambda\,q_1(z) + (1 - \lambda)\,q_2(z)}{p_1(z)}"
        ),
        "q was mixed and p was not: the two pairs are mixed together, each q with its p.",
    )
    .slip(
        "mixture of logarithms",
        tex(
            r"\sum_z \left(\lambda\,q_1(z) + (1 - \lambda)\,q_2(z)\right)"
            r" \left[\lambda \log\frac{q_1(z)}{p_1(z)} + (1 - \lambda) \log\frac{q_2(z)}{p_2(z)}\right]"
        ),
        "the logarithms were mixed: then q_1 is averaged with a quotient that belongs to the other pair.",
    )
    .eq(
        tex(r"\sum_z \bar q(z) \log\frac{\bar q(z)}{\bar p(z)}"),
        "names for the two mixtures",
        why="definition of KL again, now of the mixtures",
    )
    .eq(
        given(
            r"\mathrm{KL}(\bar q \,\Vert\, \bar p)",
            lambda w: package_divergence(w.mixed("q"), w.mixed("p")),
        ),
        "definition of KL, as computed by the package",
    )
)


@dataclass(frozen=True)
class MixturePair:
    """Two mixtures q and p of three Gaussians each, with one set of weights; parts of equal number belong together."""

    weights: Array
    q: Normal
    p: Normal

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> MixturePair:
        """Scales of middling size throughout: a grid that reaches all parts must see the narrowest, too."""
        q_loc, p_loc = (away_from_zero(rng, 0.3, 2.0, (3,)) for _ in range(2))
        q_scale, p_scale = (np.exp(away_from_zero(rng, 0.1, 0.5, (3,))) for _ in range(2))
        if kind == "near":
            q_loc, q_scale = p_loc + away_from_zero(rng, 0.03, 0.08, (3,)), p_scale * rng.uniform(1.03, 1.08, 3)
        elif kind == "far":
            q_loc = p_loc + away_from_zero(rng, 3.0, 5.0) * p_scale
        else:
            q_scale = q_scale * {"narrow": 0.6, "wide": 1.8}.get(kind, 1.0)
        return cls(generic_probabilities(rng, (3,)), Normal(q_loc, q_scale), Normal(p_loc, p_scale))

    @classmethod
    def draw_shifted(cls, rng: Rng) -> MixturePair:
        """Three times the same pair: the label tells nothing."""
        w = cls.draw(rng)
        q, p = (Normal(np.full(3, law.loc[0]), np.full(3, law.scale[0])) for law in (w.q, w.p))
        return cls(w.weights, q, p)

    def scope(self) -> Scope:
        """q(k, z) and p(k, z) with the label k of a part; the moments of the parts."""
        low, high = (
            float(side(np.concatenate([law.loc + sign * 10 * law.scale for law in (self.q, self.p)])))
            for side, sign in ((np.min, -1), (np.max, 1))
        )
        worlds = {name: Mixture("z", self.weights, getattr(self, name), low, high) for name in "qp"}
        values = {"w": self.weights, "m": self.q.loc, "s": self.q.scale, "a": self.p.loc, "b": self.p.scale}
        return Scope(worlds=worlds, values={**values, "n": self.weights.size}, ranges={"i": self.weights.size})


parts_apart = r"\log\frac{b_i}{s_i} + \frac{s_i^2 + (m_i - a_i)^2}{2 b_i^2} - \tfrac12"

E22 = (
    derive(
        "E22",
        "KL between mixtures of Gaussians: no closed form, but a bound",
        MixturePair.draw,
        assumptions="both mixtures have the weights w_i; q_i = N(m_i, s_i^2) belongs to p_i = N(a_i, b_i^2)",
        source="C10; Hershey and Olsen 2007",
    )
    .start(
        tex(r"\sum_i w_i \left[" + parts_apart + r"\right]"),
        why="part by part, with E1: this is what can be computed",
    )
    .eq(
        tex(r"\mathbb{E}_{q(k)}[\mathrm{KL}(q(z \mid k) \,\Vert\, p(z \mid k))]"),
        "E1 for each part; w is the law of the label k",
        why="the label says which part z comes from",
    )
    .slip(
        "parts not weighted",
        tex(r"\tfrac1n \sum_k \mathrm{KL}(q(z \mid k) \,\Vert\, p(z \mid k))"),
        "every part was given the same weight: part k counts with its share of the mass.",
    )
    .eq(
        tex(r"\mathrm{KL}(q(z) \,\Vert\, p(z)) + \mathbb{E}_{q(z)}[\mathrm{KL}(q(k \mid z) \,\Vert\, p(k \mid z))]"),
        "chain rule (C6), twice; the labels have one law",
        why="the mixtures come first, and then the label",
        needs="the same weights in both mixtures",
    )
    .slip(
        "average under p",
        tex(r"\mathrm{KL}(q(z) \,\Vert\, p(z)) + \mathbb{E}_{p(z)}[\mathrm{KL}(q(k \mid z) \,\Vert\, p(k \mid z))]"),
        "the conditional part was averaged under p(z): all averages here are under q.",
    )
    .ge(
        tex(r"\int q(z) \log\frac{q(z)}{p(z)}\,dz"),
        "KL ≥ 0 (C1): the label is forgotten (C9)",
        why="the KL between the mixtures, which has no closed form",
        needs="equal only if z tells no more of the label under q than under p",
        gap=tex(r"\mathbb{E}_{q(z)}[\mathrm{KL}(q(k \mid z) \,\Vert\, p(k \mid z))]"),
        equality=MixturePair.draw_shifted,
    )
    .slip(
        "the bound taken for the value",
        says="the KL of mixtures was taken for the mean KL of their parts: parts overlap, and overlap hides which is which.",
        relation="=",
    )
    .slip(
        "a lower bound",
        says="the bound was turned around: mixing makes laws more alike (C10).",
        relation="<=",
    )
)


# ------------------------------------------------------------------------------- C22: averages of KL to one fixed law


@dataclass(frozen=True)
class JointAndLaw:
    """A joint table p(x, z) of three x and four z, and some law r(z) to compare with."""

    joint: Joint
    r: Array

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> JointAndLaw:
        joint, r = Joint.draw(rng), generic_probabilities(rng, (4,))
        if kind == "near":
            r = joint.table.sum(axis=1) * np.exp(away_from_zero(rng, 0.03, 0.1, (4,)))
        elif kind == "wide":
            r = r**0.1
        elif kind != GENERIC:
            r = np.where(np.arange(4) == rng.integers(4), 60 * r.max(), r)
        return cls(joint, r / r.sum())

    @classmethod
    def draw_marginal(cls, rng: Rng) -> JointAndLaw:
        """r is the law of z."""
        w = cls.draw(rng)
        return replace(w, r=w.joint.table.sum(axis=1))

    def scope(self) -> Scope:
        """As that of the joint table, with r(z)."""
        scope = self.joint.scope()
        return replace(scope, worlds={**scope.worlds, "r": Table(("z",), self.r)})


def average_divergence(w: JointAndLaw) -> float:
    """The mean over x of the package's KL between p(z | x) and r."""
    table = w.joint.table
    return float(table.sum(axis=0) @ package_divergence((table / table.sum(axis=0)).T, w.r))


C22 = (
    derive(
        "C22",
        "the average KL to a prior: information plus misfit",
        JointAndLaw.draw,
        assumptions="p(x, z) > 0 and r(z) > 0; r is any law of z, p(z) the average of p(z|x) over x",
        source="Topsoe 1967, the compensation identity; for VAEs Hoffman and Johnson 2016",
    )
    .start(
        tex(r"\mathbb{E}_{p(x)}[\mathrm{KL}(p(z \mid x) \,\Vert\, r(z))]"),
        why="what the codes of all x cost against one prior r",
    )
    .eq(given(r"\text{as computed by } \mathtt{kl\_divergence}", average_divergence), "the same in the package")
    .eq(
        tex(r"\sum_{x,z} p(x, z) \left[\log\frac{p(z \mid x)}{p(z)} + \log\frac{p(z)}{r(z)}\right]"),
        "insert p(z) above and below",
        why="p(z) is what all codes together look like",
        needs="p(z) > 0",
    )
    .eq(
        tex(r"\mathbb{E}_{p(x)}[\mathrm{KL}(p(z \mid x) \,\Vert\, p(z))] + \mathrm{KL}(p(z) \,\Vert\, r(z))"),
        "in the second term x is summed out",
        why="the first term is the mutual information (C21)",
    )
    .slip(
        "misfit subtracted",
        tex(r"\mathbb{E}_{p(x)}[\mathrm{KL}(p(z \mid x) \,\Vert\, p(z))] - \mathrm{KL}(p(z) \,\Vert\, r(z))"),
        "the misfit was subtracted: a prior that does not fit costs more, not less.",
    )
    .slip(
        "second KL swapped",
        tex(r"\mathbb{E}_{p(x)}[\mathrm{KL}(p(z \mid x) \,\Vert\, p(z))] + \mathrm{KL}(r(z) \,\Vert\, p(z))"),
        "r and p(z) are swapped: z is drawn from the codes, so p(z) comes first.",
    )
    .slip(
        "plain mean over x",
        tex(r"\tfrac1n \sum_x \mathrm{KL}(p(z \mid x) \,\Vert\, p(z)) + \mathrm{KL}(p(z) \,\Vert\, r(z))"),
        "every x was given the same weight: a frequent x counts more, by p(x).",
    )
    .eq(
        tex(r"\mathrm{H}(z) - \mathbb{E}_{p(x)}[\mathrm{H}(p(z \mid x))] + \mathrm{KL}(p(z) \,\Vert\, r(z))"),
        "mutual information as a difference of entropies (C21)",
        why="entropy of all codes together, less that of one code",
    )
    .slip(
        "misfit forgotten",
        tex(r"\mathrm{H}(z) - \mathbb{E}_{p(x)}[\mathrm{H}(p(z \mid x))]"),
        "the average KL was taken for the information: that needs r to be the average of the codes.",
    )
    .ge(
        tex(r"\mathbb{E}_{p(x)}[\mathrm{KL}(p(z \mid x) \,\Vert\, p(z))]"),
        "KL ≥ 0 (C1)",
        why="so the best prior is p(z), the average of the codes",
        needs="equal only if r(z) = p(z)",
        gap=tex(r"\mathrm{KL}(p(z) \,\Vert\, r(z))"),
        equality=JointAndLaw.draw_marginal,
    )
    .slip(
        "any prior will do",
        says="the prior was taken not to matter: only r = p(z) costs no more than the information.",
        relation="=",
    )
    .slip(
        "strict",
        says="the case of equality was forgotten: with r = p(z) nothing is lost.",
        relation=">",
    )
)


# -------------------------------------------------------------------------- C12, C13, C20: KL and its relatives


class Overlap(TablePair):
    """Two tables over five states, and between them m, which is proportional to the root of their product."""

    def scope(self) -> Scope:
        """As that of a pair, with m, and a second index j."""
        scope, root = super().scope(), np.sqrt(self.p * self.q)
        worlds = {**scope.worlds, "m": Table(("z",), root / root.sum())}
        return replace(scope, worlds=worlds, ranges=dict.fromkeys("ij", len(self.p)))


def same_tables(rng: Rng) -> Overlap:
    """q is p."""
    w = Overlap.draw(rng, (5,))
    return Overlap(w.p, w.p)


C12 = (
    derive(
        "C12",
        "the inequality of Bretagnolle and Huber: what a large KL still says",
        partial(Overlap.draw, shape=(5,)),
        assumptions="TV is half the sum of |p - q|; KL in nats; q > 0 wherever p > 0",
        source="Bretagnolle and Huber 1979; Tsybakov 2009, lemma 2.6",
    )
    .start(
        tex(r"1 - \mathrm{TV}^2,\quad \mathrm{TV} = \tfrac12 \sum_i |p_i - q_i|"),
        why="KL is to keep TV away from 1; Pinsker (C11) says nothing once KL > 2",
    )
    .eq(
        tex(r"\left(\sum_i \min(p_i, q_i)\right) \left(\sum_i \max(p_i, q_i)\right)"),
        "1 - TV is what p and q share, 1 + TV what they cover",
        why=r"$1 - t^2 = (1 - t)(1 + t)$",
        needs="both sum to one",
    )
    .slip(
        "TV without 1/2",
        tex(r"1 - \left(\sum_i |p_i - q_i|\right)^2"),
        "the sum of |p - q| was taken whole: it counts each difference twice, above and below.",
    )
    .ge(
        tex(r"\left(\sum_i \sqrt{p_i\,q_i}\right)^2"),
        "Cauchy and Schwarz; min times max is the product",
        why="no minimum is left: the overlap of p and q",
        gap=tex(
            r"\tfrac12 \sum_i \sum_j \left(\sqrt{\min(p_i, q_i)\,\max(p_j, q_j)}"
            r" - \sqrt{\min(p_j, q_j)\,\max(p_i, q_i)}\right)^2"
        ),
        equality=same_tables,
    )
    .slip(
        "square forgotten",
        tex(r"\sum_i \sqrt{p_i\,q_i}"),
        "the overlap was not squared: Cauchy and Schwarz bound its square.",
    )
    .ge(
        tex(r"\exp\left(-\sum_i p_i \log\frac{p_i}{q_i}\right)"),
        r"Jensen (C2): the root is a mean under p",
        why=r"$\sqrt{p q} = p \sqrt{q / p}$, and the logarithm of the root is half of that of q/p",
        needs="q > 0 wherever p > 0",
        gap=tex(r"e^{-\mathrm{KL}(p \,\Vert\, q)} \left(e^{2\,\mathrm{KL}(p \,\Vert\, m)} - 1\right)"),
        equality=same_tables,
    )
    .slip(
        "half of the exponent",
        tex(r"\exp\left(-\tfrac12 \sum_i p_i \log\frac{p_i}{q_i}\right)"),
        "the square of the overlap was forgotten in the exponent: 1/2 and the square cancel.",
    )
    .slip(
        "Jensen turned around",
        says="Jensen was used for a convex function: the logarithm is concave.",
        relation="<=",
    )
    .slip(
        "quotient turned around",
        tex(r"\exp\left(-\sum_i p_i \log\frac{q_i}{p_i}\right)"),
        "the quotient is upside down: this is e to the plus KL, which is above 1.",
    )
    .eq(
        given(r"e^{-\mathrm{KL}(p \,\Vert\, q)}", lambda w: np.exp(-package_divergence(w.p, w.q))),
        "definition of KL, as computed by the package",
        needs="nats: in bits the base is 2",
    )
)


C13 = (
    derive(
        "C13",
        "KL is at most log(1 + chi squared), and that at most chi squared",
        partial(Overlap.draw, shape=(5,)),
        assumptions="q > 0 wherever p > 0",
        source="Gibbs and Su 2002, theorem 5; Tsybakov 2009, lemma 2.7",
    )
    .start(given(r"\mathrm{KL}(p \,\Vert\, q)", lambda w: package_divergence(w.p, w.q)), why="as the package says")
    .eq(tex(r"\sum_i p_i \log\frac{p_i}{q_i}"), "definition of KL", why="a mean of a logarithm, under p")
    .le(
        tex(r"\log \sum_i p_i\,\frac{p_i}{q_i}"),
        "Jensen (C2): log is concave",
        why="the logarithm moves outside",
        needs="equal only if p/q is constant: p = q",
        gap=tex(r"\sum_i p_i \log\frac{p_i}{r_i},\quad r_i = \frac{p_i^2}{c\,q_i},\ c = \sum_i \frac{p_i^2}{q_i}"),
        equality=same_tables,
    )
    .slip(
        "Jensen turned around",
        says="Jensen was used for a convex function: log is concave, its average lies below.",
        relation=">=",
    )
    .slip(
        "average under q",
        tex(r"\log \sum_i q_i\,\frac{p_i}{q_i}"),
        "the average moved to q, where the weights p/q have the mean 1: the logarithm is then 0.",
    )
    .eq(
        tex(r"\log\left(1 + \chi^2(p \,\Vert\, q)\right)"),
        "chi squared is the mean of p/q under p, less 1",
        why="it is also the variance of the weights p/q under q",
    )
    .slip(
        "the 1 forgotten",
        tex(r"\log \chi^2(p \,\Vert\, q)"),
        "the 1 is missing: for p = q chi squared is 0, and its logarithm minus infinity.",
    )
    .slip(
        "chi squared swapped",
        tex(r"\log\left(1 + \chi^2(q \,\Vert\, p)\right)"),
        "p and q are swapped in chi squared: it is the mean of p/q, under p.",
    )
    .le(
        tex(r"\chi^2(p \,\Vert\, q)"),
        "log(1 + t) ≤ t",
        why="so weights of small variance mean a small KL",
        gap=tex(r"\int_0^{\chi^2(p \,\Vert\, q)} \frac{t}{1 + t}\,dt"),
        equality=same_tables,
    )
    .slip(
        "half of chi squared",
        tex(r"\tfrac12\,\chi^2(p \,\Vert\, q)"),
        "the 1/2 is that of a small difference, where KL is about half of chi squared: further apart it is not a bound.",
    )
)


@dataclass(frozen=True)
class Mixed(TablePair):
    """Two tables, their mean m, and a fair coin k that says which of them z comes from."""

    @classmethod
    def draw_five(cls, rng: Rng, *, kind: str = GENERIC) -> Mixed:
        w = TablePair.draw(rng, (5,), kind=kind)
        return cls(w.p, w.q)

    @classmethod
    def draw_same(cls, rng: Rng) -> Mixed:
        w = cls.draw_five(rng)
        return cls(w.p, w.p)

    @classmethod
    def draw_apart(cls, rng: Rng) -> Mixed:
        """No value of z is possible under both."""
        p, q = generic_probabilities(rng, (2,)), generic_probabilities(rng, (3,))
        return cls(np.concatenate([p, np.zeros(3)]), np.concatenate([np.zeros(2), q]))

    def scope(self) -> Scope:
        """As that of a pair, with m(z), and r(k, z) = p(z) / 2 or q(z) / 2."""
        scope = super().scope()
        both = {"m": Table(("z",), (self.p + self.q) / 2), "r": Table(("k", "z"), np.stack([self.p, self.q]) / 2)}
        return replace(scope, worlds={**scope.worlds, **both})


def halves(w: Mixed) -> float:
    p, q, mean = (Categorical.from_probs(table) for table in (w.p, w.q, (w.p + w.q) / 2))
    return float((kl_divergence(p, mean) + kl_divergence(q, mean)) / 2)


C20 = (
    derive(
        "C20",
        "the Jensen-Shannon divergence lies between 0 and log 2",
        Mixed.draw_five,
        assumptions="m = (p + q) / 2; finite even where p or q is 0",
        source="Lin 1991; Goodfellow et al. 2014, section 4.1",
    )
    .start(tex("0"), why="the claim: the divergence is at least this")
    .le(
        tex(r"\tfrac12\,\mathrm{KL}(p \,\Vert\, m) + \tfrac12\,\mathrm{KL}(q \,\Vert\, m)"),
        "KL ≥ 0 (C1), twice",
        why="each law is compared with the mean of both, which covers both",
        needs="equal only if p = q",
        gap=tex(r"\mathbb{E}_{r(z)}\left[\mathrm{KL}(r(k \mid z) \,\Vert\, r(k))\right]"),
        equality=Mixed.draw_same,
    )
    .slip(
        "no halves",
        tex(r"\mathrm{KL}(p \,\Vert\, m) + \mathrm{KL}(q \,\Vert\, m)"),
        "the halves are missing: this goes up to 2 log 2.",
    )
    .slip(
        "compared with each other",
        tex(r"\tfrac12\,\mathrm{KL}(p \,\Vert\, q) + \tfrac12\,\mathrm{KL}(q \,\Vert\, p)"),
        "p and q were compared with each other: that is the symmetric KL, which can be infinite.",
    )
    .eq(given(r"\text{as computed by } \mathtt{kl\_divergence}", halves), "the same in the package")
    .eq(
        tex(r"\mathrm{H}(m) - \tfrac12\left(\mathrm{H}(p) + \mathrm{H}(q)\right)"),
        "KL = cross-entropy - entropy (D3); m is the mean of p and q",
        why="what mixing adds to the entropy",
    )
    .slip(
        "mean of the entropies",
        tex(r"\tfrac12\left(\mathrm{H}(p) + \mathrm{H}(q)\right) - \mathrm{H}(m)"),
        "the sign is turned: a mixture has more entropy than its parts on average.",
    )
    .eq(
        tex(r"\mathrm{H}(r(k)) - \mathbb{E}_{r(z)}[\mathrm{H}(r(k \mid z))]"),
        "mutual information of z and a fair coin k (C21)",
        why="how well one can tell which of the two laws z comes from",
    )
    .slip(
        "what remains unknown",
        tex(r"\mathbb{E}_{r(z)}[\mathrm{H}(r(k \mid z))]"),
        "what z leaves unknown of the coin was taken for what z tells.",
    )
    .le(
        tex(r"\log 2"),
        "entropy ≥ 0; that of a fair coin is log 2",
        why="one yes or no can be learned, and no more",
        needs="equal only if p and q have no value in common",
        gap=tex(r"\mathbb{E}_{r(z)}[\mathrm{H}(r(k \mid z))]"),
        equality=Mixed.draw_apart,
    )
    .slip(
        "bound of one half",
        tex(r"\tfrac12"),
        "one bit was taken for one half: it is log 2 = 0.69 nats.",
    )
    .slip(
        "strict",
        says="the case of equality was forgotten: laws without a common value are told apart for sure.",
        relation="<",
    )
)


# ----------------------------------------------------------------------- C15 and C16: KL as the best of many bounds


@dataclass(frozen=True)
class Critic:
    """Two tables over five states, and a function T of the state, as a network would give it."""

    pair: TablePair
    T: Array

    @classmethod
    def draw(cls, rng: Rng, *, kind: str = GENERIC) -> Critic:
        pair, T = TablePair.draw(rng, (5,), kind=kind), away_from_zero(rng, 0.3, 1.5, (5,))
        if kind in ("near", "far"):  # nearly the best one, but for a constant
            T = np.log(pair.p / pair.q) + 0.1 * T + away_from_zero(rng, 0.4, 0.8)
        return cls(pair, T)

    @classmethod
    def draw_best(cls, rng: Rng) -> Critic:
        """T = log p/q, and any constant."""
        w = cls.draw(rng)
        return replace(w, T=np.log(w.pair.p / w.pair.q) + 0.7)

    @classmethod
    def draw_calibrated(cls, rng: Rng) -> Critic:
        """E_q[e^T] = e."""
        w = cls.draw(rng)
        return replace(w, T=w.T + 1 - np.log(w.pair.q @ np.exp(w.T)))

    def scope(self) -> Scope:
        """p, q, T, and g, which is q tilted by e^T."""
        scope = self.pair.scope()
        tilted = self.pair.q * np.exp(self.T)
        return replace(
            scope,
            worlds={**scope.worlds, "g": Table(("z",), tilted / tilted.sum())},
            maps={"T": Map(lambda z: self.T[np.asarray(z).astype(int)])},
        )


C15 = (
    derive(
        "C15",
        "a lower bound on KL from any function of z",
        Critic.draw,
        assumptions="T is any function of z; p > 0 and q > 0",
        source="Donsker and Varadhan 1975; Belghazi et al. 2018, theorem 1",
    )
    .start(
        given(r"\mathrm{KL}(p \,\Vert\, q)", lambda w: package_divergence(w.pair.p, w.pair.q)),
        why="wanted, where p and q can be sampled, but their densities are unknown",
    )
    .eq(
        tex(r"\mathbb{E}_p\left[\log\frac{p(z)}{q(z)}\right]"),
        "definition of KL",
        why="a mean over samples of p, but of a quotient that nobody can compute",
    )
    .eq(
        tex(r"\mathbb{E}_p\left[\log\frac{p(z)}{g(z)}\right] + \mathbb{E}_p\left[\log\frac{g(z)}{q(z)}\right]"),
        "insert a third law g",
        why="g is q, with every z weighted by e to the T and normalized",
    )
    .eq(
        tex(r"\mathrm{KL}(p \,\Vert\, g) + \mathbb{E}_p[T(z)] - \log \mathbb{E}_q[e^{T(z)}]"),
        "log g/q is T less the log of the normalizer",
        why="no density is left but in the KL of g",
        needs="the mean of e to the T under q is finite",
    )
    .slip(
        "normalizer under p",
        tex(r"\mathrm{KL}(p \,\Vert\, g) + \mathbb{E}_p[T(z)] - \log \mathbb{E}_p[e^{T(z)}]"),
        "the normalizer was averaged under p: g is made of q, so it is averaged under q.",
    )
    .ge(
        tex(r"\mathbb{E}_p[T(z)] - \log \mathbb{E}_q[e^{T(z)}]"),
        "KL ≥ 0 (C1)",
        why="two means, which samples can give; T is then made the best by training",
        needs="equal only if T = log p/q plus a constant",
        gap=tex(r"\mathrm{KL}(p \,\Vert\, g)"),
        equality=Critic.draw_best,
    )
    .slip(
        "an upper bound",
        says="the bound was turned around: no T gives more than the KL, so training goes up.",
        relation="<=",
    )
    .slip(
        "difference of means",
        tex(r"\mathbb{E}_p[T(z)] - \mathbb{E}_q[T(z)]"),
        "log E was taken for E log: by Jensen this is larger, and no bound.",
    )
    .slip(
        "logarithm forgotten",
        tex(r"\mathbb{E}_p[T(z)] - \mathbb{E}_q[e^{T(z)}]"),
        "the logarithm of the mean is missing: with T - 1 in the exponent that would be another, weaker bound (C16).",
    )
    .slip(
        "laws swapped",
        tex(r"\mathbb{E}_q[T(z)] - \log \mathbb{E}_p[e^{T(z)}]"),
        "p and q are swapped: this bounds KL(q || p).",
    )
)


C16 = (
    derive(
        "C16",
        "a bound on KL that is a plain mean: without the logarithm, and weaker",
        Critic.draw,
        assumptions="T is any function of z; p > 0 and q > 0",
        source="Nguyen, Wainwright and Jordan 2010; Nowozin et al. 2016, section 2.2",
    )
    .start(tex(r"\mathrm{KL}(p \,\Vert\, q)"), why="as in C15")
    .ge(
        tex(r"\mathbb{E}_p[T(z)] - \log \mathbb{E}_q[e^{T(z)}]"),
        "C15, for any T",
        why="the logarithm of a mean: a minibatch estimates it with a bias (B4)",
        gap=tex(r"\mathrm{KL}(p \,\Vert\, g)"),
        equality=Critic.draw_best,
    )
    .ge(
        tex(r"\mathbb{E}_p[T(z)] - \mathbb{E}_q[e^{T(z) - 1}]"),
        "log t ≤ t/e, the tangent at e",
        why="two means, and no logarithm around either",
        needs="equal only if the mean of e to the T under q is e",
        gap=tex(r"\int_1^{m / e} \left(1 - \frac1s\right) ds,\quad m = \mathbb{E}_q[e^{T(z)}]"),
        equality=Critic.draw_calibrated,
    )
    .slip(
        "1 forgotten",
        tex(r"\mathbb{E}_p[T(z)] - \mathbb{E}_q[e^{T(z)}]"),
        "the -1 in the exponent is missing: then even the best T is off by the slope of the wrong tangent.",
    )
    .slip(
        "shifted too far",
        tex(r"\mathbb{E}_p[T(z)] - \mathbb{E}_q[e^{T(z) - 2}]"),
        "the exponent is T - 2: the tangent touches where the slope is 1/e, so it is T - 1.",
    )
    .slip(
        "the tangent lies below",
        says="the tangent was taken to lie below the logarithm: log is concave, its tangents lie above.",
        relation="<=",
    )
    .eq(
        tex(r"\mathbb{E}_q\left[\frac{p(z)}{q(z)}\,T(z) - e^{T(z) - 1}\right]"),
        "importance weights: one mean, under q",
        why="now T can be chosen at each z by itself",
        needs="q > 0 wherever p > 0",
    )
    .le(
        tex(r"\mathbb{E}_q\left[\frac{p(z)}{q(z)} \log\frac{p(z)}{q(z)}\right]"),
        "at each z the best T is 1 + log p/q",
        why="and with it the bound is the KL: nothing is lost in the end",
        gap=tex(
            r"\mathbb{E}_q\left[e^{T(z) - 1} - \frac{p(z)}{q(z)}"
            r" - \frac{p(z)}{q(z)}\left(T(z) - 1 - \log\frac{p(z)}{q(z)}\right)\right]"
        ),
    )
    .slip(
        "the best T of the other bound",
        tex(r"\mathbb{E}_q\left[\frac{p(z)}{q(z)} \log\frac{p(z)}{q(z)} - \frac{p(z)}{e\,q(z)}\right]"),
        "T = log p/q was put in: here the constant matters, and the best T is one more.",
    )
)

CHAPTER = (C9, C10, C12, C13, C15, C16, C20, C22, E22)
