"""How Sphinx makes the site of the pages that tools/website.py has collected; `make site` calls both.

Mathematics is set as MathML when the site is built, so a page needs no script for it, and no network.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes

from vaelib.check.mathml import as_mathml

project = "Variational autoencoders, line by line"
author = "The vaelib authors"
project_copyright = "the vaelib authors; text and pictures CC BY 4.0, code MIT"
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"
exclude_patterns = ["conf.py", "files/**"]  # files: notebooks as they are, to be downloaded
suppress_warnings = ["mystnb.mime_priority"]  # a table that has text and Markdown is shown as Markdown

nb_execution_mode = "off"  # the stored outputs are shown; tests run the notebooks
nb_render_markdown_format = "myst"
nb_code_prompt_show = "Show code"
nb_code_prompt_hide = "Hide code"
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "attrs_block", "attrs_inline", "colon_fence"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Example", "Source"]

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_copy_source = False
html_show_sourcelink = False
html_last_updated_fmt = None
html_show_search_summary = False  # it would begin with the menu, and a browser refuses to read files for it
html_use_index = False  # the ledger and the glossary are what people look up
html_context = {"default_mode": "auto"}
html_math_renderer = "mathml"
html_theme_options: dict[str, Any] = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "use_source_button": False,
    "use_issues_button": False,
    "use_repository_button": False,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "secondary_sidebar_items": {folder: ["page-toc"] for folder in ("*", "docs/*", "api/*", "benchmarks/*")},
    "home_page_in_toc": True,
    "collapse_navbar": True,  # a page lists what is beside and below it: all 230 pages in each would be 5 MB
    "navbar_persistent": [],  # one field for searches is enough: the one above the list of pages
    "navigation_with_keys": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


# ------------------------------------------------------------------------------------------------------ mathematics

ROWS = re.compile(r"\\begin\{(align|gather|multline|eqnarray|equation)(\*?)\}(.*?)\\end\{\1\2\}", re.DOTALL)


def formula(latex: str, display: bool) -> str:
    """MathML, or an error: a page whose formulas are shown as source is not published."""
    text = ROWS.sub(lambda found: rf"\begin{{aligned}}{found[3]}\end{{aligned}}", latex.strip())
    made = as_mathml(text, display=display)
    if not made.startswith("<math"):
        raise ValueError(f"Expected a formula that can be set, but got {latex!r}.")
    return made


LONG = 40  # letters of LaTeX: such a formula may be wider than a phone, and is then scrolled, with the keyboard too


def visit_inline(writer: Any, node: nodes.math) -> None:
    reached = ' tabindex="0" role="group" aria-label="formula"' if len(node.astext()) > LONG else ""
    writer.body.append(f'<span class="math"{reached}>{formula(node.astext(), display=False)}</span>')
    raise nodes.SkipNode


def visit_display(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math" tabindex="0" role="group" aria-label="formula">'
                       f"{formula(node.astext(), display=True)}</div>\n")  # fmt: skip
    raise nodes.SkipNode


# -------------------------------------------------------------------------------------------------------- docstrings

CODE = re.compile(r"(``.+?``|`[^`]+`)")


def as_plain_text(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """The docstrings are plain text with `names` in backticks: a star, a bar or a last underline means itself."""

    def escaped(line: str) -> str:
        parts = CODE.split(line)
        for i, part in enumerate(parts):
            if i % 2:
                parts[i] = f"``{part.strip('`')}``"
            else:
                parts[i] = re.sub(r"([*|\\]|_(?=\W|$))", r"\\\1", part)
        return "".join(parts)

    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else escaped(line) for line in lines]


def setup(app: Any) -> None:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
    app.connect("autodoc-process-docstring", as_plain_text, priority=100)  # before napoleon
