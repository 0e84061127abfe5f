"""Write notebooks/teach/glossary.md, the words of the field in one plain sentence each: python tools/glossary.py

Each word names the notebook that introduces it; the cell is found there. `--where` prints the notebooks in which each
word occurs.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
from minutes import ROOT
from plans import places

PAGE = Path("notebooks") / "teach" / "glossary.md"


@dataclass(frozen=True)
class Word:
    """A word of the field.

    Args:
        name: as it is looked up. says: what it is, a sentence. notebook: the one that introduces it.
        used: a regular expression for it in a text, where the name alone is not enough; case does not count.
    """

    name: str
    says: str
    notebook: str
    used: str = ""

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(self.used or rf"\b{re.escape(self.name)}\b", re.IGNORECASE)


WORDS = (
    Word(
        "active unit",
        "A latent whose code differs from picture to picture, and so carries something.",
        "11",
        r"\bactive\b",
    ),
    Word(
        "aggregate posterior",
        r"The average of the encoder's distributions over the data: where the codes of all pictures lie together.",
        "11",
        r"aggregate",
    ),
    Word(
        "amortization gap",
        "What is lost since one network serves all pictures, and no search is made for each.",
        "10",
        r"amorti[sz]ation",
    ),
    Word(
        "annealed importance sampling",
        "A sampler that walks in small steps from an easy distribution to a hard one, and weighs each walk so that the "
        "mean weight is the evidence.",
        "10",
        r"anneal",
    ),
    Word(
        "approximation gap",
        "What is lost since the posterior does not belong to the family of $q$.",
        "10",
        r"approximation gap|the family",
    ),
    Word(
        "autoregressive decoder",
        "A decoder that looks at the pixels before while it says how likely the next one is.",
        "11",
        r"autoregressive",
    ),
    Word(
        "baseline",
        "A number that is subtracted from $f$ in the score-function gradient: the mean stays, the variance falls.",
        "07",
    ),
    Word("beta", "The weight of the KL term in a loss; at 1 the loss is minus the bound.", "09", r"\bbeta\b|\\beta"),
    Word(
        "bits per dimension",
        "A negative log-likelihood, divided by the number of pixels and by $\\log 2$, so that pictures of different "
        "sizes can be compared.",
        "09",
        r"\bbits\b",
    ),
    Word(
        "Cholesky factor",
        "The lower triangular $L$ with $LL^\\top=\\Sigma$: a root of a covariance, with which noise is given it.",
        "00",
        r"Cholesky",
    ),
    Word(
        "coordinate-wise independent",
        "A $q$ that treats each latent by itself, with a diagonal covariance; also called mean-field.",
        "10",
        r"independent coordinates|coordinate-wise",
    ),
    Word(
        "cross-entropy",
        "The mean surprise of somebody who believes $p$ while $q$ is true.",
        "04",
    ),
    Word("decoder", "The network that makes the distribution of a picture $x$ from a code $z$: $p(x \\mid z)$.", "00"),
    Word(
        "denoiser",
        "What guesses the clean picture from a noisy one; the best guess, in squared error, is the posterior mean.",
        "14",
    ),
    Word(
        "detach",
        "To cut a value from the graph of the computation, so that no gradient flows back through it.",
        "07",
    ),
    Word(
        "diffusion model",
        "A VAE with a chain of latents whose encoder only adds noise; what is learned is a denoiser.",
        "14",
    ),
    Word(
        "distortion",
        "What it costs on average to describe a picture once its code is known: minus the mean log-likelihood.",
        "11",
    ),
    Word(
        "E step",
        "Half a round of EM: the parameters are held, and $q$ becomes the posterior.",
        "06",
    ),
    Word(
        "effective sample size",
        "How many equal weights would be worth as much as the unequal ones at hand.",
        "10",
        r"effective sample size|\bESS\b",
    ),
    Word(
        "ELBO",
        "The lower bound on $\\log p(x)$ that a VAE climbs: mean log-likelihood minus the KL to the prior; "
        "its letters mean "
        "*evidence lower bound*.",
        "05",
        r"\bELBO\b|\bthe bound\b",
    ),
    Word("EM", "Climbing the bound in turns: first in $q$, then in the parameters.", "06"),
    Word("encoder", "The network that makes the distribution $q(z \\mid x)$ of a code from a picture.", "00"),
    Word("entropy", "The mean surprise of a distribution about itself; it may be negative for a density.", "04"),
    Word(
        "evidence",
        "$p(x)$: how probable the model finds what was seen, after averaging over all that is hidden.",
        "01",
    ),
    Word(
        "forward and reverse KL",
        "$\\mathrm{KL}(p \\,\\Vert\\, q)$ wants $q$ to cover all of $p$; $\\mathrm{KL}(q \\,\\Vert\\, p)$ "
        "wants $q$ to stay where $p$ "
        "is large.",
        "03",
        r"\breverse\b",
    ),
    Word(
        "free bits",
        "A part of the KL that costs nothing, so that a latent is not switched off early in training.",
        "11",
    ),
    Word("gap", "Evidence minus bound: the KL from $q$ to the posterior.", "05"),
    Word(
        "Gauss-Hermite quadrature",
        "An integral against a Gaussian as a weighted sum over well-chosen nodes, exact for polynomials of low degree.",
        "00",
        r"gauss.hermite|\bnodes\b",
    ),
    Word("Gibbs' inequality", "KL is never negative, and zero for equal distributions.", "03", r"Gibbs|never negative"),
    Word(
        "Gibbs sampling",
        "Drawing one part of what is unknown at a time, given the rest; in the long run the draws follow the "
        "joint law.",
        "12",
        r"Gibbs",
    ),
    Word(
        "hierarchical VAE",
        "A VAE with several latents, one above the other, each with a KL of its step in the bound.",
        "14",
    ),
    Word(
        "importance weight",
        "$p(x,z)/q(z)$: what a draw from $q$ counts, so that the mean of the weights is the evidence.",
        "02",
        r"\bweights?\b",
    ),
    Word("Jensen's inequality", "The logarithm of a mean is at least the mean of the logarithms.", "03", r"Jensen"),
    Word("joint", "$p(x,z)=p(z)\\,p(x \\mid z)$: the probability of what is hidden and what is seen, together.", "01"),
    Word(
        "KL divergence",
        "$\\mathrm{KL}(q \\,\\Vert\\, p)$, in nats: the mean extra surprise of somebody who believes $p$ "
        "while $q$ is true.",
        "03",
        r"\bKL\b",
    ),
    Word("latent", "A variable that is never seen, only inferred; here $z$, the code of a picture.", "01"),
    Word(
        "likelihood",
        "$p(x \\mid z)$, read as a function of what is not known: it says how well each $z$ explains $x$, and "
        "is not a density "
        "in $z$.",
        "01",
    ),
    Word(
        "logit",
        "The logarithm of the odds, $\\log\\frac{p}{1-p}$: what a decoder puts out for a binary pixel.",
        "09",
        r"\blogits?\b",
    ),
    Word("M step", "Half a round of EM: $q$ is held, and the parameters move to the best ones for it.", "06"),
    Word(
        "marginalization",
        "Summing or integrating a joint over what one does not want to know.",
        "01",
        r"marginali[sz]|sums? out|adding up|sum over",
    ),
    Word(
        "Metropolis step",
        "A proposal that is accepted or refused by chance, such that the wanted law stays.",
        "12",
        r"Metropolis",
    ),
    Word(
        "minibatch",
        "A few examples drawn from the data set; their mean gradient is that of all, on average.",
        "09",
        r"\b(?:mini)?batch",
    ),
    Word(
        "mixture",
        "A density that is a weighted sum of simpler ones; which of them made an $x$ is hidden.",
        "06",
        r"\bmixture|\bclusters?\b",
    ),
    Word(
        "mutual information",
        "How many nats of one variable are known from the other: the KL from their joint to the product of both.",
        "03",
        r"mutual information|\binformation\b",
    ),
    Word("nat", "The unit of surprise with the natural logarithm; one nat is about 1.44 bits.", "02", r"\bnats?\b"),
    Word(
        "pathwise gradient",
        "The gradient of a mean that moves the draws with the parameters: $z=\\mu+\\sigma\\varepsilon$ with "
        "noise that stays.",
        "07",
        r"pathwise|reparameteri[sz]",
    ),
    Word(
        "posterior",
        "$p(z \\mid x)$: what is to be believed of the hidden $z$ once $x$ has been seen.",
        "01",
    ),
    Word(
        "posterior collapse",
        "A latent is left unused: its code is the prior, whatever the picture.",
        "11",
        r"collaps",
    ),
    Word(
        "precision",
        "One over a variance; independent Gaussian sources of knowledge add their precisions.",
        "01",
        r"\bprecisions?\b",
    ),
    Word("prior", "$p(z)$: what is believed of the hidden $z$ before $x$ is seen.", "01"),
    Word(
        "probabilistic PCA",
        "Principal components as a model with a latent: a linear decoder, and noise of one variance.",
        "06",
        r"pPCA|principal components|probabilistic PCA",
    ),
    Word(
        "proposal",
        "A distribution that can be sampled, taken in place of one that cannot.",
        "02",
        r"\bproposals?\b",
    ),
    Word(
        "pseudo-Gibbs",
        "Gibbs sampling with an encoder in place of the posterior: it drifts to a wrong law.",
        "12",
        r"pseudo-Gibbs",
    ),
    Word(
        "rate",
        "What it costs on average to tell the code: the mean KL from the encoder's distribution to the prior.",
        "11",
    ),
    Word(
        "score",
        "$\\nabla\\log q(z)$, the slope of the log-density in its parameters; its mean under $q$ is zero.",
        "07",
        r"\bscore\b",
    ),
    Word(
        "signal-to-noise ratio",
        r"How much of a noisy picture is picture: $\bar\alpha_t/(1-\bar\alpha_t)$ in a chain.",
        "14",
    ),
    Word(
        "slip",
        "In this course: a wrong version of a line that people really write, with a name and a sentence about it.",
        "01",
        r"\bslips?\b",
    ),
    Word(
        "surprise",
        "$-\\log p(z)$: large for what was held to be improbable.",
        "03",
        r"surpris",
    ),
    Word(
        "unbiased",
        "Right on average: the mean of the estimate over many repetitions is what is asked for.",
        "02",
        r"unbiased|right on average",
    ),
    Word(
        "underflow",
        "A positive number becomes zero, for it is smaller than the smallest that the computer can hold.",
        "02",
        r"underflow|become zero|too small|become 0|\b0\.0\b",
    ),
    Word(
        "warm start",
        "Some quick, untested steps before the exact sampler begins, so that it does not get stuck at its start.",
        "12",
        r"warm start",
    ),
    Word(
        "witness",
        "In this course: the numbers and distributions on which the lines of a derivation are evaluated.",
        "00",
        r"\bwitness",
    ),
)


def texts(notebook: Path) -> list[tuple[str, str]]:
    """(id, text) of its cells with text, without title and summary."""
    cells = nbformat.read(notebook, as_version=4).cells
    return [(c.id, c.source) for c in cells if c.cell_type == "markdown" and c.id not in ("title", "summary")]


def introduced(word: Word, found: list[tuple[str, str]]) -> str | None:
    """The id of the cell that introduces a word: the first that has it in bold or italics, otherwise the "
    "first of all."""
    using = [id for id, text in found if word.pattern.search(text)]
    marked = [
        id
        for id, text in found
        if any(word.pattern.search(part) for part in re.findall(r"\*{1,2}([^*\n]+)\*{1,2}", text))
    ]
    return next(iter(marked or using), None)


def where(root: Path = ROOT) -> dict[str, list[str]]:
    """Word -> the numbers of the notebooks in which it occurs."""
    course = {path.name[:2]: texts(path) for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))}
    return {word.name: [number for number, found in course.items() if introduced(word, found)] for word in WORDS}


def page(root: Path = ROOT) -> str:
    """The glossary, in Markdown.

    Raises:
        ValueError: a word does not occur in the notebook that is to introduce it.
    """
    files = {path.name[:2]: path for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))}
    found = {number: texts(path) for number, path in files.items()}
    place = {number: places(path) for number, path in files.items()}
    lines = [
        "# Glossary",
        "",
        "A number names the notebook that introduces a word, and",
        "the cell, counted after all cells were run once. [notation.md](notation.md) has the symbols.",
        "",
        "| word | what it is | introduced |",
        "|:--|:--|:--|",
    ]
    for word in sorted(WORDS, key=lambda word: word.name.lower()):
        id = introduced(word, found[word.notebook])
        if id is None:
            others = ", ".join(where(root)[word.name]) or "none"
            raise ValueError(
                f"Expected {word.name!r} in the text of notebook {word.notebook}, but it is not there; "
                f"it occurs in {others}."
            )
        at = place[word.notebook][id].strip("()")
        link = f"[{word.notebook}](../{files[word.notebook].name}#cell-id={id}) {at}"
        lines.append(f"| **{word.name}** | {word.says} | {link} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--where" in sys.argv:
        for name, numbers in where().items():
            print(name, *numbers)
    else:
        (ROOT / PAGE).write_text(page(), encoding="utf-8")
        print(f"{PAGE.as_posix()}: written")
