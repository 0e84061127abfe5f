"""Variational autoencoders, derived line by line and verified number by number.

The names below, and the modules a notebook uses, are loaded when they are first asked for, so that the command line
need not wait for SciPy: `import vaelib` is enough for `vaelib.train.load(folder)`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaelib.derivation import Derivation, Line, Slip
    from vaelib.distributions import (
        Bernoulli,
        Categorical,
        DiagonalNormal,
        Exponential,
        Gamma,
        Laplace,
        MultivariateNormal,
        Normal,
        kl_divergence,
    )
    from vaelib.estimate import Estimate
    from vaelib.models import CurvedGaussian, DiscreteLatent, LinearGaussian

__all__ = [
    "Bernoulli",
    "Categorical",
    "CurvedGaussian",
    "Derivation",
    "DiagonalNormal",
    "DiscreteLatent",
    "Estimate",
    "Exponential",
    "Gamma",
    "Laplace",
    "Line",
    "LinearGaussian",
    "MultivariateNormal",
    "Normal",
    "Slip",
    "kl_divergence",
]

_HOMES = {
    "derivation": ("Derivation", "Line", "Slip"),
    "estimate": ("Estimate",),
    "models": ("CurvedGaussian", "DiscreteLatent", "LinearGaussian"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = (
    "data",
    "elbo",
    "em",
    "evaluate",
    "exercise",
    "gradients",
    "ledger",
    "models",
    "montecarlo",
    "objectives",
    "plots",
    "quadrature",
    "terms",
    "train",
    "verify",
    "witnesses",
)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"vaelib.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'vaelib' has no attribute {name!r}")
    module = importlib.import_module(f"vaelib.{_HOME.get(name, 'distributions')}")
    globals()[name] = value = getattr(module, name)
    return value


def load_ipython_extension(shell: Any) -> None:
    """%load_ext vaelib: makes %%check known, which checks a cell of LaTeX line by line."""
    importlib.import_module("vaelib.magic").load(shell)


def __dir__() -> list[str]:
    """What a user means by `vaelib.<tab>`: the public names and modules, and none of the machinery."""
    return sorted({*__all__, *_MODULES})
