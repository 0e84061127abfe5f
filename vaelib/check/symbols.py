r"""Names that stand for something: \mathcal{L} as the document defines it, ELBO, \mu_q, N(m, S), f(z)."""

from __future__ import annotations

from collections.abc import Sequence

from vaelib.check.gaussians import STANDARD, law_name
from vaelib.check.latex import CannotRead, Items
from vaelib.check.names import leaves, moment_at, name_at, scripted, shown
from vaelib.check.options import ALONE, USUAL, Bound, Definition, Marks
from vaelib.check.ranges import Ranges
from vaelib.check.roles import GUIDE, LATENT, MODEL, NOISE, call_at, letter_of, text_of
from vaelib.check.stated import LETTERS
from vaelib.check.written import key, spelled


class Symbols(Ranges):
    """What is known by a name."""

    def moment(self, items: Items, at: int, out: list[str], bound: Bound) -> int:
        r"""\mu_{\phi,j}^{(i)}(x), \sigma_1^2, \Sigma_q^{-1}: a letter, its label, its index, its exponent."""
        base, label, index, exponents, end = moment_at(items, at, self.roles, bound)
        self.facts.used.add("gauss")
        self.facts.used.add(f"letter:{base}")
        self.facts.labels.add(label)
        matrices = self.options.family is not None and self.options.family.matrices
        if (
            base == r"\sigma"
            and exponents == [["2"]]
            and not index
            and not matrices
            and items[end : end + 1] in (["I"], [r"\bb.I"])
        ):
            out += [r"\Sigma", *(["_", "{", label, "}"] if label else [])]
            return end + 1
        name = [base, *(["_", "{", label, "}"] if label else [])]
        if index:
            name = ["{", *name, "}", "_", "{", "j", "}"] if label else [base, "_", "{", "j", "}"]
        if base in (r"\Sigma", r"\sigma") and self.options.logs and not self.in_law:
            squared = any(text_of(exponent) == "2" for exponent in exponents)
            out += ["(", r"\log", *name, *(["^", "{", "2", "}"] if squared else []), ")"]
            return end
        for exponent in exponents:
            name += ["^", r"\top"] if exponent == [r"\top"] else ["^", "{", *self.walk(exponent, bound, {}), "}"]
        out += ["{", *name, "}"] if label and index and out[-1:] == [r"\log"] else name  # \log {{\sigma_q}_j^2}
        return end

    def normal(self, items: Items, at: int, out: list[str]) -> int:
        """N(z; m, S) and N(m, S): the law with the label of m, or one of a formula; 0 if it is not a normal law."""
        call = call_at(items, at)
        if call is None:
            return 0
        parts = [*call.targets, *call.givens, *call.parameters]
        if len(parts) not in (2, 3):
            return 0
        if len(parts) == 2 and not self.in_law:
            raise CannotRead(
                "Expected a density N(x; m, S) or a law of a mean, but got a law N(m, S) as if it were a number."
            )
        variable = self.roles.variables.get(letter_of(parts[0])[0], LATENT) if len(parts) == 3 else LATENT
        self.facts.variables.add(variable)
        self.facts.used |= {"gauss", "normal"}
        mean, variance = parts[-2:]
        if mean == ["0"] and variance in (["1"], ["I"], ["I", "_", [r"\ell"]], ["I", "_", ["d"]], ["I", "_", ["k"]]):
            label = STANDARD
        elif self.are_moments(mean, variance):
            label = self.label_of(mean, variance)
            self.facts.labels.add(label)
        else:
            self.facts.used.add("shaped")
            means, variances = self.shape(mean, variance)
            out += [r"\mathcal{N}", "(", variable, ";", *means, ",", *variances, ")"]
            return call.end
        out += [law_name(label), "(", variable, ")"]
        self.facts.written.setdefault(key("".join(out[-4:])), spelled(call))
        return call.end

    def are_moments(self, mean: Items, variance: Items) -> bool:
        r"""Whether N(m, S) is a law with a label: \mu_q, \sigma_q^2 I, but neither a z + b nor W W^T + \sigma^2 I."""
        scales = {r"\sigma", r"\Sigma"} & set(leaves(variance))
        if mean[0] not in (r"\mu", "m") or not scales:
            return False
        letters = LETTERS & {sign for sign in variance if isinstance(sign, str)}
        sums = {"+", "-", "/", r"\frac"} & {sign for sign in variance if isinstance(sign, str)}
        if moment_at(mean, 0, self.roles, {})[4] != len(mean) or letters or sums:
            return False
        at = next((i for i, sign in enumerate(variance) if sign in scales), -1)
        return at < 0 or moment_at(variance, at, self.roles, {})[1] == moment_at(mean, 0, self.roles, {})[1]

    def label_of(self, mean: Items, variance: Items) -> str:
        r"""What hangs on the \mu and the \sigma of one law."""
        label = moment_at(mean, 0, self.roles, {})[1]
        if any(item in (r"\sigma", r"\Sigma") for item in variance):
            i = next(i for i, item in enumerate(variance) if item in (r"\sigma", r"\Sigma"))
            if moment_at(variance, i, self.roles, {})[1] != label:
                raise CannotRead("Expected the mean and the variance of one law, but got those of two.")
            power = variance[i] == r"\Sigma" or ["2"] in variance or any("2" in text_of([v]) for v in variance)
            if not power:
                self.facts.mended.append("a standard deviation where the variance belongs")
        return label

    def shape(self, mean: Items, variance: Items) -> tuple[list[str], list[str]]:
        """A mean and a variance that are formulas; the identity is 1 where all are numbers."""
        numbers = self.options.family is None or not self.options.family.matrices
        means, variances = (self.walk(part, {}, {}) for part in (mean, variance))
        return tuple([("1" if word == "I" and numbers else word) for word in part] for part in (means, variances))  # type: ignore[return-value]

    def map_of(self, items: Items, at: int, out: list[str], bound: Bound, marks: Marks) -> int:
        r"""f(z), of a function that nothing is said of; g(\epsilon, x), a draw of the latent variable. 0 if neither."""
        if items[at] not in ("f", "g", "h", "T", "t", "G") or self.is_symbol(items, at):
            return 0
        call = call_at(items, at)
        if call is None:
            return 0
        entries = [*call.targets, *call.givens, *call.parameters]
        if items[at] != "f" and any(NOISE & set(leaves(entry)) for entry in entries):
            self.facts.used.add("noise")
            out.append(LATENT)
            return call.end
        if items[at] in ("f", "h", "g") and len(call.targets) == 1:
            self.facts.used.add("map")
            if NOISE & set(leaves(call.targets[0])):  # the map of the noise is a draw of the latent variable
                out += ["f", "(", self.entry(call.targets[0], bound), ")"]
                return call.end
            out += ["f", "(", *self.walk(call.targets[0], bound, marks), ")"]
            return call.end
        return 0

    def is_symbol(self, items: Items, at: int) -> bool:
        named = name_at(items, at, self.roles)
        return named is not None and named[0] in self.definitions

    def symbol(self, items: Items, at: int, out: list[str], bound: Bound, marks: Marks) -> int:
        """A name that the document defines, or that has a usual meaning; 0 if it is neither."""
        named = name_at(items, at, self.roles)
        if named is None:
            return 0
        key, arguments, end = named
        if key not in self.definitions and items[at] in self.definitions and items[at + 1 : at + 2] == ["^"]:
            key, arguments, end = str(items[at]), [], at + 1  # M^{-1}, of an M that was defined
        if bound.get(str(items[at])) == "states":
            raise CannotRead(f"Expected {items[at]} as the state of a variable, but got it as a number.")
        if str(items[at]) in bound:
            kind = bound[str(items[at])]
            out.append({"data": "i", "samples": "l", "parts": "j"}.get(kind, kind))
            return at + 1
        definition = self.definitions.get(key) if arguments or key != "I" else None  # the identity
        if Definition([], tuple(arguments)).of_the_model:
            definition = self.definitions.get(key + ALONE, definition)
        indexed = self.indexed(items[at:end], bound)
        if definition is not None and not definition.fits(arguments):
            likelihood = self.likelihood(definition, arguments)
            if likelihood:
                out += likelihood
                return end
            self.facts.unknown.append(shown([key]))
            out.append("?")
            return end
        if definition is not None:
            if self.depth >= 12:
                raise CannotRead(f"Expected a definition that ends, but that of {key} leads back to itself.")
            self.depth += 1
            inner = {
                (kind, formal): actual
                for (kind, formal), (_, actual) in zip(definition.formals, arguments, strict=False)
                if formal != actual and kind
            }
            out += ["(", *self.walk(definition.body, {**bound, **indexed}, {**marks, **inner}), ")"]
            self.depth -= 1
            self.facts.used.add(f"defined:{key}")
            return end
        usual = USUAL.get(key)
        if usual:
            self.facts.used.add(f"usual:{key}")
            words = self.usual(usual, arguments, marks)
            out += words if self.options.usual else ["(", "-", *words, ")"]
            return end
        closed = items[end - 1] in (")", "]")
        called = closed and bool(arguments) and items[at] not in self.roles.parameters
        if key.startswith((r"\cal.", r"\word.")) or key == r"\KL" or (called and all(kind for kind, _ in arguments)):
            self.facts.unknown.append(key.removeprefix(r"\cal.").removeprefix(r"\word."))
            out.append("?")
            return end
        return 0

    def indexed(self, items: Items, bound: Bound) -> dict[str, str]:
        """The variables in the brackets of a name that have the index of a sum: L(x^{(i)})."""
        kinds: dict[str, str] = {}
        for letter, scripts in scripted(items):
            if letter in self.roles.variables and bound.get(scripts.strip("()[]")) == "data":
                name = self.roles.variables[letter]
                kinds |= {other: "data" for other, mine in self.roles.variables.items() if mine == name}
        return kinds

    def likelihood(self, definition: Definition, arguments: Sequence[tuple[str, str]]) -> list[str]:
        """L(x) where L(x, z) was said to be p(x, z): a likelihood of other variables."""
        body = definition.body
        call = call_at(body, 0) if body and body[0] in self.roles.densities else None
        if call is None or call.end != len(body) or (call.givens and len(call.targets) < 1):
            return []
        names = [name for kind, name in arguments if not kind]
        self.facts.variables |= set(names)
        return [self.roles.densities[str(body[0])], "(", ",".join(names), ")"]

    def usual(self, meaning: str, arguments: list[tuple[str, str]], marks: Marks) -> list[str]:
        given = ",".join(self.roles.observed) or "x"
        self.facts.variables |= {*self.roles.observed, LATENT}
        p = next((marks.get((MODEL, m), m) for k, m in arguments if k == MODEL), "")
        q = next((marks.get((GUIDE, m), m) for k, m in arguments if k == GUIDE), "")
        p, q = MODEL + (f"_{{{p}}}" if p else ""), GUIDE + (f"_{{{q}}}" if q else "")
        if meaning == "evidence":
            return rf"( \log {p}({given}) )".split(" ")
        if meaning == "gap":
            return [rf"\mathrm{{KL}}({q}(z) \| {p}(z \mid {given}))"]
        elbo = rf"( \mathbb{{E}}_{{{q}(z)}}[ \log {p}({given},z) - \log {q}(z) ] )"
        return ["(", "-", elbo, ")"] if meaning.startswith("-") else [elbo]
