"""LaTeX for a Markdown table, and LaTeX as plain text for a terminal."""

from __future__ import annotations

import re

_SYMBOLS = {
    **{name: name for name in ("log", "exp", "max", "min", "tr", "det", "Cov", "Var", "diag", "Pr", "sin", "tanh")},
    **{"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "Delta": "Δ", "epsilon": "ε", "varepsilon": "ε"},
    **{"theta": "θ", "lambda": "λ", "Lambda": "Λ", "mu": "μ", "nu": "ν", "pi": "π", "rho": "ρ", "sigma": "σ"},
    **{"Sigma": "Σ", "phi": "φ", "varphi": "φ", "psi": "ψ", "tau": "τ", "omega": "ω", "eta": "η", "ell": "ℓ"},
    **{"sum": "Σ", "prod": "Π", "int": "∫", "partial": "∂", "nabla": "∇", "infty": "∞", "in": " ∈ ", "ne": " ≠ "},
    **{"cdot": "·", "times": "×", "ge": " ≥ ", "le": " ≤ ", "mid": "|", "vert": "|", "Vert": "‖", "lVert": "‖"},
    **{"rVert": "‖", "propto": " ∝ ", "to": " → ", "forall": "∀", "pm": "±", "odot": "⊙", "top": "ᵀ", "sim": " ~ "},
    **{"quad": "  ", "qquad": "  ", "ldots": "…", "cdots": "…", "dots": "…", "ln": "ln", "softplus": "softplus"},
}
_SUPERSCRIPTS = str.maketrans("0123456789+-n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ")
_BRACES = r"\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"  # three levels deep


def for_table(latex: str) -> str:
    """`$...$` that survives inside a Markdown table, where a bare bar would end the cell."""
    return "$" + latex.replace(r"\|", r"\Vert ").replace("|", r"\vert ") + "$"


def plain(latex: str) -> str:
    r"""A readable one-line rendering: `\frac{a}{b}` becomes (a)/(b), `\sigma^2` becomes σ²."""
    text = latex.replace(r"\|", r"\Vert ").replace(r"\\", "; ")
    text = re.sub(r"\\tfrac(\d)(\d)", r"\1/\2", text)
    text = re.sub(r"\\(?:left|right|big|Big|bigl|bigr|Bigl|Bigr|,|;|!|displaystyle)(?![a-zA-Z])", "", text)
    text = re.sub(
        r"\\(?:mathrm|mathbb|mathcal|operatorname|text|mathbf|underline|widehat|hat|bar|tilde)" + _BRACES, r"\1", text
    )
    for _ in range(3):
        text = re.sub(r"\\[td]?frac" + _BRACES + _BRACES, lambda m: f"{_group(m[1])}/{_group(m[2])}", text)
        text = re.sub(r"\\sqrt" + _BRACES, r"√(\1)", text)
    text = re.sub(r"\\([a-zA-Z]+) ?", lambda m: _SYMBOLS.get(m[1], m[1]), text)
    text = re.sub(r"\^(?:\{([0-9+\-n]+)\}|([0-9n]))", lambda m: (m[1] or m[2]).translate(_SUPERSCRIPTS), text)
    text = re.sub(r"([_^])\{([^{}]{1,3})\}", r"\1\2", text)
    text = text.replace(r"\{", "{").replace(r"\}", "}").replace("{", "(").replace("}", ")").replace("~", " ")
    return re.sub(r" {2,}", " ", text).strip()


def _group(text: str) -> str:
    return text if re.fullmatch(r"[\w\\]+(\^2)?|[a-z]+\([^()]*\)", text) else f"({text})"
