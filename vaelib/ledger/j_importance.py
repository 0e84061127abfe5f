r"""Chapter J: importance-weighted and annealed bounds."""

from __future__ import annotations

from vaelib.derivation import Derivation

CHAPTER: tuple[Derivation, ...] = ()
