r"""The surface of a formula: fonts, colours, sizes, labels, remarks and the many spellings of one thing are taken off.

What is left is a small language, in groups (a list is a group in braces): letters, numbers, brackets, \frac, \sqrt,
\sum, \int, \log and the like, `\E` for an expectation, `\KL` for a divergence, `|` and `\|` for the bars, `_` and `^`
each followed by a group, `\cal.L` for a letter in script and `\word.ELBO` for a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from vaelib.check.latex import Group, Items
from vaelib.check.spellings import (
    BLACKBOARD,
    FONTS,
    FUNCTIONS,
    GREEK,
    KNOWN,
    OLD_FONTS,
    RUNS,
    SAID,
    SAME,
    SCRIPT,
    SEEN_THROUGH,
    SILENT,
    SIZES,
    SPACES,
    STOPS,
    UNSEEN_CLOSE,
    UNSEEN_OPEN,
    WITH_ARGUMENT,
    WORDS,
)


@dataclass
class Surface:
    """A row with its surface taken off, and what was on it.

    Args:
        items: what is left, in groups.
        named: what a brace gave a name to: (name, what is named), both in groups.
        mended: what was mended on the way, in words.
        remarks: words that were beside the formula.
    """

    items: Items = field(default_factory=Group)
    named: list[tuple[Items, Items]] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def surface(items: Items) -> Surface:
    """A row, in groups, without its surface."""
    result = Surface()
    result.items = _Cleaner(result).clean(items)
    return result


def resolved(items: Items, brackets: bool) -> Items:
    """The items with braces around sums taken for brackets, or for nothing, as they look."""
    found = Group()
    for item in items:
        if isinstance(item, list):
            found.append(resolved(item, brackets))
        elif item in (UNSEEN_OPEN, UNSEEN_CLOSE):
            if brackets:
                found.append("(" if item == UNSEEN_OPEN else ")")
        else:
            found.append(item)
    return found


def plain_word(items: Items) -> str:
    """The letters of a group, blanks as one: what \\text{...} says."""
    found = ""
    for item in items:
        if isinstance(item, list):
            found += plain_word(item)
        elif item in SPACES:
            found += " "
        elif not item.startswith("\\"):
            found += item
    return " ".join(found.split())


class _Cleaner:
    def __init__(self, result: Surface) -> None:
        self.result = result

    def clean(self, items: Items) -> Items:
        if r"\over" in items:
            at = items.index(r"\over")
            return Group([r"\frac", self.clean(items[:at]), self.clean(items[at + 1 :])])
        out = Group()
        at = 0
        while at < len(items):
            at = self.step(items, at, out)
        return _joined(out)

    def step(self, items: Items, at: int, out: Items) -> int:
        item = items[at]
        if isinstance(item, list):
            first = next((i for i in item if i != " "), None)
            if first in OLD_FONTS and plain_word(item):  # {\\rm KL}
                self.word(OLD_FONTS[str(first)], ["", item], 0, out)
                return at + 1
            inner = self.clean(item)
            if _operator_before(out) not in ("", r"\KL"):
                if _lone(inner) or out[-1] == r"\int":
                    out += inner
                elif inner and _needs_brackets(inner):
                    out += [UNSEEN_OPEN, *inner, UNSEEN_CLOSE]
                elif inner:
                    out += ["(", *inner, ")"]
            elif out and out[-1] == r"\KL" and at + 1 < len(items) and isinstance(items[at + 1], list):  # \KL{q}{p}
                out += ["(", *inner, r"\|", *self.clean(items[at + 1]), ")"]
                return at + 2
            else:
                out += inner
            return at + 1
        text: str = SAME.get(item) or item
        if text in SPACES:
            if text == "&" or not out or out[-1] != " ":
                out.append(" ")
            return at + 1
        if text in SIZES:
            after = _next(items, at + 1)
            return after + 1 if after < len(items) and items[after] == "." else at + 1
        if text == "*" and out and not self.is_lost_underscore(items, at):
            out.append("*" if out[-1] in ("_", "^") else r"\cdot")
            return at + 1
        if text == r"\over":
            return at + 1
        if text in WITH_ARGUMENT:
            return self.argument(items, at + 1)[1]
        if text in SILENT and not (text == r"\mathop" and at + 1 < len(items) and isinstance(items[at + 1], list)):
            return at + 1
        if text in (r"\textcolor", r"\colorbox"):
            _, at = self.argument(items, at + 1)
            inner, at = self.argument(items, at)
            out += self.clean(inner)
            return at
        if text in (r"\underbrace", r"\overbrace"):
            return self.brace(items, at, out)
        if text in (r"\underset", r"\overset", r"\stackrel"):
            return self.stacked(text, items, at, out)
        if text == r"\substack":
            inner, at = self.argument(items, at + 1)
            out += self.clean(inner)
            return at
        if text in (r"\begin", r"\end"):
            _, at = self.argument(items, at + 1)
            return at
        if text in FONTS or text in SEEN_THROUGH:
            inner, at = self.argument(items, at + 1)
            out += self.clean(inner)
            return at
        if text in WORDS:
            return self.word(text, items, at, out)
        if text in (r"\frac", r"\binom"):
            above, at = self.argument(items, at + 1)
            below, at = self.argument(items, at)
            out += [text, self.clean(above), self.clean(below)]
            return at
        if text == r"\sqrt":
            after = _next(items, at + 1)
            if after < len(items) and items[after] == "[":
                out += [text, *items[after : after + 3]]
                at = after + 2
            inner, at = self.argument(items, at + 1)
            out += ([text] if out[-1:] != ["]"] else []) + [self.clean(inner)]
            return at
        if text in ("_", "^", "*") and (text != "*" or self.is_lost_underscore(items, at)):
            inner, at = self.argument(items, at + 1)
            if text == "*":
                self.result.mended.append("an underscore that had become an asterisk")
            out += ["_" if text == "*" else text, self.clean(inner)]
            return at
        if text.startswith("\\") and text[1:2].isalpha():
            return self.command(text, items, at, out)
        if text.isalpha() and text.isascii():
            return self.letters(items, at, out)
        out.append(text)
        return at + 1

    def is_lost_underscore(self, items: Items, at: int) -> bool:
        return at > 0 and at + 1 < len(items) and isinstance(items[at + 1], list) and items[at - 1] in list("DQPqpE")

    def argument(self, items: Items, at: int) -> tuple[Items, int]:
        """The argument that begins here (a group or one sign, with its own argument where it is a font)."""
        at = _next(items, at)
        if at >= len(items):
            return [], at
        item = items[at]
        if isinstance(item, list):
            return item, at + 1
        if item in FONTS or item in WORDS or item in (r"\sqrt",):
            inner, end = self.argument(items, at + 1)
            return [item, inner], end
        if SAME.get(item, item) in (r"\frac", r"\binom"):
            above, end = self.argument(items, at + 1)
            below, end = self.argument(items, end)
            return [item, above, below], end
        if len(item) > 1 and item.isdigit():  # \frac12
            items[at] = item[1:]
            return [item[0]], at
        return [item], at + 1

    def brace(self, items: Items, at: int, out: Items) -> int:
        inner, end = self.argument(items, at + 1)
        body = self.clean(inner)
        after = _next(items, end)
        if after < len(items) and items[after] in ("_", "^"):
            name, end = self.argument(items, after + 1)
            named = self.clean([item for item in name if item != r"\\"])
            if named and body:
                self.result.named.append((named, body))
        if _needs_brackets(body) and (self._multiplied(out) or _goes_on(items, end)):
            body = ["(", *body, ")"]
        out += body
        return end

    @staticmethod
    def _multiplied(out: Items) -> bool:
        last = next((item for item in reversed(out) if item != " "), None)
        return last is not None and last not in ("+", "=", "(", "[", r"\{", r"\ge", r"\le", ":=")

    def stacked(self, text: str, items: Items, at: int, out: Items) -> int:
        first, at = self.argument(items, at + 1)
        second, at = self.argument(items, at)
        base, mark = self.clean(second), self.clean(first)
        bare = [item for item in base if item != " "]
        if text == r"\underset":
            if bare and bare[0] == r"\int" and mark:
                out += [r"\int", "_", Group(mark[:1])]
            else:
                out += [*bare, "_", mark]
        elif bare in (["="], [r"\equiv"], [r"\sim"]):
            said = plain_word(first).lower()
            definition = any(word in said for word in ("def", "!", "set", "△", "let")) or mark == [r"\triangle"]
            loose = bare == ["="] and said.strip(". ") in ("c", "+", "const")
            out.append(":=" if definition and bare == ["="] else r"\eqc" if loose else bare[0])
        else:
            out += base
        return at

    def word(self, text: str, items: Items, at: int, out: Items) -> int:
        inner, at = self.argument(items, at + 1)
        if text == r"\mathop" and any(isinstance(i, list) or i.startswith("\\") for i in inner):
            out += self.clean(inner)
            return at
        said = plain_word(inner)
        if any(isinstance(item, str) and item in GREEK for item in inner) and not said:
            out += self.clean(inner)
            return at
        key = said.lower().strip(" :.,")
        if key in SAID and not (text in SCRIPT and len(said) == 1):
            out.append(SAID[key])
        elif len(said) > 3 and key.startswith("log") and len(key) == 4 and key[3] in "pq":  # \operatorname{logp}
            self.result.mended.append("a density swallowed by the name of the logarithm")
            out += [r"\log", said[3]]
        elif len(said) == 1 and said == "E" and text not in (r"\mathcal", r"\mathscr"):
            out.append(r"\E")
        elif len(said) == 1 and said.isalpha():
            if text in SCRIPT:
                out.append(rf"\cal.{said}")
            elif text in BLACKBOARD and said not in "PQV":
                out.append(rf"\bb.{said}")
            else:
                out.append("d" if said == "d" else said)
        elif len(said) == 1 or (all(len(part.strip()) == 1 for part in said.split(",")) and "," in said):
            out += [sign for sign in said if sign != " "]
        elif not said:
            out += self.clean([item for item in inner if isinstance(item, list) or item in GREEK])
        elif key in ("data", "old", "new", "true", "prior", "post", "ref"):
            out.append(rf"\word.{key}")
        elif not any(c.isalpha() for c in said):
            out += [sign for sign in said if sign != " "]
        else:
            out.append(rf"\word.{said}")
        return at

    def command(self, text: str, items: Items, at: int, out: Items) -> int:
        """A command that is none of the surface: as it is, or as what others call it."""
        if text in GREEK or text in FUNCTIONS or text.startswith((r"\cal.", r"\word.", r"\bb.")):
            out.append(text)
            return at + 1
        if text in (r"\mathbfcal",):
            return at + 1
        if text == r"\arg":
            after = _next(items, at + 1)
            if after < len(items) and items[after] in (r"\max", r"\min"):
                out.append(r"\arg" + str(items[after])[1:])
                return after + 1
        if text == r"\double":
            out.append(r"\E" if items[_next(items, at + 1) :][:1] == ["E"] else " ")
            return _next(items, at + 1) + 1
        if text in (r"\bar", r"\hat", r"\tilde", r"\widehat", r"\widetilde", r"\overline", r"\dot", r"\check"):
            inner, at = self.argument(items, at + 1)
            out += [r"\hat" if text == r"\widehat" else r"\tilde" if text == r"\widetilde" else text, self.clean(inner)]
            return at
        name = text[1:]
        for start, sign in (("vert", "|"), ("mid", "|"), ("given", "|"), ("log", r"\log"), ("int", r"\int")):
            if name.startswith(start) and len(name) == len(start) + 1:  # \vertx
                self.result.mended.append(rf"a blank between \{start} and {name[-1]}")
                out += [sign, name[-1]]
                return at + 1
        for start in ("b", "v", "bm", "vec", "mb", "bs"):
            rest = name.removeprefix(start)
            if rest != name and ((len(rest) == 1 and rest.isalpha()) or "\\" + rest in GREEK) and text not in KNOWN:
                out.append("\\" + rest if "\\" + rest in GREEK else rest)
                return at + 1
        if len(name) == 2 and name[1] in "bvm" and text not in KNOWN:  # \xb, \zv
            out.append(name[0])
            return at + 1
        out.append(text)
        return at + 1

    def letters(self, items: Items, at: int, out: Items) -> int:
        """Letters that follow one another: a word of this subject, or each for itself."""
        run, end = "", at
        if len(SAME.get(str(items[at]), "")) == 1:  # \\I, \\Pr
            out.append(SAME[str(items[at])])
            return at + 1
        while end < len(items) and isinstance(items[end], str) and items[end].isalpha() and items[end].isascii():
            run += items[end]
            end += 1
        spread = [i for i in items[at : at + 8] if i != " "]
        for word in ("KL", "ELBO"):
            if spread[: len(word)] == list(word) and not run.startswith(word):  # K L
                taken = 0
                while taken < len(word):
                    taken += items[at] != " "
                    at += 1
                out.append(SAID[word.lower()])
                return at
        for word in RUNS:
            if run.startswith(word) and (word.lower() not in ("tr", "ln", "min", "max") or run == word):
                out.append(SAID.get(word.lower(), rf"\word.{word}"))
                return at + len(word)
        measures = re.fullmatch("(?:d[a-z]){2,}", run)  # dxdz
        if (
            run in STOPS
            or (not measures and len(run) >= 4 and run[1:].islower() and run != "softplus")
            or run in ("Left", "Right")
        ):
            out.append(rf"\word.{run}")
            return end
        if run[0] == "E":
            after = _next_of(items, at + 1)
            if after in ("_", "[", r"\{") or (after == "(" and {r"\log", r"\ln"} & _inside(items, at + 1)):
                out.append(r"\E")
                return at + 1
        out.append(items[at])
        return at + 1


def _inside(items: Items, at: int) -> set[str]:
    """The signs in the bracket that begins here."""
    depth, end = 0, at
    while end < len(items):
        depth += (items[end] in ("(", "[")) - (items[end] in (")", "]"))
        end += 1
        if depth == 0 and items[end - 1] in (")", "]"):
            break
    return {item for item in items[at:end] if isinstance(item, str)}


def _next(items: Items, at: int) -> int:
    while at < len(items) and isinstance(items[at], str) and items[at] in SPACES and items[at] != "&":
        at += 1
    return at


def _next_of(items: Items, at: int) -> str:
    while at < len(items) and isinstance(items[at], str) and (items[at] in SPACES or items[at] in SIZES):
        at += 1
    return items[at] if at < len(items) and isinstance(items[at], str) else ""


def _goes_on(items: Items, at: int) -> bool:
    """Whether a factor follows."""
    following = _next_of(items, at)
    return following not in ("", "+", "-", "=", ",", ".", ";", r"\\", "&", ")", "]", r"\}", r"\ge", r"\le", r"\geq")


def _needs_brackets(items: Items) -> bool:
    """Whether there is a sum here, outside of brackets."""
    depth = 0
    for i, item in enumerate(items):
        if item in ("(", "[", r"\{"):
            depth += 1
        elif item in (")", "]", r"\}"):
            depth -= 1
        elif item in ("+", "-") and depth == 0 and i >= 0:
            return True
    return False


def _lone(items: Items) -> bool:
    """One factor, after which nothing can be taken for a part of it: a bracket, a call, a letter, a fraction."""
    kept = [item for item in items if item != " "]
    if not kept:
        return True
    if kept[0] in ("(", "["):
        depth = 0
        for i, item in enumerate(kept):
            depth += (item in ("(", "[")) - (item in (")", "]"))
            if depth == 0:
                return i == len(kept) - 1
    return False


def _joined(out: Items) -> Items:
    """Two bars as one; D_{KL} as the divergence; := as one sign; blanks dropped."""
    kept = [item for item in out if item != " "]
    result = Group()
    at = 0
    while at < len(kept):
        item = kept[at]
        after = kept[at + 1] if at + 1 < len(kept) else None
        if item == "|" and after == "|":
            result.append(r"\|")
            at += 2
            continue
        if (item, after) in ((":", "="), ("=", ":")):
            result.append(":=")
            at += 2
            continue
        if item in ("<", ">") and after == "=":
            if item == "<" and at + 2 < len(kept) and kept[at + 2] == ">":
                result.append(r"\Leftrightarrow")
                at += 3
                continue
            result.append(r"\le" if item == "<" else r"\ge")
            at += 2
            continue
        if item in ("D", r"\cal.D", r"\bb.D") and after == "_" and r"\KL" in _all(kept[at + 2 : at + 3]):
            result.append(r"\KL")
            at += 3
            continue
        if item in ("D", r"\cal.D", r"\bb.D") and after in ("(", "[", r"\{") and _of_two_laws(kept[at + 1 :]):
            result.append(r"\KL")
            at += 1
            continue
        if item == r"\KL" and after == "_" and at + 2 < len(kept):  # KL_{q}
            result.append(item)
            at += 3
            continue
        result.append(item)
        at += 1
    return result


def _of_two_laws(items: Items) -> bool:
    """Whether two parallel bars are in the bracket that begins here."""
    depth = 0
    for item, after in pairwise([*items, None]):
        depth += (item in ("(", "[", r"\{")) - (item in (")", "]", r"\}"))
        if depth == 1 and (item == r"\|" or item == after == "|"):
            return True
        if depth == 0:
            break
    return False


def _operator_before(out: Items) -> str:
    """The operator that takes what follows, its scripts passed over; "" if none waits."""
    at = len(out) - 1
    while at >= 1 and (out[at] == " " or isinstance(out[at], list)):
        at -= 2 if isinstance(out[at], list) and out[at - 1] in ("_", "^") else 1
        if at >= 0 and isinstance(out[at], list) and (at == 0 or out[at - 1] not in ("_", "^")):
            return ""
    return out[at] if at >= 0 and isinstance(out[at], str) and out[at] in FUNCTIONS else ""


def _all(items: Sequence[object]) -> list[object]:
    found: list[object] = []
    for item in items:
        found += _all(item) if isinstance(item, list) else [item]
    return found
