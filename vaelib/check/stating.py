r"""What a document states of its laws, p(z) = N(0, 1) and x | z ~ N(a z, s^2), and what follows: p(x) = N(...).

A law of a formula is kept, and its letters get values. A law with a label, N(\mu_q, \sigma_q^2), is one of `gaussians`.
"""

from __future__ import annotations

from dataclasses import replace

from numpy.linalg import LinAlgError

from vaelib.check.chains import Line
from vaelib.check.constants import UpToConstants
from vaelib.check.gaussians import STANDARD, Family, gaussian_scope
from vaelib.check.latex import CannotRead, Items
from vaelib.check.names import leaves
from vaelib.check.options import Facts, Options
from vaelib.check.reading import read
from vaelib.check.roles import GUIDE, LATENT, MODEL, Called, call_at, closing, letter_of, text_of
from vaelib.check.stated import DECODER, MARGINAL, MATRICES, PRIOR, Shape, letters_of
from vaelib.check.verdicts import GOOD, Judged
from vaelib.derivation import IllTyped
from vaelib.formula import Unreadable

NORMAL = ("N", r"\cal.N", r"\word.Normal", r"\word.Gaussian")
LAWS = {rf"\word.{name}" for name in ("Bernoulli", "Bern", "Categorical", "Cat", "Gaussian", "Normal", "Multinomial")}
IN_FORMULAS = Options(family=Family((), STANDARD, STANDARD, 0, False, (), matrices=True))  # \sigma^2 I stays a product


class Stating(UpToConstants):
    """Laws that are stated, and claims about laws."""

    def states(self, kind: str, call: Called, name: Line, law: Line) -> Judged | None:
        """The verdict on p(z) = N(m, S), where it is a law of a formula or a claim; notes what it states."""
        of_it = of_variable(call, law)
        shape = self._shape(of_it.items)
        if shape is None:
            return None
        place, facts = self.place(kind, call), self._facts_of(of_it.items)
        if self.claims(kind, call):
            shapes = self.shapes.values()
            labels = facts.labels - {STANDARD} - {label for each in shapes for label in each.labels}
            letters = set(letters_of(facts.letters, ())) - set(letters_of((), shapes)) - set(self.definitions)
            hats = {r"\hat", r"\tilde", r"\bar"} & set(leaves(of_it.items))
            return None if labels or letters or hats else self.pair(name, "=", of_it)  # N(\mu, S) may name its moments
        if not place:
            return None
        of_formula, labels = "shaped" in facts.used, facts.labels - {STANDARD}
        self.shapes.pop(place, None)
        kept = Shape(place, *shape, of_formula)
        if (of_formula or place == PRIOR or (place != DECODER and not labels)) and self._has_values(kept):
            self.shapes[place] = kept  # but not N(\mu_\theta(z), ...), of any function of z
        if not of_formula:
            return None
        self.laws.add(text_of(name.items))
        says = "A law is chosen here." if kind == GUIDE else "A law is assumed here."
        return Judged(law, "definition", says, name.source)

    def drawn_from(self, above: Line, law: Line) -> Judged | None:
        r"""z \sim N(0, 1) and x | z \sim N(a z, s^2), as p(z) = N(0, 1) and p(x | z) = N(a z, s^2)."""
        call = call_at(["p", "(", *above.items, ")"], 0)
        entries = [*call.targets, *call.givens] if call is not None else []
        if call is None or not all(letter_of(entry)[0] in self.roles.variables for entry in entries):
            return None
        of_guide = self.roles.has_guide and not call.givens and self.label_of(law.items) != STANDARD
        if not is_a_law(law.items) or of_guide:  # z \sim N(\mu, \sigma^2) is drawn from q
            return None
        name = replace(above, items=["p", "(", *above.items, ")"])
        found = self.states(MODEL, call, name, law)
        return found if found is not None and found.verdict in (*GOOD, "does not follow") else None

    def claims(self, kind: str, call: Called | None) -> bool:
        """Whether this law follows from what was stated: p(x) and p(z | x), where p(z) and p(x | z) are N(m, S)."""
        return self.stated and kind == MODEL and call is not None and not self.place(kind, call)

    def is_the_law(self, name: Line, call: Called, law: Line) -> bool:
        """Whether q(z) is N(m, S) in the settings of this document, so that what is said of it later can be judged."""
        if r"\sigma" in law.items and "^" not in law.items:
            return False  # N(m, s): whether s is the variance is not said
        return self.pair(name, "=", of_variable(call, law)).verdict in GOOD

    def label_of(self, items: Items) -> str | None:
        r"""The label, which may be empty, of the law N(\mu_q, \sigma_q^2) that a side is; None if it is another law."""
        facts = self._facts_of(of_variable(None, Line("", 0, "", items)).items) if is_a_law(items) else Facts()
        if "normal" not in facts.used or "shaped" in facts.used:
            return None
        return next(iter(facts.labels), STANDARD)

    def place(self, kind: str, call: Called) -> str:
        """Which law of a model with a latent and an observed variable this is."""
        targets, givens = (
            [self.roles.variables.get(letter_of(entry)[0]) for entry in entries]
            for entries in (call.targets, call.givens)
        )
        if targets == [LATENT] and (kind == GUIDE or not givens):
            return GUIDE if kind == GUIDE else PRIOR
        if kind != MODEL or targets != [*self.roles.observed]:
            return ""
        if givens == [LATENT]:
            return DECODER
        return MARGINAL if not givens and LATENT not in self.roles.variables.values() else ""

    def _shape(self, items: Items) -> tuple[str, str] | None:
        """The mean and the covariance of N(x; m, S) as formulas; None where it is not a normal law, or not read."""
        call = call_at(items, 0) if items[0] in NORMAL else None
        if call is None or len(parts := [*call.targets, *call.givens, *call.parameters]) != 3:
            return None
        try:
            mean, covariance = (read(part, self.roles, self.definitions, IN_FORMULAS).latex for part in parts[1:])
        except CannotRead:
            return None
        return mean, covariance

    def _has_values(self, shape: Shape) -> bool:
        """Whether a law can be evaluated, and is linear in z if it is a decoder."""
        shapes = [shape, Shape(PRIOR, "0", "I", False)] if shape.place == DECODER else [shape]
        letters = letters_of((), shapes)
        names = tuple(sorted({LATENT, *self.roles.observed}))
        labels = tuple(sorted(self.labels))
        matrices = bool(MATRICES & set(letters))
        family = Family(labels, STANDARD, STANDARD, 0, False, names, letters, tuple(shapes), matrices)
        try:
            gaussian_scope(family, 0)
        except (Unreadable, IllTyped, LinAlgError, ValueError, ArithmeticError, LookupError):
            return False
        return True

    def _facts_of(self, items: Items) -> Facts:
        try:
            return read(items, self.roles, self.definitions, Options()).facts
        except CannotRead:
            return Facts()


def of_variable(call: Called | None, law: Line) -> Line:
    """N(z; m, S) where a density of z is said to be N(m, S)."""
    inside = call_at(law.items, 0)
    if inside is None or len([*inside.targets, *inside.givens, *inside.parameters]) != 2:
        return law
    start = 1 + law.items.index("(")
    variable = [sign for entry in call.targets for sign in entry] if call is not None else [LATENT]
    return replace(law, items=[*law.items[:start], *variable, ";", *law.items[start:]])


def is_a_law(items: Items) -> bool:
    """Whether this is N(...) or Bernoulli(...), from its first sign to its last."""
    return bool(items) and _is_named(items, 0) and closing(items, items.index("(")) == len(items) - 1


def names_a_law(items: Items) -> bool:
    """Whether N(...) or Bernoulli(...) begins here."""
    return any(names_a_law(item) if isinstance(item, list) else _is_named(items, i) for i, item in enumerate(items))


def _is_named(items: Items, at: int) -> bool:
    """Whether N(m, S), N_x(m, S) or Bernoulli(...) begins at this place; N (...) alone is a number of data."""
    if isinstance(items[at], list) or items[at] not in {*NORMAL, *LAWS}:
        return False
    below = 2 if items[at + 1 : at + 2] == ["_"] else 0
    if items[at + 1 + below : at + 2 + below] != ["("]:
        return False
    call = call_at(items, at)
    return items[at] != "N" or call is None or len([*call.targets, *call.givens, *call.parameters]) > 1


def is_a_product_of_laws(items: Items) -> bool:
    r"""Whether this is N(x; a z, s^2) N(z; 0, 1), perhaps under an integral, and nothing more."""
    at = laws = 0
    while at < len(items):
        if _is_named(items, at) and (call := call_at(items, at)) is not None:
            at, laws = call.end, laws + 1
        elif items[at] == r"\int":
            at += 1
        elif items[at] in ("d", "_", "^"):
            at += 2
        else:
            return False
    return laws > 1


def moments_alone(items: Items) -> bool:
    r"""Whether a side is of means and scales alone, as 1 / \sigma_n^2 is: then it may say what they are."""
    signs = {sign for sign in leaves(items) if sign.isalpha() or sign[:1] == "\\"}
    return bool(signs & {r"\mu", r"\sigma", r"\Sigma"}) and signs <= {r"\mu", r"\sigma", r"\Sigma", r"\frac", "n", "N"}
