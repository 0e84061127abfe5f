"""The verdict on a derivation that a student typed: the first line that does not begin, follow, compose or arrive."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from vaelib.agreement import LOOKS_LIKE, close
from vaelib.derivation import Derivation, Line
from vaelib.derivation.compare import Verdict, compose
from vaelib.derivation.report import Row
from vaelib.feedback import UNDECIDED, Feedback, looks_like, not_yet, right
from vaelib.formula import Node, Unreadable, tex
from vaelib.nearest import Repairs, repairs
from vaelib.quadrature import DoesNotConverge
from vaelib.reply import Respondent
from vaelib.task import Derive, Mistake
from vaelib.terms import Term, parse, same_step
from vaelib.typeset import collected, read, shows_a_gap
from vaelib.values import one_line

WITNESSES = 6  # on which a change must hold


def derived(task: Derive, answer: Respondent, seed: int) -> Feedback:
    typed = answer.lines()
    if len(typed) < 2:
        count = f"{len(typed)} line" + "s" * (len(typed) != 1)
        return not_yet(f"Expected a list of lines, but got {count}.", then=f"Begin with {task.start.spelled}.")
    lines = []
    for index, (relation, text) in enumerate(typed):
        try:
            lines.append(Line(read(text[1:]) if text.startswith("$") else parse(text), relation=relation))
        except ValueError as error:
            return not_yet(f"Line {index} is not a term.", one_line(str(error), 400), then=task.next)
    return _on_the_way(task, lines, seed)


LAWS = ("E q", "E prior", "E post")
TURNED = {">=": "<=", "<=": ">=", ">": "<", "<": ">"}


def _on_the_way(task: Derive, lines: list[Line], seed: int) -> Feedback:
    """The first line that does not begin where it should, follow, compose, or arrive."""
    chain = Derivation(task.id, task.title, task.draw, (Line(task.start), *lines))
    report = chain.check(8, seed)
    if report.verdict is Verdict.INCONCLUSIVE:
        report = chain.check(32, seed + 1)  # more witnesses, among them some that decide
    for index, row in enumerate(report.rows[1:]):
        if compose([line.relation for line in lines[: index + 1]]) is None:
            then = "A bound downwards and then one upwards: together the two say nothing."
            return not_yet(f"Line {index} does not compose with the lines above it.", then=then)
        if row.verdict is Verdict.HOLDS:
            continue
        if row.verdict is Verdict.INCONCLUSIVE:
            where = f"Line {index}: the check could not decide, its own error is too large."
            return Feedback(UNDECIDED, ("Undecided.", where, "This does not count against you."))
        if row.shown is None:
            return not_yet(
                f"Line {index} has no value.",
                row.note.removeprefix("ill-typed: ").removeprefix("no value: "),
                then=task.next,
            )
        above = f"line {index - 1}" if index else "the given start"
        where = f"Line {index} does not follow from {above}: {_values(report.rows, index)}"
        against = compose([lines[index].relation, task.relation]) is None  # the goal's own direction
        if index and against and _holds_turned(task, lines[index - 1 : index + 1], seed):
            means = f"It follows with the sign turned, {TURNED[lines[index].relation]!r}."
            return not_yet(where, means, then="Which of the two lines is larger, and by what?")
        mistake = _known_line(task, lines[index], seed)
        if mistake is None:
            found = _nearest(task, [Line(task.start), *lines], index + 1, seed)
            if found.only is None:
                return not_yet(where, then=task.next)
            change = f"in line {index}, `{found.only.old.plain}` becomes `{found.only.new.plain}`"
            return replace(not_yet(where, means=found.hint, then=task.next), nearest=found.only.kind, change=change)
        return looks_like(mistake, task, where)
    return _arrival(task, lines, seed)


def _nearest(task: Derive, lines: list[Line], at: int, seed: int) -> Repairs:
    """The one change that makes a line equal to the one above it; none for an inequality, which many would satisfy."""
    line, above = lines[at], lines[at - 1]
    formulas = [_formula(each.formula) for each in [*lines, Line(task.goal)]]
    wrong = formulas[at]
    if line.relation != "=" or wrong is None:
        return Repairs((), 0)
    witnesses = [task.draw(np.random.default_rng([seed, i])) for i in range(WITNESSES)]
    others = [formula for i, formula in enumerate(formulas) if i != at and formula is not None]
    return repairs(wrong, above.evaluate, witnesses, others)


def _formula(line: Any) -> Node | None:
    """A line as a tree, whether it was typed as a term or in LaTeX; None if it cannot be read."""
    try:
        return line if isinstance(line, Node) else tex(line.latex)
    except Unreadable:
        return None


def _holds_turned(task: Derive, pair: list[Line], seed: int) -> bool:
    """Does the second line follow from the first with the other inequality?"""
    above, line = pair
    if line.relation not in TURNED:
        return False
    turned = replace(line, relation=TURNED[line.relation])
    return Derivation(task.id, "turned", task.draw, (Line(above.formula), turned)).check(8, seed).holds


def _arrival(task: Derive, lines: list[Line], seed: int) -> Feedback:
    """Begins and ends as the exercise is printed, with enough lines between, and a relation that is the goal's."""
    if not _has_form_of(lines[0], task.start):
        begin = f"Line 0 is worth as much as the start, but it should be {task.start.spelled}."
        return not_yet(begin, then="Type the start as it is given, and go on from there, one rule a line.")
    end = Derivation(task.id, "arrival", task.draw, (Line(task.goal), Line(lines[-1].formula)))
    if not end.check(8, seed).holds:
        return not_yet(
            "Every line follows, but the last one is not the goal.",
            f"The goal is {task.goal.spelled}.",
            then="Which term is still to be rewritten, or dropped?",
        )
    if not _has_form_of(lines[-1], task.goal):
        return not_yet(
            f"Every line follows, and the last one is worth as much as the goal. It should be {task.goal.spelled}.",
            then="Add a line that ends in that form: which rule or definition leads there?",
        )
    count = len(_steps(task, lines)) + 2
    if count < task.least:
        then = "Which rule leads from one line to the next? Write down what it changes."
        few = f"Expected at least {task.least} lines that differ, one rule each, but got {count}."
        return not_yet(f"Every line follows. {few}", then=then)
    for index, (above, line) in enumerate(pairwise(lines), start=1):
        if line.relation == "=" or _shows_a_gap(above.formula):
            continue
        if not Derivation(task.id, "loses", task.draw, (Line(above.formula), Line(line.formula))).check(8, seed).holds:
            then = "Write the gap into the line above, as a KL, or as the logarithm of a mean. Which of the two is it?"
            return not_yet(f"Line {index} follows, but line {index - 1} does not show what is lost here.", then=then)
    arrived = compose([line.relation for line in lines])
    if arrived != task.relation:
        then = "Which line loses something, and what is it?"
        return not_yet(f"The lines together say {arrived!r}; the goal is {task.relation!r}.", then=then)
    return right(task, f"{len(lines)} lines, each follows from the one above.")


def _shows_a_gap(formula: Any) -> bool:
    """Is there the logarithm of a mean, or a KL from q to the posterior, spelled out or not?"""
    if not isinstance(formula, Term):
        return shows_a_gap(formula)
    found = _ingredients(formula) or frozenset()
    return "log_E(" in formula.spelled or {each for each in found if each in ("post", *LAWS)} == {"post", "E q"}


def _has_form_of(line: Line, term: Term) -> bool:
    """Is the line this term, up to order and padding?"""
    formula: Any = line.formula
    return same_step(formula, term) if isinstance(formula, Term) else _parts(formula) == _parts(term)


def _steps(task: Derive, lines: list[Line]) -> list[Term | Node]:
    """The lines between start and goal that say something new: neither reordered nor padded, `2 * a - a` for a."""
    seen: list[Any] = [task.start, task.goal]
    said = [_parts(term) for term in seen]
    for line in lines:
        formula: Any = line.formula
        terms = [each for each in seen if isinstance(each, Term)] if isinstance(formula, Term) else []
        if _parts(formula) not in said and not any(same_step(formula, each) for each in terms):
            seen.append(formula)
            said.append(_parts(formula))
    return seen[2:]


def _parts(formula: Any) -> Any:
    """What a line says, without order and padding, whether it is a term or LaTeX."""
    found = _formula(formula)
    return formula.latex if found is None else collected(found)


def _values(rows: Sequence[Row], index: int) -> str:
    """The line's value against that of the line above, where they differ most, on the witness that the report shows."""
    line, above = (np.ravel(_value(row.shown)) for row in (rows[index + 1], rows[index]))
    if line.shape != above.shape:
        return f"{line.size} numbers against {above.size}."
    worst = int(np.argmax(np.abs(line - above)))
    return f"{line[worst]:.4f} against {above[worst]:.4f}."


def _known_line(task: Derive, line: Line, seed: int) -> Mistake | None:
    """The known mistake that is worth the same as the line on every witness, and is made of the same densities.

    The value alone may be a coincidence: E_q[log p(x|z)] is worth as much as the bound plus a KL to the prior.
    """
    slips = [slip for derivation in task.known for slip in derivation.slips if hasattr(slip.value, "value")]
    known = [*task.mistakes, *(Mistake(slip.name, slip.says, slip.value, real=slip.real) for slip in slips)]
    witnesses = [task.draw(np.random.default_rng([seed, i])) for i in range(4)]
    alike = (mistake for mistake in known if _ingredients(mistake.value) in (None, _ingredients(line.formula)))
    return next((mistake for mistake in alike if _same(mistake.value, line, witnesses)), None)


def _ingredients(term: Any) -> frozenset[str] | None:
    """The densities in a term, and the laws of its expectations: {"lik", "prior", "E q"}; None if it is not a term."""
    if not isinstance(term, Term):
        return None
    found: set[str] = set()
    for node in ast.walk(ast.parse(term.spelled, mode="eval")):
        match node:
            case ast.Name(id=name) if name.startswith("log_") and name != "log_E":
                found.add(name.removeprefix("log_"))
            case ast.Call(func=ast.Name(id="KL"), args=[ast.Name(id=first), ast.Name(id=second)]):
                found |= {first, second, f"E {first}"}
            case ast.Call(func=ast.Name(id="H"), args=[ast.Name(id=first), *rest]):
                found |= {f"E {first}", *([each.id for each in rest if isinstance(each, ast.Name)] or [first])}
            case ast.Call(func=ast.Name(id="E" | "log_E"), args=[ast.Name(id=law), _]):
                found.add(f"E {law}")
    if "joint" in found:
        found = found - {"joint"} | {"lik", "prior"}
    return frozenset(found)


def _same(term: Any, line: Line, witnesses: Sequence[Any]) -> bool:
    try:
        return all(close(_value(term.value(w)), _value(line.evaluate(w)), LOOKS_LIKE) for w in witnesses)
    except (TypeError, DoesNotConverge):  # no value on such a witness
        return False


def _value(value: Any) -> np.ndarray:
    return np.asarray(getattr(value, "value", value), dtype=float)
