r"""Names with all that hangs on them, \mathcal{L}(\theta; x), \theta^t, \sigma_{q,j}^2, and questions about groups."""

from __future__ import annotations

from collections.abc import Iterator

from vaelib.check.latex import CannotRead, Items
from vaelib.check.options import NEW, OLD, STAR, Bound
from vaelib.check.roles import GUIDE, MODEL, NOISE, Called, Roles, call_at, calls, letter_of, text_of
from vaelib.check.spellings import FUNCTIONS

OPEN, CLOSE = ("(", "[", r"\{"), (")", "]", r"\}")
SCRIPTS = ("_", "^")


def name_at(items: Items, at: int, roles: Roles) -> tuple[str, list[tuple[str, str]], int] | None:
    r"""The name that begins here, such as \mathcal{L}(\theta, \phi; x) or R_1: its key, the parameters in its brackets
    with their marks, and the place behind it. None if nothing that can be given a name begins here."""
    first = items[at]
    if not isinstance(first, str):
        return None
    key = ""
    if first in (r"\hat", r"\tilde", r"\bar"):
        if at + 1 >= len(items) or not isinstance(items[at + 1], list):
            return None
        key, end = first + text_of(items[at + 1]), at + 2
    elif first == r"\KL" and at + 1 < len(items) and items[at + 1] in OPEN:
        return None
    elif first.startswith((r"\cal.", r"\word.")) or (first.isalpha() and len(first) == 1) or first == r"\KL":
        key, end = first, at + 1
    elif first.startswith("\\") and first not in FUNCTIONS and first[1:].isalpha() and first not in NO_NAMES:
        key, end = first, at + 1
    else:
        return None
    if key == r"\cal.N":
        return None
    arguments: list[tuple[str, str]] = []
    while end < len(items):
        if items[end] in SCRIPTS and end + 1 < len(items) and isinstance(items[end + 1], list):
            inner = items[end + 1]
            marked = parameters_of(inner, roles)
            if marked is None:
                key += str(items[end]) + text_of(inner)
            else:
                arguments += marked
            end += 2
        elif items[end] in ("'", "*"):
            key += str(items[end])
            end += 1
        else:
            break
    if end < len(items) and items[end] in ("(", "["):
        call = call_at([key, *items[end:]], 0)
        if call is not None:
            entries = [*call.targets, *call.givens, *call.parameters]
            if not entries or not all(_is_argument(entry, roles) for entry in entries):
                return None if first in roles.variables else (key, arguments, end)
            for entry in entries:
                marked = parameters_of(entry, roles)
                if marked:
                    arguments += marked
                elif entry[0] in roles.densities:
                    arguments.append((roles.densities[str(entry[0])], mark_of(entry[1:])))
                elif entry in ([r"\cal.D"], ["D"]):
                    arguments.append(("", "data"))
                elif letter_of(entry)[0] in roles.variables:
                    arguments.append(("", roles.variables[letter_of(entry)[0]]))
            end += call.end - 1
    return key, arguments, end


DOTS = frozenset({r"\dots", r"\ldots", r"\cdots", r"\vdots"})
NO_NAMES = {r"\frac", r"\sqrt", r"\cdot", r"\times", r"\top", r"\infty", r"\pi", r"\pm", r"\nabla", r"\partial"}
NO_NAMES |= {*DOTS, r"\langle", r"\rangle", r"\le", r"\ge", r"\approx", r"\int", r"\const"}


def _is_argument(entry: Items, roles: Roles) -> bool:
    letter, _ = letter_of(entry)
    if not letter:
        if entry[:1] and entry[0] in roles.densities:
            call = call_at(entry, 0)
            return (call is not None and call.end == len(entry)) or entry[1:] == ["(", r"\cdot", ")"]
        together = len(entry) == 2 and all(letter_of([e])[0] for e in entry)
        return entry == [r"\cdot"] or (together and all(_is_argument([e], roles) for e in entry))
    known = letter in roles.parameters or letter in roles.variables or letter in roles.densities
    return known or letter in NOISE or letter.startswith((r"\cal.", r"\bb.")) or letter in "GDfg"


def parameters_of(entry: Items, roles: Roles) -> list[tuple[str, str]] | None:
    r"""The parameters that an entry is made of, \theta^t as (\theta, o); None if it is not made of parameters alone."""
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(entry):
        item = entry[at]
        if item in (",", ";"):
            at += 1
            continue
        hat = item in (r"\hat", r"\tilde", r"\bar") and at + 1 < len(entry) and isinstance(entry[at + 1], list)
        if hat:
            letter, at = text_of(entry[at + 1]), at + 2
        elif isinstance(item, str):
            letter, at = item, at + 1
        else:
            return None
        if letter not in roles.parameters:
            return None
        scripts: Items = []
        while at < len(entry) and (entry[at] in SCRIPTS or isinstance(entry[at], list) or entry[at] in ("'", "*")):
            scripts.append(entry[at])
            at += 1
        found.append(
            (MODEL if letter in (r"\theta", r"\Theta", r"\vartheta") else GUIDE, STAR if hat else mark_of(scripts))
        )
    return found


def mark_of(scripts: Items) -> str:
    """Old, new or best, by what hangs on a name; "" for none."""
    text = text_of(scripts).replace("_", "").replace("^", "").strip("()[]")
    text = text.replace(r"\word.", "").strip("()[]")
    if not text or text in (r"\theta", r"\phi", r"\lambda", "0"):
        return ""
    if "+1" in text or "new" in text:
        return NEW
    if "*" in text or r"\hat" in text:
        return STAR
    if text in ("t", "k", "s", "n", "old", "(t)", "i", "l", "m", "'") or "old" in text:
        return OLD
    return ""


GAUSSIAN = (r"\mu", r"\sigma", r"\Sigma")


def moment_at(items: Items, at: int, roles: Roles, bound: Bound) -> tuple[str, str, bool, list[Items], int]:
    """A mean or a scale: its letter, its label, whether it has an index, its exponents, and the place behind it."""
    base, label, index = str(items[at]), "", False
    exponents: list[Items] = []
    at += 1
    while at + 1 < len(items) and items[at] in SCRIPTS:
        inner = items[at + 1] if isinstance(items[at + 1], list) else [items[at + 1]]
        if items[at] == "_":
            for part in split_at(inner, (",",)):
                word = text_of(part)
                if bound.get(word) == "parts":
                    index = True
                elif len(part) > 1 and bound.get(text_of(part[-1:])) == "parts":
                    index, label = True, text_of(part[:-1])
                elif not (isinstance(part[0], str) and part[0] in roles.parameters):
                    label = word.removeprefix(r"\word.")
        else:
            if inner[:1] == ["("] and ")" in inner:  # (i)2
                inner = inner[inner.index(")") + 1 :]
            if bound.get(text_of(inner)) == "parts":
                index = True
            elif inner in ([r"\top"], ["T"], [r"\word.T"]):
                exponents.append([r"\top"])
            elif inner:
                exponents.append(inner)
        at += 2
    if at < len(items) and items[at] == "(":
        call = call_at([base, *items[at:]], 0)
        if call is not None:
            entries = [*call.targets, *call.givens, *call.parameters]
            letters = [letter_of(entry)[0] for entry in entries]
            if all(letter in roles.variables or letter in roles.parameters for letter in letters):
                at += call.end - 1
    if label and not (label.isalnum() and len(label) <= 4):
        raise CannotRead(f"Expected a label that names a law, but got {label}.")
    return base, label, index, exponents, at


def scripted(items: Items) -> list[tuple[str, str]]:
    """Each letter with the text of the script behind it."""
    found: list[tuple[str, str]] = []
    for i, item in enumerate(items):
        if isinstance(item, list):
            found += scripted(item)
        elif items[i + 1 : i + 2] and items[i + 1] in SCRIPTS and i + 2 < len(items) and isinstance(items[i + 2], list):
            found.append((item, text_of(items[i + 2])))
    return found


def leaves(items: Items) -> list[str]:
    found: list[str] = []
    for item in items:
        found += leaves(item) if isinstance(item, list) else [item]
    return found


def calls_below(items: Items, roles: Roles) -> Iterator[Called]:
    """Every density that is called in these items."""
    return calls(items, roles.densities)


def measure_of(items: Items, at: int, roles: Roles) -> tuple[int, str] | None:
    """The place of the dz that ends an integral whose body begins here, and its letter."""
    depth = waiting = 0
    for i in range(at, len(items)):
        item = items[i]
        depth += (item in OPEN) - (item in CLOSE)
        if depth < 0:
            return None
        if depth:
            continue
        if item == r"\int":
            waiting += 1
        after = items[i + 1] if i + 1 < len(items) else None
        if item == "d" and isinstance(after, str) and (after in roles.variables or after in roles.parameters):
            if waiting == 0:
                return i, after
            waiting -= 1
    return None


def split_at(items: Items, signs: tuple[str, ...]) -> list[Items]:
    """The parts between signs outside of brackets."""
    parts: list[Items] = [[]]
    depth = 0
    for item in items:
        if isinstance(item, str):
            depth += (item in OPEN) - (item in CLOSE)
            if depth == 0 and item in signs:
                parts.append([])
                continue
        parts[-1].append(item)
    return [part for part in parts if part]


def shown(items: Items) -> str:
    return text_of(items).replace(r"\word.", "").replace(r"\cal.", "")
