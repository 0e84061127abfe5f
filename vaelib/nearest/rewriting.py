"""What may take the place of one part of a Python function, by kinds of mistakes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

from vaelib.nearest.habits import KINDS_OF_CALLS, LIKE, LINEAR, MODULES, OPPOSITE, PLUS, REDUCE, TIMES, Words

Path = tuple[tuple[str, int], ...]
Rewritten = Iterator[tuple[str, ast.expr]]


def rewritten(node: ast.AST, path: Path, words: Words) -> Rewritten:
    """What may take the place of a node, with the kind of mistake that this mends."""
    parent = words.context[id(node)]
    if isinstance(node, ast.AugAssign):
        yield from _augmented(node)
        return
    if not isinstance(node, ast.expr) or isinstance(getattr(node, "ctx", None), ast.Store):
        return
    match node:
        case ast.BinOp():
            yield from _operation(node)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield "sign", operand
            if isinstance(operand, ast.Constant) and _role(path, parent) == "axis":
                yield from (("axis", ast.Constant(other)) for other in (0, 1, 2, None))
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            yield "comparison", operand
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            yield from (("comparison", ast.Compare(left, [other()], [right])) for other in OPPOSITE.get(type(op), ()))
        case ast.BoolOp(op=op, values=values):
            yield "comparison", ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.IfExp(test=test, body=body, orelse=other):
            yield "comparison", ast.IfExp(test, other, body)
        case ast.Constant():
            yield from _constant(node, path, parent, words)
        case ast.Call():
            yield from _call(node, words)
        case ast.Attribute():
            yield from _attribute(node, parent, words)
        case ast.Name():
            kind = "axis" if path[-1][0] == "slice" else "name"
            if node.id in words.names:
                yield from ((kind, _name(name)) for name in words.names if name != node.id)
        case ast.Subscript(value=value):
            yield "index", value
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            kind = "axis" if isinstance(parent, ast.Subscript) else "order"
            for i in range(len(parts) - 1):
                yield kind, type(node)([*parts[:i], parts[i + 1], parts[i], *parts[i + 2 :]], ast.Load())
    yield from _unary(node, words)
    if _is_number(node, parent):
        yield from _with_more(node, path, parent, words)


def _is_number(node: ast.expr, parent: ast.AST) -> bool:
    """May the node stand for a number or an array? A function, an index and a keyword such as axis=0 do not."""
    if isinstance(node, ast.Constant | ast.Tuple | ast.List | ast.Slice | ast.Starred | ast.Lambda | ast.JoinedStr):
        return isinstance(node, ast.Constant) and type(node.value) in (int, float) and isinstance(parent, ast.BinOp)
    if isinstance(parent, ast.Attribute | ast.Subscript | ast.Compare):
        return isinstance(node, ast.BinOp | ast.Call | ast.Name) and not _is_module(node)
    return not (isinstance(parent, ast.Call) and node is parent.func) and not isinstance(parent, ast.keyword)


def _is_module(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in MODULES


# ---------------------------------------------------------------------------------------------------------- operations


def _augmented(node: ast.AugAssign) -> Iterator[tuple[str, Any]]:
    match node.op:
        case ast.Add():
            yield "sign", ast.AugAssign(node.target, ast.Sub(), node.value)
        case ast.Sub():
            yield "sign", ast.AugAssign(node.target, ast.Add(), node.value)
        case ast.Mult():
            yield "operator", ast.AugAssign(node.target, ast.Div(), node.value)


def _operation(node: ast.BinOp) -> Rewritten:
    left, op, right = node.left, node.op, node.right
    match op:
        case ast.Add():
            yield "sign", ast.BinOp(left, ast.Sub(), right)
            yield "sign", ast.BinOp(right, ast.Sub(), left)
            yield "operator", ast.BinOp(left, ast.Mult(), right)
        case ast.Sub():
            yield "sign", ast.BinOp(left, ast.Add(), right)
            yield "order", ast.BinOp(right, op, left)
            yield "operator", ast.BinOp(left, ast.Div(), right)
        case ast.Mult():
            yield "operator", ast.BinOp(left, ast.Div(), right)
            yield "operator", ast.BinOp(right, ast.Div(), left)
            yield "operator", ast.BinOp(left, ast.Add(), right)
            yield "operator", ast.BinOp(left, ast.MatMult(), right)
            if _number(right) is not None:
                yield "square", ast.BinOp(left, ast.Pow(), right)
            if _number(left) == 2:
                yield "square", ast.BinOp(right, ast.Pow(), left)
        case ast.Div():
            yield "operator", ast.BinOp(left, ast.Mult(), right)
            yield "order", ast.BinOp(right, op, left)
            yield "operator", ast.BinOp(left, ast.Sub(), right)
        case ast.Pow():
            yield ("square" if _number(right) in (2, 0.5) else "dropped"), left
            yield "square", ast.BinOp(left, ast.Mult(), right)
            if _number(right) is not None:
                yield "sign", ast.BinOp(left, op, _negative(right))
        case ast.MatMult():
            yield "operator", ast.BinOp(left, ast.Mult(), right)
            yield "order", ast.BinOp(right, op, left)
            yield "transposed", ast.BinOp(_transposed(left), op, right)
            yield "transposed", ast.BinOp(left, op, _transposed(right))
    if isinstance(op, LINEAR | ast.MatMult):
        of_two = isinstance(op, TIMES) and _number(right) in (2, 0.5, -0.5)
        yield ("half or two" if of_two else "dropped"), left
        of_two = isinstance(op, TIMES) and _number(left) in (2, 0.5, -0.5)
        if not isinstance(op, ast.Div):
            yield ("half or two" if of_two else "dropped"), _negative(right) if isinstance(op, ast.Sub) else right
    if isinstance(op, ast.Sub | ast.Div):
        yield "dropped", right
    yield from _brackets(node)


def _brackets(node: ast.BinOp) -> Rewritten:
    """The same names and operations, with brackets that begin or end at another place."""
    left, op, right = node.left, node.op, node.right
    if isinstance(left, ast.BinOp):  # (a . b) op c  ->  a . (b op c), and b taken along where that is a sign
        a, inner, b = left.left, left.op, left.right
        if not (isinstance(inner, ast.Add) and isinstance(op, PLUS)) and not (
            isinstance(inner, ast.Mult) and isinstance(op, TIMES)
        ):
            yield "brackets", ast.BinOp(a, inner, ast.BinOp(b, op, right))
        if isinstance(op, TIMES) and isinstance(inner, PLUS):  # (a + b) * c  ->  a * c + b
            yield "brackets", ast.BinOp(ast.BinOp(a, op, right), inner, b)
        if isinstance(op, ast.Pow) and isinstance(inner, PLUS):  # (a - b)**c  ->  a**c - b**c
            yield "square", ast.BinOp(ast.BinOp(a, op, right), inner, ast.BinOp(b, op, right))
        if isinstance(op, PLUS) and isinstance(inner, TIMES):  # a / c + b  ->  (a + b) / c
            yield "brackets", ast.BinOp(ast.BinOp(a, op, right), inner, b)
    if isinstance(right, ast.BinOp):  # a op (b . c)  ->  (a op b) . c
        b, inner, c = right.left, right.op, right.right
        if not (isinstance(op, ast.Add) and isinstance(inner, PLUS)) and not (
            isinstance(op, ast.Mult) and isinstance(inner, TIMES)
        ):
            yield "brackets", ast.BinOp(ast.BinOp(node.left, op, b), inner, c)
        if isinstance(op, ast.Mult) and isinstance(inner, PLUS):  # a * (b + c)  ->  b + a * c
            yield "brackets", ast.BinOp(b, inner, ast.BinOp(node.left, op, c))
        if isinstance(inner, ast.Pow) and isinstance(op, PLUS) and isinstance(left, ast.BinOp):
            same = isinstance(left.op, ast.Pow) and ast.dump(left.right) == ast.dump(c)
            if same:  # a**2 - b**2  ->  (a - b)**2
                yield "square", ast.BinOp(ast.BinOp(left.left, op, b), inner, c)
    if isinstance(left, ast.UnaryOp) and isinstance(left.op, ast.USub) and isinstance(op, PLUS):  # -a + b  ->  -(a + b)
        yield "brackets", _negative(ast.BinOp(left.operand, op, right))
    if (made := _applied(left)) is not None and isinstance(op, LINEAR):  # log(a) / b  ->  log(a / b)
        build, inside = made
        yield "brackets", build(ast.BinOp(inside, op, right))
    if (made := _applied(right)) is not None and isinstance(op, LINEAR):  # a * exp(b)  ->  exp(a * b)
        build, inside = made
        yield "brackets", build(ast.BinOp(left, op, inside))


# --------------------------------------------------------------------------------------------------- functions of one


def _applied(node: ast.expr) -> tuple[Callable[[ast.expr], ast.expr], ast.expr] | None:
    """A node as a function of one part: log(a), a.sum(axis=0), a**2, as (how to build it, a); None if it is none."""
    match node:
        case ast.Call(func=ast.Attribute(value=value, attr=name) as function, args=args, keywords=keywords):
            if _is_module(value) or not (name in KINDS_OF_CALLS or name in ("abs",)):
                if _is_module(value) and args and (len(args) == 1 or name in REDUCE):
                    return lambda inside: ast.Call(function, [inside, *args[1:]], keywords), args[0]
                return None
            return lambda inside: ast.Call(_attr(inside, name), args, keywords), value
        case ast.Call(func=ast.Name(id=name) as called, args=[only], keywords=keywords) if not name[:1].isupper():
            return lambda inside: ast.Call(called, [inside], keywords), only
        case ast.BinOp(left=left, op=ast.Pow() as op, right=ast.Constant() as right):
            return lambda inside: ast.BinOp(inside, op, right), left
    return None


def _unary(node: ast.expr, words: Words) -> Rewritten:
    """log(mean(x)) and mean(log(x)), log(a / b) and log(a) / b, log(x) and x."""
    if (outer := _applied(node)) is None:
        return
    build, inside = outer
    if (inner := _applied(inside)) is not None:
        build_inner, core = inner
        yield "order", build_inner(build(core))
    if isinstance(inside, ast.BinOp):
        a, op, b = inside.left, inside.op, inside.right
        yield "brackets", ast.BinOp(build(a), op, b)
        yield "brackets", ast.BinOp(a, op, build(b))
    if isinstance(node, ast.Call):
        yield KINDS_OF_CALLS.get(_called(node), "dropped"), inside


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _call(node: ast.Call, words: Words) -> Rewritten:
    name, args, keywords = _called(node), node.args, node.keywords
    for kind, other in LIKE.get(name, ()):
        if isinstance(node.func, ast.Attribute):
            yield kind, ast.Call(_attr(node.func.value, other), args, keywords)
    for i, keyword in enumerate(keywords):
        yield _of_keyword(keyword.arg), ast.Call(node.func, args, [*keywords[:i], *keywords[i + 1 :]])
    is_method = isinstance(node.func, ast.Attribute) and not _is_module(node.func.value)
    given = {keyword.arg for keyword in keywords}
    if name in REDUCE:
        runs = given & {"axis", "dim"} or len(args) > (0 if is_method else 1)
        if not runs:
            for where in (-1, 0, 1):
                along = ast.keyword(words.axis, ast.Constant(where))
                yield "axis", ast.Call(node.func, args, [*keywords, along])
        elif not given & {"keepdims", "keepdim"}:
            key = "keepdim" if words.axis == "dim" else "keepdims"
            yield "axis", ast.Call(node.func, args, [*keywords, ast.keyword(key, ast.Constant(True))])
        if name in ("std", "var"):
            for key, value in (("correction", 0), ("correction", 1)) if words.axis == "dim" else (("ddof", 1),):
                if key not in given:
                    yield "divisor", ast.Call(node.func, args, [*keywords, ast.keyword(key, ast.Constant(value))])
    for i in range(len(args) - 1):
        yield "arguments", ast.Call(node.func, [*args[:i], args[i + 1], args[i], *args[i + 2 :]], keywords)
    if name in ("range", "arange") and args:
        last = args[-1] if len(args) < 3 else args[1]
        at = min(len(args) - 1, 1)
        for op in (ast.Add(), ast.Sub()):
            changed = ast.BinOp(last, op, ast.Constant(1))
            yield "index", ast.Call(node.func, [*args[:at], changed, *args[at + 1 :]], keywords)
        if len(args) == 1:
            yield "index", ast.Call(node.func, [ast.Constant(1), *args], keywords)
            more = ast.BinOp(args[0], ast.Add(), ast.Constant(1))
            yield "index", ast.Call(node.func, [ast.Constant(1), more], keywords)
    if is_method and isinstance(node.func, ast.Attribute) and not args and not keywords:
        yield KINDS_OF_CALLS.get(name, "dropped"), node.func.value


def _of_keyword(name: str | None) -> str:
    if name in ("axis", "dim", "keepdims", "keepdim"):
        return "axis"
    return "divisor" if name in ("ddof", "correction", "unbiased") else "arguments"


# --------------------------------------------------------------------------------------------- names, numbers, more


def _attribute(node: ast.Attribute, parent: ast.AST, words: Words) -> Rewritten:
    is_called = isinstance(parent, ast.Call) and parent.func is node
    if node.attr in ("T", "mT"):
        yield "transposed", node.value
    elif node.attr in words.attributes and not is_called:
        yield from (("name", _attr(node.value, other)) for other in words.attributes if other != node.attr)


def _constant(node: ast.Constant, path: Path, parent: ast.AST, words: Words) -> Rewritten:
    value, along = node.value, _role(path, parent)
    if type(value) is bool:
        yield along or "arguments", ast.Constant(not value)
    elif type(value) is int and along == "axis":
        yield from (("axis", ast.Constant(other)) for other in (-1, 0, 1, 2, None) if other != value)
    elif type(value) in (int, float):
        assert isinstance(value, int | float)
        kind = along or "number"
        steps = (value + 1, value - 1) if value else (1, -1, 0.5)
        others = [*steps, *((2 * value, -value) if value else ())]
        if kind == "number" and value:
            twice = (1 / value, 1) if value in (2, 0.5) else (2 * value, _whole(value / 2))
            yield from (("half or two", ast.Constant(other)) for other in twice)
            yield "sign", _negative(node)
            others += [value**2, value / 10, 10 * value]
        yield from ((kind, ast.Constant(_whole(other))) for other in others if other != value)


def _role(path: Path, parent: ast.AST) -> str:
    """What a constant is there for: an axis, a divisor, an index, or "" for a number to compute with."""
    if isinstance(parent, ast.keyword):
        return _of_keyword(parent.arg)
    if isinstance(parent, ast.Call) and _called(parent) in REDUCE:
        return "axis"
    names = [name for name, _ in path[-2:]]
    is_index = "slice" in names or isinstance(parent, ast.Slice)
    return "index" if is_index else ""


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _attr(owner: ast.expr, name: str) -> ast.Attribute:
    return ast.Attribute(owner, name, ast.Load())


def _whole(value: float) -> int | float:
    return int(value) if float(value).is_integer() else value


def _number(node: ast.expr) -> float | None:
    sign = 1.0
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        sign, node = -1.0, node.operand
    is_number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
    return sign * node.value if is_number else None  # type: ignore[attr-defined]


def _negative(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return node.operand
    return ast.UnaryOp(ast.USub(), node)


def _transposed(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Attribute) and node.attr == "T" else _attr(node, "T")


def _with_more(node: ast.expr, path: Path, parent: ast.AST, words: Words) -> Rewritten:
    """A square, a root, a logarithm, a sum, a factor, a term or a minus sign around a number."""
    op = parent.op if isinstance(parent, ast.BinOp) else None
    is_part = isinstance(op, LINEAR)
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)) and not isinstance(op, ast.Pow):
        yield "square", ast.BinOp(node, ast.Pow(), ast.Constant(2))
        yield "square", ast.BinOp(node, ast.Pow(), ast.Constant(0.5))
    for prefix in words.prefixes:
        for name in ("log", "exp"):
            yield "logarithm", ast.Call(_attr(_name(prefix), name), [node], [])
    if isinstance(node, ast.Constant):
        for name in words.names:
            yield from (("missing term", ast.BinOp(node, sign(), _name(name))) for sign in (ast.Add, ast.Sub))
        return
    if not is_part and not isinstance(node, ast.UnaryOp) and not isinstance(parent, ast.Attribute | ast.Subscript):
        yield "sign", _negative(node)
    if isinstance(node, ast.UnaryOp):
        return
    if isinstance(op, PLUS) and parent.left is node:  # type: ignore[attr-defined]
        yield "sign", _negative(node)
    if not isinstance(op, TIMES) or isinstance(op, ast.Div):
        yield "half or two", ast.BinOp(ast.Constant(2), ast.Mult(), node)
        yield "half or two", ast.BinOp(ast.Constant(0.5), ast.Mult(), node)
    if not isinstance(op, TIMES):
        for name in words.names:
            for times in (ast.Mult(), ast.Div()):
                yield "missing factor", ast.BinOp(node, times, _name(name))
    if not isinstance(op, PLUS) and not isinstance(parent, ast.Attribute | ast.Subscript):
        terms = [ast.Constant(1), ast.Constant(0.5), *map(_name, words.names)]
        for term in terms:
            for sign in (ast.Add(), ast.Sub()):
                yield "missing term", ast.BinOp(node, sign, term)
    is_whole = not isinstance(parent, ast.expr) and not isinstance(parent, ast.comprehension)
    if is_whole or isinstance(op, LINEAR):
        for prefix in words.prefixes[:1] if words.prefixes[:1] != ("math",) else ():
            for name in ("sum", "mean"):
                for where in (-1, 0, None):
                    along = [] if where is None else [ast.keyword(words.axis, ast.Constant(where))]
                    yield "sum or mean", ast.Call(_attr(_name(prefix), name), [node], along)
