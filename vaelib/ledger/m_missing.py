r"""Chapter M: inference about missing and noisy pixels."""

from __future__ import annotations

from vaelib.derivation import Derivation

CHAPTER: tuple[Derivation, ...] = ()
