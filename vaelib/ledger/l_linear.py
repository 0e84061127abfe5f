r"""Chapter L: the linear VAE, probabilistic PCA, and collapse."""

from __future__ import annotations

from vaelib.derivation import Derivation

CHAPTER: tuple[Derivation, ...] = ()
