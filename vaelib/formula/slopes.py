"""Derivatives of a formula by differences of fourth order, at a step that differs between the two resolutions.

Where the scope knows f' or f'' beside f, a gradient of f is read from there. By a variable or an observation its value
is moved; by a parameter the scope is built again, so that a law that depends on it moves too. What is neither is
refused: moving a value that a law was built from would give a derivative of 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vaelib.derivation.lines import IllTyped
from vaelib.formula import typed
from vaelib.formula.binders import Derivative
from vaelib.formula.environment import Env
from vaelib.formula.tree import Call, Function, Name, Node
from vaelib.formula.typed import Typed

if TYPE_CHECKING:
    from vaelib.formula.run import Run

Array = np.ndarray
_FIRST = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))
_SECOND = ((-2, -1 / 12), (-1, 16 / 12), (0, -30 / 12), (1, 16 / 12), (2, -1 / 12))


def derivative(run: Run, node: Derivative, env: Env) -> Typed:
    """The derivative by one variable, or one entry for each of several."""
    if node.order > 2:
        raise IllTyped(f"Expected a first or a second derivative, but got one of order {node.order}.")
    if not node.variables:
        return _of_call(run, node, env)
    run.approximate = True
    parts = [_by(run, node.body, variable, node.order, env) for variable in node.variables]
    return parts[0] if len(parts) == 1 else typed.stack(parts)


def _of_call(run: Run, node: Derivative, env: Env) -> Typed:
    r"""\nabla f(z), f'(z): by the argument of the function."""
    call = node.body
    if isinstance(call, Name) and call.key in run.scope.maps:
        call = Call(call, tuple(Name(variable) for variable in run.scope.maps[call.key].of))
    if not (isinstance(call, Call) and len(call.targets) == 1):
        raise IllTyped(f"Expected a gradient by something, or of a function of one argument, but got {node.plain}.")
    if isinstance(call.name, Name):
        known = replace(call.name, marks=call.name.marks + "'" * node.order)
        if known.key in run.scope.maps:
            return run.value(Call(known, call.targets), env)
    run.approximate = True
    at = run.value(call.targets[0], env)
    place = Name(r"\text{argument}")

    def moved(value: Typed) -> Typed:
        return run.value(Call(call.name, (place,)), env.replace(place.key, value))

    return _slope(run, moved, at, node.order)


def _by(run: Run, body: Node, variable: Node, order: int, env: Env) -> Typed:
    scope = run.scope
    key = variable.latex
    if isinstance(variable, Name):
        held = env.bindings.get(key)
        if held is not None or key in scope.observed:
            at = held.value if held is not None else typed.constant(scope.observed[key])
            return _slope(run, lambda value: run.value(body, env.replace(key, value)), at, order)
        stem = variable.stem.key
        index = variable.sub
        if index is not None and key not in scope.parameters and (stem in env.bindings or stem in scope.parameters):
            whole = _by(run, body, variable.stem, order, env)
            return typed.entry(whole, run.indices(index, env), variable.plain)
    if isinstance(variable, Function) and key not in scope.parameters and variable.name == "log":
        inner = variable.body  # d/d log s = s d/ds
        if order == 1:
            return typed.multiply(run.value(inner, env), _by(run, body, inner, 1, env))
    if key not in scope.parameters:
        known = ", ".join([*scope.parameters, *scope.observed, *env.bindings]) or "none"
        raise IllTyped(
            f"Expected a variable by which this can be differentiated ({known}), but got {variable.plain}: laws that "
            "depend on it would not move with it."
        )

    def rebuilt(value: Typed) -> Typed:
        return run.moved(key, value).value(body, env)

    return _slope(run, rebuilt, typed.constant(scope.parameters[key].value), order)


STEP = {1: 1e-3, 2: 4e-3}  # of differences of the first and the second order


def _slope(run: Run, f: Callable[[Typed], Typed], at: Typed, order: int) -> Typed:
    """Differences in each coordinate of a number, a vector or a matrix, laid out like it."""
    step = STEP[order]
    if run.rule != run.rule.finest():
        step *= 0.8 if run.rule.fine else 1.4
    if at.rank == 0:
        return _difference(f, at, np.ones(()), step, order)
    if order > 1:
        raise IllTyped(f"Expected a second derivative by a number, but got one by {at.kind}.")
    size = int(np.prod(at.event))
    units = np.eye(size).reshape(size, *at.event)
    parts = [_difference(f, at, unit, step, order) for unit in units]
    if any(part.rank for part in parts):
        raise IllTyped("Expected the gradient of a number.")
    flat = typed.stack(parts)
    return Typed(flat.data.reshape((*flat.data.shape[:-1], *at.event)), at.rank)


def _difference(f: Callable[[Typed], Typed], at: Typed, unit: Array, step: float, order: int) -> Typed:
    stencil = _FIRST if order == 1 else _SECOND
    total: Typed | None = None
    for shift, weight in stencil:
        moved = Typed(at.data + shift * step * unit, at.rank, at.row)
        term = typed.multiply(typed.number(weight / step**order), f(moved))
        total = term if total is None else typed.add(total, term)
    assert total is not None
    return total
