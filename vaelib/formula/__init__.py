r"""Formulas that run: a tree that knows its LaTeX and its value, built by Python operators or read from LaTeX.

tex(r"\log\frac{\sigma_p}{\sigma_q} + \frac{\sigma_q^2 + (\mu_q-\mu_p)^2}{2\sigma_p^2} - \tfrac12").value(witness)
"""

from vaelib.formula.evaluate import evaluate
from vaelib.formula.given import given
from vaelib.formula.reader import tex
from vaelib.formula.rules import GAUSS, TRAPEZOID
from vaelib.formula.scope import Map, Parameter, Scope
from vaelib.formula.tokens import Unreadable
from vaelib.formula.tree import Node

Node.engine = staticmethod(evaluate)

__all__ = ["GAUSS", "TRAPEZOID", "Map", "Node", "Parameter", "Scope", "Unreadable", "given", "tex"]
