r"""People's derivations, checked: a document goes in, and for each of its lines comes out whether it follows.

    from vaelib.check import check_text
    [judged.verdict for judged in check_text(r"$$\log p(x) = \log \int p(x, z)\,dz$$").lines]   # ["start", "follows"]

`documents` finds the mathematics, `latex` takes it apart, `surface` takes off what only sets type, `chains` says what
follows from what, `roles` who is who, `reading` what a formula says in the names of `worlds`, `gaussians` and `stated`
models, and `judge` compares, `constants` up to a constant; `blaming` asks whether a line or a definition is to blame.
`repairing` looks for the nearest right line, `written` puts it into the letters of the document, and `page` shows all
of it, typeset by `mathml`. Nothing of a document is executed.
"""

from vaelib.check.document import Checked, check, check_text
from vaelib.check.documents import NotADocument
from vaelib.check.report import as_dict, coverage, lines

__all__ = ["Checked", "NotADocument", "as_dict", "check", "check_text", "coverage", "lines"]
