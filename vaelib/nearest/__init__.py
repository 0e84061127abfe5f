"""The nearest right line: the smallest change that makes a formula follow, or a function in Python right."""

from vaelib.nearest.edits import Edit, Vocabulary, edits
from vaelib.nearest.search import Repairs, repairs, sifted

__all__ = ["Edit", "Repairs", "Vocabulary", "edits", "repairs", "sifted"]
