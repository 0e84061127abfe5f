"""The nearest right line: the smallest change of a formula that makes it follow."""

from vaelib.nearest.edits import Edit, Vocabulary, edits
from vaelib.nearest.search import Repairs, repairs, sifted

__all__ = ["Edit", "Repairs", "Vocabulary", "edits", "repairs", "sifted"]
