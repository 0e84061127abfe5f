"""Formulas on one line of a terminal, and formulas and text that survive a Markdown table."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vaelib.ledger
from vaelib._latex import for_table, plain, prose, spoken, width
from vaelib.derivation import Derivation


def ledger() -> Iterator[Derivation]:
    """Every derivation of the ledger's chapters, and of the published chains."""
    for found in pkgutil.iter_modules(vaelib.ledger.__path__):
        module = importlib.import_module(f"vaelib.ledger.{found.name}")
        for item in (*getattr(module, "CHAPTER", ()), *getattr(module, "PUBLISHED", ())):
            yield item if isinstance(item, Derivation) else item.derivation


LEDGER = list(ledger())


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\log p(x)", "log p(x)"),
        (r"\log p(x \mid z) + \log p(z)", "log p(x|z) + log p(z)"),
        (r"\mathbb{E}_{q}\left[\log p(x, z) - \log q(z)\right]", "E_q[log p(x, z) - log q(z)]"),
        (r"\mathbb{E}_{q(z \mid x)}\left[f\right]", "E_q(z|x)[f]"),
        (r"2\,\mathrm{KL}\left(q \,\Vert\, p(z \mid x)\right)", "2 KL(q ‖ p(z|x))"),
        (r"\mathrm{KL}(q\|p)", "KL(q‖p)"),
        (r"\log\frac{\sigma_p}{\sigma_q}", "log(σ_p/σ_q)"),
        (r"\log \tfrac{1}{\sigma}", "log(1/σ)"),
        (r"\log\,\frac{a}{b}", "log(a/b)"),
        (r"\frac{\sigma_q^2 + (\mu_q-\mu_p)^2}{2\sigma_p^2} - \tfrac12", "(σ_q² + (μ_q-μ_p)²)/(2σ_p²) - ½"),
        (r"\frac{\frac{a}{b + c}}{d}", "(a/(b + c))/d"),
        (r"\frac{1}{1 + \frac{a}{\sqrt{b}}}", "1/(1 + a/(√b))"),
        (r"\frac{p(x \mid z)\,p(z)}{p(x)}", "p(x|z) p(z)/p(x)"),
        (r"\frac{\log p(x)}{\log q(x)}", "(log p(x))/(log q(x))"),
        (r"\tfrac{d}{2}\log 2\pi c", "d/2 log 2πc"),
        (r"\tfrac{1}{2c}\left(a + b\right)", "1/(2c) (a + b)"),
        (r"\tfrac12(a + b)", "½(a + b)"),
        (r"\frac1n \sum_i x_i", "1/n ∑_i x_i"),
        (r"x^\top A^{-1} x", "xᵀ A⁻¹ x"),
        (r"W^{\top} W", "Wᵀ W"),
        (r"\|x - W m\|^2", "‖x - W m‖²"),
        (r"\sum_{i=1}^{N} \log p(x^{(i)})", "∑_(i=1)^N log p(x^(i))"),
        (r"\int q(z)\,\log\frac{q(z)}{p(z)}\,dz", "∫ q(z) log(q(z)/p(z)) dz"),
        (r"\nabla_{\mu, \log\sigma}\,\mathrm{H}(q)", "∇_(μ, log σ) H(q)"),
        (r"-\partial_z \log p(x, z)\,(1,\ z - \mu)", "-∂_z log p(x, z) (1, z - μ)"),
        (r"\text{as computed by } \mathtt{vaelib.elbo}", "as computed by vaelib.elbo"),
        (r"\mathcal{L}_i \text{ on random batches}", "L_i on random batches"),
        (r"\log p(x) \quad \forall z", "log p(x) ∀z"),
        (r"z = \mu + \sigma\varepsilon", "z = μ + σε"),
        (r"\hat{\mu} + \bar x", "μ̂ + x̄"),
        (r"\widehat{ab}", "ab"),
        (r"\sqrt{2\pi}\,\sigma", "√(2π) σ"),
        (r"e^{-x^2/2}", "e^(-x²/2)"),
        (r"10^{-3}", "10⁻³"),
        (r"\arg\min_q f", "arg min_q f"),
        (r"a \ge b \ne c \propto d \in \{0, 1\}", "a ≥ b ≠ c ∝ d ∈ {0, 1}"),
        (r"\left.f\right|_{x=0}", "f|_(x=0)"),
        (r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}", "a b; c d"),
        (r"q\!\left(z\right) 50\%", "q(z) 50%"),
        (r"\operatorname{tr}(S) + \mathrm{tr}\,S", "tr(S) + tr S"),
        (r"\log|S|", "log|S|"),
        (r"\underline{a + b} - c", "a + b - c"),
        (r"\unheardof{a} b", "unheardof a b"),
        ("a } b", "a b"),
        (r"\frac", "/()"),
        ("\\", ""),
        ("", ""),
    ],
)
def test_formula_reads_on_one_line(latex: str, text: str) -> None:
    assert plain(latex) == text


@given(st.text(alphabet="\\ab{}^_|$<>()[]+- \n", max_size=40))
def test_plain_text_of_anything_is_one_line_without_a_backslash(latex: str) -> None:
    text = plain(latex)
    assert "\\" not in text and "\n" not in text
    assert all(ord(character) >= 32 for character in text)  # no mark of the renderer is left


def test_quotient_of_quotients_is_unambiguous() -> None:
    """On one line a / b / c could be read two ways; brackets say which."""
    assert plain(r"\frac{\frac{a}{b}}{c}") != plain(r"\frac{a}{\frac{b}{c}}")
    assert plain(r"\frac{a}{b c}") == "a/(b c)"
    assert plain(r"\frac{a}{bc}") == "a/(bc)"


@pytest.mark.parametrize("derivation", LEDGER, ids=lambda d: d.id)
def test_every_line_of_the_ledger_is_readable(derivation: Derivation) -> None:
    for latex in [line.latex for line in derivation.lines] + [slip.latex for slip in derivation.slips]:
        text = plain(latex)
        assert "\\" not in text and "$" not in text and "\n" not in text
        assert not re.search(r"\b(frac|tfrac|left|right|mathrm|mathbb|mathtt|text|mid|Vert|log[a-zA-Z])\b", text), text
        for opening, closing in ("()", "[]"):
            assert text.count(opening) == text.count(closing), text
        cell = for_table(latex)
        assert "|" not in cell and "<" not in cell and ">" not in cell and "\n" not in cell


def test_ledger_is_there() -> None:
    assert {"F1", "F4", "F12"} <= {derivation.id for derivation in LEDGER}


@pytest.mark.parametrize(
    ("latex", "cell"),
    [
        (r"\|x\|", r"$\Vert x\Vert$"),
        (r"\log|S|", r"$\log\vert S\vert$"),
        ("a<b>c", r"$a\lt b\gt c$"),
        (" a \n b ", "$a b$"),
        (r"p(x \mid z)", r"$p(x \mid z)$"),
    ],
)
def test_formula_survives_a_table(latex: str, cell: str) -> None:
    assert for_table(latex) == cell


def test_prose_survives_markdown() -> None:
    assert prose("p(x|z) <b> *a* _b_ `c` 5$ ~e~ [f]") == r"p(x\|z) \<b\> \*a\* \_b\_ \`c\` 5\$ \~e\~ \[f\]"
    assert prose("a mean of $|z| < 1$") == r"a mean of $\vert z\vert \lt 1$"
    assert spoken("where $\\sigma > 0$") == "where σ > 0"
    assert prose("two\nlines") == "two lines"
    assert prose("a \\ b") == r"a \\ b"


def test_width_counts_columns() -> None:
    assert width("μ̂ = ½") == 5
    assert width(plain(r"\hat{x}")) == 1
