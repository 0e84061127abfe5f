r"""Chapter G: expectation maximization, and mean-field coordinate ascent."""

from __future__ import annotations

from vaelib.derivation import Derivation

CHAPTER: tuple[Derivation, ...] = ()
