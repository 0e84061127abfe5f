"""The value of each kind of node."""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from vaelib.derivation import IllTyped
from vaelib.formula import typed
from vaelib.formula.binders import (
    Big,
    Derivative,
    Divergence,
    Entropy,
    Expectation,
    Indicator,
    Integral,
    Mark,
    Over,
    Relation,
)
from vaelib.formula.cursor import FONTS
from vaelib.formula.environment import Env, is_normal
from vaelib.formula.logs import Logs, exponential
from vaelib.formula.reader import tex
from vaelib.formula.scope import Map
from vaelib.formula.slopes import derivative
from vaelib.formula.spaces import Interval, Space
from vaelib.formula.tree import (
    Absolute,
    Bracket,
    Call,
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
LARGEST = float(np.log(np.finfo(float).max))
_CONSTANTS = {r"\pi": math.pi, "e": math.e, r"\infty": math.inf}
_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    **{"exp": np.exp, "sin": np.sin, "cos": np.cos, "tanh": np.tanh, "sinh": np.sinh, "cosh": np.cosh},
    **{"softplus": lambda a: np.logaddexp(0.0, a), "sigmoid": expit},
}
_COMPARE: dict[str, Callable[..., Any]] = {
    **{"=": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}
}


class Run(Logs):
    """One evaluation of formulas on a scope by one rule."""

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
            case Integral() if self.logish(node.body):
                return self._from_log(node, env)
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
        raise IllTyped(f"Expected something with a value, but {node.plain} has none here.")

    # ------------------------------------------------------------------------------------------------------- names

    def _name(self, node: Name, env: Env) -> Typed:
        scope = self.scope
        if node.key in env.bindings:
            return env.bindings[node.key].value
        for table in (scope.observed, scope.values):
            if node.key in table:
                return _as_typed(table[node.key])
        if node.key in scope.definitions:
            return self.value(tex(scope.definitions[node.key]), env)
        indices = [i for i in (node.upper, node.sub) if i is not None]
        if indices:
            found = self._base(node.stem, env)
            known = self._has_indices(indices, env)
            if found is None and node.stem.key in scope.maps and known:
                found = self.value(node.stem, env)
            if found is not None and found.rank and known:
                return typed.entry(found, [i for index in indices for i in self.indices(index, env)], node.plain)
        if node.key in scope.maps:
            variables = [_named(variable, node) for variable in scope.maps[node.key].of]
            return self._mapped(scope.maps[node.key], [self.value(v, env) for v in variables])
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
        """Whether a subscript is made of numbers and of indices that are bound."""
        names = [n for index in indices for n in index.walk() if isinstance(n, Name)]
        return all(name.key in env.bindings for name in names)

    def _base(self, stem: Name, env: Env) -> Typed | None:
        """What an index takes an entry of."""
        if stem.key in env.bindings:
            return env.bindings[stem.key].value
        for table in (self.scope.observed, self.scope.values):
            if stem.key in table:
                return _as_typed(table[stem.key])
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
            return self._mapped(self.scope.maps[name.key], [self.value(argument, env) for argument in node.targets])
        slope = name.marks == "'" and Name(name.base, name.sub, "", name.accents, name.upper)
        if slope and slope.key in self.scope.maps and len(node.targets) == 1:
            return derivative(self, Derivative(Call(slope, node.targets), ()), env)
        if self._is_product(node) and (name.key in env.bindings or self._is_value(name)):
            return typed.multiply(self.value(name, env), self.value(node.targets[0], env))
        known = ", ".join([*self.scope.worlds, *self.scope.maps])
        raise IllTyped(f"Expected a density or a function that the scope knows ({known}), but got {node.plain}.")

    def _mapped(self, function: Map, arguments: list[Typed]) -> Typed:
        arguments = typed.same_depth(*arguments)
        data = np.asarray(typed.quiet(function.f, *(argument.data for argument in arguments)))
        return Typed(data, function.rank)

    # ------------------------------------------------------------------------------------------ sums and integrals

    def _contract(self, steps: list[tuple[Env, Array, Any]], body: Node) -> Typed:
        """The weighted sum of the body over the nodes, the innermost variable first; a weight of 0 ends all."""
        result = self.value(body, steps[-1][0])
        for inside, log_weights, orientation in reversed(steps):
            result = contract(
                typed.quiet(np.exp, log_weights) * np.asarray(orientation)[..., None], result, inside.depth
            )
        return result

    def _from_log(self, node: Node, env: Env) -> Typed:
        """An integral of densities, by its logarithm: what overflows on the way is not taken for an infinity."""
        log = self.log(node, env)
        if np.any(np.isfinite(log.data) & (log.data > LARGEST)):
            raise IllTyped(
                f"Expected an integral that converges, but its value is beyond e^{LARGEST:.0f}, the largest number."
            )
        return exponential(log)

    def integral_nodes(self, node: Integral, env: Env) -> list[tuple[Env, Array, Any]]:
        steps: list[tuple[Env, Array, Any]] = []
        for variable in node.variables:
            orientation: Any = 1.0
            if node.lower is None and node.upper is None:
                space = self._space_in(node, variable, env)  # over a discrete variable it is the sum
            else:
                space, orientation = self._limits(node, variable, env)
            nodes, log_weights = space.nodes(self.rule, env.depth)
            self.approximate = self.approximate or not space.exact
            env = env.bind(variable.key, nodes, from_zero=nodes.data.dtype.kind in "iu")
            steps.append((env, log_weights, orientation))
        return steps

    def _space_in(self, node: Integral, variable: Name, env: Env) -> Space:
        """Where a variable lives, or else where an N(t; m, S) in the integrand puts it."""
        try:
            return self.space_of(variable.key, env)
        except IllTyped:
            for part in node.body.walk():
                if is_normal(part) and isinstance(part, Call):
                    inside = [*part.targets, *part.parameters]
                    free = not any(variable.key in p.mentioned for p in inside[1:])
                    if len(inside) == 3 and inside[0] == variable and free:
                        found = self.normal(inside[1], inside[2], env).space(variable.key, {})
                        if found is not None:
                            return found
            raise

    def _limits(self, node: Integral, variable: Name, env: Env) -> tuple[Interval, Any]:
        ends: list[Array] = []
        for side in (node.lower, node.upper):
            if side is None:
                raise IllTyped("Expected two limits of an integral or none, but got one.")
            ends.append(typed.number(self.scalar(side, env)).lift(env.depth).data.astype(float))
        low, high = ends
        if np.isinf(low).any() or np.isinf(high).any():
            space = self.space_of(variable.key, env)
            if not isinstance(space, Interval):
                raise IllTyped(f"Expected the scope to say in which interval {variable.plain} lies.")
            low_, high_ = np.where(np.isinf(low), space.low, low), np.where(np.isinf(high), space.high, high)
            return Interval(low_, high_, not np.isinf(low).any(), not np.isinf(high).any()), 1.0
        return Interval(low, high, True, True), np.where(high < low, -1.0, 1.0)

    def index_nodes(self, node: Big, env: Env) -> list[tuple[Env, Array]]:
        """For each index of a sum the environment in which it is bound, and 1 where the sum goes over it."""
        steps: list[tuple[Env, Array]] = []
        over = node.over
        for i, name in enumerate(over.names):
            values, from_zero = self._range(over, name, env)
            depth = env.depth
            env = env.bind(name.key, Typed(values.reshape((*[1] * depth, *values.shape)), values.ndim - 1), from_zero)
            mask = np.ones((*[1] * depth, len(values)))
            if i == len(over.names) - 1 and isinstance(over.condition, Relation) and over.condition.signs != ("in",):
                mask = typed.number(self._indicator(over.condition, env).data).lift(env.depth).data.astype(float)
            steps.append((env, mask))
        return steps

    def _range(self, over: Over, name: Name, env: Env) -> tuple[Array, bool]:
        ranges = self.scope.ranges
        if over.lower is not None:
            if over.upper is None:
                raise IllTyped("Expected an upper limit of the sum, but got a lower one alone.")
            low, high = (self.scalar(side, env) for side in (over.lower, over.upper))
            if low.size > 1 or high.size > 1:
                raise IllTyped("Expected limits of a sum that do not depend on what it stands in.")
            return np.arange(int(low.item()), int(high.item()) + 1), False
        key = name.key
        condition = over.condition
        if isinstance(condition, Relation) and condition.signs == ("in",):
            key = condition.sides[1].latex
            if key not in ranges:
                raise IllTyped(f"Expected a set that the scope knows, but got {condition.sides[1].plain}.")
        if key in ranges:
            return self.index_values(key), False
        try:
            space = self.space_of(name.key, env)
        except IllTyped:
            listed = ", ".join(ranges) or "none"
            raise IllTyped(
                f"Expected an index of which the scope knows the range ({listed}), but got {name.plain}."
            ) from None
        if not space.exact:
            raise IllTyped(f"Expected a sum over finitely many values, but {name.plain} is a real number: integrate.")
        values = space.nodes(self.rule, 0)[0].data
        return values, values.dtype.kind in "iu"

    def index_values(self, key: str) -> Array:
        """The values of an index that the scope knows: 1, ..., n, or those of a set."""
        known = self.scope.ranges[key]
        return np.arange(1, known + 1) if isinstance(known, int | np.integer) else np.asarray(known)

    def _big(self, node: Big, env: Env) -> Typed:
        steps = self.index_nodes(node, env)
        result = self.value(node.body, steps[-1][0])
        for inside, mask in reversed(steps):
            if node.operator == "sum":
                result = contract(mask, result, inside.depth)
                continue
            if result.rank:
                raise IllTyped(f"Expected numbers below {node.operator}, but got {result.kind}.")
            data = result.lift(inside.depth).data
            neutral = {"prod": 1.0, "max": -np.inf, "min": np.inf}[node.operator]
            data = np.where(mask == 0, neutral, np.broadcast_to(data, np.broadcast_shapes(data.shape, mask.shape)))
            result = number(getattr(np, node.operator)(data, axis=-1))
        return result

    def _indicator(self, condition: Node, env: Env) -> Typed:
        if not isinstance(condition, Relation):
            raise IllTyped(f"Expected a relation, but got {condition.plain}.")
        result: Any = 1.0
        for sign, left, right in zip(condition.signs, condition.sides[:-1], condition.sides[1:], strict=True):
            if sign not in _COMPARE:
                raise IllTyped(f"Expected =, <, > and the like, but got {condition.plain}.")
            a, b = typed.same_depth(number(self.scalar(left, env)), number(self.scalar(right, env)))
            result = result * _COMPARE[sign](a.data, b.data)
        return number(np.asarray(result, dtype=float))

    # -------------------------------------------------------------------------------------------------------- laws

    def mean(self, law: Node | None, body: Node, env: Env) -> Typed:
        """E under a law."""
        if law is None:
            over = {name for factor in self.factors(None, env) for _, name in factor.targets}
            if not over & self.depends(body):
                raise IllTyped(
                    f"Expected a law, E_q[...]: without one the mean is over {', '.join(sorted(over))}, which does not "
                    f"occur in {body.plain}."
                )
        steps = [(inside, weights, 1.0) for inside, weights in self.under(self.factors(law, env), env)]
        return self._contract(steps, body)

    def _expectation(self, node: Expectation, env: Env) -> Typed:
        if node.kind == "E" and self.logish(node.body):
            return self._from_log(node, env)
        if node.kind == "E":
            return self.mean(node.law, node.body, env)
        parts = node.body.entries if isinstance(node.body, Items) else (node.body,)
        if node.kind == "Cov" and len(parts) == 2:
            first, second = (self.mean(node.law, part, env) for part in parts)
            both = self.mean(node.law, Product(tuple(Bracket(part) for part in parts)), env)
            return typed.add(both, typed.negative(typed.multiply(first, second)))
        mean = self.mean(node.law, node.body, env)
        steps = [(inside, weights, 1.0) for inside, weights in self.under(self.factors(node.law, env), env)]
        gap = typed.add(self.value(node.body, steps[-1][0]), typed.negative(mean))
        if gap.rank == 0:
            square = typed.multiply(gap, gap)
        elif gap.rank == 1 and node.kind == "Cov":
            square = typed.multiply(gap, typed.transpose(gap))
        else:
            raise IllTyped(f"Expected the variance of a number, but got {gap.kind}. Is Cov meant?")
        for inside, log_weights, _ in reversed(steps):
            square = contract(np.exp(log_weights), square, inside.depth)
        return square

    def _divergence(self, node: Divergence, env: Env) -> Typed:
        first, second = self.factors(node.first, env), self.factors(node.second, env)
        names = [name for factor in first for _, name in factor.targets]
        if len(names) == 1:  # N(0, I) and q say no name of their own
            second = [factor.over(names[0]) for factor in second]
        steps = list(self.under(first, env))
        inside = steps[-1][0]
        difference = typed.quiet(np.subtract, self.law_log(first, inside), self.law_log(second, inside))
        integrand = difference if node.kind == "KL" else typed.quiet(np.exp, -difference)
        if node.kind != "KL":  # chi^2(p, q) = E_p[p / q] - 1
            integrand = typed.quiet(np.exp, difference)
        result = number(integrand)
        for step, log_weights in reversed(steps):
            result = contract(typed.quiet(np.exp, log_weights), result, step.depth)
        return result if node.kind == "KL" else number(result.data - 1)

    def _entropy(self, node: Entropy, env: Env) -> Typed:
        law = self.entropy_law(node)
        if isinstance(law, Call) and not (self.is_density(law.name) or is_normal(law)):
            raise IllTyped(f"Expected the entropy of a law or of variables, but got {node.plain}.")
        first = self.factors(law, env)
        second = self.factors(node.laws[1], env) if len(node.laws) == 2 and law is node.laws[0] else first
        steps = list(self.under(first, env))
        result = number(-self.law_log(second, steps[-1][0]))
        for inside, log_weights in reversed(steps):
            result = contract(typed.quiet(np.exp, log_weights), result, inside.depth)
        return result


def is_known_function(run: Run, call: Call) -> bool:
    name = call.name
    return isinstance(name, Name) and (run.is_density(name) or name.key in run.scope.maps or run.logish(call))


def contract(weights: Array, value: Typed, depth: int) -> Typed:
    """Sum over the last of `depth` batch axes; where the weight is 0, nothing counts."""
    if value.identity:
        raise IllTyped("Expected a matrix of a known size, but got the identity alone.")
    value = value.lift(depth)
    spread = weights.reshape((*weights.shape, *[1] * value.rank))
    shape = np.broadcast_shapes(spread.shape, value.data.shape[:depth] + (1,) * value.rank)
    data = value.data
    if not np.isfinite(data).all():
        data = np.where(np.broadcast_to(spread == 0, np.broadcast_shapes(shape, data.shape)), 0.0, data)
    return Typed(typed.quiet(lambda: np.sum(spread * data, axis=depth - 1)), value.rank, value.row)


def _product(factors: list[Node]) -> Node:
    return factors[0] if len(factors) == 1 else Product(tuple(factors))


def _argument(call: Call) -> Bracket:
    return Bracket(call.targets[0] if len(call.targets) == 1 else Items(call.targets))


def _as_typed(value: Any) -> Typed:
    return value if isinstance(value, Typed) else typed.constant(value)


def _named(variable: str, like: Name) -> Name:
    return Name(variable, where=like.where) if not variable.startswith("\\") or variable[1:].isalpha() else like
