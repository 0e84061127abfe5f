"""Variational autoencoders, derived line by line and verified number by number.

The names below, and the modules a notebook uses, are loaded when they are first asked for, so that the command line
need not wait for SciPy: `import vaelib` is enough for `vaelib.train.load(folder)`.

The house has floors, and a module imports from lower ones only:

0. what every computation rests on
    _arrays        NumPy arrays and torch tensors alike
    _latex         LaTeX for a Markdown table, text for a Markdown table, and LaTeX as one readable line for a terminal
    _printable     Text that the terminal can show
    _quiet         What surrounds a computation and must not change its result
    _rounding      What rounding may do to a line
    _spoken        Advice in the reader's own words
    _door          The one door for arrays and sizes
    _checks        Argument checks, and the one place where their messages are worded
    _special       Special functions that keep their digits, for NumPy arrays and torch tensors alike
    estimate       A number together with an honest statement of its own error
    _compare       Relations and how they compose
    _judging       Whether a relation holds between two values, and what can be said where that is not clear

1. numbers that carry their error, distributions, lines
    kl             Closed forms of KL(q || p), in nats, as functions of the parameters
    lines          A line of a derivation, and a slip
    montecarlo     Sample means that carry their standard error, z-scores, and how many samples a test needs
    quadrature     Integrals and expectations by deterministic rules
    signs          How each relation between two lines is written, in plain text and in LaTeX
    distributions  Probability distributions on NumPy arrays and torch tensors, and `kl_divergence(q, p)`
    report         What a check found

2. formulas, derivations, exact models
    models         Exact models
    formula        Formulas that run
    board          A derivation written as on the board
    changes        What changed from one line to the next, found by comparing the two trees
    chain          A chain as it is shown
    derivation     A derivation is a chain of lines
    nearest        The nearest right line
    witnesses      Generic witnesses

3. the words of the course
    elbo           The evidence lower bound
    em             Expectation maximization as pure functions
    gradients      Gradients of an expectation E_q[f(z)] in the parameters of a Gaussian q, one gradient for each sample
    terms          A small algebra in which lines about Bayes' rule and the bound are written, shown and evaluated

4. the ledger, pictures, the check of one's own derivation
    diagrams       Pictures of exact models and of the bound
    ledger         The ledger
    plots          Pictures
    check          People's derivations, checked
    verify         Run the ledger
    magic          %%check, a cell of LaTeX

5. exercises; the model and its data
    contained      What an answer may not leave behind in a notebook
    forbidden      What an exercise does not allow, by kind
    notes          What was tried, exercise by exercise, in a file beside the notebook
    values         What a returned object is worth
    reply          What an answer replies when it is asked
    task           An exercise
    typeset        Answers in LaTeX
    bans           What an exercise forbids is noticed in the notebook as well
    feedback       What a student reads
    tasks          The exercises, one file a notebook
    variant        A function with another source, which can change nothing that the student has
    agreement      Do a value and the truth agree?
    choices        Answers that are chosen
    deriving       The verdict on a derivation that a student typed
    sampling       The verdict on an estimator
    judge          The verdict on an answer
    almost         The one change that makes a wrong function right, looked for where no known mistake was found
    exercise       What a student calls
    surroundings   What a process has set must not change a result
    unit           The unit of the pixels
    baseline       What a VAE must beat
    data           The data
    vae            The variational autoencoder
    objectives     What training maximizes

6. training and evaluation
    config         What a training run is asked to do
    compiler       What `torch.compile` needs on this machine, asked in a moment
    lock           One run, one writer
    payload        What a checkpoint must hold
    checkpoint     A run on disk
    state          The state of training
    engine         One step of training, and the ways to run it
    diagnose       What went wrong
    evaluate       How good a trained model is
    train          Training
    ais            Annealed importance sampling
    gaps           Why the ELBO lies below log p(x)

7. commands, grading
    console        What `vaelib verify` and `make course` show of a verification
    pictures       The four pictures of a run
    terminal       Standard output and error as they are
    words          What the commands say
    grade          Grading what was handed in
    progress       What is seen while training and evaluation run
    cli            The command line
    __main__       `python -m vaelib`, and the command `vaelib`
    course         The course's main job, `make course`
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
