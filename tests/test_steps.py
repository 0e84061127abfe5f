"""A line that adds and takes off the same again is no step of a derivation; a rule that is applied is one."""

from __future__ import annotations

from itertools import pairwise

import pytest

from vaelib.ledger import LEDGER
from vaelib.terms import Term, log_evidence, parse, same_step


@pytest.mark.parametrize(
    "padded",
    [
        "2 * log_evidence - log_evidence",
        "log_evidence + 0.005 - 0.005",
        "log_evidence + 0 * KL(q, prior)",
        "KL(q, post) - KL(q, post) + log_evidence",
        "3 * log_evidence / 3",
    ],
)
def test_padding_is_no_step(padded: str) -> None:
    assert same_step(log_evidence, parse(padded)) and same_step(parse(padded), log_evidence)


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ("E(q, log_lik) - KL(q, prior)", "-KL(q, prior) + E(q, log_lik)"),
        ("E(q, log_lik + log_prior)", "E(q, log_prior + log_lik)"),
        ("E(q, log_lik)", "E(q, 2 * log_lik - log_lik)"),
        ("log_E(q, log_joint - log_q)", "log_E(q, log_joint - 2 * log_q + log_q)"),
        ("E(q, E(post, log_lik))", "E(q, E(post, log_lik + log_q - log_q))"),
        ("for_all_z(log_joint)", "for_all_z(log_joint + log_q - log_q)"),
        ("0.1 * log_lik + 0.2 * log_lik", "0.3 * log_lik"),
        ("E(q, log_lik + 1)", "E(q, 1 + log_lik)"),
    ],
)
def test_order_and_padding_inside_do_not_count(above: str, below: str) -> None:
    assert same_step(parse(above), parse(below))


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ("log_joint", "log_lik + log_prior"),
        ("KL(q, prior)", "E(q, log_q) - E(q, log_prior)"),
        ("E(q, log_lik + log_prior)", "E(q, log_lik) + E(q, log_prior)"),
        ("H(q)", "-E(q, log_q)"),
        ("KL(q, prior)", "KL(prior, q)"),
        ("E(q, log_evidence)", "log_evidence"),
        ("log_evidence", "log_evidence + 0.005"),
        ("log_evidence", "2 * log_evidence"),
        ("E(q, log_lik)", "E(post, log_lik)"),
        ("E(q, log_lik)", "E(q, 2 * log_lik)"),
        ("E(q, log_lik)", "log_E(q, log_lik)"),
    ],
)
def test_rewriting_is_a_step(above: str, below: str) -> None:
    assert not same_step(parse(above), parse(below))


def test_lines_of_the_ledger_are_steps() -> None:
    """All but two: F1 and F2 put log q - log q into an expectation, in order to split it on the line below."""
    repeated = [
        derivation.id
        for derivation in LEDGER.values()
        for above, below in pairwise(derivation.lines)
        if isinstance(above.formula, Term) and isinstance(below.formula, Term)
        if same_step(above.formula, below.formula)
    ]
    assert repeated == ["F1", "F2"]
