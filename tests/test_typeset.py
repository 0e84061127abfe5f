r"""Answers in LaTeX: formulas and derivations, in the notebook and as the text that crosses to the grader."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from vaelib.formula import Scope, tex
from vaelib.grade import wire
from vaelib.judge import NOT_ATTEMPTED, NOT_YET, Feedback, judge
from vaelib.reply import Answer, NoReply, Reply
from vaelib.tasks import task
from vaelib.typeset import MOST, Typeset, collected, read
from vaelib.values import LONGEST_FORMULA

CLOSED = r"\log\frac{\sigma_p}{\sigma_q} + \frac{\sigma_q^2 + (\mu_q - \mu_p)^2}{2\sigma_p^2} - \frac12"
ENCODER = r"-\frac12 \sum_j (1 + \log \sigma_j^2 - \mu_j^2 - \sigma_j^2)"
FULL = (
    r"\frac12\left( \mathrm{tr}(\Sigma_p^{-1}\Sigma_q) + (\mu_p - \mu_q)^\top \Sigma_p^{-1} (\mu_p - \mu_q) - k"
    r" + \log\frac{\det \Sigma_p}{\det \Sigma_q} \right)"
)
BOUND = r"""
\begin{aligned}
\log p(x) &= \mathbb{E}_{q}[\log p(x, z) - \log p(z \mid x)] \\
&= \mathbb{E}_{q}[\log p(x, z) - \log q(z)] + \mathrm{KL}(q \,\Vert\, p(z \mid x)) \\
&\ge \mathbb{E}_{q}[\log p(x, z) - \log q(z)] \\
&= \mathbb{E}_{q}[\log p(x \mid z)] - \mathrm{KL}(q \,\Vert\, p(z))
\end{aligned}
"""
REPAIRED = [
    r"\mathrm{KL}(q \Vert p(z \mid x))",
    r"= \mathbb{E}_{q}[\log q(z) - \log p(z \mid x)]",
    r"= \mathbb{E}_{q}[\log q(z) - \log p(x, z) + \log p(x)]",
    r"= \log p(x) - \mathbb{E}_{q}[\log p(x \mid z)] + \mathbb{E}_q[\log q(z) - \log p(z)]",
    r"= \log p(x) - (\mathbb{E}_{q}[\log p(x \mid z)] - \mathrm{KL}(q \Vert p(z)))",
]


class ByWire:
    """An answer in another process: what it says is encoded, and decoded again."""

    def __init__(self, content: Any) -> None:
        self.answer = Answer(content)

    def ask(self, arguments: dict[str, Any]) -> Reply:
        header, payload = wire.packed_reply(self.answer.ask(arguments))
        return wire.unpacked_reply(json.loads(json.dumps(header)), payload)

    def lines(self) -> list[tuple[str, str]]:
        return wire.unpacked_lines(json.loads(json.dumps({"lines": self.answer.lines()})), b"")


def verdict(id: str, content: Any) -> Feedback:
    return judge(task(id), ByWire(content))


RIGHT = {
    "04.1": [CLOSED, CLOSED.replace(r"\frac12", "0.5"),
             r"\tfrac12 (\sigma_q^2/\sigma_p^2 - 1) - \log(\sigma_q/\sigma_p) + (\mu_q - \mu_p)^2/(2 \sigma_p^2)"],
    "04.2": [ENCODER, r"\frac12 \sum_{i=1}^k (\mu_i^2 + \sigma_i^2 - 1 - 2 \log \sigma_i)"],
    "04.4": [FULL],
    "05.1": [BOUND, BOUND.replace(r"\begin{aligned}", "").replace(r"\end{aligned}", ""),
             [r"\log p(x)", r"= \mathbb{E}_q[\log p(x, z) - \log p(z \mid x)]",
              (">=", r"\mathbb{E}_q[\log p(x, z) - \log q(z)]", "Jensen"),
              r"\mathbb{E}_q[\log p(x \mid z)] - \mathrm{KL}(q \Vert p(z))"]],
    "05.3": [REPAIRED, "\n".join(REPAIRED)],
}  # fmt: skip


@pytest.mark.parametrize("id, content", [(id, content) for id, contents in RIGHT.items() for content in contents])
def test_a_right_answer_in_latex_is_right(id: str, content: Any) -> None:
    assert verdict(id, content).right


@pytest.mark.parametrize("id, content", [("04.1", CLOSED), ("04.1", "\\frac{"), ("05.1", BOUND)])
def test_the_verdict_is_the_same_in_the_notebook(id: str, content: Any) -> None:
    assert judge(task(id), Answer(content)) == verdict(id, content)


def test_latex_and_terms_may_stand_in_one_derivation() -> None:
    from vaelib.terms import KL, E, log_evidence, log_joint, log_lik, log_q, prior, q

    exact = r"\mathbb{E}_q[\log p(x, z) - \log q(z)] + \mathrm{KL}(q \Vert p(z \mid x))"
    mixed = [log_evidence, exact, (">=", E(q, log_joint - log_q))]
    assert verdict("05.1", [*mixed, E(q, log_lik) - KL(q, prior)]).right


def test_a_known_mistake_in_latex_is_named() -> None:
    said = verdict("04.1", CLOSED.replace(r"\log\frac{\sigma_p}{\sigma_q} + ", ""))
    assert said.state == NOT_YET and said.mistake == "no logarithm"
    said = verdict("05.1", BOUND.replace(r" - \mathrm{KL}(q \,\Vert\, p(z))", r" + \mathrm{KL}(q \,\Vert\, p(z))"))
    assert said.state == NOT_YET and "Line 4 does not follow from line 3" in "\n".join(said.lines)


WRONG = {
    "unread": ("04.1", r"\frac{\sigma_p}{", "cannot be read"),
    "a name": ("04.1", r"\log \sigma_r", "no value"),
    "a machine for it": ("04.1", r"\mathrm{KL}(N(\mu_q, \sigma_q^2) \Vert N(\mu_p, \sigma_p^2))", "formula of numbers"),
    "no function": ("04.3", r"\mu_p + \sigma_p", "which this exercise does not read"),
    "no line": ("05.1", r"\log p(x)", "got 1 line"),
    "an unread line": ("05.1", BOUND.replace(r"\log q(z)", r"\log q(z"), "cannot be read"),
    "an odd relation": ("05.1", BOUND.replace(r"\ge", r"\approx"), "expected one of"),
    "a long line": ("05.1", [r"\log p(x)", r"\log p(x)" + r"+ \log p(x)" * 300], "fewer than"),
    "too long": ("05.1", r"\log p(x) = " * 300 + "0", "at most"),
    "padding": ("05.3", [REPAIRED[0], REPAIRED[-1] + r" + \log q(z) - \log q(z)", REPAIRED[-1]], "no value"),
    "reordered": (
        "05.3",
        [REPAIRED[0], r"\mathrm{KL}(q \Vert p(z \mid x)) + \log p(x) - \log p(x)",
         r"-\mathbb{E}_{q}[\log p(x \mid z)] + \log p(x) + \mathrm{KL}(q \Vert p(z))", REPAIRED[-1]],
        "at least 5 lines",
    ),
    "a bomb": (
        "05.1",
        [r"\log p(x)", r"\mathbb{E}_q[\mathbb{E}_q[\mathbb{E}_q[\log p(x \mid z)]]]"],
        "inside each other",
    ),
    "a long sum": ("04.1", r"\sum_{i=1}^{1000000000} \sigma_q", "up to a name"),
    "brackets": ("04.1", r"\log" + "(" * 900, "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("id, content, sentence", WRONG.values(), ids=list(WRONG))
def test_what_is_wrong_with_latex_is_said(id: str, content: Any, sentence: str) -> None:
    said = verdict(id, content)
    assert said.state == NOT_YET and sentence in "\n".join(said.lines)


def test_nothing_typed_is_no_answer() -> None:
    assert verdict("05.1", "").state == NOT_ATTEMPTED and verdict("05.1", [r"\log p(x)", ...]).state == NOT_ATTEMPTED


def test_what_crosses_has_a_bound() -> None:
    header, payload = wire.packed_reply(Answer("\\" * 5000).ask({"a": 1.0}))
    assert len(header["word"]) <= LONGEST_FORMULA and isinstance(wire.unpacked_reply(header, payload).value, str)
    assert len(wire.unpacked_reply({"word": "\\" * 10**6}, b"").value) <= 2 * LONGEST_FORMULA
    with pytest.raises(ValueError, match="parts"):
        read(" + ".join(["a"] * (MOST + 1)))


def test_a_word_and_a_number_stay_what_they_are() -> None:
    typeset = Typeset(Answer(lambda a: "word"), None)
    assert typeset.ask({"a": 1.0}).value == "word" and Typeset(Answer(3.0)).ask({}).value == 3.0
    with pytest.raises(NoReply, match="Expected a function"):
        Typeset(Answer("word"), lambda a: Scope()).ask({"a": 1.0})


def test_a_formula_is_evaluated_on_the_arguments() -> None:
    ask = Typeset(Answer(r"\alpha + 2"), lambda a: Scope({r"\alpha": a})).ask
    assert ask({"a": 1.5}).value == 3.5
    several = Typeset(Answer(r"\alpha + 2"), lambda a: [Scope({r"\alpha": each}) for each in a]).ask
    assert np.array_equal(several({"a": np.array([1.0, 2.0])}).value, [3.0, 4.0])


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("a + b", "b + a", True),
        ("a - (b - c)", "a + c - b", True),
        ("2 a - a", "a", True),
        (r"\mathbb{E}_q[f - g]", r"\mathbb{E}_q[-g + f]", True),
        (r"\mathbb{E}_q[f]", r"\mathbb{E}_q[g]", False),
        ("a + b", "a - b", False),
    ],
)
def test_order_and_padding_do_not_count(one: str, other: str, same: bool) -> None:
    assert (collected(tex(one)) == collected(tex(other))) is same
