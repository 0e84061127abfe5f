r"""Verdicts: each line is evaluated beside the one above it, on every setting, under every reading; the charitable one
counts.

A line that does not follow is compared with the good lines above it, too, and those that follow from it are not blamed.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vaelib._compare import Value, Verdict, compose
from vaelib._judging import judge
from vaelib.check.chains import Chain, Line
from vaelib.check.gaussians import STANDARD, Family, gaussian_scope
from vaelib.check.latex import CannotRead, Items
from vaelib.check.reading import GAUSSIAN, USUAL, Definition, Facts, Formula, Options, name_at, read
from vaelib.check.roles import GUIDE, LATENT, MODEL, NOISE, Roles, call_at, letter_of, text_of
from vaelib.check.surface import UNSEEN_OPEN, resolved
from vaelib.check.worlds import FAMILY, Plan, Setting, scope, settings
from vaelib.derivation import IllTyped
from vaelib.formula import Node, Scope, Unreadable, tex

VERDICTS = ("start", "definition", "follows", "does not follow", "cannot be read", "no meaning", "sloppy")
DIFFERENCES = 1e-6  # by how much a gradient by differences may be off
MOST_VARIABLES = 7
CLOSE = 0.05  # by how much an approximation may miss, relative to max(1, |value|)
_DECIMAL = re.compile(r"\d*\.\d+")


@dataclass
class Judged:
    """A line and what is said of it.

    Args:
        verdict: one of VERDICTS.
        says: a sentence; empty where there is nothing to say.
        compared_with: the source of the line that it was compared with.
        values: of that line and of this one, on the first setting that tells them apart.
        repair: the nearest right line, which another part looks for.
    """

    line: Line
    verdict: str
    says: str = ""
    compared_with: str = ""
    values: tuple[float, float] | None = None
    repair: str = ""
    measure: str = ""  # the variable of an integral that should be another one

    @property
    def judged(self) -> bool:
        return self.verdict in ("follows", "does not follow", "sloppy", "definition")


class Unfit(ValueError):
    """Two lines that cannot be compared; the message says why."""


@dataclass(frozen=True)
class Term:
    """A part of a sum, and what is taken of it over a family: "", max, min, argmax, argmin."""

    sign: float
    items: Items
    over: str = ""
    by: frozenset[str] = frozenset()


@dataclass
class Judge:
    """What is known of a document while its lines are read."""

    roles: Roles
    definitions: dict[str, Definition] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)  # names taken in their usual meaning, and its sign
    later: dict[str, Definition] = field(default_factory=dict)  # what names will mean
    labels: set[str] = field(default_factory=set)  # of the document's Gaussians
    scales: set[str] = field(default_factory=set)  # \\sigma, \\Sigma
    assigned: dict[str, str] = field(default_factory=dict)  # the label of p and of q, where it is said
    measured: set[str] = field(default_factory=set)  # variables of integrals that were wrong, and said to be so
    reached: bool = False
    summed_only: bool = False
    settings: list[Setting] = field(default_factory=settings)

    # ------------------------------------------------------------------------------------------------------- chains

    def chain(self, chain: Chain) -> list[Judged]:
        """The verdicts of a chain, in order."""
        done: list[Judged] = []
        good: list[tuple[Line, str]] = []  # lines that may be compared with, with the relation of the last to each
        for i, line in enumerate(chain.lines):
            result = self._about_something(self.line(line, good, chain.lines, i))
            done.append(result)
            for name, body in line.named:
                self.define(name, body)
            good = [(above, _with(relation, line.relation or "=")) for above, relation in good]
            if result.verdict != "cannot be read":
                good.append((line, "="))
        return done

    def line(self, line: Line, good: list[tuple[Line, str]], lines: Sequence[Line], at: int) -> Judged:
        if line.fault:
            return Judged(line, "cannot be read", line.fault)
        if line.relation == "":
            return self._start(line, lines)
        if line.relation in ("~", "in") or (at and lines[at - 1].relation == "~" and self._label(line.items)):
            return Judged(line, "definition", "A statement about a law.")
        if at == 1 and (drawn := self._drawn(lines[0], line)):
            return drawn
        if at == 1 and (defined := self._defines(lines[0], line)):
            return defined
        if at and self._label(line.items):
            return Judged(line, "definition", "A law is assumed here.", lines[at - 1].source)
        if line.relation == ":=" and self._names(line.items):
            self.define(line.items, lines[at - 1].items, always=True)
            return Judged(line, "definition", compared_with=lines[at - 1].source)
        line = replace(line, relation="=") if line.relation == ":=" else line
        result = self.compared(line, good)
        if result.verdict == "does not follow" and line.premise:
            says = "A condition, or one of two statements that are said to be equivalent: it claims nothing by itself."
            return replace(result, verdict="no meaning", says=says, values=None)
        if result.measure and result.measure not in self.measured:
            self.measured.add(result.measure)
            says = f"The integral is over {result.measure}, which is no variable of what is integrated."
            return replace(result, verdict="does not follow", says=says)
        return result

    def _about_something(self, result: Judged) -> Judged:
        r"""\argmax_q f where f does not depend on q says nothing."""
        places = BEST_PLACES | {rf"\{place}" for place in BEST_PLACES}
        if result.verdict not in ("definition", "follows") or not places & _letters(result.line.items[:1]):
            return result
        try:
            side = self._terms(result.line.items, Options())
            (values,) = self._values([side], Options(), 2)
        except (CannotRead, Unreadable, IllTyped, Unfit):
            return result
        if side[0][1].facts.unknown or not np.all(np.ptp(values, axis=1) < 1e-12):
            return result
        says = "What is made largest or least does not depend on what it is varied over."
        return replace(result, verdict="does not follow", says=says)

    def compared(self, line: Line, good: list[tuple[Line, str]]) -> Judged:
        """A line beside the ones above it: the nearest first."""
        first: Judged | None = None
        for above, relation in reversed(good):
            composed = _with(relation, line.relation)
            broken = first is not None and first.verdict == "does not follow"
            if broken and line.relation == "=" and composed != "=":
                composed = "="  # an inequality further up does not make an equality good
            if composed == "?":
                continue
            result = self.pair(above, composed, line)
            if result.verdict in ("follows", "sloppy"):
                return result
            if first is None or (first.verdict != "does not follow" and result.verdict == "does not follow"):
                first = result
        if first is not None:
            return first
        try:
            self._formulas(line.items, Options())
        except (CannotRead, Unreadable) as error:
            return Judged(line, "cannot be read", _sentence(error))
        return Judged(line, "no meaning", "There is no line above that it can be compared with.")

    def _start(self, line: Line, lines: Sequence[Line]) -> Judged:
        try:
            self._formulas(line.items, Options())
        except (CannotRead, Unreadable) as error:
            if not (len(lines) > 1 and self._names(line.items)):
                return Judged(line, "cannot be read", _sentence(error))
        return Judged(line, "start")

    # -------------------------------------------------------------------------------------------------- definitions

    def _names(self, items: Items) -> str:
        """The key of the name that this side is, or nothing."""
        if not items:
            return ""
        if items[0] in self.roles.densities:
            call = call_at(items, 0)
            entries = [*call.targets, *call.givens, *call.parameters] if call is not None else []
            if not entries or not all(letter_of(entry)[0] in self.roles.parameters for entry in entries):
                return ""
        if items[0] in self.roles.variables:
            return ""
        named = name_at(items, 0, self.roles)
        return named[0] if named is not None and named[2] == len(items) else ""

    def _defines(self, name: Line, meaning: Line) -> Judged | None:
        """Whether the first relation of a chain says what a name means."""
        if meaning.relation not in ("=", ":="):
            return None
        operators = (r"\max", r"\min")
        if (
            name.items[0] in operators
            and meaning.items[0] == name.items[0]
            and name.items[1:2] == ["_"] == meaning.items[1:2]
        ):
            name, meaning = replace(name, items=name.items[3:]), replace(meaning, items=meaning.items[3:])
            known = {*self.definitions, *self.used, *USUAL}
            if not self._names(name.items) or self._names(name.items) in known:
                return None
        key = self._names(name.items)
        if not key:
            return self._assumes(name, meaning)
        if key in self.used and meaning.relation == "=":
            return None  # it was used before, in its usual meaning
        if key in self.definitions:
            before = self.definitions[key]
            result = self.pair(replace(name, items=list(name.items)), "=", meaning)
            if result.verdict in ("follows", "sloppy"):
                return result
            averaged = {"p_{d}", "data"} & self._read_used(meaning.items) - self._read_used(before.body)
            if averaged:
                return self._redefined(name, meaning)
            if result.verdict == "does not follow" and meaning.relation == "=" and self._same_kind(key, before, name):
                return None if not self._negated(name, meaning) else self._redefined(name, meaning)
            return self._redefined(name, meaning)
        return self._redefined(name, meaning)

    def _redefined(self, name: Line, meaning: Line) -> Judged:
        self.define(name.items, meaning.items, always=True)
        try:
            self._formulas(meaning.items, Options())
        except (CannotRead, Unreadable) as error:
            return Judged(meaning, "cannot be read", _sentence(error))
        return Judged(meaning, "definition", compared_with=name.source)

    def _read_used(self, items: Items) -> set[str]:
        try:
            return {u for formula in self._formulas(items, Options()) for u in formula.facts.used}
        except (CannotRead, Unreadable):
            return set()

    def _same_kind(self, key: str, before: Definition, name: Line) -> bool:
        return key in (r"\word.ELBO", r"\cal.L", r"\KL") or len(key) > 1

    def _negated(self, name: Line, meaning: Line) -> bool:
        """Whether the name is now minus what it was: a bound that became a loss."""
        flipped = replace(name, items=["-", "(", *name.items, ")"])
        return self.pair(flipped, "=", meaning).verdict in ("follows", "sloppy")

    def _assumes(self, name: Line, meaning: Line) -> Judged | None:
        """p(z) = N(0, I), q(z) = p(z | x): what is assumed of a law is no claim, unless it holds for every law."""
        items = name.items
        if items[:1] == [r"\log"]:
            items = items[1:]
            items = items[1:-1] if items[:1] == ["("] else items
        if not items or items[0] not in self.roles.densities:
            return None
        call = call_at(items, 0)
        if call is not None and call.end != len(items):
            return None
        if call is None and len(items) > 3:
            return None
        kind = self.roles.densities[str(items[0])]
        if label := self._label(meaning.items):
            self.assigned.setdefault(kind, label)
        result = self.pair(name, "=", meaning)
        if result.verdict in ("follows", "sloppy"):
            return result
        if meaning.relation == ":=":
            return Judged(meaning, "definition", "A law is defined here.", name.source)
        other = _letters(meaning.items)
        if kind == GUIDE:
            self.reached = self.reached or (MODEL in {self.roles.densities.get(s) for s in other})
            return Judged(meaning, "definition", "A law is chosen here.", name.source)
        if (
            other & {"N", r"\cal.N", r"\mu", r"\sigma", r"\Sigma", r"\word.Bernoulli"}
            or result.verdict != "does not follow"
        ):
            return (
                Judged(meaning, "definition", "A law is assumed here.", name.source)
                if other
                & {
                    "N",
                    r"\cal.N",
                    r"\mu",
                    r"\sigma",
                    r"\Sigma",
                }
                else result
            )
        return None

    def _label(self, items: Items) -> str:
        """The label of the law N(m, S) that a side is, or nothing."""
        if not items or items[0] not in ("N", r"\cal.N"):
            return ""
        try:
            facts = read(items, self.roles, self.definitions, Options()).facts
        except CannotRead:
            return ""
        return next(iter(facts.labels), STANDARD)

    def foresee(self, found: Sequence[Chain]) -> None:
        """What names will mean that are used before they are defined."""
        for chain in found:
            if len(chain.lines) > 1 and chain.lines[1].relation in ("=", ":="):
                self.define(chain.lines[0].items, chain.lines[1].items)
        self.later, self.definitions = self.definitions, {}
        self.later = {key: meaning for key, meaning in self.later.items() if key not in USUAL}

    def define(self, name: Items, meaning: Items, always: bool = False) -> None:
        """Notes what a name means; what was noted first stays, unless it is said again."""
        sign = name[:1] == ["-"]
        name = name[1:] if sign else name
        key = self._names(name)
        if name and (name[0] in self.roles.parameters or name[0] in GAUSSIAN):
            return
        if not key or (key in self.definitions and not always) or key == r"\cal.N":
            return
        if key.startswith(r"\word.") and key != r"\word.ELBO" and not always:
            return
        named = name_at(name, 0, self.roles)
        assert named is not None
        body = ["-", "(", *meaning, ")"] if sign else list(meaning)
        if key in {named_[0] for named_ in _names_in(body, self.roles)}:
            return  # it would lead back to itself
        self.definitions[key] = Definition(body, tuple(named[1]))

    # -------------------------------------------------------------------------------------------------------- pairs

    def pair(self, above: Line, relation: str, below: Line) -> Judged:
        """Whether `above relation below` holds on every setting, under some reading."""
        worst: Judged | None = None
        for options in self._options(above, below):
            try:
                result = self._under(above, relation, below, options)
            except (CannotRead, Unreadable) as error:
                result = Judged(below, "cannot be read", _sentence(error))
            except (IllTyped, Unfit) as error:
                result = Judged(below, "no meaning", _sentence(error))
            result.compared_with = above.source
            if result.verdict in ("follows", "sloppy"):
                return result
            if worst is None or _severity(result) < _severity(worst):
                worst = result
        assert worst is not None
        return worst

    def _options(self, above: Line, below: Line) -> Iterator[Options]:
        """The readings that differ for these lines, the likeliest first."""
        facts = Facts()
        for line in (above, below):
            try:
                for formula in self._formulas(line.items, Options()):
                    facts.used |= formula.facts.used
                    facts.labels |= formula.facts.labels
                    facts.unknown += formula.facts.unknown
            except (CannotRead, Unreadable):
                continue
        given = "|" + ",".join(self.roles.observed) if self.roles.observed else ""
        laws = [f"q({LATENT})"]
        if "law" in facts.used:
            laws = [f"q ( {LATENT} )", *(["p_{d} ( x )"] if self.roles.observed else [f"p ( {LATENT} )"])]
            if self.roles.observed:
                laws.append(f"p ( {LATENT} {given} )")
        bares = ["p(z | x)", "p(z)", *self.roles.observed[:1]] if "bare" in facts.used else ["p(z | x)"]
        reached = ["", "p", "o"] if self._may_be_reached(above, below) else [""]
        braces = [False, True] if any(UNSEEN_OPEN in _letters(line.items) for line in (above, below)) else [False]
        meant = [True, False] if any(u.startswith("usual:") for u in facts.used) else [True]
        if any(u.partition(":")[2] in self.used for u in facts.used if u.startswith("usual:")):
            meant = [next(self.used[key] for u in facts.used if (key := u.partition(":")[2]) in self.used) > 0]
        powers = [True, False] if "power" in facts.used else [True]
        drawn = ["q", "p"] if "samples" in facts.used else ["q"]
        logs = [False, True] if any(_exponentiates(line.items) for line in (above, below)) else [False]
        families = self._families(facts) if "gauss" in facts.used else [None]
        for law, bare, there, braced, family, log, by, usual, power in itertools.product(
            laws, bares, reached, braces, families, logs, drawn, meant, powers
        ):
            yield Options(law, bare, usual, there, family, braced, log, by, power)

    def _families(self, facts: Facts) -> list[Family | None]:
        """How the Gaussians of two lines may be meant: which label is that of p and of q, numbers or vectors."""
        labels = tuple(sorted(self.labels | facts.labels - {STANDARD}))
        mine = sorted(facts.labels - {STANDARD})
        said = (self.assigned.get(MODEL), self.assigned.get(GUIDE))
        pairs: list[tuple[str, str]] = []
        if said[0] is not None and said[1] is not None:
            pairs = [(said[0], said[1])]
        elif {"p", "q"} <= set(labels):
            pairs = [("p", "q")]
        else:
            pool = mine or list(labels)
            guide = next((label for label in ("q", "", "x") if label in pool), pool[0] if pool else STANDARD)
            if len(pool) < 2 or guide != pool[0] or guide in ("", "x"):
                pairs = [(STANDARD, guide)] + ([] if self.roles.observed else [(guide, STANDARD)])
            others = pool if len(pool) > 1 else [*pool, *(label for label in labels if label not in pool)]
            if len(others) > 1:
                pairs += [(others[0], others[1]), (others[1], others[0])]
            known = [
                pair for pair in pairs if all(k is None or k == label for k, label in zip(said, pair, strict=True))
            ]
            pairs = known or pairs
        if len(mine) == 1:  # the other one may be the standard law here
            pairs += [(STANDARD, guide) for model, guide in pairs if guide == mine[0]]
            pairs += [(model, STANDARD) for model, guide in pairs if model == mine[0]]
        diagonal = r"\sigma" in self.scales
        names = tuple(sorted({LATENT, *self.roles.observed}))
        return [
            Family(labels, model, guide, size, diagonal, names)
            for model, guide in dict.fromkeys(pairs)
            for size in (2, 0)
        ]

    def _drawn(self, name: Line, meaning: Line) -> Judged | None:
        r"""z = \mu + \sigma \epsilon: whether it has the variance that it should have."""
        items = name.items[1] if name.items[:1] in ([r"\tilde"], [r"\hat"]) else name.items
        if len(items) != 1 or items[0] not in self.roles.variables or meaning.relation not in ("=", ":="):
            return None
        letters = _letters(meaning.items)
        noise = letters & NOISE
        said = Judged(meaning, "definition", "A variable is drawn here.", name.source)
        first = meaning.items[0]
        if (
            noise
            and first in self.roles.densities
            and (call := call_at(meaning.items, 0))
            and call.end == len(meaning.items)
        ):
            return Judged(
                meaning, "does not follow", "A value is drawn here, but the right side is a density.", name.source
            )
        if len(noise) != 1 or not letters & {r"\sigma", r"\Sigma"}:
            return said
        try:
            formula = read(meaning.items, self.roles, {}, Options())
            node = tex(formula.latex)
            label = next(iter(formula.facts.labels))
            others = _letters(meaning.items) & {r"\Sigma"}
            family = Family((label,), STANDARD, label, 0, not others, (LATENT,))
            where = gaussian_scope(family, 0)
            values = [_number(node, replace(where, observed={LATENT: float(noise_)})) for noise_ in (0, 1)]
        except (CannotRead, Unreadable, IllTyped, Unfit, StopIteration):
            return said
        end = f"_{{{label}}}" if label else ""
        mean, variance = (float(tex_value) for tex_value in _moments(where, end))
        slope = values[1] - values[0]
        if abs(values[0] - mean) < 1e-9 and abs(slope**2 - variance) < 1e-9:
            return Judged(meaning, "follows", compared_with=name.source)
        if abs(values[0] - mean) < 1e-9 and abs(slope - variance) < 1e-9:
            says = "The noise is multiplied by the variance; then the variance of the result is its square."
            return Judged(meaning, "does not follow", says, name.source, (variance, slope**2))
        return said

    def _may_be_reached(self, above: Line, below: Line) -> bool:
        """Whether one of two lines may have the posterior put in for q: then only the other speaks of q."""
        if not self.reached:
            return False
        try:
            texts = [_text(self._terms(line.items, Options())) for line in (above, below)]
        except (CannotRead, Unreadable):
            return False
        speaks = [bool(re.search(r"\bq(_[ons])? ?\(", text)) for text in texts]
        return speaks[0] != speaks[1] and not any("KL" in text for text in texts)

    def _under(self, above: Line, relation: str, below: Line, options: Options) -> Judged:
        sides = [self._terms(line.items, options) for line in (above, below)]
        facts = [term[1].facts for side in sides for term in side]
        used = set().union(*(f.used for f in facts)) if facts else set()
        unknown = [name for f in facts for name in f.unknown]
        if unknown:
            raise Unfit(f"Nothing says what {unknown[0]} means.")
        mended = [*below.mended, *(word for term in sides[1] for word in term[1].facts.mended)]
        measures = [u.partition(":")[2] for term in sides[1] for u in term[1].facts.used if u.startswith("measure:")]
        numbers = [_DECIMAL.findall(text_of(line.items)) for line in (above, below)]
        tolerance = _typed(numbers[0] + numbers[1]) if any(numbers) else CLOSE if "samples" in used else 0.0
        if "gradient" in used:
            if "noise" in used:
                raise Unfit("Gradients through the noise are not judged yet.")
            tolerance = max(tolerance, DIFFERENCES)
        if ("data" in used) and any("data" not in _used(side) and "p_d" not in _text(side) for side in sides):
            raise Unfit("One side speaks of one observation, and the other of all of them.")
        if any(numbers) and (self._speaks(sides[0]) or self._speaks(sides[1])):
            raise Unfit("The numbers are those of a particular case, which the formula above does not name.")
        arg = {term[0].over for side in sides for term in side}
        verdict, pair = self._judged(relation, self._values(sides, options, 1), tolerance, arg, sides)
        if verdict in ("holds", "open"):
            verdict, pair = self._judged(relation, self._values(sides, options), tolerance, arg, sides)
        if verdict == "broken" and options.family is not None and any(term[0].over for side in sides for term in side):
            raise Unfit("Largest and least values of Gaussians are compared at each place alone.")
        if "map" in used and relation != "=":
            raise Unfit("Whether it holds depends on the function, of which nothing is said.")
        if verdict == "place":
            return Judged(
                below, "does not follow", "One side is where something is largest or least, the other a value."
            )
        if verdict == "constant":
            says = "What is made largest or least does not depend on what it is varied over."
            return Judged(below, "does not follow", says)
        if (
            verdict == "broken"
            and len({term[0].over for side in sides for term in side}) == 2
            and not arg & BEST_PLACES
        ):
            bodies = [[(replace(term, over=""), f, node) for term, f, node in side] for side in sides]
            if self._judged(relation, self._values(bodies, options), tolerance, {""}, bodies)[0] == "holds":
                return Judged(below, "sloppy", "The largest or least value is not repeated on the other side.")
        if relation == "approx" and verdict != "holds" and (mean := self._sampled(below, sides, options)):
            return mean
        if verdict == "open":
            if relation == "approx":
                raise Unfit("An approximation: how close it is meant to be is not said.")
            raise Unfit("The values on the settings do not decide it.")
        usual = [u.partition(":")[2] for u in used if u.startswith("usual:")]
        if verdict == "holds":
            found = Judged(below, "sloppy" if mended else "follows", f"Mended: {mended[0]}." if mended else "")
            for key in usual:
                self.used.setdefault(key, 1 if options.usual else -1)
            found.measure = measures[0] if measures else ""
            return found
        if doubtful := next((word for word in mended if word in ("a bracket", "both signs")), ""):
            raise CannotRead(
                f"It was read with {doubtful} mended, and does not follow so; what was meant is not clear."
            )
        usual = [key for key in usual if key not in self.used]
        if usual:
            raise Unfit(
                f"Nothing says what {usual[0].split('.')[-1]} means, and with its usual meaning it does not hold."
            )
        return Judged(below, "does not follow", f"{_symbol(relation)} does not hold: see the values.", values=pair)

    def _sampled(self, line: Line, sides: list, options: Options) -> Judged | None:
        """An approximation by one sample: its mean is what it approximates; a term of the wrong sign is seen."""
        formula = sides[1][0][1]
        if len(sides[1]) != 1 or sides[1][0][0].over or not re.search(rf"\b{LATENT}\b", formula.latex):
            return None

        def equal(latex: str) -> bool:
            term = sides[1][0][0]
            node = tex(rf"\mathbb{{E}}_{{{options.drawn}({LATENT})}}[{latex}]")
            above, below = self._values([sides[0], [(term, Formula(latex, formula.facts), node)]], options)
            return judge("=", _value(above), _value(below)).verdict is Verdict.HOLDS

        if equal(formula.latex):
            return Judged(line, "follows")
        for i, word in enumerate(words := formula.latex.split(" ")):
            depth = sum((w in "([{") - (w in ")]}") for w in words[:i])
            if word in ("+", "-") and depth == 0 and equal(" ".join([*words[:i], "-+"[word == "-"], *words[i + 1 :]])):
                return Judged(line, "does not follow", "Its mean is not what it approximates: look at a sign.")
        return None

    # ------------------------------------------------------------------------------------------------------- values

    def _formulas(self, items: Items, options: Options) -> list[Formula]:
        return [formula for _, formula, _ in self._terms(items, options)]

    def _terms(self, items: Items, options: Options) -> list[tuple[Term, Formula, Node]]:
        found = []
        items = resolved(items, options.brackets)
        for term in terms(items, self.roles):
            formula = read(term.items, self.roles, {**self.later, **self.definitions}, options)
            if formula.facts.unknown:
                found.append((term, formula, tex("0")))
                continue
            found.append((term, formula, tex(formula.latex)))
        return found

    def _values(
        self, sides: list[list[tuple[Term, Formula, Node]]], options: Options, count: int = 0
    ) -> list[np.ndarray]:
        """The values of both sides: one row for each setting, one column for each member of a family, if there is one.

        With a count, on so many settings only: most readings that do not fit are gone then.
        """
        plan = self._plan(sides)
        by = frozenset().union(*(term.by for side in sides for term, _, _ in side))
        extremes = any(term.over for side in sides for term, _, _ in side)
        chosen = [s for s in self.settings if not (self.summed_only and s.fine)] or self.settings
        rows: list[list[np.ndarray]] = [[] for _ in sides]
        if options.family is not None:
            if extremes and any(len(side) != 1 or side[0][0].over != sides[0][0][0].over for side in sides):
                raise Unfit("Largest and least values of Gaussians are not judged yet.")
            for seed in range(count or 3):
                for side, kept in zip(sides, rows, strict=True):
                    where = gaussian_scope(options.family, seed)
                    kept.append(np.array([sum(term.sign * _number(node, where) for term, _, node in side)]))
            return [np.array(side) for side in rows]
        for setting in chosen[: count or None]:
            setting = replace(setting, reached=options.reached, drawn=options.drawn)
            members = [setting]
            if extremes:
                members = [
                    replace(setting, model=k if MODEL in by else 0, guide=k if GUIDE in by else 0)
                    for k in range(FAMILY)
                ]
            for side, kept in zip(sides, rows, strict=True):
                total = np.zeros(len(members))
                for term, _, node in side:
                    column = np.array([_number(node, scope(plan, member)) for member in members])
                    if term.over in ("max", "min"):
                        column = np.full(len(members), getattr(np, term.over)(column))
                    total = total + term.sign * column
                kept.append(total)
        return [np.array(side) for side in rows]

    def _plan(self, sides: list[list[tuple[Term, Formula, Node]]]) -> Plan:
        """The variables of two lines."""
        names = {LATENT} | {name for side in sides for _, formula, _ in side for name in formula.facts.variables}
        names |= set(self.roles.observed[:1])
        if len(names) > MOST_VARIABLES:
            raise Unfit(f"Expected at most {MOST_VARIABLES} variables in a line, but got {len(names)}.")
        return Plan(tuple(sorted(names)), any("joint" in _used(side) for side in sides))

    @staticmethod
    def _speaks(side: list[tuple[Term, Formula, Node]]) -> bool:
        """Whether a side speaks of laws, and not of numbers alone."""
        return any(re.search("[a-zA-Z]", re.sub(r"\\[a-zA-Z]+", "", f.latex)) for _, f, _ in side)

    def _judged(
        self, relation: str, values: list[np.ndarray], tolerance: float, over: set[str], sides: list
    ) -> tuple[str, tuple[float, float] | None]:
        above, below = values
        best = over & {"argmax", "argmin"}
        if best:
            if relation != "=":
                raise Unfit("Where something is largest or least is compared by = alone.")
            kinds = [{term.over for term, _, _ in side} & {"argmax", "argmin"} for side in sides]
            if not (kinds[0] and kinds[1]):
                return "place", None
            for kind, side in zip(kinds, values, strict=True):
                if np.all(np.ptp(side, axis=1) < 1e-12):
                    return "constant", None
            flip = [(-1.0 if kind == {"argmin"} else 1.0) for kind in kinds]
            verdicts = [
                judge("same_argmax", _value(flip[0] * a), _value(flip[1] * b)).verdict
                for a, b in zip(above, below, strict=True)
            ]
            if all(v is Verdict.HOLDS for v in verdicts):
                return "holds", None
            if any(v is Verdict.BROKEN for v in verdicts):
                i = next(i for i, v in enumerate(verdicts) if v is Verdict.BROKEN)
                return "broken", (float(np.argmax(flip[0] * above[i])), float(np.argmax(flip[1] * below[i])))
            return "open", None
        if relation == "proportional":
            return "open", None
        if not np.all(np.isfinite(above)) or not np.all(np.isfinite(below)):
            return "open", None
        if relation == "approx" or (tolerance and relation == "="):
            size = np.maximum(1.0, np.maximum(np.abs(above), np.abs(below)))
            near = np.abs(above - below) <= (tolerance or 1e-9) * size
            if near.all():
                return "holds", None
            return ("open" if relation == "approx" and tolerance == 0 else "broken"), _first(above, below, ~near)
        result = judge(relation, _value(above, tolerance), _value(below, tolerance))
        if result.verdict is Verdict.HOLDS:
            return "holds", None
        if result.verdict is Verdict.BROKEN:
            index = result.index
            return "broken", (float(above[index]), float(below[index]))
        return "open", None


# ------------------------------------------------------------------------------------------------------------- helpers


def terms(items: Items, roles: Roles) -> list[Term]:
    r"""A side as terms, each with the \max_\theta or \argmax_q in front of it; a side without one is a single term."""
    if not any(item in (r"\max", r"\min", r"\argmax", r"\argmin") for item in items if isinstance(item, str)):
        return [Term(1.0, items)]
    parts: list[tuple[float, Items]] = []
    depth, sign, current = 0, 1.0, []
    reach = False
    for i, item in enumerate(items):
        if isinstance(item, str):
            depth += (item in ("(", "[", r"\{")) - (item in (")", "]", r"\}"))
            if item in ("+", "-") and depth == 0 and not reach and (current or item == "-"):
                if current:
                    parts.append((sign, current))
                sign, current = (1.0 if item == "+" else -1.0), []
                continue
            if item in (r"\max", r"\min", r"\argmax", r"\argmin") and depth == 0:
                if current:
                    raise CannotRead(f"Expected {item} in front of a term, but got it behind {text_of(current)}.")
                reach = True  # what follows is all of it, unless it is in brackets
                if _bracketed(items[i + 1 :]):
                    reach = False
        current.append(item)
    if current:
        parts.append((sign, current))
    return [_term(sign, part, roles) for sign, part in parts]


def _bracketed(items: Items) -> bool:
    """Whether what an operator takes is one bracket, its script passed over, or one call."""
    at = 0
    while at + 1 < len(items) and items[at] in ("_", "^"):
        at += 2
    if at >= len(items):
        return False
    return items[at] in ("(", "[", r"\{", r"\KL")


def _term(sign: float, items: Items, roles: Roles) -> Term:
    if not items or items[0] not in (r"\max", r"\min", r"\argmax", r"\argmin"):
        return Term(sign, items)
    over, at = str(items[0])[1:], 1
    by: set[str] = set()
    while at + 1 < len(items) and items[at] in ("_", "^"):
        for item in items[at + 1] if isinstance(items[at + 1], list) else [items[at + 1]]:
            if isinstance(item, list):
                continue
            if item in (r"\theta", r"\Theta", r"\vartheta", "p", "P"):
                by.add(MODEL)
            elif item in roles.parameters or (item in roles.densities and roles.densities[str(item)] == GUIDE):
                by.add(GUIDE)
        at += 2
    rest = items[at:]
    if rest[:1] and rest[0] in (r"\max", r"\min", r"\argmax", r"\argmin"):
        inner = _term(1.0, rest, roles)
        if inner.over != over:
            raise CannotRead("A largest of a least value is not judged yet.")
        by |= inner.by
        rest = inner.items
    return Term(sign, rest, over, frozenset(by or {MODEL, GUIDE}))


BEST_PLACES = {"argmax", "argmin"}


def _moments(where: Scope, end: str) -> tuple[float, float]:
    """The mean and the variance of a Gaussian of a number, by the names of its scope."""
    known = {key.replace("{", "").replace("}", ""): value for key, value in where.values.items()}
    end = end.replace("{", "").replace("}", "")
    return float(known[rf"\mu{end}"]), float(known[rf"\Sigma{end}"])


def _exponentiates(items: Items) -> bool:
    r"""Whether \exp(\Sigma) or e^{\sigma} stands here: then the letter may stand for a logarithm."""
    return r"\exp" in _letters(items) and bool(_letters(items) & {r"\Sigma", r"\sigma"})


def _used(side: list[tuple[Term, Formula, Node]]) -> set[str]:
    return {word for _, formula, _ in side for word in formula.facts.used}


def _text(side: list[tuple[Term, Formula, Node]]) -> str:
    return " ".join(formula.latex for _, formula, _ in side).replace("{", "").replace("}", "")


def _number(node: Node, where: Scope) -> float:
    value = node.value(where)
    value = getattr(value, "value", value)
    if np.ndim(value):
        raise Unfit("Expected a number, but the line has several values.")
    return float(value)


def _value(values: np.ndarray, tolerance: float = 0.0) -> Value:
    size = np.maximum(1.0, np.abs(values))
    return Value(values, (1e-8 + tolerance) * size)


def _first(above: np.ndarray, below: np.ndarray, bad: np.ndarray) -> tuple[float, float]:
    index = np.unravel_index(int(np.argmax(bad)), bad.shape)
    return float(above[index]), float(below[index])


def _typed(numbers: Sequence[str]) -> float:
    """How far rounded numbers may be off: three halves of the last digit of each."""
    return sum(1.5 * 10.0 ** -len(number.partition(".")[2]) for number in numbers)


def _with(first: str, second: str) -> str:
    """Two relations in a row, "?" where nothing follows."""
    if "approx" in (first, second):
        return "approx" if {first, second} <= {"=", "approx"} else "?"
    if first == "?" or second in ("~", "in", "?"):
        return "?"
    second = "=" if second == ":=" else second
    first = "=" if first == ":=" else first
    return compose([first, second]) or "?"


def _severity(result: Judged) -> int:
    """The charitable reading first: what has no meaning under one reading is not held against the writer."""
    return ("does not follow", "no meaning", "cannot be read").index(result.verdict)


def _sentence(error: Exception) -> str:
    return str(error).split("\n")[0]


def _symbol(relation: str) -> str:
    return {"<=": "≤", ">=": "≥", "approx": "≈"}.get(relation, relation)


def _letters(items: Items) -> set[str]:
    found: set[str] = set()
    for item in items:
        found |= _letters(item) if isinstance(item, list) else {item}
    return found


def _names_in(items: Items, roles: Roles) -> list[tuple[str, list[tuple[str, str]], int]]:
    found = []
    for i, item in enumerate(items):
        if isinstance(item, list):
            found += _names_in(item, roles)
        elif named := name_at(items, i, roles):
            found.append(named)
    return found


__all__ = ["Judge", "Judged", "math", "terms"]
