r"""Derivations as they were published, line by line, with the lines at which they break. Kept apart from the ledger.

The formulas are those of three lecture notes and a blog post, in the letters of this course; the reasons are put in our
own words. Each comes with what
is wrong, in numbers, and with the corrected lines: `published.repaired` is the chain with these put in, and it holds.

In the numbers, "the toy" is z ~ N(0, 1), x | z ~ N(2 z, 0.5), x = 1, q = N(0.3, 0.4^2): log p(x) = -1.782088,
KL(q || p(z|x)) = 0.131567.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vaelib.derivation import Derivation, Line, Slip, derive
from vaelib.ledger.e_gaussian import E1, E2, Encoding, exponents, shift, wrong_sign_of_the_mean
from vaelib.ledger.f_elbo import ABSOLUTE_CONTINUITY, F2, F4
from vaelib.terms import KL, E, given, log_evidence, log_joint, log_lik, log_post, log_prior, log_q, post, prior, q, tex
from vaelib.witnesses import CurvedFamily, CurvedWitness, NormalPair

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
    """A slip of the ledger, at the line where a publication makes it: the report then says what it looks like."""
    return replace(derivation.known_slip(name), line=line)


# ----------------------------------------------------------------------------------- A: the bound by multiplying by q/q

NOTE_A = Published(
    derive(
        "note A",
        "the bound, by multiplying by q/q",
        CurvedWitness.draw,
        assumptions=ABSOLUTE_CONTINUITY,
        source=LECTURE_NOTE,
    )
    .start(log_evidence)
    .eq(E(q, log_evidence), "as published: an average of what does not depend on z")
    .eq(E(q, log_lik + log_prior - log_post), "as published: Bayes' rule")
    .eq(E(q, log_lik + log_prior - log_post + log_q - log_q), "as published: multiply by q/q in the logarithm")
    .eq(
        E(q, log_lik) - E(q, log_q - log_prior) + E(q, log_q - log_lik),
        "as published: three terms",
        breaks=True,
    )
    .slip_of(F2, "p(x|z) in the third term")
    .ge(E(q, log_lik) - KL(q, prior), "as published: the third term is not negative"),
    what_is_wrong=(
        "In the third term p(x|z) takes the place of p(z|x) in the line above. On the toy the right-hand side is "
        "-1.043939, not -1.782088. As a function of z, p(x|z) is not a density (on the toy it integrates to 0.5), so this "
        "term is not a KL: it can be negative, for the decoder N(0.1 z, 0.5) with q proportional to p(x|z) it is "
        "-2.302585. The bound is true, yet it does not follow from the line as written."
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
    derive(
        "note B1",
        "KL of a diagonal Gaussian to N(0, I)",
        Encoding.draw,
        assumptions="the prior is N(0, I): said only in a comment of the note",
        source=LECTURE_NOTE,
    )
    .start(given(r"\mathrm{KL}(q(z \mid x) \,\Vert\, p(z))", E2.lines[0].evaluate), why="by the integrals of E2")
    .eq(wrong_sign_of_the_mean, "as published: in closed form", breaks=True)
    .slip_of(E2, "sign of the mean"),
    what_is_wrong=(
        "The mean has the wrong sign. At mu = 1, sigma = 1 the formula gives -0.5, a negative divergence, where the KL is "
        "+0.5; at mu = 2, sigma = 0.5 it gives -1.681853 for 2.318147. In the objective it rewards means far from 0 "
        "without limit. At mu = 0 nothing shows."
    ),
    repair="-1/2 sum_j (1 + ln sigma_j^2 - mu_j^2 - sigma_j^2), as in E2.",
    corrections={1: Line(E2.lines[2].formula, reason="a mean away from 0 makes KL larger (E2)")},
)

NOTE_B2 = Published(
    derive("note B2", "KL between two univariate Gaussians", NormalPair.draw, source=LECTURE_NOTE)
    .start(tex(r"\mathrm{KL}(N(\mu_q, \sigma_q^2) \,\Vert\, N(\mu_p, \sigma_p^2))"))
    .eq(exponents, "as published: the exponents of both densities", breaks=True)
    .slip_of(E1, "no logarithm")
    .eq(shift, "as published: the expectation, worked out", breaks=True)
    .slip_of(E1, "only the mean term"),
    what_is_wrong=(
        "Line 1 lacks ln(sigma_p / sigma_q), from the normalizing constants: with equal means and scales (0.5, 1) it is "
        "-0.375, a negative divergence, where the KL is 0.318147; with (2, 1) it is 1.5 for 0.806853. Line 2 drops "
        "sigma_q^2 / (2 sigma_p^2) - 1/2 as well: with equal means it is 0. All three agree only where the scales do."
    ),
    repair="ln(sigma_p / sigma_q) + (sigma_q^2 + (mu_q - mu_p)^2) / (2 sigma_p^2) - 1/2, as in E1.",
    corrections={1: E1.lines[2], 2: E1.lines[3]},
)


# ------------------------------------------------------------------------------------ C: the q nearest to the posterior


def nearest_q(id: str, title: str, relation: str) -> Derivation:
    """The published minimization up to line 3: under `=`, or under `same_argmin`, as the argmin in front means it."""
    return (
        derive(
            id,
            title,
            CurvedFamily.draw,
            assumptions=ABSOLUTE_CONTINUITY + "; every expectation is under q",
            source=BLOG_POST,
        )
        .start(KL(q, post))
        .line(relation, E(q, log_q) - E(q, log_post), "as published: definition of KL")
        .line(
            relation,
            tex(r"\mathbb{E}_{q}[\log q(z)] - \mathbb{E}_{q}\left[\frac{\log p(x \mid z)\,p(z)}{p(x)}\right]"),
            "as published: Bayes' rule",
            breaks=True,
        )
        .slip_of(F4, "logarithm of the numerator only")
        .line(
            relation,
            tex(r"\mathbb{E}_{q}[\log q(z)] - \mathbb{E}_{q}\left[\frac{\log p(z, x)}{\log p(x)}\right]"),
            "as published: the model's joint",
            breaks=True,
        )
        .slip_of(F4, "quotient of logarithms")
    )


by_linearity = E(q, log_q) - E(q, log_joint) - E(q, log_evidence), "as published: expectation is linear"
without_expectation = E(q, log_q) - E(q, log_joint) - log_evidence, "as published: the mean of a constant"

NOTE_C1 = Published(
    nearest_q("note C1", "the q nearest to the posterior, as values", "=")
    .eq(*by_linearity, breaks=True)
    .slip_of(F4, "minus log p(x)")
    .eq(*without_expectation, breaks=True),
    what_is_wrong=(
        "Line 2 takes the logarithm of the numerator only: on the toy it is 13.855639 for 0.131567. Line 3 turns the "
        "logarithm of a quotient into a quotient of logarithms: -1.858531. Lines 4 and 5 have the right terms and the "
        "wrong sign of log p(x): 3.695744, which is off by 2 log p(x)."
    ),
    repair="The logarithm of the quotient is log p(x,z) - log p(x), and minus a minus is a plus: + log p(x) (F4).",
    corrections={
        2: Line(
            E(q, log_q) - E(q, log_lik + log_prior - log_evidence),
            reason="Bayes' rule: the logarithm of the whole quotient",
        ),
        3: Line(E(q, log_q) - E(q, log_joint - log_evidence), reason="the logarithm of a quotient is a difference"),
        4: Line(
            E(q, log_q) - E(q, log_joint) + E(q, log_evidence),
            reason="expectation is linear; minus a minus is a plus",
        ),
        5: Line(E(q, log_q) - E(q, log_joint) + log_evidence, reason="log p(x) does not depend on z"),
    },
)

NOTE_C2 = Published(
    nearest_q("note C2", "the q nearest to the posterior, as a search", "same_argmin")
    .same_argmin(*by_linearity)
    .same_argmin(*without_expectation),
    what_is_wrong=(
        "Lines 2 and 3 have another best q: on the toy the variance that minimizes line 2 is 0.018698, not 1/9, and line "
        "3 has no minimum at all. Lines 4 and 5 have the wrong sign of log p(x), and the same best q as the KL: a search "
        "over q cannot see a constant. So nothing intractable is left to compute; p(x) may be dropped."
    ),
    repair="Drop log p(x) and minimize E_q[log q(z)] - E_q[log p(x,z)], which is minus the bound (F4).",
    corrections={i: replace(NOTE_C1.corrections[i], relation="same_argmin") for i in (2, 3)},
)


# -------------------------------------------------------------------------------------------- D: the posterior, the bound

without_prior = tex(r"\frac{p(x \mid z)}{p(x)} \quad \forall z")

NOTE_D1 = Published(
    derive("note D1", "the posterior", CurvedWitness.draw, assumptions="p(x) > 0", source=LECTURE_NOTE)
    .start(tex(r"p(z \mid x) \quad \forall z"))
    .eq(without_prior, "as published: the posterior, by normalization", breaks=True)
    .slip(
        "no prior",
        without_prior,
        "the prior is missing: Bayes' rule has p(x|z) p(z) above.",
        real="a published note",
    ),
    what_is_wrong=(
        "The prior is missing. On the toy the right-hand side is 3.352557 at z = 0.5, where the posterior is 1.180319, "
        "and it integrates to 2.971126 instead of 1."
    ),
    repair="p(z|x) = p(x|z) p(z) / p(x).",
    corrections={1: Line(tex(r"\frac{p(x \mid z)\,p(z)}{p(x)} \quad \forall z"), reason="Bayes' rule")},
)

SAME_X = "Write E under q(z|x(i)): the same observation outside and inside."

NOTE_D2 = Published(
    derive(
        "note D2",
        "KL to the posterior and the evidence",
        CurvedWitness.draw,
        assumptions=ABSOLUTE_CONTINUITY + "; E is under q(z|x(i)), where the note writes q(z|x)",
        source=LECTURE_NOTE,
    )
    .start(KL(q, post))
    .eq(E(q, log_q - log_post), "as published: definition of KL")
    .slip(
        "q of another observation",
        tex(
            r"\mathbb{E}_{q'}\left[\log q(z) - \log p(z \mid x)\right],"
            r"\quad q'(z) = N(z; 0.7 - \tfrac12\mu, \sigma^2)"
        ),
        "z is drawn from q(z|x) for another x than the x(i) in the integrand.",
        real="a published note: E under q(z|x) of an integrand at x(i)",
    )
    .eq(E(q, log_q - (log_joint - log_evidence)), "as published: Bayes' rule")
    .eq(E(q, log_q - log_joint) + log_evidence, "as published: log p(x) leaves the expectation"),
    what_is_wrong=(
        "Nothing, once E is under q(z|x(i)). As written it is under q(z|x) with x(i) inside: for the encoder "
        "N(0.3 x + 0.1, 0.49) and x(i) = 1, drawing z at x = -1 gives 2.464605, where the KL is 0.971952."
    ),
    repair=SAME_X,
)

NOTE_D3 = Published(
    derive(
        "note D3",
        "the bound, by adding and subtracting the prior",
        CurvedWitness.draw,
        assumptions=ABSOLUTE_CONTINUITY + "; E is under q(z|x(i)), where the note writes q(z|x)",
        source=LECTURE_NOTE,
    )
    .start(log_evidence)
    .eq(KL(q, post) + E(q, -log_q + log_joint), "as published: note D2, solved for log p(x)")
    .ge(E(q, -log_q + log_joint), "as published: KL is non-negative", gap=KL(q, post))
    .eq(-E(q, log_q - log_prior + log_prior - log_joint), "as published: add and subtract log p(z)")
    .eq(-E(q, log_q - log_prior) + E(q, log_joint - log_prior), "as published: two expectations")
    .eq(-KL(q, prior) + E(q, log_lik), "as published: KL to the prior, and the decoder"),
    what_is_wrong="Nothing, once E is under q(z|x(i)). Of the four, this note alone calls the KL non-negative.",
    repair=SAME_X,
)

PUBLISHED = (NOTE_A, NOTE_B1, NOTE_B2, NOTE_C1, NOTE_C2, NOTE_D1, NOTE_D2, NOTE_D3)
