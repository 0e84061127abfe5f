r"""Densities and their variables: p_\\theta(X | Z), q^{(t)}, P alone, x^{(i)}."""

from __future__ import annotations

from collections.abc import Mapping

from vaelib.check.latex import CannotRead, Items
from vaelib.check.names import SCRIPTS, leaves, mark_of, parameters_of, scripted, shown
from vaelib.check.options import DATA, DRAWS, NEW, OLD, Bound, Definition, Facts, Marks, Options
from vaelib.check.roles import GUIDE, LATENT, MODEL, NOISE, Called, Roles, call_at, letter_of, text_of
from vaelib.check.written import key, spelled, typed


class Densities:
    """What every part of the reader shares, and how densities are read."""

    def __init__(self, roles: Roles, definitions: Mapping[str, Definition], options: Options) -> None:
        self.roles, self.definitions, self.options = roles, definitions, options
        self.facts = Facts()
        self.depth = 0
        self.in_law = False
        self.waiting = 0  # integrals whose dz is still to come
        self.noisy: set[str] = set()  # indices of the noise
        self.counts: dict[str, str] = {}  # N, L: how many data and samples a sum goes over

    def walk(self, items: Items, bound: Bound, marks: Marks) -> list[str]:
        raise NotImplementedError

    def density(self, items: Items, at: int, out: list[str], bound: Bound, marks: Marks) -> int:
        """p_\\theta(x | z), or p alone; 0 if it is neither."""
        letter = str(items[at])
        kind = self.roles.densities[letter]
        call = call_at(items, at)
        if call is not None:
            entries = [*call.targets, *call.givens, *call.parameters]
            if entries and all(parameters_of(entry, self.roles) is not None for entry in entries):
                return 0  # Q(\theta, \theta^t)
            if all(len(e) == 1 and str(e[0]).replace(".", "").isdigit() for e in entries):
                return 0
            out += self.called(call, kind, bound, marks)
            return call.end
        end, scripts = at + 1, []
        while end < len(items) and (items[end] in SCRIPTS or items[end] in ("'", "*")):
            taken = 2 if items[end] in SCRIPTS else 1
            scripts += items[end : end + taken]
            end += taken
        if letter in ("P", "Q") and not self.roles.has_guide and kind == GUIDE:
            return 0
        out += self.bare(kind, scripts, marks)
        return end

    def bare(self, kind: str, scripts: Items, marks: Marks) -> list[str]:
        """A density without its brackets, as a law."""
        mark = self.marked(kind, scripts, marks)
        inside = [i for s in scripts if isinstance(s, list) for i in s]
        if "|" in inside:
            return self.given_as_law(inside, mark, marks, kind)
        if mark == DATA:
            return [f"{kind}_{{{DATA}}}", "(", self.first_observed(), ")"]
        name = kind + (f"_{{{mark}}}" if mark else "")
        self.facts.variables.add(LATENT)
        named = [self.roles.variables[i] for i in inside if i in self.roles.variables]
        if named:
            return [name, "(", ",".join(dict.fromkeys(named)), ")"]
        self.facts.used.add("bare")
        if any(self.roles.variables.get(letter) == LATENT for letter in self.roles.apart):
            self.facts.used.add("several")
        if self.options.bare in self.roles.observed:
            self.facts.variables.add(self.options.bare)
            if kind == GUIDE:
                self.facts.used.add("joint")
            return [name, "(", self.options.bare, ")"]
        if kind == GUIDE or not self.roles.observed or self.options.bare == "p(z)":
            return [name, "(", LATENT, ")"]
        self.facts.variables |= set(self.roles.observed)
        return [name, "(", LATENT, r"\mid", ",".join(self.roles.observed), ")"]

    def first_observed(self) -> str:
        return self.roles.observed[0] if self.roles.observed else LATENT

    def given_as_law(self, inside: Items, mark: str, marks: Marks, kind: str = MODEL) -> list[str]:
        """Z|X,\\theta^t, the law of an expectation."""
        call = call_at(["p", "(", *inside, ")"], 0)
        if call is None:
            raise CannotRead(
                f"Expected a law such as z | x, but got {shown(inside)}, with a bracket that is never closed."
            )
        return self.called(call, kind, {}, marks, mark)

    def marked(self, kind: str, scripts: Items, marks: Marks) -> str:
        mark = ""
        text = text_of(scripts).replace(r"\word.", "").strip("_^()")
        if kind == MODEL and text in ("old", "new"):
            return OLD if text == "old" else NEW
        text = text_of(scripts)
        if r"\word.data" in text or r"\word.true" in text or r"\cal.D" in text or text in ("_D", "_d"):
            return DATA if kind == MODEL else ""
        if kind == MODEL and text in ("^*", "*", "_*") and not self.roles.has_guide:
            return DATA
        for part in scripts:
            inner = part if isinstance(part, list) else [part]
            parameters = parameters_of(inner, self.roles)
            if parameters:
                mark = next((m for _, m in parameters if m), mark)
            elif inner not in (["_"], ["^"]):
                mark = mark or (mark_of(inner) if kind == GUIDE or text_of(inner) in ("old", "new", "*") else "")
        return marks.get((kind, mark), mark)

    def called(self, call: Called, kind: str, bound: Bound, marks: Marks, mark: str = "") -> list[str]:
        targets: list[str] = []
        givens: list[str] = []
        if mark == "":
            mark = self.marked(kind, call.scripts, marks)
        for found, entries in ((targets, call.targets), (givens, call.givens), (None, call.parameters)):
            for entry in entries:
                parameters = parameters_of(entry, self.roles)
                if parameters is not None:
                    own = next((m for k, m in parameters), "")
                    if kind == MODEL or not mark:
                        mark = marks.get((kind, own), own) or mark
                    continue
                if found is None:
                    if letter_of(entry)[0] in self.roles.variables:
                        givens.append(self.entry(entry, bound))
                    continue
                found.append(self.entry(entry, bound))
        if not targets:
            raise CannotRead(f"Expected a density of a variable, but got one of parameters alone: {call.letter}.")
        name = kind + (f"_{{{mark}}}" if mark else "")
        self.facts.used.add(name)
        targets, givens = list(dict.fromkeys(targets)), list(dict.fromkeys(givens))
        givens = [g for g in givens if g not in targets]
        drawn = {f"{LATENT}_{number}" for number in DRAWS}
        self.facts.variables |= {v for v in (*targets, *givens) if not v.startswith(r"\tilde") and v not in drawn}
        self.facts.variables |= {v[7] for v in (*targets, *givens) if v.startswith(r"\tilde")}
        if (
            kind == GUIDE
            and targets not in [[name] for name in (LATENT, *drawn)]
            and not targets[0].startswith(r"\tilde{z")
        ):
            self.facts.used.add("joint")
        words = [name, "(", ",".join(targets), *([r"\mid", ",".join(givens)] if givens else []), ")"]
        if not marks and not NOISE & {sign for part in (call.targets, call.givens) for sign in leaves(part)}:
            self.facts.written.setdefault(key("".join(words)), spelled(call))
            self.facts.written.setdefault(key(name) + "(", typed([call.letter, *call.scripts]))
        return words

    def entry(self, entry: Items, bound: Bound) -> str:
        if entry == [r"\cdot"]:
            return LATENT
        letter, sub = letter_of(entry)
        if NOISE & set(leaves(entry)):  # the map of the noise is a draw of the latent variable
            self.facts.used.add("noise")
            kinds = {bound.get(script.strip("()[]")) for sign, script in scripted(entry) if sign in NOISE}
            return rf"\tilde{{{LATENT}}}_{{l}}" if "samples" in kinds else LATENT
        if "=" in entry and bound.get(text_of(entry[entry.index("=") + 1 :])) == "states":
            entry = entry[: entry.index("=")]
        if letter not in self.roles.variables or "=" in entry:
            raise CannotRead(f"Expected a variable in the brackets of a density, but got {shown(entry)}.")
        return self.spelled(letter, sub, entry, bound)

    def spelled(self, letter: str, sub: str, entry: Items, bound: Bound) -> str:
        spelling = self._spelled(letter, sub, entry, bound)
        self.facts.written.setdefault(key(spelling), typed(entry))
        return spelling

    def _spelled(self, letter: str, sub: str, entry: Items, bound: Bound) -> str:
        name = self.roles.variables[letter]
        if sub.startswith("0:"):
            raise CannotRead(f"Expected single variables, but got {letter}_{{{sub}}}: such ranges are not judged yet.")
        if letter in self.roles.apart and sub:
            digits = "".join(c if c.isalnum() else {"-": "m", "+": "p"}.get(c, "") for c in sub)
            return rf"{name}_{{\mathrm{{v{digits}}}}}" if digits else name
        scripts = text_of([s for s in entry[1:] if isinstance(s, list)]).strip("()[]")
        kind = bound.get(scripts, "") or bound.get(letter, "")
        if kind.isdigit() and name == LATENT:  # one of several draws
            return f"{LATENT}_{kind}"
        if kind == "data":
            return rf"\tilde{{{name}}}_{{i}}"
        if kind == "samples" and name != LATENT and scripts in self.noisy:
            self.facts.mended.append(f"an index of a sample at {letter}")
            return name
        if kind == "samples":
            return rf"\tilde{{{name}}}_{{l}}"
        if kind == "parts":
            raise CannotRead("Densities of single components are not judged yet.")
        return name

    def variable(self, items: Items, at: int, out: list[str], bound: Bound) -> int:
        letter = str(items[at])
        end = at + 1
        scripts: Items = []
        while end < len(items) and items[end] in SCRIPTS and end + 1 < len(items):
            inner = items[end + 1]
            if items[end] == "^" and text_of(inner).strip("()[]") not in bound and not text_of(inner).startswith("("):
                break
            scripts += items[end : end + 2]
            end += 2
        end += items[end : end + 1] == ["'"]  # the z' that an integral runs over
        sub = text_of(scripts[1:2]) if scripts[:1] == ["_"] else ""
        if bound.get(sub.strip("()[]")) == "parts":
            out += [self.roles.variables[letter], "_", "{", "j", "}"]
        else:
            out.append(self.spelled(letter, sub, [letter, *scripts], bound))
        self.facts.variables.add(self.roles.variables[letter])
        return end

    def is_partition(self, items: Items, at: int) -> bool:
        """Z_p: a name with a density below it is not a variable."""
        return items[at + 1 : at + 2] == ["_"] and items[at + 2] in (["p"], ["q"])

    def lost_letter(self, items: Items, at: int, out: list[str], bound: Bound, marks: Marks) -> int:
        r"""\log _\theta(x): the letter of the density was lost."""
        parameter = text_of(items[at + 2]) if at + 2 < len(items) else ""
        if parameter.isdigit():
            self.facts.used.add("base")
        out.append(str(items[at]))
        if parameter in (r"\theta", r"\phi", r"\varphi") and at + 3 < len(items) and items[at + 3] in ("(", "["):
            self.facts.mended.append("a density whose letter was lost")
            call = call_at(["p" if parameter == r"\theta" else "q", *items[at + 3 :]], 0)
            if call is not None:
                out += self.called(call, MODEL if parameter == r"\theta" else GUIDE, bound, marks)
                return at + 2 + call.end
        return at + 1
