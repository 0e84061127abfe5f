r"""Derivations as they were published, line by line, with the lines at which they break. Kept apart from the ledger.

The formulas are those of three lecture notes and a blog post; the reasons are put in our own words. Each comes with what
is wrong, in numbers, and with the corrected lines: `published.repaired` is the chain with these put in, and it holds.

In the numbers, "the toy" is z ~ N(0, 1), x | z ~ N(2 z, 0.5), x = 1, q = N(0.3, 0.4^2): log p(x) = -1.782088,
KL(q || p(z|x)) = 0.131567.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vaelib.derivation import Derivation, Line, Slip
from vaelib.estimate import Estimate
from vaelib.ledger.d_entropy import by_trapezoid
from vaelib.ledger.e_gaussian import (
    E1,
    E2,
    Encoding,
    exponents,
    log_ratio,
    shift,
    sum_of_integrals,
    wrong_sign_of_the_mean,
)
from vaelib.ledger.f_elbo import ABSOLUTE_CONTINUITY, F2, F4
from vaelib.terms import KL, E, Term, log_evidence, log_joint, log_lik, log_post, log_prior, log_q, post, prior, q, tex
from vaelib.witnesses import CurvedFamily, CurvedWitness, NormalPair

Array = np.ndarray

LECTURE_NOTE = "a published lecture note"
BLOG_POST = "a published blog post"


@dataclass(frozen=True)
class Published:
    """A chain as it was published, what is wrong with it, and how it is put right.

    Args:
        derivation: the lines as published, with `breaks_at`.
        what_is_wrong: the mistake, with a counterexample in numbers; for a sound chain, what to look out for.
        repair: the correction in one sentence.
        corrections: index -> the corrected line, for each broken line.
    """

    derivation: Derivation
    what_is_wrong: str
    repair: str
    corrections: dict[int, Line] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.derivation.id

    @property
    def repaired(self) -> Derivation:
        """The same chain with the corrected lines: it holds."""
        lines = tuple(self.corrections.get(i, line) for i, line in enumerate(self.derivation.lines))
        return replace(self.derivation, title=self.derivation.title + ", repaired", lines=lines, breaks_at=())


def known(derivation: Derivation, name: str, line: int) -> Slip:
    """A slip of the ledger, at the line where the publication makes it: the report then says what it looks like."""
    return next(replace(slip, line=line) for slip in derivation.slips if slip.name == name)


# ----------------------------------------------------------------------------------- A: the bound by multiplying by q/q

NOTE_A = Published(
    Derivation(
        "note A",
        "the bound, by multiplying by q/q",
        draw=CurvedWitness.draw,
        assumptions=ABSOLUTE_CONTINUITY,
        source=LECTURE_NOTE,
        breaks_at=(4,),
        lines=(
            Line(log_evidence),
            Line(E(q, log_evidence), reason="as published: an average of what does not depend on z"),
            Line(E(q, log_lik + log_prior - log_post), reason="as published: Bayes' rule"),
            Line(
                E(q, log_lik + log_prior - log_post + log_q - log_q),
                reason="as published: multiply by q/q in the logarithm",
            ),
            Line(
                E(q, log_lik) - E(q, log_q - log_prior) + E(q, log_q - log_lik),
                reason="as published: three terms",
            ),
            Line(
                E(q, log_lik) - KL(q, prior),
                reason="as published: the third term is not negative",
                relation=">=",
            ),
        ),
        slips=(known(F2, "p(x|z) in the third term", 4),),
    ),
    what_is_wrong=(
        "In the third term p(x|z) stands where the line above has p(z|x). On the toy the right-hand side is -1.043939, "
        "not -1.782088. As a function of z, p(x|z) is no density (on the toy it integrates to 0.5), so this term is no "
        "KL: it can be negative, for the decoder N(0.1 z, 0.5) with q proportional to p(x|z) it is -2.302585. The bound "
        "is true, yet it does not follow from the line as written."
    ),
    repair="The third term is E_q[log q(z) - log p(z|x)] = KL(q || p(z|x)), which is never negative.",
    corrections={
        4: Line(
            E(q, log_lik) - E(q, log_q - log_prior) + E(q, log_q - log_post),
            reason="sort into three expectations; p(z|x) stays below",
        )
    },
)


# ------------------------------------------------------------------------------------------- B: KL between Gaussians

NOTE_B1 = Published(
    Derivation(
        "note B1",
        "KL of a diagonal Gaussian to N(0, I)",
        draw=Encoding.draw,
        assumptions="the prior is N(0, I): said only in a comment of the note",
        source=LECTURE_NOTE,
        breaks_at=(1,),
        lines=(
            Line(r"\mathrm{KL}(q(z \mid x) \,\Vert\, p(z))", sum_of_integrals),
            Line(
                r"-\tfrac12 \sum_j \left(1 + \ln\sigma_j^2 + \mu_j^2 - \sigma_j^2\right)",
                wrong_sign_of_the_mean,
                reason="as published: in closed form",
            ),
        ),
        slips=(known(E2, "sign of the mean", 1),),
    ),
    what_is_wrong=(
        "The mean has the wrong sign. At mu = 1, sigma = 1 the formula gives -0.5, a negative divergence, where the KL is "
        "+0.5; at mu = 2, sigma = 0.5 it gives -1.681853 for 2.318147. In the objective it rewards means far from 0 "
        "without limit. At mu = 0 nothing shows."
    ),
    repair="-1/2 sum_j (1 + ln sigma_j^2 - mu_j^2 - sigma_j^2), as in E2.",
    corrections={1: Line(E2.lines[2].formula, reason="a mean away from 0 makes KL larger (E2)")},
)

NOTE_B2 = Published(
    Derivation(
        "note B2",
        "KL between two univariate Gaussians",
        draw=NormalPair.draw,
        source=LECTURE_NOTE,
        breaks_at=(1, 2),
        lines=(
            Line(
                r"\mathrm{KL}(N(\mu_1, \sigma_1^2) \,\Vert\, N(\mu_2, \sigma_2^2))",
                lambda w: by_trapezoid(w.q, log_ratio(w)),
            ),
            Line(
                r"\mathbb{E}_{N(\mu_1, \sigma_1^2)}\left[\tfrac{(z-\mu_2)^2}{2\sigma_2^2} - \tfrac{(z-\mu_1)^2}{2\sigma_1^2}\right]",
                exponents,
                reason="as published: the exponents of both densities",
            ),
            Line(r"\frac{(\mu_1-\mu_2)^2}{2\sigma_2^2}", shift, reason="as published: the expectation, worked out"),
        ),
        slips=(known(E1, "no logarithm", 1), known(E1, "only the mean term", 2)),
    ),
    what_is_wrong=(
        "Line 1 lacks ln(sigma_2 / sigma_1), from the normalizing constants: with equal means and scales (0.5, 1) it is "
        "-0.375, a negative divergence, where the KL is 0.318147; with (2, 1) it is 1.5 for 0.806853. Line 2 drops "
        "sigma_1^2 / (2 sigma_2^2) - 1/2 as well: with equal means it is 0. All three agree only where the scales do."
    ),
    repair="ln(sigma_2 / sigma_1) + (sigma_1^2 + (mu_1 - mu_2)^2) / (2 sigma_2^2) - 1/2, as in E1.",
    corrections={1: E1.lines[2], 2: E1.lines[3]},
)


# ------------------------------------------------------------------------------------ C: the q nearest to the posterior


_QUOTIENTS = (known(F4, "logarithm of the numerator only", 2), known(F4, "quotient of logarithms", 3))


def nearest_q(
    id: str, title: str, relation: str, breaks_at: tuple[int, ...], slips: tuple[Slip, ...] = _QUOTIENTS
) -> Derivation:
    """The published minimization, line by line: under `=`, or under `same_argmin`, as the argmin in front means it."""

    def line(formula: Any, reason: str, value: Any = None) -> Line:
        return Line(formula, value, reason=f"as published: {reason}", relation=relation)

    return Derivation(
        id,
        title,
        draw=CurvedFamily.draw,
        assumptions=ABSOLUTE_CONTINUITY + "; every expectation is under q",
        source=BLOG_POST,
        breaks_at=breaks_at,
        slips=slips,
        lines=(
            Line(KL(q, post)),
            line(E(q, log_q) - E(q, log_post), "definition of KL"),
            line(
                tex(r"\mathbb{E}_{q}[\log q(z)] - \mathbb{E}_{q}\left[\frac{\log p(x \mid z)\,p(z)}{p(x)}\right]"),
                "Bayes' rule",
            ),
            line(
                tex(r"\mathbb{E}_{q}[\log q(z)] - \mathbb{E}_{q}\left[\frac{\log p(z, x)}{\log p(x)}\right]"),
                "the model's joint",
            ),
            line(
                E(q, log_q) - E(q, log_joint) - E(q, log_evidence),
                "expectation is linear",
            ),
            line(E(q, log_q) - E(q, log_joint) - log_evidence, "the mean of a constant"),
        ),
    )


def corrected(line: Line, formula: Term, reason: str) -> Line:
    return replace(line, formula=formula, value=None, reason=reason)


_UNDER_EQUALS = nearest_q(
    "note C1",
    "the q nearest to the posterior, as values",
    "=",
    (2, 3, 4, 5),
    (*_QUOTIENTS, known(F4, "minus log p(x)", 4)),
)
_AS_ARGMIN = nearest_q("note C2", "the q nearest to the posterior, as a search", "same_argmin", (2, 3))

NOTE_C1 = Published(
    _UNDER_EQUALS,
    what_is_wrong=(
        "Line 2 takes the logarithm of the numerator only: on the toy it is 13.855639 for 0.131567. Line 3 turns the "
        "logarithm of a quotient into a quotient of logarithms: -1.858531. Lines 4 and 5 have the right terms and the "
        "wrong sign of log p(x): 3.695744, which is off by 2 log p(x)."
    ),
    repair="The logarithm of the quotient is log p(x,z) - log p(x), and minus a minus is a plus: + log p(x) (F4).",
    corrections={
        2: corrected(
            _UNDER_EQUALS.lines[2],
            E(q, log_q) - E(q, log_lik + log_prior - log_evidence),
            "Bayes' rule: the logarithm of the whole quotient",
        ),
        3: corrected(
            _UNDER_EQUALS.lines[3],
            E(q, log_q) - E(q, log_joint - log_evidence),
            "the logarithm of a quotient is a difference",
        ),
        4: corrected(
            _UNDER_EQUALS.lines[4],
            E(q, log_q) - E(q, log_joint) + E(q, log_evidence),
            "expectation is linear; minus a minus is a plus",
        ),
        5: corrected(
            _UNDER_EQUALS.lines[5],
            E(q, log_q) - E(q, log_joint) + log_evidence,
            "log p(x) does not depend on z",
        ),
    },
)

NOTE_C2 = Published(
    _AS_ARGMIN,
    what_is_wrong=(
        "Lines 2 and 3 have another best q: on the toy the variance that minimizes line 2 is 0.018698, not 1/9, and line "
        "3 has no minimum at all. Lines 4 and 5 have the wrong sign of log p(x), and the same best q as the KL: a search "
        "over q cannot see a constant. So nothing intractable is left to compute; p(x) may be dropped."
    ),
    repair="Drop log p(x) and minimize E_q[log q(z)] - E_q[log p(x,z)], which is minus the bound (F4).",
    corrections={i: replace(NOTE_C1.corrections[i], relation="same_argmin") for i in (2, 3)},
)


# -------------------------------------------------------------------------------------------- D: the posterior, the bound


def at_every_z(log_density: Callable[[CurvedWitness, Array], Any]) -> Callable[[CurvedWitness], Array]:
    """exp of a log-density at 25 points z in [-3, 3]."""

    def value(w: CurvedWitness) -> Array:
        result = log_density(w, np.linspace(-3, 3, 25))
        return np.exp(result.value if isinstance(result, Estimate) else result)

    return value


without_prior = at_every_z(lambda w, z: w.model.log_likelihood(w.x, z) - w.model.log_evidence(w.x))
_NO_PRIOR = Slip(
    1,
    "no prior",
    "It looks like the prior is missing: Bayes' rule has p(x|z) p(z) above.",
    without_prior,
    real="a published note",
)

NOTE_D1 = Published(
    Derivation(
        "note D1",
        "the posterior",
        draw=CurvedWitness.draw,
        assumptions="p(x) > 0",
        source=LECTURE_NOTE,
        breaks_at=(1,),
        lines=(
            Line(r"p(z \mid x) \quad \forall z", at_every_z(lambda w, z: w.model.log_posterior(w.x, z))),
            Line(
                r"\frac{p(x \mid z)}{p(x)} \quad \forall z",
                without_prior,
                reason="as published: the posterior, by normalization",
            ),
        ),
        slips=(_NO_PRIOR,),
    ),
    what_is_wrong=(
        "The prior is missing. On the toy the right-hand side is 3.352557 at z = 0.5, where the posterior is 1.180319, "
        "and it integrates to 2.971126 instead of 1."
    ),
    repair="p(z|x) = p(x|z) p(z) / p(x).",
    corrections={
        1: Line(
            r"\frac{p(x \mid z)\,p(z)}{p(x)} \quad \forall z",
            at_every_z(lambda w, z: w.model.log_joint(w.x, z) - w.model.log_evidence(w.x)),
            reason="Bayes' rule",
        )
    },
)


_OTHER_Q = Slip(
    1,
    "q of another observation",
    "It looks like z is drawn from q(z|x) for another x than the x(i) in the integrand.",
    tex(r"\mathbb{E}_{q'}\left[\log q(z) - \log p(z \mid x)\right], \quad q'(z) = N(z; 0.7 - \tfrac12\mu, \sigma^2)"),
    real="a published note: E under q(z|x) of an integrand at x(i)",
)

NOTE_D2 = Published(
    Derivation(
        "note D2",
        "KL to the posterior and the evidence",
        draw=CurvedWitness.draw,
        assumptions=ABSOLUTE_CONTINUITY + "; E is under q(z|x(i)), where the note writes q(z|x)",
        source=LECTURE_NOTE,
        lines=(
            Line(KL(q, post)),
            Line(E(q, log_q - log_post), reason="as published: definition of KL"),
            Line(E(q, log_q - (log_joint - log_evidence)), reason="as published: Bayes' rule"),
            Line(E(q, log_q - log_joint) + log_evidence, reason="as published: log p(x) leaves the expectation"),
        ),
        slips=(_OTHER_Q,),
    ),
    what_is_wrong=(
        "Nothing, once E is under q(z|x(i)). As written it is under q(z|x) with x(i) inside: for the encoder "
        "N(0.3 x + 0.1, 0.49) and x(i) = 1, drawing z at x = -1 gives 2.464605, where the KL is 0.971952."
    ),
    repair="Write E under q(z|x(i)): the same observation outside and inside.",
)

NOTE_D3 = Published(
    Derivation(
        "note D3",
        "the bound, by adding and subtracting the prior",
        draw=CurvedWitness.draw,
        assumptions=ABSOLUTE_CONTINUITY + "; E is under q(z|x(i)), where the note writes q(z|x)",
        source=LECTURE_NOTE,
        lines=(
            Line(log_evidence),
            Line(KL(q, post) + E(q, -log_q + log_joint), reason="as published: note D2, solved for log p(x)"),
            Line(
                E(q, -log_q + log_joint),
                reason="as published: KL is non-negative",
                relation=">=",
                gap=KL(q, post),
            ),
            Line(
                -E(q, log_q - log_prior + log_prior - log_joint),
                reason="as published: add and subtract log p(z)",
            ),
            Line(-E(q, log_q - log_prior) + E(q, log_joint - log_prior), reason="as published: two expectations"),
            Line(-KL(q, prior) + E(q, log_lik), reason="as published: KL to the prior, and the decoder"),
        ),
    ),
    what_is_wrong="Nothing, once E is under q(z|x(i)). Of the four, this note alone calls the KL non-negative.",
    repair="Write E under q(z|x(i)): the same observation outside and inside.",
)

PUBLISHED = (NOTE_A, NOTE_B1, NOTE_B2, NOTE_C1, NOTE_C2, NOTE_D1, NOTE_D2, NOTE_D3)
