r"""Chapter E, continued: products, transformations and chains of Gaussians."""

from __future__ import annotations

from vaelib.derivation import Derivation

CHAPTER: tuple[Derivation, ...] = ()
