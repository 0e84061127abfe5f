"""Sums over indices, integrals over variables, and means under laws: nodes, weights, and the sum over them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from vaelib.derivation.lines import IllTyped
from vaelib.formula import typed
from vaelib.formula.binders import Big, Divergence, Entropy, Expectation, Integral, Over, Relation
from vaelib.formula.environment import Diverges, Env, NoValue, is_normal
from vaelib.formula.logs import Logs, exponential
from vaelib.formula.rules import REACH
from vaelib.formula.spaces import Around, HalfLine, Interval, Space
from vaelib.formula.tree import Bracket, Call, Items, Name, Negative, Node, Product
from vaelib.formula.typed import Typed, number

Array = np.ndarray
INFINITY = Name(r"\infty")
LARGEST = float(np.log(np.finfo(float).max))
_COMPARE: dict[str, Callable[..., Any]] = {
    **{"=": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}
}


class Sums(Logs):
    """What a node is worth that goes over something."""

    def _contract(self, steps: list[tuple[Env, Array, Any]], body: Node) -> Typed:
        """The weighted sum of the body over the nodes, the innermost variable first; a weight of 0 ends all."""
        result = self.value(body, steps[-1][0])
        for inside, log_weights, orientation in reversed(steps):
            result = contract(np.exp(log_weights) * np.asarray(orientation)[..., None], result, inside.depth)
        return result

    def _from_log(self, node: Node, env: Env) -> Typed | None:
        """An integral of densities, by its logarithm: what overflows on the way is not taken for an infinity.

        None if it is one of vectors.
        """
        try:
            log = self.log(node, env)
        except NoValue as error:
            if error.vector:
                return None
            raise
        if np.any(np.isfinite(log.data) & (log.data > LARGEST)):
            raise Diverges(
                f"Expected an integral that converges, but its value is beyond e^{LARGEST:.0f}, the largest number."
            )
        return exponential(log)

    def integral_nodes(self, node: Integral, env: Env) -> list[tuple[Env, Array, Any]]:
        steps: list[tuple[Env, Array, Any]] = []
        for variable in node.variables:
            orientation: Any = 1.0
            if node.lower in (None, Negative(INFINITY)) and node.upper in (None, INFINITY):
                space = self._space_in(node, variable, env)  # over a discrete variable it is the sum
            else:
                space, orientation = self._limits(node, variable, env)
            nodes, log_weights = space.nodes(self.rule, env.depth)
            self.approximate = self.approximate or not space.exact
            env = self.bind(env, variable.key, nodes, from_zero=nodes.data.dtype.kind in "iu")
            steps.append((env, log_weights, orientation))
        return steps

    def _space_in(self, node: Integral, variable: Name, env: Env) -> Space:
        """Where a variable lives, or else where an N(t; m, S) in the integrand puts it."""
        try:
            return self.space_of(variable.key, env, self.laws_in(node.body))
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

    def _limits(self, node: Integral, variable: Name, env: Env) -> tuple[Space, Any]:
        ends: list[Array] = []
        for side in (node.lower, node.upper):
            if side is None:
                raise IllTyped("Expected two limits of an integral or none, but got one.")
            ends.append(typed.number(self.scalar(side, env)).lift(env.depth).data.astype(float))
        low, high = ends
        if np.isinf(low).any() or np.isinf(high).any():
            space = self.space_of(variable.key, env)
            if isinstance(space, HalfLine) and np.all(low == 0) and np.all(high == np.inf):
                return space, 1.0
            if isinstance(space, Around) and not space.vector:
                space = Interval(space.loc - REACH * space.scale, space.loc + REACH * space.scale)
            if not isinstance(space, Interval):
                raise IllTyped(f"Expected the scope to say in which interval {variable.plain} lies.")
            sides = (typed.number(np.asarray(end)).lift(env.depth).data for end in (space.low, space.high))
            low_, high_ = (np.where(np.isinf(a), end, a) for a, end in zip((low, high), sides, strict=True))
            return Interval(low_, high_, not np.isinf(low).any(), not np.isinf(high).any()), 1.0
        return Interval(low, high, True, True), np.where(high < low, -1.0, 1.0)

    def index_nodes(self, node: Big, env: Env) -> list[tuple[Env, Array]]:
        """For each index of a sum the environment in which it is bound, and 1 where the sum goes over it."""
        steps: list[tuple[Env, Array]] = []
        over = node.over
        for i, name in enumerate(over.names):
            depth = env.depth
            drawn = self._drawn(over, env)
            if drawn is not None:
                env = self.bind(env, name.key, number(drawn.data))
                mask = np.ones((*[1] * depth, drawn.data.shape[-1]))
            else:
                values, from_zero = self._range(over, name, env)
                at = values.reshape((*[1] * depth, *values.shape))
                env = self.bind(env, name.key, Typed(at, values.ndim - 1), from_zero)
                mask = np.ones((*[1] * depth, len(values)))
            if i == len(over.names) - 1 and isinstance(over.condition, Relation) and over.condition.signs != ("in",):
                mask = typed.number(self._indicator(over.condition, env).data).lift(env.depth).data.astype(float)
            steps.append((env, mask))
        return steps

    def _drawn(self, over: Over, env: Env) -> Typed | None:
        """The numbers below a sum over i in B, where B is a variable that has them as its entries: a batch."""
        condition = over.condition
        if not (isinstance(condition, Relation) and condition.signs == ("in",)):
            return None
        binding = env.bindings.get(condition.sides[1].latex)
        return binding.value.lift(env.depth) if binding is not None and binding.value.rank == 1 else None

    def _range(self, over: Over, name: Name, env: Env) -> tuple[Array, bool]:
        ranges = self.scope.ranges
        if over.lower is not None:
            if over.upper is None:
                raise IllTyped("Expected an upper limit of the sum, but got a lower one alone.")
            low, high = (self.scalar(side, env) for side in (over.lower, over.upper))
            if low.size > 1 or high.size > 1:
                raise IllTyped("Expected limits of a sum that do not depend on what is around the sum.")
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
        if node.kind == "E" and self.logish(node):
            found = self._from_log(node, env)
            return self.mean(node.law, node.body, env) if found is None else found
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
        said = isinstance(node.second, Call) and len(node.second.targets) > 1  # p(z, x) is not a law of z alone
        if len(names) == 1 and (not said or is_normal(node.second)):  # N(0, I) and q say no name themselves
            second = [factor.over(names[0]) for factor in second]
        steps = list(self.under(first, env))
        inside = steps[-1][0]
        difference = np.subtract(self.law_log(first, inside), self.law_log(second, inside))
        is_kl = node.kind == "KL"  # chi^2(p, q) is E_p[p / q] - 1
        result = number(difference if is_kl else np.exp(difference))
        for step, log_weights in reversed(steps):
            result = contract(np.exp(log_weights), result, step.depth)
        return result if is_kl else number(result.data - 1)

    def _entropy(self, node: Entropy, env: Env) -> Typed:
        law = self.entropy_law(node)
        if isinstance(law, Call) and not (self.is_density(law.name) or is_normal(law)):
            raise IllTyped(f"Expected the entropy of a law or of variables, but got {node.plain}.")
        first = self.factors(law, env)
        second = self.factors(node.laws[1], env) if len(node.laws) == 2 and law is node.laws[0] else first
        steps = list(self.under(first, env))
        result = number(-self.law_log(second, steps[-1][0]))
        for inside, log_weights in reversed(steps):
            result = contract(np.exp(log_weights), result, inside.depth)
        return result


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
    return Typed(np.sum(spread * data, axis=depth - 1), value.rank, value.row)
