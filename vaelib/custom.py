"""The verdict on an answer whose task brings its own judge: a function of tensors, or a torch module."""

from __future__ import annotations

import functools
from typing import Any

from vaelib.feedback import Feedback, not_yet, right
from vaelib.reply import Answer, NoReply, Respondent, limited, where_it_was_raised
from vaelib.task import Custom, placed
from vaelib.values import TooSlow, is_blank, kind_of, quoted


def judged_by_its_own(task: Custom, answer: Respondent) -> Feedback:
    """The verdict of the task's own judge; raises NoReply where the answer has none to give.

    The judge calls the answer, so what it raises is the answer's fault: a test tries every judge on the truth.

    Example: judged_by_its_own(task("07.a"), Answer(estimate)).right
    """
    if not isinstance(answer, Answer):
        raise TypeError(f"Expected an answer in this process for {task.id}, which is done in class and never graded.")
    content = answer.content
    if is_blank(content):
        raise NoReply("not attempted", "There is no answer yet.")
    if not callable(content):
        got = f"an object of type {kind_of(content)}"
        raise NoReply("no number", f"Expected `{task.name}` itself, its name without brackets, but got {got}.")
    judge = placed(task.judge)  # may import torch: not on the answer's time
    try:
        with limited(answer.total):
            verdict = judge(content if isinstance(content, type) else _guarded(content))
    except NotImplementedError:
        raise NoReply("not attempted", "It is still the stub.") from None
    except (NoReply, KeyboardInterrupt, TooSlow):
        raise
    except BaseException as error:  # SystemExit too: a student's sys.exit() must not end the session
        raise NoReply("raised", where_it_was_raised(error)) from error
    if isinstance(verdict, Feedback):
        return verdict
    return right(task) if verdict is None else not_yet(verdict, then=task.next)


def _guarded(answer: Any) -> Any:
    """The same function, which says so where it returns nothing."""

    @functools.wraps(answer)
    def call(*arguments: Any, **named: Any) -> Any:
        value = answer(*arguments, **named)
        if is_blank(value):
            raise NoReply("not attempted", f"The function returned {quoted(value)}. Is a `return` missing?")
        return value

    return call
