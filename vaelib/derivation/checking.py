"""How a derivation is checked: witnesses are drawn, every line is evaluated on them, each step is judged."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from vaelib.derivation.compare import Comparison, Value, Verdict, compose, measure, minus
from vaelib.derivation.judging import judge
from vaelib.derivation.lines import IllTyped, Line, Slip, measured
from vaelib.derivation.report import Report, Row
from vaelib.derivation.rounding import Copies
from vaelib.montecarlo import largest_share, sample_mean
from vaelib.quadrature import DoesNotConverge

if TYPE_CHECKING:
    from vaelib.derivation.derivation import Derivation

GENERIC = "generic"
SPECIAL = ("narrow", "wide", "near", "far")  # kinds of witnesses on which a claim that is true by chance fails


def _as_stated(line: Line, value: Value) -> Value:
    """The value with what the line states about it."""
    resolution = value.resolution if line.resolution is None else line.resolution
    return replace(value, resolution=resolution, infinite=line.infinite)


def _typed(value: Any) -> tuple[type, Any]:
    """What was typed as a value, whatever the lines around it say of its names."""
    return type(value), getattr(value, "formula", value)


@dataclass(frozen=True)
class SlipResult:
    """Whether a slip was rejected, on how many of the witnesses tried; `error` if it raised instead."""

    slip: Slip
    rejections: int
    tried: int
    error: str = ""

    @property
    def rejected(self) -> bool:
        return self.rejections > 0 and not self.error


def draw_witnesses(draw: Callable[..., Any], number: int, seed: int) -> list[Any]:
    """The witnesses of a check. Every second one is of a special kind, in turn, if `draw` takes an argument `kind`."""
    rngs = [np.random.default_rng([seed, i]) for i in range(number)]
    if "kind" not in inspect.signature(draw).parameters:
        return [draw(rng) for rng in rngs]
    return [draw(rng, kind=SPECIAL[i // 2 % len(SPECIAL)] if i % 2 else GENERIC) for i, rng in enumerate(rngs)]


class Check:
    """Witnesses and the values of the lines on them, each evaluated once."""

    def __init__(self, derivation: Derivation, witnesses: int | Sequence[Any], seed: int) -> None:
        self.derivation = derivation
        self.seed = seed
        if isinstance(witnesses, (int, np.integer)):
            if witnesses < 1:
                raise ValueError(f"Expected at least one witness, but got {witnesses}.")
            drawn = draw_witnesses(derivation.draw, int(witnesses), seed)
        else:
            if not hasattr(witnesses, "__iter__"):
                name = type(witnesses).__name__
                raise TypeError(
                    f"Expected a number of witnesses or a list of them, but got one {name}: put it into [ ]."
                )
            drawn = list(witnesses)
            if not drawn:
                raise ValueError("Expected at least one witness, but got an empty sequence.")
        self.witnesses = drawn
        self.copies = [self._copies(w, i) for i, w in enumerate(drawn)]
        self._values: dict[tuple[int, int], Value] = {}

    @cached_property
    def _first_copies(self) -> list[Any]:
        return [copies[0] for copies in self.copies]

    def _prepare(self, line: Line) -> None:
        """Compute a line on all witnesses at once; whatever fails is left for its row to say."""
        try:
            line.prepare(self.witnesses, self._first_copies)
        except Exception:
            return

    def _copies(self, witness: Any, *key: int) -> Copies:
        return Copies(witness, np.random.default_rng([self.seed, *key, 1]))

    def _evaluate_together(self) -> None:
        """Every line on one witness after the other, so that lines share what they have in common.

        The first witness comes last: slips are tried on it. A line that fails is left for its row to say why.
        """
        lines = dict(enumerate(self.derivation.lines))
        for line in lines.values():
            self._prepare(line)
        for i in reversed(range(len(self.witnesses))):
            for j in list(lines):
                try:
                    self._value(j, i)
                except Exception:
                    del lines[j]

    def report(self) -> Report:
        self._evaluate_together()
        rows: list[Row] = []
        comparisons: list[list[Comparison]] = []
        for j in range(len(self.derivation.lines)):
            anchor, relation = self._anchor(j, rows)
            row, on_each = self._row(j, anchor, relation)
            rows.append(row)
            comparisons.append(on_each)
        breaking = [i for on_each in comparisons for i, c in enumerate(on_each) if c.verdict is Verdict.BROKEN]
        shown = min(breaking, default=0)
        rows = [self._with_shown(j, row, comparisons[j], shown) for j, row in enumerate(rows)]
        return Report(self.derivation, tuple(rows), len(self.witnesses), self.seed, shown, self)

    def _anchor(self, j: int, rows: list[Row]) -> tuple[int | None, str | None]:
        """The line that line j is compared with, and the composed relation: the last one above that may carry it.

        A broken or inconclusive line is passed over, and a Monte Carlo line too if there is an exact one above it.
        """
        usable = [i for i in range(j) if rows[i].verdict in (Verdict.HOLDS, Verdict.NOT_JUDGED)]
        exact = [i for i in usable if self.derivation.lines[i].samples is None]
        if not usable:
            return None, None
        anchor = (exact or usable)[-1]
        return anchor, compose([line.relation for line in self.derivation.lines[anchor + 1 : j + 1]])

    def _row(self, j: int, anchor: int | None, relation: str | None) -> tuple[Row, list[Comparison]]:
        """The verdict on line j, and its comparison with the anchor on each witness."""
        line = self.derivation.lines[j]
        comparisons: list[Comparison] = []
        for i in range(len(self.witnesses)):
            try:
                value = self._value(j, i)
            except DoesNotConverge as error:
                broken = Comparison(Verdict.BROKEN, np.inf, note=f"no value: {error}")
                return Row(line, Verdict.BROKEN, broken, note=broken.note), [broken] * (i + 1)
            except IllTyped as error:
                broken = Comparison(Verdict.BROKEN, np.inf, note=f"ill-typed: {error}")
                return Row(line, Verdict.BROKEN, broken, note=broken.note), [broken] * (i + 1)
            if anchor is None:
                bad = bool(np.isnan(value.value).any())
                comparisons.append(Comparison(Verdict.BROKEN if bad else Verdict.HOLDS, np.nan if bad else 0.0))
            elif relation is not None:
                comparisons.append(self._compare(j, line, value, anchor, relation, i))
        if relation is None and anchor is not None:
            chain = " then ".join(f"'{part.relation}'" for part in self.derivation.lines[anchor + 1 : j + 1])
            note = f"does not compose: {chain}"
            return Row(line, Verdict.NOT_JUDGED, Comparison(Verdict.NOT_JUDGED), None, anchor, note=note), []
        worst = max([c for c in comparisons if c.decides] or comparisons, key=lambda c: c.severity)
        if anchor is None and j > 0 and worst.verdict is Verdict.HOLDS:
            nothing = Comparison(Verdict.NOT_JUDGED)
            return Row(line, Verdict.NOT_JUDGED, nothing, note="no line above to compare with"), []
        notes = [worst.note, *(c.note for c in comparisons if c.sampled)]  # a second sample is always reported
        if worst.verdict is Verdict.BROKEN:
            notes.insert(0, "the value is not a number (NaN)" if np.isnan(worst.error) else self._diagnosis(j))
        if anchor is not None and anchor != j - 1:
            notes.insert(0, f"compared with line {anchor}")
        note = "; ".join(dict.fromkeys(filter(None, notes))).replace(".; ", "; ")
        return Row(line, worst.verdict, worst, None, anchor, relation or "", note), comparisons

    def _compare(self, j: int, line: Line, value: Value, anchor: int, relation: str, i: int) -> Comparison:
        """One line against its anchor on witness i: the relation, then the gap or the case of equality."""
        above = self._value(anchor, i)
        relative = line.relative or self.derivation.lines[anchor].relative
        try:
            result = judge(relation, above, value, relative)
        except ValueError as error:
            error.add_note(f"while comparing line {j} of {self.derivation.id} with line {anchor}: {line.latex}")
            raise
        if line.samples is not None and result.verdict is Verdict.BROKEN:
            again = judge(relation, above, self._sampled(line, i, j, factor=4))
            n = line.num_samples
            note = f"|z| = {result.error:.2f} at {n:,} samples, {again.error:.2f} at {4 * n:,}"
            result = replace(again, note="; ".join(filter(None, (note, again.note))))
        between = self.derivation.lines[anchor + 1 : j]
        if result.verdict is Verdict.BROKEN or any(part.relation != "=" for part in between):
            return result
        if line.gap is not None:
            gap = measured(line.gap, self.witnesses[i], self.copies[i])
            lost = minus(above, value) if relation in (">=", ">") else minus(value, above)
            gap_result = judge("=", lost, gap, relative)
            if gap_result.verdict is not Verdict.HOLDS:
                gap_result = replace(gap_result, note="the inequality holds, but what is lost is not the stated gap")
            result = max(result, gap_result, key=lambda c: c.severity)
        if line.equality is not None and i == 0 and result.verdict is not Verdict.BROKEN:
            result = self._at_equality(line, self.derivation.lines[anchor]) or result
        return result

    def _at_equality(self, line: Line, anchor: Line) -> Comparison | None:
        """On two witnesses of equality the line's own relation must hold, and both sides must agree."""
        for k in range(2):
            witness = line.equality(np.random.default_rng([self.seed, k, 3]))  # type: ignore[misc]
            copies = self._copies(witness, k, 4)
            for part in (anchor, line):
                part.prepare([witness], [copies[0]])
            above, below = (_as_stated(part, part.measured(witness, copies)) for part in (anchor, line))
            cases = ((line.relation, "in the case of equality"), ("=", "no equality where there should be"))
            for relation, note in cases:
                result = judge(relation, above, below, line.relative or anchor.relative)
                if result.verdict is not Verdict.HOLDS:
                    return replace(result, note=note)
        return None

    def _value(self, j: int, i: int) -> Value:
        if (j, i) not in self._values:
            self._values[j, i] = self._measure(self.derivation.lines[j], j, i)
        return self._values[j, i]

    def _measure(self, line: Line, j: int, i: int) -> Value:
        try:
            if line.samples is not None:
                return self._sampled(line, i, j)
            if line.step is None:
                return _as_stated(line, line.measured(self.witnesses[i], self.copies[i]))
            coarse = line.measured(self.witnesses[i], [])
            half = line.measured(self.witnesses[i], self.copies[i], line.step / 2)
            return _as_stated(line, replace(half, coarse=coarse.value, order=line.order))
        except Exception as error:
            error.add_note(f"while evaluating line {j} of {self.derivation.id}: {line.latex}")
            raise

    def _sampled(self, line: Line, i: int, j: int, factor: int = 1) -> Value:
        n = factor * line.num_samples
        draws = np.asarray(line.samples(self.witnesses[i], np.random.default_rng([self.seed, i, 2, j, factor]), n))  # type: ignore[misc]
        if draws.shape[:1] != (n,):
            raise ValueError(f"Expected `samples` to return {n} samples (first axis), but got shape {draws.shape}.")
        mean = measure(lambda _: sample_mean(draws), self.witnesses[i], [])
        return _as_stated(line, replace(mean, carried=largest_share(draws)))

    def _with_shown(self, j: int, row: Row, comparisons: list[Comparison], i: int) -> Row:
        """The row with its value and comparison on witness i; a note says so if it breaks only on another one."""
        if row.note.startswith(("ill-typed", "no value")):
            return row
        here = comparisons[i] if i < len(comparisons) else None
        note = row.note
        if row.verdict is Verdict.BROKEN and here is not None and here.verdict is not Verdict.BROKEN:
            worst = row.comparison
            note = f"broken on another witness, by {worst.error:.2g} ({worst.allowance:.2g} allowed); {note}"
            note = note.removesuffix("; ")
        return replace(row, shown=self._value(j, i).value, here=here, note=note)

    def slip_results(self) -> tuple[SlipResult, ...]:
        return tuple(self._try(slip) for slip in self.derivation.slips)

    def _try(self, slip: Slip) -> SlipResult:
        """A slip re-evaluates its own line only, against the line above, until it breaks."""
        j = slip.line
        for i in range(len(self.witnesses)):
            try:
                line = slip.apply(self.derivation.lines[j])
                if i == 0:
                    self._prepare(line)
                value = self._measure(line, j, i)
                anchor = self._exact_above(j)
                relation = compose([part.relation for part in self.derivation.lines[anchor + 1 : j]] + [line.relation])
                if relation is None:
                    raise ValueError(f"line {j} does not compose with line {anchor}")
                verdict = self._compare(j, line, value, anchor, relation, i).verdict
            except DoesNotConverge:
                verdict = Verdict.BROKEN
            except Exception as error:
                return SlipResult(slip, 0, i + 1, f"{type(error).__name__}: {error}")
            if verdict is Verdict.BROKEN:
                return SlipResult(slip, 1, i + 1)
        return SlipResult(slip, 0, len(self.witnesses))

    def _exact_above(self, j: int) -> int:
        """The line above j, or the nearest exact one if that is a Monte Carlo line."""
        lines = self.derivation.lines
        return next((i for i in range(j - 1, -1, -1) if lines[i].samples is None), j - 1)

    def _diagnosis(self, j: int) -> str:
        """The sentence of a known slip that has the same value as the broken line on every witness."""
        for slip in self.derivation.slips:
            if slip.line == j and slip.value is not None and self._same_value(slip, j):
                return slip.says
        return ""

    def _same_value(self, slip: Slip, j: int) -> bool:
        if _typed(slip.value) == _typed(self.derivation.lines[j].value):
            return True
        try:
            line = slip.apply(self.derivation.lines[j])
            self._prepare(line)
            pairs = [(self._measure(line, j, i), self._value(j, i)) for i in range(len(self.witnesses))]
            return all(judge("=", a, b).verdict is Verdict.HOLDS for a, b in pairs)
        except Exception:
            return False
