"""The value of each kind of node."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from vaelib.derivation.lines import IllTyped
from vaelib.formula import typed
from vaelib.formula.binders import (
    At,
    Big,
    Derivative,
    Divergence,
    Entropy,
    Expectation,
    Indicator,
    Integral,
    Mark,
)
from vaelib.formula.cursor import FONTS
from vaelib.formula.environment import Env, is_normal
from vaelib.formula.logs import exponential
from vaelib.formula.reader import tex
from vaelib.formula.rules import Rule
from vaelib.formula.scope import Scope
from vaelib.formula.slopes import derivative
from vaelib.formula.sums import Sums
from vaelib.formula.tree import (
    Absolute,
    Bracket,
    Call,
    Factorial,
    Function,
    Items,
    Name,
    Negative,
    Node,
    Norm,
    Number,
    Power,
    Product,
    Quotient,
    Root,
    Subscript,
    Sum,
    Transpose,
)
from vaelib.formula.typed import Typed, number

Array = np.ndarray
_CONSTANTS = {r"\pi": math.pi, "e": math.e, r"\infty": math.inf}
_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    **{"exp": np.exp, "sin": np.sin, "cos": np.cos, "tanh": np.tanh, "sinh": np.sinh, "cosh": np.cosh},
    **{"softplus": lambda a: np.logaddexp(0.0, a), "sigmoid": expit, "expm1": np.expm1, "log1p": np.log1p},
}


class Run(Sums):
    """One evaluation of formulas on a scope by one rule."""

    def __init__(self, scope: Scope, rule: Rule) -> None:
        super().__init__(scope, rule)
        self._moved: dict[tuple[str, bytes], Run] = {}

    def find_value(self, node: Node, env: Env) -> Typed:
        match node:
            case Number():
                return typed.constant(int(node.text) if node.text.isdigit() else float(node.text))
            case Name():
                return self._name(node, env)
            case Bracket():
                return self.value(node.body, env)
            case Mark():
                return self.value(node.body, env)
            case Items():
                return typed.stack([self.value(entry, env) for entry in node.entries])
            case Sum():
                total = self.value(node.terms[0], env)
                for term in node.terms[1:]:
                    total = typed.add(total, self.value(term, env))
                return total
            case Negative():
                return typed.negative(self.value(node.body, env))
            case Product():
                return self._product(node, env)
            case Quotient():
                return self._quotient(node, env)
            case Power():
                return self._power(node, env)
            case Root():
                degree = self.value(node.degree, env) if node.degree is not None else number(2.0)
                return typed.power(self.value(node.body, env), typed.divide(number(1.0), degree))
            case Factorial():
                return typed.factorial(self.value(node.body, env), node.step)
            case Transpose():
                return typed.transpose(self.value(node.body, env))
            case Norm():
                return typed.norm(self.value(node.body, env))
            case Absolute():
                return self._bars(node, env)
            case Function():
                return self._function(node, env)
            case Subscript():
                return typed.entry(self.value(node.body, env), self.indices(node.index, env), node.body.plain)
            case Call():
                return self._call(node, env)
            case Big():
                return self._big(node, env)
            case Integral() if self.logish(node) and (found := self._from_log(node, env)) is not None:
                return found
            case Integral():
                return self._contract(self.integral_nodes(node, env), node.body)
            case Expectation():
                return self._expectation(node, env)
            case Divergence():
                return self._divergence(node, env)
            case Entropy():
                return self._entropy(node, env)
            case Indicator():
                return self._indicator(node.condition, env)
            case Derivative():
                return derivative(self, node, env)
            case At():
                return self._at(node, env)
        raise IllTyped(f"Expected something with a value, but {node.plain} has none here.")

    # ------------------------------------------------------------------------------------------------------- names

    def _name(self, node: Name, env: Env) -> Typed:
        scope = self.scope
        if node.key in env.bindings:
            return env.bindings[node.key].value
        for table in (scope.observed, scope.values):
            if node.key in table:
                return typed.constant(table[node.key])
        if node.key in scope.definitions:
            return self.value(tex(scope.definitions[node.key]), env)
        indices = [i for i in (node.upper, node.sub) if i is not None]
        if indices:
            found = self._base(node.stem, env)
            known = self._has_indices(indices, env)
            if found is None and node.stem.key in scope.maps and known:
                found = self.value(node.stem, env)
            if found is not None and found.rank and known:
                several = found.rank > len(indices)
                found_at = [i for index in indices for i in self.indices(index, env, several)]
                return typed.entry(found, found_at, node.plain)
        if node.key in scope.maps:
            variables = [tex(variable) for variable in scope.maps[node.key].of]
            return self.mapped(node.key, [self.value(v, env) for v in variables])
        if self.is_density(node):
            return exponential(self.log(node, env))
        if node.key in _CONSTANTS:
            return number(_CONSTANTS[node.key])
        if node.key in ("I", r"\mathbf{I}"):
            return typed.IDENTITY
        bare = Name(node.base, node.sub, node.marks, tuple(a for a in node.accents if a not in FONTS), node.upper)
        if bare != node:
            return self.value(bare, env)
        raise IllTyped(self._unknown(node, env))

    def _has_indices(self, indices: list[Node], env: Env) -> bool:
        """Whether a subscript is made of numbers, of indices that are bound, and of whole numbers that have a name."""
        names = {n.key for index in indices for n in index.walk() if isinstance(n, Name)}
        return all(isinstance(self.scope.values.get(name), int) for name in names - set(env.bindings))

    def _base(self, stem: Name, env: Env) -> Typed | None:
        """What an index takes an entry of."""
        if stem.key in env.bindings:
            return env.bindings[stem.key].value
        for table in (self.scope.observed, self.scope.values):
            if stem.key in table:
                return typed.constant(table[stem.key])
        return None

    def _unknown(self, node: Name, env: Env) -> str:
        try:
            self.space_of(node.key, env)
        except IllTyped:
            pass
        else:
            return (
                f"{node.plain} is left free: put it inside an expectation, E_q[...], an integral or a sum, or say "
                rf"\forall {node.latex} if the line holds at every {node.plain}."
            )
        known = sorted({*self.scope.names(), *env.bindings})
        near = difflib.get_close_matches(node.key, known, n=3, cutoff=0.5)
        base = self._base(node.stem, env)
        if node.sub is not None and ((base is not None and base.rank) or node.stem.key in self.scope.maps):
            return f"Expected an index that a sum runs over, but {node.sub.plain} of {node.plain} is outside of any."
        hint = f" Is {' or '.join(near)} meant?" if near else ""
        return f"Expected a name that the scope knows, but got {node.plain}.{hint}"

    # -------------------------------------------------------------------------------------------------- arithmetic

    def _product(self, node: Product, env: Env) -> Typed:
        self._refuse_lost_calls(node)
        logs = [factor for factor in node.factors if self.logish(factor)]
        others = [factor for factor in node.factors if not self.logish(factor)]
        result = exponential(self.log(_product(logs), env)) if logs else None
        for factor in others:
            value = self.value(factor, env)
            result = value if result is None else typed.multiply(result, value)
        assert result is not None
        return result

    def _refuse_lost_calls(self, node: Product) -> None:
        """f^2(z) is not f^2 times z."""
        for factor, after in zip(node.factors, node.factors[1:], strict=False):
            name = factor.base if isinstance(factor, Power) else factor
            if not (isinstance(name, Name) and isinstance(after, Bracket) and after.where is not None):
                continue
            if name.key in self.scope.values:
                continue
            if self.is_density(name) or name.key in self.scope.maps:
                raise IllTyped(
                    f"Expected {name.plain} with what it is taken at, but got {factor.plain} and a bracket: "
                    f"write {name.plain}(...) and the exponent behind it."
                )

    def _quotient(self, node: Quotient, env: Env) -> Typed:
        below = node.below
        if node.look == "slash" and isinstance(below, Call) and self._is_product(below):
            rest = Product((Quotient(node.above, below.name, "slash"), _argument(below)))
            return self.value(rest, env)
        if not (self.logish(node.above) or self.logish(below)):
            return typed.divide(self.value(node.above, env), self.value(below, env))
        factors = node.above.factors if isinstance(node.above, Product) else (node.above,)
        logs = [factor for factor in factors if self.logish(factor)]
        others = [factor for factor in factors if not self.logish(factor)]
        ratio = Quotient(_product(logs), below) if logs else Quotient(Number("1"), below)
        result = exponential(self.log(ratio, env))
        for factor in others:
            result = typed.multiply(result, self.value(factor, env))
        return result

    def _power(self, node: Power, env: Env) -> Typed:
        base = node.base
        if isinstance(base, Call) and self._is_product(base):  # \mu(x - y)^2 is \mu (x - y)^2
            return self.value(Product((base.name, Power(_argument(base), node.exponent))), env)
        if self.logish(node):
            return exponential(self.log(node, env))
        if isinstance(base, Norm) and node.exponent == Number("2"):
            inside = self.value(base.body, env)
            if inside.rank == 1:
                return number(np.sum(inside.data**2, axis=-1))
        return typed.power(self.value(base, env), self.value(node.exponent, env))

    def _bars(self, node: Absolute, env: Env) -> Typed:
        inside = self.value(node.body, env)
        if inside.rank == 2:
            log, _ = typed.log_det(inside)
            return number(np.exp(log.data))
        if inside.rank == 1:
            return typed.norm(inside)
        return number(np.abs(inside.data))

    def _function(self, node: Function, env: Env) -> Typed:
        result = self._plain_function(node, env)
        if node.base is not None:
            if node.name != "log":
                raise IllTyped(f"Expected a subscript at log only, but got {node.plain}.")
            result = typed.divide(result, typed.apply(np.log, "log", self.value(node.base, env)))
        return typed.power(result, self.value(node.power, env)) if node.power is not None else result

    def _plain_function(self, node: Function, env: Env) -> Typed:
        body = node.body
        if node.name == "log":
            log = self.log(body, env)
            return number(np.where(log.sign < 0, np.nan, log.data) if np.any(log.sign < 0) else log.data)
        if node.name in _ELEMENTWISE:
            return typed.apply(_ELEMENTWISE[node.name], node.name, self.value(body, env))
        value = self.value(body, env)
        if node.name == "tr":
            return typed.trace(value)
        if node.name == "det":
            log_size, sign = typed.log_det(value)
            return number(sign * np.exp(log_size.data))
        if node.name == "diag":
            return typed.diagonal(value)
        if node.name == "softmax" and value.rank == 1:
            return Typed(softmax(value.data, axis=-1), 1)
        if node.name in ("max", "min") and value.rank == 1:
            return number(getattr(np, node.name)(value.data, axis=-1))
        raise IllTyped(f"Expected {node.name} of something it is defined for, but got {value.kind}.")

    # ------------------------------------------------------------------------------------------------------- calls

    def _is_product(self, call: Call) -> bool:
        """Whether the scope knows the name of a call as a value, so that it is a product with a bracket."""
        name = call.name
        if not isinstance(name, Name) or call.givens or call.parameters or is_known_function(self, call):
            return False
        return len(call.targets) == 1

    def _is_value(self, name: Name) -> bool:
        tables = (self.scope.values, self.scope.observed)
        known = any(key in table for key in (name.key, name.stem.key) for table in tables)
        return known or name.key in _CONSTANTS or name.key == "I"

    def _call(self, node: Call, env: Env) -> Typed:
        name = node.name
        assert isinstance(name, Name)
        if self.logish(node):
            return exponential(self.log(node, env))
        if name.key in self.scope.maps:
            return self.mapped(name.key, [self.value(part, env) for part in self._arguments(node)])
        if name.sub is not None and name.stem.key in self.scope.maps and self._has_indices([name.sub], env):
            whole = self.mapped(name.stem.key, [self.value(a, env) for a in node.targets])
            return typed.entry(whole, self.indices(name.sub, env), name.plain)
        slope = name.marks == "'" and Name(name.base, name.sub, "", name.accents, name.upper)
        if slope and slope.key in self.scope.maps and len(node.targets) == 1:
            return derivative(self, Derivative(Call(slope, node.targets), ()), env)
        if self._is_product(node) and (name.key in env.bindings or self._is_value(name)):
            return typed.multiply(self.value(name, env), self.value(node.targets[0], env))
        known = ", ".join([*self.scope.worlds, *self.scope.maps])
        raise IllTyped(f"Expected a density or a function that the scope knows ({known}), but got {node.plain}.")

    def _arguments(self, node: Call) -> tuple[Node, ...]:
        r"""What a function is taken at; of a law, \mathcal{L}(x; N(m, S)), its mean and its variance."""
        function = self.scope.maps[node.name.key]  # type: ignore[attr-defined]
        every = tuple(part for argument in (*node.targets, *node.parameters) for part in moments_of(argument))
        return every if len(every) == len(function.of) else node.targets

    def _at(self, node: At, env: Env) -> Typed:
        """A formula at a place: a variable gets a value, or a parameter is moved and the scope built again."""
        name, place = node.place()
        key, value = name.key, self.value(place, env)
        if key in self.scope.values and key not in self.scope.parameters:
            raise IllTyped(
                f"Expected a variable or a parameter below the bar, but got {name.plain}: laws that depend on it would "
                "not move with it."
            )
        if key not in self.scope.parameters:
            return self.value(node.body, env.replace(key, value))
        there = self.moved(key, value)
        there.approximate = False
        found = there.value(node.body, env)
        self.approximate = self.approximate or there.approximate
        return found

    def moved(self, key: str, value: Typed) -> Run:
        """The run on the scope in which a parameter has another value; remembered, for other lines ask for it, too."""
        at = key, value.data.tobytes()
        if at not in self._moved:
            self._moved[at] = Run(self.scope.parameters[key].rebuild(value.data[()]), self.rule)
            self._moved[at].shares(self)
        return self._moved[at]

    def mapped(self, key: str, arguments: list[Typed]) -> Typed:
        """A function of the scope at its arguments."""
        function = self.scope.maps[key]
        arguments = typed.same_depth(*arguments)
        data = np.asarray(function.f(*(argument.data for argument in arguments)))
        return Typed(data, function.rank)


def moments_of(node: Node) -> tuple[Node, ...]:
    """Mean and variance of N(m, S), without a place at which its density is taken; what is not such a law by itself."""
    parts = (*node.targets, *node.parameters) if isinstance(node, Call) and is_normal(node) else ()
    return parts if len(parts) == 2 else (node,)


def is_known_function(run: Run, call: Call) -> bool:
    name = call.name
    if not isinstance(name, Name):
        return False
    maps = run.scope.maps
    return run.is_density(name) or name.key in maps or name.stem.key in maps or run.logish(call)


def _product(factors: list[Node]) -> Node:
    return factors[0] if len(factors) == 1 else Product(tuple(factors))


def _argument(call: Call) -> Bracket:
    return Bracket(call.targets[0] if len(call.targets) == 1 else Items(call.targets))
