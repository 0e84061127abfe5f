"""An exercise: what is asked, the truth, the mistakes that people make, and what holds for every right answer."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from vaelib.derivation import Derivation
from vaelib.derivation.lines import looks_like
from vaelib.forbidden import KINDS
from vaelib.formula import Scope
from vaelib.terms import Term
from vaelib.values import quoted

Rng = np.random.Generator
Arguments = dict[str, Any]
IN_CLASS = "in class"
LEVELS = ("warm-up", "core", "stretch", IN_CLASS)


def exercise_id(typed: Any) -> str:
    """The id that is meant by "4.1", 4.1, " 04-1 " or "4,1": "04.1"; and by "3a" or "03.A": "03.a", a task in class.

    Anything that cannot be an id comes back as text.

    Example: exercise_id(4.1) == exercise_id("4,1") == "04.1"
    """
    text = typed if type(typed) is str else str(float(typed)) if type(typed) in (float, np.float64, Decimal) else ""
    number = r"(?:exercise|task|ex\.?)?\s*(\d{1,2})\s*"
    found = re.fullmatch(number + r"(?:[.,:_\-\s]\s*0*([1-9]\d?)|[.,:_\-\s]?\s*([a-z]))\.?", text.strip().lower())
    return f"{int(found[1]):02d}.{found[2] or found[3]}" if found else quoted(typed, str)


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people give.

    Args:
        name: a few words.
        says: what a teacher would say, without the "It looks like" with which the class lets every such sentence begin.
        value: what it gives where the truth gives something else: a function of the same arguments, a number, a word,
            or a term.
        next: what to do now, in one sentence; the task's own otherwise.
        real: where it was found, if it was published.
        made: for an estimator, the function that makes the mistake, with which the tests try it.
    """

    name: str
    says: str
    value: Any
    next: str = ""
    real: str = ""
    made: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "says", looks_like(self.says))

    @classmethod
    def of(cls, derivation: Derivation, slip: str, value: Any = None, next: str = "") -> Mistake:
        """A slip of the ledger as the mistake of an exercise: its name, its sentence, where it was found.

        Args:
            value: what it gives in the exercise; the slip's own formula unless given.
        """
        found = derivation.known_slip(slip)
        return cls(found.name, found.says, found.value if value is None else value, next, found.real)


@dataclass(frozen=True)
class Rule:
    """What holds for every right answer, such as "a KL is never negative": holds(value, **arguments)."""

    says: str
    holds: Callable[..., bool]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What all exercises have.

    Args:
        id: "04.2", the second exercise to notebook 04; or "04.b", the second task that is done in it, in class.
        title: a few words.
        level: warm-up, core or stretch; a task in class may leave it out. minutes: what it takes.
        name: the name of the function or the variable in the notebook.
        hints: three, each says more than the one before; questions, and none says the answer.
        mistakes: wrong answers that are known.
        next: what to do after an answer that is wrong in no known way.
        forbidden: kinds of things that would give the answer away ("kl"); in grading they are not there.
    """

    id: str
    title: str
    level: str = IN_CLASS
    minutes: int
    name: str
    hints: tuple[str, str, str]
    mistakes: tuple[Mistake, ...] = ()
    next: str = "Try the smallest case by hand."
    forbidden: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(
                f"Expected the level of {self.id} to be one of {', '.join(LEVELS)}, but got {self.level!r}."
            )
        if self.level == IN_CLASS and not self.in_class:
            raise ValueError(f"Expected a level for {self.id}, which is an exercise and not a task in class.")
        if len(self.hints) != 3:
            raise ValueError(f"Expected three hints for {self.id}, but got {len(self.hints)}.")
        if unknown := [kind for kind in self.forbidden if kind not in KINDS]:
            known = ", ".join(KINDS)
            raise ValueError(f"Expected what {self.id} forbids to be of the kinds {known}, but got {unknown[0]!r}.")

    @property
    def in_class(self) -> bool:
        """Is it written in the notebook itself, and never graded? Its id ends with a letter, "03.a"."""
        return self.id[-1:].isalpha()

    @property
    def own(self) -> Any:
        """The course's own answer, where there is one to be called."""
        raise TypeError(f"{self.id} has no answer that a notebook could go on with.")


@dataclass(frozen=True, kw_only=True)
class Compute(Task):
    """A function, a number, an array or a SymPy expression, compared with the truth on examples and on drawn questions.

    Args:
        truth: a function of the arguments; a number, an array or a word if nothing is asked but the answer itself.
        examples: arguments, simplest first: of several wrong ones, the first is shown.
        draw: rng -> arguments, generic ones: no mean at zero, no two scales equal.
        questions: how many are drawn.
        tolerance: of an answer in double precision, relative to max(1, |truth|).
        rules: what holds for every right answer.
        secret: what is expected is not shown, since it is what is asked.
        rough: the last digits are not the point: those of float32, or of a numerical search, are enough.
        choices: what there is to choose from, words or numbers; or the letters of an order, such as "ebcad".
        typeset: arguments -> what the names of a formula in LaTeX mean, one Scope or one for each number of the answer.
        tip: the cases that `next` tells the student to try; every known mistake fails one of them.
    """

    truth: Any
    examples: tuple[Arguments, ...] = ()
    draw: Callable[[Rng], Arguments] | None = None
    questions: int = 8
    tolerance: float = 1e-9
    rules: tuple[Rule, ...] = ()
    secret: bool = False
    rough: bool = False
    choices: tuple[Any, ...] = ()
    typeset: Callable[..., Scope | list[Scope]] | None = None
    tip: tuple[Arguments, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        parts = self.truth if isinstance(self.truth, str) and self.truth not in self.choices else [self.truth]
        if self.choices and not set(parts) <= set(self.choices):
            raise ValueError(
                f"Expected the truth of {self.id} among its choices {self.choices}, but got {self.truth!r}."
            )

    @property
    def own(self) -> Any:
        return self.truth

    def asked(self, seed: int) -> list[Arguments]:
        """The questions of one check: examples first."""
        if not callable(self.truth):
            return [{}]
        drawn = []
        if self.draw is not None:
            drawn = [self.draw(np.random.default_rng([seed, i])) for i in range(self.questions)]
        return [*self.examples, *drawn]


@dataclass(frozen=True)
class Law:
    """Mean and standard deviation of one value of an estimator, and its kurtosis, 3 for a Gaussian."""

    mean: float
    deviation: float
    kurtosis: float = 3.0


@dataclass(frozen=True, kw_only=True)
class Sample(Task):
    """An estimator, a function whose last argument is a Generator; judged draw by draw, or by the law of its values.

    Args:
        law: arguments -> the exact law of one value. A mistake's value is a law, too, as a function of the arguments.
        examples: the arguments, without the Generator.
        repeats: how often an answer with its own draws is called on each; `sampling.least` says what is found then.
        made: a right estimator. An answer that makes the same draws, in the same order, must give the same values.
    """

    law: Callable[..., Law]
    examples: tuple[Arguments, ...]
    repeats: int = 400
    made: Callable[..., Any] | None = None

    @property
    def own(self) -> Any:
        return self.made


@dataclass(frozen=True, kw_only=True)
class Custom(Task):
    """A task in class with its own judge, for an answer that is not compared number by number: a torch module.

    Args:
        truth: the course's own answer; or its place, such as "vaelib.tasks.in_class_torch:step", which is imported
            when somebody asks for it, so that torch is not needed before.
        judge: answer -> None if it is right, what is wrong with it in words, or a Feedback; or the place of such a
            function. A function is handed to it guarded: a stub ends as "not attempted", and an exception of the
            answer is shown as one. A class is handed over as it is, and the judge may raise NotImplementedError for
            what is still a stub.
        A mistake's value is a wrong answer, or its place.
    """

    truth: Any
    judge: Any

    @property
    def own(self) -> Any:
        return placed(self.truth)


def placed(thing: Any) -> Any:
    """The thing itself, or what is found at its place: "package.module:name".

    Example: placed("math:sqrt")(4.0) == 2.0
    """
    if not isinstance(thing, str):
        return thing
    module, _, name = thing.partition(":")
    return getattr(importlib.import_module(module), name)


@dataclass(frozen=True, kw_only=True)
class Derive(Task):
    """A derivation that the student types: a list of lines, from the given start to the given goal.

    Args:
        start, goal: terms. relation: start  relation  goal, "=" or ">=".
        draw: rng -> witness.
        A mistake's value is a term: a line that is worth the same is taken for it.
    """

    start: Term
    goal: Term
    relation: str
    draw: Callable[[Rng], Any]
    least: int = 3  # lines: a start and a goal alone derive nothing
    known: tuple[Derivation, ...] = ()  # of the ledger, whose slips are looked for, too
