r"""Exercises to notebook 05: the evidence lower bound."""

from __future__ import annotations

from vaelib.ledger import F1, F2, F6
from vaelib.task import Compute, Derive, Mistake
from vaelib.terms import KL, E, log_evidence, log_lik, prior, q
from vaelib.witnesses import CurvedWitness

TO_THE_BOUND = Derive(
    id="05.1",
    title="From the evidence to the bound",
    level="core",
    minutes=15,
    name="to_the_bound",
    start=log_evidence,
    goal=E(q, log_lik) - KL(q, prior),
    relation=">=",
    draw=CurvedWitness.draw,
    known=(F1, F2, F6),
    hints=(
        "log p(x) does not depend on z. Under which law may you take its expectation without changing it?",
        "Which rule writes log p(x) with the joint and the posterior? What may be added and subtracted next?",
        "Sort the terms into two KLs and an expectation. Which KL contains the posterior, and what is its sign?",
    ),
    next="Evaluate this line and the one above it on the toy, and move one term at a time.",
)

FIND_THE_SLIP = Compute(
    id="05.2",
    title="Which line is broken?",
    level="warm-up",
    minutes=5,
    name="broken_line",
    truth=3,
    mistakes=(
        Mistake(
            "the conclusion",
            "It looks like the conclusion was blamed: it is true, but it does not follow from the line above.",
            4,
        ),
    ),
    hints=(
        "Which of the lines could be checked with numbers?",
        "Bayes' rule put a density into a denominator. Which one, and does it stay there?",
        "Compare the third term with the line above it, letter by letter: what changed besides the order?",
    ),
    next="Type the lines as terms, and let a check compare them.",
)

TASKS = (TO_THE_BOUND, FIND_THE_SLIP)
