"""Variational autoencoders, derived line by line and verified number by number.

The names below, and the modules a notebook uses, are loaded when they are first asked for, so that the command line
need not wait for SciPy: `import vaelib` is enough for `vaelib.train.load(folder)`.

The house has floors, and a module imports from lower ones only:

0. what every computation rests on
    _arrays             NumPy arrays and torch tensors alike
    _cores              How many CPU cores there are to work with
    _files              A file is written whole or not at all
    _latex              LaTeX and text for a Markdown table, and LaTeX as one readable line for a terminal
    _lazy               Packages that hand names on
    _printable          Text that the terminal can show
    _quiet              What surrounds a computation and must not change its result
    _spoken             Advice in the reader's own words
    derivation.rounding What rounding may do to a line
    _breaks             Long formulas in a table, on several lines
    _door               The one door for arrays and sizes
    _checks             Argument checks, and the one place where their messages are worded
    _special            Special functions that keep their digits, for NumPy arrays and torch tensors alike
    estimate            A number together with an honest statement of its own error
    derivation.compare  Relations and how they compose

1. numbers that carry their error, distributions, lines
    derivation.lines    A line of a derivation, and a slip
    kl                  Closed forms of KL(q || p), in nats, as functions of the parameters
    montecarlo          Sample means that carry their standard error, z-scores, and how many samples a test needs
    quadrature          Integrals and expectations by deterministic rules
    distributions       Probability distributions on NumPy arrays and torch tensors, and `kl_divergence(q, p)`

2. formulas, derivations, exact models
    models              Exact models
    formula             Formulas that run
    derivation          Derivations
    nearest             The nearest right line
    witnesses           Generic witnesses

3. the words of the course
    elbo                The evidence lower bound
    em                  Expectation maximization as pure functions
    gradients           Gradients of an expectation E_q[f(z)] in the parameters of a Gaussian q, one for each sample
    terms               A small algebra in which lines about Bayes' rule and the bound are written, shown and evaluated

4. the ledger, pictures, the check of one's own derivation
    ledger              The ledger
    plots               Pictures
    check               People's derivations, checked
    verify              Run the ledger
    magic               %%check, a cell of LaTeX

5. exercises; the model and its data
    contained           What an answer may not leave behind in a notebook
    forbidden           What an exercise does not allow, by kind
    notes               What was tried, exercise by exercise, in a file beside the notebook
    values              What a returned object is worth
    reply               What an answer replies when it is asked
    task                An exercise
    typeset             Answers in LaTeX
    bans                What an exercise forbids is noticed in the notebook as well
    feedback            What a student reads
    solution            The course's own answer to a task in class, as a student would have typed it
    tasks               The exercises, one file a notebook
    variant             A function with another source, which can change nothing that the student has
    agreement           Do a value and the truth agree?
    choices             Answers that are chosen
    custom              The verdict on an answer whose task brings its own judge
    deriving            The verdict on a derivation that a student typed
    sampling            The verdict on an estimator
    judge               The verdict on an answer
    almost              The one change that makes a wrong function right, looked for where no known mistake was found
    exercise            What a student calls
    data                The data
    vae                 The variational autoencoder
    objectives          What training maximizes

6. training and evaluation
    train               Training
    evaluate            How good a trained model is
    explore             What a trained model has learned, as images

7. commands, grading
    grade               Grading what was handed in
    progress            What is seen while training and evaluation run
    cli                 The command line
    __main__            `python -m vaelib`, and the command `vaelib`
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vaelib._lazy import handed_on

if TYPE_CHECKING:
    from vaelib.derivation import Derivation, Line, Slip
    from vaelib.distributions import (
        Bernoulli,
        Categorical,
        DiagonalNormal,
        DiscretizedLogistic,
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
    "DiscretizedLogistic",
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

__getattr__, __dir__ = handed_on(
    __name__,
    {
        "derivation": "Derivation Line Slip",
        "distributions": "Bernoulli Categorical DiagonalNormal DiscretizedLogistic Exponential Gamma Laplace "
        "MultivariateNormal Normal kl_divergence",
        "estimate": "Estimate",
        "models": "CurvedGaussian DiscreteLatent LinearGaussian",
    },
    modules="data elbo em evaluate exercise gradients ledger models montecarlo objectives plots quadrature terms train "
    "verify witnesses",
)


def load_ipython_extension(shell: Any) -> None:
    """%load_ext vaelib: makes %%check known, which checks a cell of LaTeX line by line."""
    importlib.import_module("vaelib.magic").load(shell)
