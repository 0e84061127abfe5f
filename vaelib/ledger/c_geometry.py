r"""Chapter C, continued: what KL measures, what it does not, and when it is infinite."""

from __future__ import annotations

from vaelib.derivation import Derivation

CHAPTER: tuple[Derivation, ...] = ()
