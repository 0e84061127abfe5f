r"""Chapter F, continued: the bound beyond its four routes."""

from __future__ import annotations

from vaelib.derivation import Derivation

CHAPTER: tuple[Derivation, ...] = ()
