r"""Exercises to notebook 05: the evidence lower bound."""

from __future__ import annotations

from vaelib.ledger import F1, F2, F4, F6
from vaelib.task import Compute, Derive, Mistake
from vaelib.terms import KL, E, log_evidence, log_joint, log_lik, log_q, post, prior, q
from vaelib.witnesses import CurvedWitness

BOUND = E(q, log_lik) - KL(q, prior)

TO_THE_BOUND = Derive(
    id="05.1",
    title="From the evidence to the bound",
    level="core",
    minutes=15,
    name="to_the_bound",
    start=log_evidence,
    goal=BOUND,
    relation=">=",
    draw=CurvedWitness.draw,
    known=(F1, F2, F6),
    mistakes=(
        Mistake.of(
            F1,
            "KL to p(x|z)",
            next="Go back to Bayes' rule: which density is in the denominator, and does it stay there?",
        ),
        Mistake.of(
            F2,
            "plus KL to the prior",
            E(q, log_lik) + KL(q, prior),
            next="Write out the minus in front of the bracket, logarithm by logarithm.",
        ),
        Mistake.of(F1, "no prior in the joint"),
    ),
    hints=(
        "log p(x) does not depend on z. Under which law may you take its expectation without changing it?",
        "Which rule writes log p(x) with the joint and the posterior? What may be added and subtracted next?",
        "Sort the terms into two KLs and an expectation. Which KL contains the posterior, and what is its sign?",
    ),
    next="Which terms do this line and the one above it not share? Change one of them at a time.",
)

FIND_THE_SLIP = Compute(
    id="05.2",
    title="Which line is the first that is broken?",
    level="warm-up",
    minutes=5,
    name="broken_line",
    truth=3,
    choices=(1, 2, 3, 4),
    mistakes=(
        Mistake(
            "the conclusion",
            "the conclusion was blamed: it does not follow, but it is not the first line that fails.",
            4,
            next="Go up from there, and compare each pair of lines, term by term.",
        ),
        Mistake(
            "Bayes' rule",
            "Bayes' rule was blamed: p(x) = p(x|z) p(z) / p(z|x) holds at every z.",
            1,
        ),
        Mistake(
            "adding zero",
            "the added and subtracted log q(z) was blamed: together they are zero.",
            2,
        ),
    ),
    hints=(
        "Which of the lines could be checked with numbers?",
        "Bayes' rule put a density into a denominator. Which one, and does it stay there?",
        "Take the terms of each line one by one: which of them has no partner in the line above?",
    ),
    next='Type the lines as terms, and give the list to `check("05.1", lines)`: where does it stop?',
)

REPAIR = Derive(
    id="05.3",
    title="Repair a published derivation, and finish it",
    level="stretch",
    minutes=18,
    name="repaired",
    start=KL(q, post),
    goal=log_evidence - BOUND,
    relation="=",
    draw=CurvedWitness.draw,
    least=5,
    known=(F4, F1),
    mistakes=(
        Mistake(
            "minus log p(x)",
            "log p(x) has the wrong sign: Bayes' rule divides by p(x), and the minus before that makes a plus.",
            E(q, log_q) - E(q, log_joint) - log_evidence,
            next="Write the bracket out, log p(x,z) - log p(x), and then take it away, term by term.",
            real="a published note",
        ),
        Mistake(
            "no prior",
            "the prior is missing: Bayes' rule has p(x|z) p(z) above.",
            E(q, log_q) - E(q, log_lik) + log_evidence,
            real="a published note",
        ),
        Mistake(
            "p(x|z) for the posterior",
            "p(x|z) was put where the posterior p(z|x) belongs: that is not a KL to a density in z.",
            E(q, log_q - log_lik),
            real="a published note, third term",
        ),
        Mistake(
            "log p(x) dropped",
            "log p(x) was dropped: a search over q does not notice, but the value does.",
            E(q, log_q - log_joint),
            next="Keep it to the end: it is half of the goal.",
        ),
        Mistake(
            "average under the posterior",
            "KL(p(z|x) || q): here the average is under q, the first argument.",
            KL(post, q),
        ),
        Mistake(
            "minus did not reach the price",
            "the minus in front of the bound reached its first term only.",
            log_evidence - E(q, log_lik) - KL(q, prior),
            next="Put the bound in brackets, and subtract both of its terms.",
        ),
        Mistake(
            "bound minus evidence",
            "the difference is turned around: log p(x) lies above the bound, and a KL is not negative.",
            BOUND - log_evidence,
        ),
        Mistake(
            "log q added",
            "log q(z) has the wrong sign: KL(q || p) averages log q - log p.",
            -E(q, log_q) - E(q, log_joint) + log_evidence,
        ),
    ),
    hints=(
        "Where does the logarithm of the published line 2 end, and where should it end?",
        "The logarithm of a quotient is a difference, and it has a minus in front. Which sign has log p(x) then?",
        "Split log p(x,z) by the product rule. Which two terms make a KL to the prior, and what is left?",
    ),
    next="By which terms do this line and the one above it differ, and which rule makes one of the other?",
)

TASKS = (TO_THE_BOUND, FIND_THE_SLIP, REPAIR)
