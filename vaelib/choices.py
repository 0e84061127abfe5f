"""Answers that are chosen: a word out of several, the number of a line, an order of letters.

A choice inside a sentence is understood if it is the only one there; otherwise it is said what there is to choose from.
"""

from __future__ import annotations

import re
from typing import Any

from vaelib.feedback import Feedback, listed, looks_like, not_yet, number, right
from vaelib.task import Compute

DENIED = frozenset("not no never none neither nor except without isn wasn aren weren doesn don".split())


def chosen(task: Compute, value: Any, truth: str) -> Feedback:
    """The verdict where the truth is a word, or an order of letters."""
    if not isinstance(value, str):
        return not_yet(f"Expected {_asked(task, truth)}, but got {number(value)}.")
    answer = understood(value, task, truth)
    if letters(answer) == letters(truth):
        return right(task)
    for mistake in task.mistakes:
        if letters(answer) == letters(mistake.value):
            return looks_like(mistake, task, f"Your answer: {value}.")
    if task.choices and not _is_possible(answer, task, truth):
        return not_yet(f"Expected {_asked(task, truth)}, but got {value!r}.")
    return not_yet(f"Your answer: {value}.", then=task.next)


def understood(text: str, task: Compute, truth: str) -> str:
    """The choice that is meant: the text itself, or the only choice, or the only order, that occurs in it."""
    known = [truth, *(mistake.value for mistake in task.mistakes), *task.choices]
    if letters(text) in map(letters, known):
        return text
    words = re.findall(r"\w+", text.lower())
    if _is_order(task, truth):
        single = [word for word in words if word in task.choices]
        return "".join(single) if len(single) > 1 else text
    if DENIED & set(words):
        return text
    named = {choice for choice in (task.choices or known) for word in words if _same_word(word, choice.lower())}
    return named.pop() if len(named) == 1 else text


def the_only_number(text: str, choices: tuple[Any, ...]) -> Any | None:
    """The number in a text such as "line 3", if it is the only one there, and one of the choices."""
    found = re.findall(r"\d+(?:\.\d+)?", text)
    denied = (DENIED - {"no"}) & set(re.findall(r"\w+", text.lower()))  # "No. 3" is a number
    return float(found[0]) if len(found) == 1 and not denied and float(found[0]) in choices else None


def letters(word: str) -> str:
    """Letters and digits alone, in lower case: "B, A" is "ba"."""
    return "".join(letter for letter in word.lower() if letter.isalnum())


def _same_word(word: str, choice: str) -> bool:
    return word == choice or (len(word) > 1 and (word == choice + "s" or word + "s" == choice))


def _is_order(task: Compute, truth: str) -> bool:
    return bool(task.choices) and truth not in task.choices


def _is_possible(answer: str, task: Compute, truth: str) -> bool:
    bare = letters(answer)
    if not _is_order(task, truth):
        return bare in map(letters, task.choices)
    return len(bare) == len(truth) and len(set(bare)) == len(bare) and set(bare) <= set(task.choices)


def _asked(task: Compute, truth: str) -> str:
    if _is_order(task, truth):
        return f"a word of {len(truth)} different letters from {task.choices[0]} to {task.choices[-1]}, in their order"
    kind = "letters" if all(len(choice) == 1 for choice in task.choices) else "words"
    return f"one of the {kind} {listed(task.choices)}" if task.choices else "a word"
