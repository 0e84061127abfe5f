r"""Chapter H: gradients of expectations, pathwise and by the score function."""

from __future__ import annotations

from vaelib.derivation import Derivation

CHAPTER: tuple[Derivation, ...] = ()
