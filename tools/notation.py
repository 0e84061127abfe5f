"""The symbols of the course, each with one meaning: python tools/notation.py writes notebooks/teach/notation.md.

`python tools/notation.py --where` prints the notebook in which each symbol is first used now.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "notebooks" / "teach" / "notation.md"


@dataclass(frozen=True)
class Symbol:
    """One symbol of the course.

    Args:
        latex: as it is written. say: as it is read aloud. means: in a few words. code: its name in code.
        first: the number of the notebook in which it is first used.
        used: a regular expression for its use in a formula.
        otherwise: regular expressions for uses in which the letter would mean something else.
    """

    latex: str
    say: str
    means: str
    code: str
    first: str
    used: str
    otherwise: tuple[str, ...] = ()


SYMBOLS = (
    Symbol("x", "x", "what is seen", "`x`", "01", r"(?<![\w\\{])x(?![\w}])"),
    Symbol("z", "z", "what is hidden: the latent", "`z`", "01", r"(?<![\w\\{])z(?![\w}])"),
    Symbol(r"p(z)", "p of z, the prior", "what is believed of $z$ before $x$ is seen", "`log_prior`", "01", r"p\(z\)"),
    Symbol(
        r"p(x \mid z)",
        "p of x given z, the likelihood or decoder",
        "how $x$ is made from $z$",
        "`log_likelihood`",
        "01",
        r"p(?:_\\theta)?\(x \\mid z",
    ),
    Symbol(
        r"p(x)",
        "p of x, the evidence",
        "how well the model explains $x$",
        "`log_evidence`",
        "01",
        r"p(?:_\\theta)?\(x\)",
    ),
    Symbol(
        r"p(z \mid x)",
        "p of z given x, the posterior",
        "what is believed of $z$ after $x$ is seen",
        "`posterior`",
        "01",
        r"p(?:_\\theta)?\(z \\mid x",
    ),
    Symbol(r"q(z)", "q of z", "what takes the place of the posterior", "`q`", "02", r"(?<![\w\\])q(?:_\\varphi)?\(z"),
    Symbol(
        r"\mathbb{E}_q[\cdot]",
        "the mean under q",
        r"$\int q(z) \cdots\,dz$",
        "`E(q, ...)`",
        "03",
        r"\\mathbb\{E\}_\{?q",
    ),
    Symbol(
        r"\mathrm{KL}(q \,\Vert\, p)",
        "K L of q from p",
        r"$\mathbb{E}_q[\log q-\log p]$, in nats",
        "`kl_divergence(q, p)`",
        "02",
        r"\\mathrm\{KL\}",
    ),
    Symbol(
        r"\mathcal{L}(q)",
        "the bound, or ELBO",
        r"a lower bound on $\log p(x)$",
        "`elbo`",
        "05",
        r"\\mathcal\{?L\}?",
        (r"bound \$F\$", r"(?<![\w\\])F\(q"),
    ),
    Symbol(r"\mu", "mu", "a mean", "`loc`", "02", r"\\mu(?![a-z])"),
    Symbol(r"\sigma", "sigma", "a standard deviation", "`scale`", "03", r"\\sigma(?![a-z])"),
    Symbol(r"\Sigma", "capital sigma", "a covariance", "`covariance`", "01", r"\\Sigma(?![a-z])"),
    Symbol(r"\varepsilon", "epsilon", "standard normal noise", "`noise`", "04", r"\\varepsilon"),
    Symbol(r"\theta", "theta", "the weights of the decoder", "`parameters()`", "01", r"\\theta(?![a-z])"),
    Symbol(r"\varphi", "phi", "the weights of the encoder", "`parameters()`", "01", r"\\varphi(?![a-z])"),
    Symbol(
        "c",
        "c",
        "the **variance** of the noise, or of a Gaussian decoder",
        "`noise_variance`",
        "01",
        r"(?<![\w\\{])c(?:\s*I\b|\$)",
        (r"variance \$?c\^2", r"standard deviation \$c\$"),
    ),
    Symbol(
        "S",
        "S",
        "how many draws",
        "`num_samples`",
        "02",
        r"(?<![\w\\])S(?![\w(])",
        (r"covariance \$S(?:_\w)?\$", r"\$S\$ is the (?:standard|sample)", r"\\Sigma\^\{-1\}S(?!\w)"),
    ),
    Symbol(
        "K",
        "K",
        "how many importance weights",
        "`importance_samples`",
        "10",
        r"\\mathcal\{?L\}?_\{?K",
        (r"\$K\$ (?:clusters|components)",),
    ),
    Symbol(
        r"\rho",
        "rho",
        "the price of a proposal: mean square of a weight over its squared mean",
        "`rho`",
        "02",
        r"\\rho",
        (r"correlation \$\\rho", r"\\sigma=e\^\\rho"),
    ),
    Symbol(r"\beta", "beta", "the weight of the KL in a loss", "`beta`", "08", r"\\beta(?![a-z])"),
    Symbol(r"\lambda_j", "lambda j", "an eigenvalue of the covariance of the data", "`eigenvalues`", "06", r"\\lambda"),
    Symbol(
        r"\bar\alpha_t",
        "alpha bar",
        "the part of the variance of $x_t$ that is signal: the product of all $\\alpha$ up to $t$",
        "`ABAR[t]`",
        "14",
        r"\\bar\\alpha",
    ),
    Symbol(r"\hat x_0", "x hat", "a guess at the clean picture", "`guess`", "14", r"\\hat x_0"),
)


def texts(notebook: Path) -> Iterator[tuple[str, str]]:
    """(id, text) of the cells with text, without tables and without the table of notation."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "markdown" and cell.id not in ("title", "summary", "notation"):
            yield cell.id, "\n".join(line for line in cell.source.splitlines() if not line.startswith("|"))


def formulas(text: str) -> str:
    """The mathematics of a text, each formula between dollar signs."""
    found = re.findall(r"\$\$(.+?)\$\$|\$([^$]+)\$", text, re.DOTALL)
    return "\n".join(f"${display or inline}$" for display, inline in found)


def notebooks() -> list[Path]:
    """From 01 on: 00 tells of what people know from elsewhere, in the letters that they know it by."""
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))[1:]


def first_uses(symbols: tuple[Symbol, ...] = SYMBOLS, paths: list[Path] | None = None) -> dict[str, tuple[str, str]]:
    """LaTeX of each symbol -> number of the notebook, and id of the cell, in which it is first used."""
    found: dict[str, tuple[str, str]] = {}
    for path in notebooks() if paths is None else paths:
        for id, text in texts(path):
            mathematics = formulas(text)
            for symbol in symbols:
                if symbol.latex not in found and re.search(symbol.used, mathematics):
                    found[symbol.latex] = (path.name[:2], id)
    return found


def page() -> str:
    """The table of all symbols, in Markdown."""
    rows = [
        f"| ${symbol.latex}$ | {symbol.say} | {symbol.means} | {symbol.code} | {symbol.first} |" for symbol in SYMBOLS
    ]
    head = ["| symbol | say | it means | in code | first in notebook |", "|:--|:--|:--|:--|:--|"]
    return "\n".join(
        [
            "# Notation",
            "",
            "Each symbol is listed with how to say it, and with the one meaning that it has in this course.",
            "",
            *head,
            *rows,
            "",
            "One trap: a formula writes $N(m,s^2)$ with the variance, code `Normal(m, s)` with the scale.",
            "",
        ]
    )


if __name__ == "__main__":
    if "--where" in sys.argv:
        for latex, where in first_uses().items():
            print(latex, *where)
    else:
        PAGE.write_text(page(), encoding="utf-8")
