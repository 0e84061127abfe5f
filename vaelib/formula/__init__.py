r"""Formulas that run: a tree that knows its LaTeX and its value, built by Python operators or read from LaTeX.

tex(r"\log\frac{\sigma_p}{\sigma_q} + \frac{\sigma_q^2 + (\mu_q-\mu_p)^2}{2\sigma_p^2} - \tfrac12").value(witness)
"""

from vaelib.formula.arithmetic import in_decimals, in_floats
from vaelib.formula.binders import among
from vaelib.formula.crowd import evaluate_together
from vaelib.formula.evaluate import evaluate
from vaelib.formula.given import given, sampled
from vaelib.formula.reader import tex
from vaelib.formula.rules import GAUSS, TRAPEZOID
from vaelib.formula.scope import Map, Parameter, Scope
from vaelib.formula.tokens import Unreadable
from vaelib.formula.tree import Node
from vaelib.formula.words import (
    HALF,
    KL,
    Cov,
    E,
    H,
    N,
    Var,
    absolute,
    chi2,
    det,
    exp,
    for_all,
    function,
    grad,
    integral,
    log,
    mark,
    norm,
    over,
    prod,
    sqrt,
    symbol,
    symbols,
    tr,
    vector,
    where,
)

Node.hearing = staticmethod(among)

__all__ = [
    "GAUSS",
    "HALF",
    "KL",
    "TRAPEZOID",
    "Cov",
    "E",
    "H",
    "Map",
    "N",
    "Node",
    "Parameter",
    "Scope",
    "Unreadable",
    "Var",
    "absolute",
    "chi2",
    "det",
    "evaluate",
    "evaluate_together",
    "exp",
    "for_all",
    "function",
    "given",
    "grad",
    "in_decimals",
    "in_floats",
    "integral",
    "log",
    "mark",
    "norm",
    "over",
    "prod",
    "sampled",
    "sqrt",
    "symbol",
    "symbols",
    "tex",
    "tr",
    "vector",
    "where",
]
