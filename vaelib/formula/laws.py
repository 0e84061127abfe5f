r"""Densities and laws on a scope: which world a call is read from, over which variables an expectation goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vaelib.derivation.lines import IllTyped
from vaelib.formula.binders import LATENT, Divergence, Entropy, Expectation, Relation
from vaelib.formula.environment import Base, Env, is_normal
from vaelib.formula.reader import tex
from vaelib.formula.rules import HALF_LOG_2PI, Rule
from vaelib.formula.scope import family
from vaelib.formula.spaces import Around, Interval, Pieces, Space, hull, unlike
from vaelib.formula.tree import Bracket, Call, Items, Name, Node, Number, Product
from vaelib.formula.typed import Typed, add, constant, negative, same_depth
from vaelib.formula.worlds import Conditional, Values, World, asked, gaussian_log_density

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Factor:
    """A density as a law: its world, the variables it goes over with the names that they are bound to, its givens."""

    world: Callable[[Env], World]
    targets: tuple[tuple[str, str], ...]
    givens: Mapping[str, Node] = field(default_factory=dict)

    def over(self, name: str) -> Factor:
        """The same law of another name: of N(0, I), which names none, or of the part of p that has this name."""
        named = [(variable, target) for variable, target in self.targets if target == name]
        if named:
            return replace(self, targets=tuple(named))
        if len(self.targets) == 1 and self.targets[0][1] == LATENT:
            return replace(self, targets=((self.targets[0][0], name),))
        return self


@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(m, S) with a mean and a variance that were computed: the world of N(x; m, S)."""

    mean: Typed
    variance: Typed

    variables = (LATENT,)

    def log_prob(self, targets: Values, givens: Values, rule: Rule) -> Array:
        (x,) = targets.values()
        gap = add(x, negative(self.mean)) if not _is_zero(self.mean, x) else x
        if gap.rank == 0 and self.variance.rank == 0:
            data, variance = (v.data for v in same_depth(gap, self.variance))
            return np.asarray(-0.5 * data**2 / variance - 0.5 * np.log(variance) - HALF_LOG_2PI)
        factor = self._factor(gap)
        one = factor.size == factor.shape[-1] ** 2  # for all entries of the batch
        return gaussian_log_density(gap.data, factor.reshape(factor.shape[-2:]) if one else factor)

    def _factor(self, of: Typed) -> Array:
        """The Cholesky factor of the variance, for a vector like this one."""
        if of.rank != 1 or self.variance.rank != 2:
            raise IllTyped(
                f"Expected N(x; m, S) with a variance for a number or a matrix for a vector, but got {of.kind} and "
                f"{self.variance.kind}. Is an identity missing, as in c I?"
            )
        if self.variance.identity:
            scale = np.sqrt(self.variance.lift(of.depth).data)
            return np.asarray(scale[..., None, None] * np.eye(of.event[0]))
        if self.variance.event != (*of.event, *of.event):
            rows, columns = self.variance.event
            raise IllTyped(
                f"Expected N(x; m, S) with a variance as large as the vector, {of.event[0]} by {of.event[0]}, but got "
                f"{rows} by {columns}. Is a product the wrong way round, as in W^T W for W W^T?"
            )
        return np.asarray(np.linalg.cholesky(self.variance.lift(of.depth).data))

    def space(self, target: str, givens: Values) -> Space | None:
        mean = self.mean
        if self.variance.rank == 0:
            mean, variance = same_depth(mean, self.variance)
            loc, scale = np.broadcast_arrays(mean.data, np.sqrt(variance.data))
            return Around(loc, scale)
        if mean.rank != 1:
            return None
        return Around(mean.data, self._factor(mean), vector=True)


class Laws(Base):
    """Calls of densities, and laws of expectations."""

    def world(self, name: Name, env: Env) -> World:
        """The world that a density of this name is read from; q_j is one of a family."""
        worlds = self.scope.worlds
        if name.key in worlds:
            world: World = worlds[name.key]
            return world
        index = name.sub if name.sub is not None else name.upper
        if family(name) in worlds and index is not None:
            made: World = worlds[family(name)](*self.positions(index, env))
            return made
        raise IllTyped(f"Expected a density that the scope knows ({', '.join(worlds)}), but got {name.plain}.")

    def indices(self, node: Node, env: Env, several: bool = True) -> list[Typed]:
        """The indices in a subscript, counted from 1: j, {ij} or {i,j}; of a vector, {2j} is two times j."""
        if isinstance(node, Items):
            return [index for entry in node.entries for index in self.indices(entry, env)]
        if several and isinstance(node, Product) and all(isinstance(f, Name | Number) for f in node.factors):
            return [index for factor in node.factors for index in self.indices(factor, env)]
        if isinstance(node, Number) and not node.text.isdigit():
            raise IllTyped(f"Expected a whole number, counted from 1, as an index, but got {node.text}.")
        if several and isinstance(node, Number) and len(node.text) > 1:  # \Sigma_{11}
            return [constant(int(digit)) for digit in node.text]
        value = self.value(node, env)
        binding = env.bindings.get(node.key) if isinstance(node, Name) else None
        return [Typed(value.data + 1) if binding is not None and binding.from_zero else value]

    def positions(self, node: Node, env: Env) -> list[Array]:
        """The indices in a subscript, counted from 0, with an axis for each sum and integral around them."""
        return [index.lift(env.depth).data.astype(int) - 1 for index in self.indices(node, env)]

    # ---------------------------------------------------------------------------------------------------- densities

    def density(self, call: Call, env: Env) -> Array:
        """log p(targets | givens) of a call."""
        if is_normal(call):
            return self._normal_density(call, env)
        assert isinstance(call.name, Name)
        world = self.world(call.name, env)
        taken: list[str] = []
        names = [*call.targets, *call.givens]
        variables = self.match(names, world, call)
        targets: dict[str, Typed] = {}
        givens: dict[str, Typed] = {}
        for i, (argument, variable) in enumerate(zip(names, variables, strict=True)):
            value = self.value(argument, env)
            (targets if i < len(call.targets) else givens)[variable] = value
            taken.append(variable)
        return self.ask(world, targets, givens)

    def _normal_density(self, call: Call, env: Env) -> Array:
        parts = [*call.targets, *call.parameters]
        if len(parts) == 2:
            raise IllTyped("Expected N(x; m, S) with the place x at which it is taken, but got a mean and a variance.")
        x = self.value(parts[0], env)
        return self.ask(self.normal(parts[1], parts[2], env), {LATENT: x}, {})

    def normal(self, mean: Node, variance: Node, env: Env) -> Gaussian:
        return Gaussian(self.value(mean, env), self.value(variance, env))

    def ask(self, world: World, targets: Mapping[str, Typed], givens: Mapping[str, Typed]) -> Array:
        """log p(targets | givens) with all values at one depth."""
        if not getattr(world, "exact", True):
            self.approximate = True
        values = same_depth(*targets.values(), *givens.values()) if targets else []
        lifted = dict(zip([*targets, *givens], values, strict=True))
        if isinstance(world, Gaussian):
            depth = max(v.depth for v in values)
            world = Gaussian(world.mean.lift(depth), world.variance.lift(depth))
        asked_for = {k: lifted[k] for k in targets}, {k: lifted[k] for k in givens}
        try:
            return np.asarray(world.log_prob(*asked_for, self.rule))
        except IllTyped:
            raise
        except (ValueError, TypeError, IndexError, KeyError) as error:
            raise IllTyped(f"Expected values that fit the density {asked(*asked_for)}, but: {error}") from error

    def match(self, arguments: list[Node], world: World, call: Call) -> list[str]:
        """Which variable of a world each argument is a value of: by its name, otherwise the one that is left."""
        free = list(world.variables)
        found: list[str | None] = []
        for argument in arguments:
            candidates = []
            if isinstance(argument, Name):
                candidates = [argument.key, argument.stem.key, Name(argument.base, argument.sub).key, argument.base]
            variable = next((c for c in candidates if c in free), None)
            found.append(variable)
            if variable is not None:
                free.remove(variable)
        for i, variable in enumerate(found):
            if variable is None:
                rest = len([v for v in found if v is None])
                if len(free) == 0 or (rest > 1 and len(free) != rest) or (len(free) > 1 and rest == 1):
                    known = ", ".join(world.variables)
                    raise IllTyped(
                        f"Expected values of {known} in {call.plain}, but cannot tell of which variable "
                        f"{arguments[i].plain} is one."
                    )
                found[i] = free.pop(0)
        return [variable for variable in found if variable is not None]

    # --------------------------------------------------------------------------------------------------------- laws

    def factors(self, law: Node | None, env: Env) -> list[Factor]:
        """A law as densities, one after the other."""
        if law is None:
            if "" not in self.scope.laws:
                raise IllTyped("Expected a law, E_q[...], but got none, and the scope has no law by default.")
            return self.factors(tex(self.scope.laws[""]), env)
        if isinstance(law, Bracket):
            return self.factors(law.body, env)
        if isinstance(law, Items) and isinstance(last := law.entries[-1], Relation) and last.signs == ("~",):
            names = law.entries[:-1]  # x, z ~ p(x, z)
            if all(isinstance(name, Name) and not self.is_density(name) for name in names):
                return self._renamed(Relation((Items((*names, last.sides[0])), last.sides[1]), ("~",)), env)
        if isinstance(law, Items | Product):
            return [factor for part in law.children() for factor in self.factors(part, env)]
        if isinstance(law, Relation) and law.signs == ("~",):
            return self._renamed(law, env)
        if isinstance(law, Call):
            return [self._called(law)]
        if isinstance(law, Name):
            return self._named(law, env)
        raise IllTyped(f"Expected a law such as q, q(z) or N(m, S), but got {law.plain}.")

    def _renamed(self, law: Relation, env: Env) -> list[Factor]:
        """z ~ q: the law q with its variable bound to z."""
        names = [
            n.key
            for n in ([law.sides[0]] if isinstance(law.sides[0], Name) else law.sides[0].children())
            if isinstance(n, Name)
        ]
        result: list[Factor] = []
        for factor in self.factors(law.sides[1], env):
            count = len(factor.targets)
            if len(names) < count:
                raise IllTyped(f"Expected as many variables as the law has in {law.plain}.")
            mine, names = names[:count], names[count:]
            targets = tuple((variable, name) for (variable, _), name in zip(factor.targets, mine, strict=True))
            result.append(Factor(factor.world, targets, factor.givens))
        return result

    def _called(self, law: Call) -> Factor:
        if is_normal(law):
            parts = [*law.targets, *law.parameters]
            name = LATENT
            if len(parts) == 3:
                first = parts.pop(0)
                name = first.key if isinstance(first, Name) else LATENT
            mean, variance = parts
            return Factor(lambda env: self.normal(mean, variance, env), ((LATENT, name),))
        assert isinstance(law.name, Name)
        density = law.name
        if not self.is_density(density):
            raise IllTyped(f"Expected a law that the scope knows, but got {law.plain}.")
        world = self.scope.worlds.get(density.key) or self.scope.worlds[family(density)]
        if not hasattr(world, "variables"):
            world = world(*(np.asarray(0) for _ in (density.sub,)))
        variables = self.match([*law.targets, *law.givens], world, law)
        bound: list[tuple[str, str]] = []
        for target, variable in zip(law.targets, variables, strict=False):
            if not isinstance(target, Name):
                raise IllTyped(f"Expected the law {law.plain} to be over a variable, but got {target.plain}.")
            bound.append((variable, target.key))
        givens = dict(zip(variables[len(bound) :], law.givens, strict=True))
        return Factor(lambda env: self.world(density, env), tuple(bound), givens)

    def _named(self, law: Name, env: Env) -> list[Factor]:
        if law.key in self.scope.laws:
            return self.factors(tex(self.scope.laws[law.key]), env)
        if self.is_density(law):
            world = self.scope.worlds.get(law.key) or self.scope.worlds[family(law)]
            if not hasattr(world, "variables"):
                world = world(np.asarray(0))
            one = getattr(world, "each", (world,))[0]
            if isinstance(one, Conditional):
                givens = {name: tex(name) for name in one.givens}
                return [Factor(lambda env: self.world(law, env), ((one.target, one.target),), givens)]
            if any(variable in self.scope.observed for variable in world.variables):
                raise IllTyped(
                    f"Expected a law with its variables, since {law.plain} is one of {', '.join(world.variables)}, not "
                    f"all of which are open: write {law.plain}({world.variables[-1]})."
                )
            return [Factor(lambda env: self.world(law, env), tuple((v, v) for v in world.variables))]
        known = ", ".join([*self.scope.worlds, *self.scope.laws])
        raise IllTyped(f"Expected a law that the scope knows ({known}), but got {law.plain}.")

    def law_log(self, factors: list[Factor], env: Env) -> Array:
        """The logarithm of the density of a law where its variables are bound."""
        total: Any = 0.0
        for factor in factors:
            targets = {variable: self._bound(name, env) for variable, name in factor.targets}
            givens = {variable: self.value(node, env) for variable, node in factor.givens.items()}
            total = total + _at_depth(self.ask(factor.world(env), targets, givens), env.depth)
        return np.asarray(total)

    def _bound(self, name: str, env: Env) -> Typed:
        if name not in env.bindings:
            raise IllTyped(f"Expected two laws over the same variable, but {name} is bound by none.")
        return env.bindings[name].value

    def under(self, factors: list[Factor], env: Env) -> Iterator[tuple[Env, Array]]:
        """One variable after the other: the environment in which it is bound, and the log-weights of its nodes."""
        for factor in factors:
            known = {variable: self.value(node, env) for variable, node in factor.givens.items()}
            for variable, name in factor.targets:
                world = factor.world(env)
                space = self._said_space(name) or self._asked_space(world, variable, known) or self.space_of(name, env)
                nodes, log_weights = space.nodes(self.rule, env.depth)
                self.approximate = self.approximate or not space.exact
                inside = self.bind(env, name, nodes, from_zero=nodes.data.dtype.kind in "iu")
                log_density = self.ask(factor.world(inside), {variable: nodes}, known)
                yield inside, _at_depth(log_density, inside.depth) + log_weights
                env = inside
                known = {**known, variable: nodes}

    def _said_space(self, name: str) -> Space | None:
        """The range that the scope names: a law knows no kinks of what is averaged, and not its reach."""
        space = self.scope.spaces.get(name)
        soft = isinstance(space, Interval) and not (space.hard_low or space.hard_high)
        return space if soft or (isinstance(space, Pieces) and space.soft) else None

    def _asked_space(self, world: World, variable: str, known: Values) -> Space | None:
        values = same_depth(*known.values()) if known else []
        own = world.space(variable, dict(zip(known, values, strict=True)))
        if isinstance(own, Around) and not own.vector and not np.ndim(own.loc):
            others = [space for space in self._spaces(variable) if isinstance(space, Around)]
            return hull([own, *others]) if unlike([own, *others]) else own
        return own

    def laws_in(self, node: Node) -> frozenset[str]:
        """The densities that a part of a formula is made of."""
        found: set[str] = set()
        for part in node.walk():
            if isinstance(part, Name) and part.key in self.scope.definitions:
                found |= self.laws_in(tex(self.scope.definitions[part.key]))
            elif isinstance(part, Name) and part.key in self.scope.worlds:
                found.add(part.key)
        return frozenset(found)

    def _spaces(self, variable: str, of: frozenset[str] = frozenset()) -> list[Space]:
        """Where the worlds of the scope say that a variable lives; these worlds alone, if they know it."""
        named = {key: w for key, w in self.scope.worlds.items() if variable in getattr(w, "variables", ())}
        worlds = [w for key, w in named.items() if key in of] or list(named.values())
        spaces = [w.space(variable, {}) for w in worlds if not isinstance(w, Conditional)]
        return [space for space in spaces if space is not None]

    def space_of(self, name: str, env: Env, of: frozenset[str] = frozenset()) -> Space:
        """Where a variable lives that no law is bound to; `of` are the densities that are integrated over it."""
        read = tex(name)
        assert isinstance(read, Name)
        for key in (name, read.stem.key, Name(read.base, read.sub).key, read.base):
            if key in self.scope.spaces:
                space: Space = self.scope.spaces[key]
                return space
        if family(read) in self.scope.spaces and read.sub is not None:
            made: Space = self.scope.spaces[family(read)](*self.positions(read.sub, env))
            return made
        for key in (name, Name(read.base, read.sub).key, read.base):
            found = self._spaces(key, of)
            if found:
                return hull(found)
        raise IllTyped(f"Expected a variable of which the scope knows where it lives, but got {read.plain}.")

    def law_scope(self, node: Expectation | Divergence | Entropy) -> tuple[frozenset[str], frozenset[str]]:
        laws: list[Node | None]
        match node:
            case Expectation():
                laws = [node.law]
            case Divergence():
                laws = [node.first]
            case _:
                laws = [self.entropy_law(node)]
        bound: set[str] = set()
        outside: set[str] = set()
        try:
            for law in laws:
                for factor in self.factors(law, Env()):
                    outside |= frozenset().union(*(self.depends(given) for given in factor.givens.values())) - bound
                    bound |= {name for _, name in factor.targets}
        except IllTyped:
            return frozenset(), frozenset()  # it is said where the law is used
        return frozenset(bound), frozenset(outside)

    def entropy_law(self, node: Entropy) -> Node:
        """The law of an entropy: H(q), or of variables, H(x, z)."""
        if all(isinstance(law, Name) and not self.is_density(law) for law in node.laws):
            return Call(Name(self.scope.joint), node.laws)
        return node.laws[0]


def _at_depth(data: Array, depth: int) -> Array:
    return data.reshape((*data.shape, *[1] * (depth - data.ndim)))


def _is_zero(mean: Typed, like: Typed) -> bool:
    """N(z; 0, I): the zero vector is written as a number."""
    return mean.rank == 0 and like.rank == 1 and not np.any(mean.data)
