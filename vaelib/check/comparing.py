"""One line beside another, under every reading that may be meant: the charitable one counts."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from numpy.linalg import LinAlgError

from vaelib.check.chains import Line
from vaelib.check.gaussians import STANDARD, Family
from vaelib.check.latex import CannotRead
from vaelib.check.options import FREE, Facts, Formula, Options
from vaelib.check.roles import GUIDE, LATENT, MODEL, closing, text_of
from vaelib.check.spellings import UNSEEN_OPEN
from vaelib.check.stated import MATRICES, letters_of
from vaelib.check.terms import BEST_PLACES
from vaelib.check.values import LOOSE, Bench, Side, as_value, exponentiates, letters_in, text_of_side, typed, used_in
from vaelib.check.verdicts import GOOD, Idle, Judged, Unfit, Unsaid, sentence, severity, symbol_of
from vaelib.check.written import in_letters
from vaelib.derivation import IllTyped
from vaelib.derivation.compare import Verdict
from vaelib.derivation.judging import judge
from vaelib.formula import Unreadable, tex

DIFFERENCES = 1e-6  # by how much a gradient by differences may be off
CLOSE = 0.05  # by how much an approximation may miss, relative to max(1, |value|)
_DECIMAL = re.compile(r"\d*\.\d+")


class Comparing(Bench):
    """Whether a relation holds between two lines."""

    def pair(self, above: Line, relation: str, below: Line) -> Judged:
        """Whether `above relation below` holds on every setting, under some reading."""
        result = self.read_in_all_ways(above, relation, below)
        assert result is not None
        return result

    def read_in_all_ways(self, above: Line, relation: str, below: Line, along: str = "") -> Judged | None:
        """The same; `along` is what a constant may not depend on. None where no side depends on that."""
        worst: Judged | None = None
        idle = False
        for options in self._options(above, below, relation):
            options = replace(options, along=along)
            try:
                result = self._under(above, relation, below, options)
            except Idle:
                idle = True
                continue
            except (CannotRead, Unreadable) as error:
                result = Judged(below, "cannot be read", sentence(error))
            except (IllTyped, Unfit) as error:
                result = Judged(below, "no meaning", sentence(error), unsaid=getattr(error, "key", ""))
            except TypeError:
                result = Judged(below, "no meaning", "Expected numbers and vectors that fit, but the values do not.")
            except LinAlgError:
                result = Judged(below, "no meaning", "For some values of its letters a covariance is not positive.")
            result.compared_with, result.above, result.options = above.source, above, options
            result.relation = relation
            if result.verdict in GOOD:
                return result
            if worst is not None and self.in_letters and options.family is None:
                continue  # random models are not the one that is stated
            if worst is None or severity(result) < severity(worst):
                worst = result
        return None if idle and worst is not None and worst.verdict != "does not follow" else worst

    def _options(self, above: Line, below: Line, relation: str = "=") -> Iterator[Options]:
        """The readings that differ for these lines, the likeliest first."""
        facts = Facts()
        for line in (above, below):
            try:
                for formula in self._formulas(line.items, Options()):
                    facts.used |= formula.facts.used
                    facts.labels |= formula.facts.labels
                    facts.letters |= formula.facts.letters
                    facts.unknown += formula.facts.unknown
            except (CannotRead, Unreadable):
                continue
        given = "|" + ",".join(self.roles.observed) if self.roles.observed else ""
        laws = [f"q({LATENT})"]
        if "law" in facts.used:
            laws = [f"q ( {LATENT} )", *(["p_{d} ( x )"] if self.roles.observed else [f"p ( {LATENT} )"])]
            if self.roles.observed:
                laws.append(f"p ( {LATENT} {given} )")
            laws.append(FREE)
        bares = ["p(z | x)"]
        if "bare" in facts.used:
            observed = [name for name in self.roles.observed[:1] if not self._misses_the_latent((above, below), name)]
            bares += ["p(z)", *(observed if relation not in LOOSE else [])]
        reached = [""]
        if relation == "=" and self.reached < math.inf and self._speaks_of_it_once(above, below):
            reached += ["p", "o"] if below.block >= self.reached else ["o"]
        braces = [False, True] if any(UNSEEN_OPEN in letters_in(line.items) for line in (above, below)) else [False]
        meant = [True, False] if any(u.startswith("usual:") for u in facts.used) else [True]
        if any(u.partition(":")[2] in self.used for u in facts.used if u.startswith("usual:")):
            meant = [next(self.used[key] for u in facts.used if (key := u.partition(":")[2]) in self.used) > 0]
        powers = [True, False] if "power" in facts.used else [True]
        drawn = ["q", "p"] if "samples" in facts.used else ["q"]
        logs = [False, True] if any(exponentiates(line.items) for line in (above, below)) else [False]
        families = self._families(facts) if "gauss" in facts.used else [None]
        if {"noise", "law"} <= facts.used and families == [None]:  # E[\epsilon] = 0
            families = [None, *self._families(facts)]
        if self.in_letters and families == [None]:
            families = [*self._families(facts), None]
        if families == [None] and STANDARD in self.assigned.values():  # log p(z) of p(z) = N(0, 1) names no mean
            families += self._families(facts)
        for law, bare, there, braced, family, log, by, usual, power in itertools.product(
            laws, bares, reached, braces, families, logs, drawn, meant, powers
        ):
            yield Options(law, bare, usual, there, family, braced, log, by, power)

    def _misses_the_latent(self, lines: Sequence[Line], name: str) -> bool:
        """Whether E_q[z] would be a mean over x, of a z that it leaves as it is, if q were a law of this name."""
        law = re.compile(rf"(?:\\mathbb{{E}}|\\mathrm{{(?:Var|Cov)}}) _ {{ [pq]\S* \( {name} \) }} (?=[\[(])")
        texts: list[str] = []
        for line in lines:
            with suppress(CannotRead, Unreadable):
                texts += [formula.latex for formula in self._formulas(line.items, Options(bare=name))]
        bodies = [text[found.end() :].split(" ") for text in texts for found in law.finditer(text)]
        for body in bodies:
            inside = body[1 : max(closing(body, 0), 1)]
            drawn = any(inside[i : i + 2] == ["(", LATENT] for i in range(len(inside)))
            if LATENT in inside and not drawn and not {r"\int", r"\sum"} & set(inside):
                return True
        return False

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
            if len(pool) > 1:
                pairs += [(pool[0], pool[1]), (pool[1], pool[0])]
            known = [
                pair for pair in pairs if all(k is None or k == label for k, label in zip(said, pair, strict=True))
            ]
            pairs = known or pairs
        if len(mine) == 1:  # the other one may be the standard law here
            pairs += [(STANDARD, guide) for model, guide in pairs if guide == mine[0]]
            pairs += [(model, STANDARD) for model, guide in pairs if model == mine[0]]
        diagonal = r"\sigma" in self.scales
        names = tuple(sorted({LATENT, *self.roles.observed}))
        if not (self.in_letters or "shaped" in facts.used):
            return [
                Family(labels, model, guide, size, diagonal, names)
                for model, guide in dict.fromkeys(pairs)
                for size in (2, 0)
            ]
        shapes = tuple(self.shapes.values())
        letters = letters_of(facts.letters if "shaped" in facts.used else (), shapes)
        matrices = bool(MATRICES & set(letters))
        return [
            Family(labels, model, guide, 0, diagonal, names, letters, shapes, matrices)
            for model, guide in dict.fromkeys(pairs)
        ]

    def _speaks_of_it_once(self, above: Line, below: Line) -> bool:
        """Whether only one of two lines speaks of q: then the other may have the posterior put in for it."""
        try:
            texts = [text_of_side(self._terms(line.items, Options())) for line in (above, below)]
        except (CannotRead, Unreadable):
            return False
        speaks = [bool(re.search(r"\bq(_[ons])? ?\(", text)) for text in texts]
        return speaks[0] != speaks[1] and not any("KL" in text for text in texts)

    def _under(self, above: Line, relation: str, below: Line, options: Options) -> Judged:
        """Whether it holds under one reading."""
        sides = [self._terms(line.items, options) for line in (above, below)]
        used = set().union(*(used_in(side) for side in sides))
        numbers = [number for line in (above, below) for number in _DECIMAL.findall(text_of(line.items))]
        self._refuse(relation, (above, below), sides, used, bool(numbers))
        tolerance = typed(numbers) if numbers else CLOSE if "samples" in used else 0.0
        if "gradient" in used:
            tolerance = max(tolerance, DIFFERENCES)
        over = {term.over for side in sides for term, _, _ in side}
        relative = not numbers  # the last digit that was typed is what it is
        verdict, pair = self._judged(relation, self._values(sides, options, 1), tolerance, over, sides, relative)
        if verdict in ("holds", "open"):
            verdict, pair = self._judged(relation, self._values(sides, options), tolerance, over, sides, relative)
        if verdict == "broken" and (loosely := self._holds_loosely(relation, below, sides, options, tolerance)):
            return Judged(below, "sloppy", loosely)
        if "map" in used and relation != "=" and not (relation == "approx" and "samples" in used):
            raise Unfit("Whether it holds depends on the function, of which nothing is said.")
        if relation == "approx" and verdict != "holds" and (mean := self._sampled(below, sides, options)):
            return mean
        if verdict == "holds":
            return self._held(below, sides, used, options)
        self._doubt(relation, verdict, sides, used, options)
        says = f"{symbol_of(relation)} does not hold: see the values."
        if verdict == "place":
            says = "One side is where something is largest or least, the other a value."
        elif verdict == "constant":
            says = "What is made largest or least does not depend on what it is varied over."
        elif relation in LOOSE and pair is not None:
            says, pair = self._apart(relation, options.along, pair), None
        elif over & BEST_PLACES:
            says, pair = f"{symbol_of(relation)} does not hold: the two are largest or least in different places.", None
        return Judged(below, "does not follow", says, values=pair)

    def _refuse(self, relation: str, lines: Sequence[Line], sides: list[Side], used: set[str], rounded: bool) -> None:
        """Raises Unfit where two lines cannot be compared, whatever their values are."""
        if unknown := [name for side in sides for _, formula, _ in side for name in formula.facts.unknown]:
            raise Unfit(f"Nothing says what {unknown[0]} means.")
        if {"gradient", "noise"} <= used:
            raise Unfit("Gradients through the noise are not judged yet.")
        if "data" in used and any("data" not in used_in(side) and "p_d" not in text_of_side(side) for side in sides):
            raise Unfit("One side speaks of one observation, and the other of all of them.")
        if rounded and any(self._speaks(side) for side in sides):
            raise Unfit("The numbers are those of a particular case, which the formula above does not name.")
        if {"base", "information"} <= used:
            raise Unfit("H and I are in nats here, and a logarithm on the other side has another base.")
        if relation == "proportional" and any(line.items[line.items[:1] == ["-"] :][:1] == [r"\log"] for line in lines):
            raise Unfit("A logarithm is said to be proportional: up to which factor and which summand is not said.")

    def _doubt(self, relation: str, verdict: str, sides: list[Side], used: set[str], options: Options) -> None:
        """Raises Unfit where values that differ are not held against a line."""
        over = {term.over for side in sides for term, _, _ in side}
        if verdict == "broken" and "information" in used and self.roles.has_guide:
            raise Unfit("Whether H and I are those of p or of q is not said: with those of p it does not hold.")
        if verdict == "broken" and options.family is not None and any(over):
            raise Unfit("Largest and least values of Gaussians are compared at each place alone.")
        if verdict == "open" and relation == "approx":
            raise Unfit("An approximation: how close it is meant to be is not said.")
        if verdict == "open":
            raise Unfit("On the random models that were tried, the values do not decide it.")
        if verdict in ("place", "constant"):
            return
        if "several" in used:
            raise Unfit("There are several latent variables, and a law that does not say of which it is.")
        mended = [*(word for _, formula, _ in sides[1] for word in formula.facts.mended)]
        if doubtful := next((word for word in mended if word in ("a bracket", "both signs")), ""):
            raise CannotRead(
                f"It was read with {doubtful} mended, and does not follow so; what was meant is not clear."
            )
        usual = [word.partition(":")[2] for word in used if word.startswith("usual:")]
        if unsaid := [key for key in usual if key not in self.used]:
            raise Unsaid(unsaid[0])

    def _held(self, below: Line, sides: list[Side], used: set[str], options: Options) -> Judged:
        """A line that follows; which meaning of a name that took is noted."""
        mended = [*below.mended, *(word for _, formula, _ in sides[1] for word in formula.facts.mended)]
        found = Judged(below, "sloppy" if mended else "follows", f"Mended: {mended[0]}." if mended else "")
        for word in used:
            if word.startswith("usual:"):
                self.used.setdefault(word.partition(":")[2], 1 if options.usual else -1)
        measures = [word.partition(":")[2] for word in used_in(sides[1]) if word.startswith("measure:")]
        found.measure = measures[0] if measures else ""
        return found

    def _holds_loosely(self, relation: str, below: Line, sides: list[Side], options: Options, tolerance: float) -> str:
        """In which sense a line holds that does not as it is written; nothing if in none."""
        over = {term.over for side in sides for term, _, _ in side}
        of_laws = below.items == ["0"] and any(r"\mathrmH" in text_of_side(side) for side in sides)
        if of_laws or any("information" in used_in(side) for side in sides):
            if self._holds_for_states(relation, sides, options, over):
                return "It holds for variables with states, and not for all densities."
        if options.family is None and len(over) == 2 and not over & BEST_PLACES:
            bodies = [[(replace(term, over=""), f, node) for term, f, node in side] for side in sides]
            if self._judged(relation, self._values(bodies, options), tolerance, {""}, bodies)[0] == "holds":
                return "The largest or least value is not repeated on the other side."
        return ""

    def _holds_for_states(self, relation: str, sides: list[Side], options: Options, over: set[str]) -> bool:
        """Whether it holds where probabilities are those of states, as entropies often are meant."""
        if options.family is not None:
            return False
        discrete = replace(self, settings=[setting for setting in self.settings if not setting.fine])
        return self._judged(relation, discrete._values(sides, options), 0.0, over, sides)[0] == "holds"

    def _apart(self, relation: str, along: str, apart: tuple[float, float]) -> str:
        """By how much two sides differ, here and there, which should have been the same."""
        least, most = (f"{number:.3g}".replace("-", "−") for number in apart)
        letters = {name: letter for letter, name in reversed(list(self.roles.variables.items()))}
        what = {GUIDE: "q", MODEL: "model"}.get(along) or f"value of {letters.get(along, along)}"
        if relation == "proportional":
            return f"The ratio of the two sides is {least} for one {what} and {most} for another: it is not constant."
        return f"The two sides differ by {least} for one {what} and by {most} for another, so not by a constant."

    def _sampled(self, line: Line, sides: Sequence[Side], options: Options) -> Judged | None:
        """An approximation by one sample: its mean is what it approximates; a term of the wrong sign is seen."""
        formula = sides[1][0][1]
        if len(sides[1]) != 1 or sides[1][0][0].over or not re.search(rf"\b{LATENT}\b", formula.latex):
            return None

        written = {**self.written, **formula.facts.written}

        def equal(latex: str) -> bool:
            term = sides[1][0][0]
            node = tex(rf"\mathbb{{E}}_{{{options.drawn}({LATENT})}}[{latex}]")
            above, below = self._values([sides[0], [(term, Formula(latex, formula.facts), node)]], options)
            return judge("=", as_value(above), as_value(below)).verdict is Verdict.HOLDS

        if equal(formula.latex):
            return Judged(line, "follows")
        for i, word in enumerate(words := formula.latex.split(" ")):
            depth = sum((w in "([{") - (w in ")]}") for w in words[:i])
            if word not in ("+", "-") or depth:
                continue
            turned = " ".join([*words[:i], "-+"[word == "-"], *words[i + 1 :]])
            if equal(turned):
                repair = rf"\approx {in_letters(tex(turned), written, self.roles)}"
                says = "Its mean is not what it approximates: look at a sign."
                return Judged(line, "does not follow", says, repair=repair)
        return None
