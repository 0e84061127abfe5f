r"""Who is who: which letter is the model and which the guide, which variable is observed and which is latent.

People write P(X|z), q_\phi(h \mid v), p(o, s): the names are taken from how the densities are called, over all of the
document, and may be told: `--let "t=latent"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from vaelib.check.latex import Items

MODEL, GUIDE = "p", "q"
DENSITIES = {"p": MODEL, "P": MODEL, r"\bb.P": MODEL, "q": GUIDE, "Q": GUIDE, r"\bb.Q": GUIDE}
PARAMETERS = frozenset(
    r"\theta \phi \varphi \lambda \psi \vartheta \eta \omega \Theta \Phi \Psi \Lambda \beta \xi \alpha \gamma W w J"
    r" \Omega".split()
)
NOISE = frozenset({r"\epsilon", r"\varepsilon"})
LATENTS = ("z", "Z", "h", "H", "t", "T", "s", "S", "u", "w", "y", "Y")
CANONICAL = ("x", "y", "u", "v", "w", "a", "b", "c")  # observed variables, in order
LATENT = "z"
ENTROPY = frozenset({"H", r"\H", r"\cal.H", r"\bb.H"})
INFORMATION = ENTROPY | {"I", r"\cal.I", r"\bb.I"}  # H(X | Z), I(X; Z)
_OPEN, _CLOSE = ("(", "[", r"\{"), (")", "]", r"\}")
KINDS = ("latent", "data", "model", "guide", "parameter")


@dataclass(frozen=True)
class Roles:
    """What the letters of a document are.

    Args:
        densities: letter -> p or q.
        variables: letter -> its canonical name: z the latent one, x, y, ... the observed ones.
        apart: letters of which those with different subscripts are different variables: x_t and x_0.
        latents: the canonical latent variables.
        parameters: letters that are parameters.
        guiding: those of them that only q has.
        amortized: whether q is given what was observed, q(z | x), somewhere.
        fixed_prior: whether the prior is written without parameters, p(z), beside p_\\theta(x | z).
    """

    densities: Mapping[str, str] = field(default_factory=lambda: dict(DENSITIES))
    variables: Mapping[str, str] = field(default_factory=dict)
    apart: frozenset[str] = frozenset()
    parameters: frozenset[str] = PARAMETERS
    has_guide: bool = True
    guiding: frozenset[str] = frozenset()
    fixed_prior: bool = False
    amortized: bool = False

    @property
    def observed(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for name in self.variables.values() if name != LATENT))

    def spoken(self) -> str:
        """The reading in one line."""
        latent = [letter for letter, name in self.variables.items() if name == LATENT]
        data = [letter.removeprefix(r"\cal.") for letter, name in self.variables.items() if name != LATENT]
        parts = []
        if data:
            parts.append(f"observed: {', '.join(sorted(set(data)))}")
        if latent:
            parts.append(f"latent: {', '.join(sorted(set(latent)))}")
        parts.append("p: a model of them" + ("; q: any law of the latent variable" if self.has_guide else ""))
        parts.append("log: natural")
        return "; ".join(parts)


def told(lets: Iterable[str]) -> dict[str, str]:
    """What was stated: "t=latent" as {"t": "latent"}.

    Raises ValueError for a role that is not known.
    """
    found: dict[str, str] = {}
    for let in lets:
        letter, equals, kind = (part.strip() for part in let.partition("="))
        if not equals or not letter or kind not in KINDS:
            raise ValueError(f"Expected a letter and its role, such as t=latent ({', '.join(KINDS)}), but got {let!r}.")
        found[letter] = kind
    return found


@dataclass(frozen=True)
class Called:
    """A density and the contents of its brackets, as they were written: entries of items."""

    letter: str
    scripts: Items
    targets: list[Items]
    givens: list[Items]
    parameters: list[Items]
    end: int


def call_at(items: Items, at: int) -> Called | None:
    """The call that begins with the letter here, p_\\theta(x | z; w), or None if no bracket follows."""
    letter = items[at]
    scripts: Items = []
    at += 1
    while at < len(items):
        if items[at] in ("_", "^") and at + 1 < len(items):
            scripts += [items[at], items[at + 1]]
            at += 2
        elif items[at] in ("'", "*"):
            scripts.append(items[at])
            at += 1
        else:
            break
    if at >= len(items) or items[at] not in ("(", "["):
        return None
    end = closing(items, at)
    if end < 0:
        return None
    parts: list[list[Items]] = [[], [], []]
    entry: Items = []
    part = depth = 0
    for item in [*items[at + 1 : end], None]:
        if isinstance(item, str):
            depth += (item in _OPEN) - (item in _CLOSE)
        if item is None or (depth == 0 and item in (",", "|", ";", r"\|")):
            if entry:
                parts[part].append(entry)
            entry = []
            if item in ("|", r"\|"):
                part = 1
            elif item == ";":
                part = 2
        else:
            entry.append(item)
    return Called(str(letter), scripts, parts[0], parts[1], parts[2], end + 1)


def closing(items: Items, at: int) -> int:
    """The place of the bracket that closes the one here, whatever its kind; -1 if there is none."""
    depth = 0
    for i in range(at, len(items)):
        if items[i] in _OPEN:
            depth += 1
        elif items[i] in _CLOSE:
            depth -= 1
            if depth == 0:
                return i
    return -1


def calls(items: Items, letters: Iterable[str]) -> Iterator[Called]:
    """Every density that is called, in groups too."""
    known = frozenset(letters)
    for i, item in enumerate(items):
        if isinstance(item, list):
            yield from calls(item, known)
        elif item in known:
            found = call_at(items, i)
            if found is not None:
                yield found


def letter_of(entry: Items) -> tuple[str, str]:
    """The letter of an entry and its subscript as text, x_{t-1} as ("x", "t-1"); "" if it is not a single name."""
    at = 0
    if entry[:1] and entry[0] in (r"\hat", r"\tilde", r"\bar") and len(entry) > 1 and isinstance(entry[1], list):
        entry = [*entry[1], *entry[2:]]
    if not entry or not isinstance(entry[0], str) or not (entry[0].isalpha() or entry[0][:1] == "\\"):
        return "", ""
    if entry[0].startswith("\\") and entry[0] in (r"\frac", r"\sqrt", r"\log", r"\exp", r"\cdot", r"\dots", r"\ldots"):
        return "", ""
    sub = ""
    at = 1
    while at < len(entry):
        if entry[at] in ("_", "^") and at + 1 < len(entry):
            if entry[at] == "_" and isinstance(entry[at + 1], list):
                sub = text_of(entry[at + 1])
            at += 2
        elif entry[at] in ("'", "*"):
            at += 1
        elif entry[at] == "=":  # z = k
            break
        else:
            return "", ""
    return entry[0], sub


def text_of(items: Items) -> str:
    return "".join(text_of(item) if isinstance(item, list) else item for item in items)


def of_variables(call: Called) -> bool:
    """Whether H or I is of random variables, as in H(X | Z): single letters that no law and no parameter is called."""
    entries = [*call.targets, *call.givens, *call.parameters]
    if call.letter[-1] == "I" and len(call.targets) + len(call.parameters) != 2:
        return False
    return bool(call.targets) and all(len(entry) == 1 and str(entry[0]) in "xXyYzZuUvVoO" for entry in entries)


def roles_of(formulas: Iterable[Items], lets: Mapping[str, str]) -> Roles:
    """The roles of a document, from how its densities are called.

    A letter is latent if a guide is a law of it; without a guide, if it is summed or integrated over, or is one of the
    usual letters; or if it is the only one, and means are taken over it. The others are observed.
    """
    densities = dict(DENSITIES)
    parameters = set(PARAMETERS)
    for letter, kind in lets.items():
        if kind in ("model", "guide"):
            densities[letter] = MODEL if kind == "model" else GUIDE
        elif kind == "parameter":
            parameters.add(letter)
    formulas = list(formulas)
    random = _random_parameters(formulas, densities, parameters)
    parameters -= random | {letter for letter, kind in lets.items() if kind in ("latent", "data")}
    seen: list[str] = []
    of_guide: list[str] = []
    given: set[str] = set()
    subs: dict[str, set[str]] = {}
    together: set[str] = set()
    data = {letter for letter, kind in lets.items() if kind == "data"}
    has_guide = False
    for items in formulas:
        has_guide = has_guide or any(item in densities and densities[item] == GUIDE for item in _leaves(items))
        of_information = [call for call in calls(items, INFORMATION) if of_variables(call)]
        drawn = call_at(["p", "(", *items, ")"], 0) if "|" in items and len(items) <= 5 else None  # x | z \sim N(...)
        of_information += [drawn] if drawn is not None and of_variables(drawn) else []
        for call in [*calls(items, densities), *of_information]:
            kind = densities.get(call.letter, MODEL)
            in_call: dict[str, set[str]] = {}
            for place, entries in enumerate((call.targets, call.givens, call.parameters)):
                for entry in entries:
                    letter, sub = letter_of(entry)
                    if not letter or letter in parameters or letter in densities or letter.startswith(r"\word."):
                        continue
                    named = letter in NOISE or letter in lets or letter in (*PARAMETERS, r"\cal.D", r"\cal.X")
                    if letter.startswith("\\") and not named:
                        continue
                    seen.append(letter)
                    of_data = any(mark in call.scripts for mark in ([r"\word.data"], [r"\cal.D"], ["d"], ["D"]))
                    if place == 0 and of_data:
                        data.add(letter)  # p_{data}(x)
                    subs.setdefault(letter, set()).add(sub)
                    in_call.setdefault(letter, set()).add(sub)
                    if kind == GUIDE and place == 0:
                        of_guide.append(letter)
                    if kind == GUIDE and place == 1:
                        given.add(letter)
            together |= {letter for letter, found in in_call.items() if len(found) > 1 and "" not in found}
    summed = set(_bound(formulas))
    averaged = list(_averaged(formulas, densities))
    letters = list(dict.fromkeys(letter for letter in seen if letter not in NOISE))
    latent = {letter for letter, kind in lets.items() if kind == "latent"}
    if not latent:
        below = {letter.lower() for letter in given}
        targets = [letter for letter in of_guide if letter not in NOISE]
        latent = {letter for letter in targets if letter.lower() not in below} or set(targets[:1])
    if not latent and not has_guide:
        latent = random
    if not latent and letters:
        known = [letter for letter in LATENTS if letter in letters and len({a.lower() for a in letters}) > 1]
        bound = [letter for letter in letters if letter in summed and letter not in data]
        alone = len({letter.lower() for letter in letters}) == 1 and letters[0] in "xXyYoO"
        latent = set(bound[:1] or known[:1] or ([] if alone and not averaged else letters[:1]))
    if not latent and not letters:
        latent = set(averaged[:1])
    lower = {letter.lower() for letter in latent}
    variables: dict[str, str] = {}
    free = list(CANONICAL)
    for letter in [*letters, *sorted(latent | data)]:
        key = letter.lower()
        if letter in data or key not in lower:
            same = next((variables[other] for other in variables if other.lower() == key), None)
            variables[letter] = same or (free.pop(0) if free else "c")
        else:
            variables[letter] = LATENT
    for letter in list(variables):  # X for x and the other way round
        swapped = letter.swapcase()
        if len(letter) == 1 and swapped not in variables and swapped not in densities and swapped not in parameters:
            divides = swapped == "Z" and any(_divides(items, swapped) for items in formulas)
            if swapped in "xXzZ" and not divides and any(swapped in _leaves(items) for items in formulas):
                variables[swapped] = variables[letter]
    if not variables:
        variables = {LATENT: LATENT, CANONICAL[0]: CANONICAL[0]}
    guiding, fixed = _guiding(formulas, densities), _prior_is_fixed(formulas, densities, variables, parameters)
    return Roles(
        densities, variables, frozenset(together), frozenset(parameters), has_guide, guiding, fixed, bool(given)
    )


def _divides(items: Items, letter: str) -> bool:
    """Whether a letter is a normalizing constant: 1 / Z, or the logarithm of it."""
    for i, item in enumerate(items):
        if isinstance(item, list):
            if _divides(item, letter) or (item == [letter] and i > 1 and items[i - 2] == r"\frac"):
                return True
        elif item == letter and i and items[i - 1] in ("/", r"\log"):
            return True
    return False


def _guiding(formulas: list[Items], densities: Mapping[str, str]) -> frozenset[str]:
    """The letters that occur with q alone, as the \\theta of q(w | \\theta) may do."""
    signs: dict[str, set[str]] = {MODEL: set(), GUIDE: set()}
    for items in formulas:
        for call in calls(items, densities):
            parts = [call.scripts, *call.targets, *call.givens, *call.parameters]
            signs[densities[call.letter]] |= {sign for part in parts for sign in _leaves(part)}
    return frozenset(signs[GUIDE] - signs[MODEL])


def _prior_is_fixed(
    formulas: list[Items], densities: Mapping[str, str], variables: Mapping[str, str], parameters: set[str]
) -> bool:
    """Whether p(z) has no parameter wherever it is written, while another density of the model has one."""
    found = [call for items in formulas for call in calls(items, densities) if densities[call.letter] == MODEL]
    has = [bool(parameters & set(_leaves([*call.scripts, *call.parameters, *call.givens]))) for call in found]
    prior = [
        not call.givens and [variables.get(letter_of(each)[0]) for each in call.targets] == [LATENT] for call in found
    ]
    of_prior = [one for one, is_prior in zip(has, prior, strict=True) if is_prior]
    return bool(of_prior) and not any(of_prior) and any(has)


def _random_parameters(formulas: list[Items], densities: Mapping[str, str], parameters: set[str]) -> set[str]:
    """The parameter that is the latent variable itself, q(\\theta) and p(\\theta | D): q is a law of nothing else."""
    found = [call for items in formulas for call in calls(items, densities)]
    of_guide = [call for call in found if densities[call.letter] == GUIDE]
    if not of_guide:  # p(\\theta) beside p(x | \\theta), and no latent variable
        alone = [letter_of(call.targets[0])[0] for call in found if len(call.targets) == 1]
        prior = {letter_of(call.targets[0])[0] for call in found if len(call.targets) == 1 and not call.givens}
        given = {letter_of(entry)[0] for call in found for entry in call.givens}
        random = prior & given & parameters
        return random if len(random) == 1 and not {"z", "Z", "h"} & {*alone, *given} else set()
    letters = {letter_of(entry)[0] for call in of_guide for entry in call.targets}
    modelled = {letter_of(call.targets[0])[0] for call in found if densities[call.letter] == MODEL and call.targets}
    if len(letters) != 1 or not letters <= parameters & modelled or any(len(call.targets) != 1 for call in of_guide):
        return set()
    step = any(letter_of(entry)[0] in letters for call in of_guide for entry in (*call.givens, *call.parameters))
    return set() if step else letters  # not the Q(\\theta | \\theta^t) of a step of EM


def _leaves(items: Items) -> Iterator[str]:
    for item in items:
        if isinstance(item, list):
            yield from _leaves(item)
        else:
            yield item


def _averaged(formulas: Iterable[Items], densities: Mapping[str, str]) -> Iterator[str]:
    r"""What means are over: the x of x \sim N(m, S), of x \sim p and of p(x), but not where p is the law of the data.

    A mean that does not say it is over the only letter that there is, of which it says nothing.
    """
    for items in formulas:
        letters = [letter_of(each)[0] for call in calls(items, densities) for each in call.targets]
        for i, item in enumerate(items):
            if isinstance(item, list):
                yield from _averaged([item], densities)
            elif item == r"\E" and items[i + 1 : i + 2] in (["["], ["("]):
                yield from letters[:1]
            elif item == r"\E" and items[i + 1 : i + 2] == ["_"] and items[i + 2 :] and isinstance(items[i + 2], list):
                yield from _drawn_below(items[i + 2], densities)


def _drawn_below(items: Items, densities: Mapping[str, str]) -> Iterator[str]:
    if items[1:2] == [r"\sim"] and isinstance(items[0], str):
        law = items[2:]
        if law[:1] in (["N"], [r"\cal.N"]) or (law and law[0] in densities and (len(law) == 1 or law[1] in ("(", "["))):
            yield items[0]
    elif items and items[0] in densities and (call := call_at(items, 0)) and not call.scripts and not call.givens:
        yield from (letter_of(each)[0] for each in call.targets)


def _bound(formulas: Iterable[Items]) -> Iterator[str]:
    """The letters that integrals and sums go over."""
    for items in formulas:
        for i, item in enumerate(items):
            if isinstance(item, list):
                yield from _bound([item])
            elif item == "d" and i + 1 < len(items) and isinstance(items[i + 1], str):
                yield items[i + 1]
            elif item in (r"\sum", r"\int") and items[i + 1 : i + 2] == ["_"] and len(items) > i + 2:
                below = items[i + 2]
                if isinstance(below, list) and len(below) == 1 and isinstance(below[0], str):
                    yield below[0]
