r"""Chapter I: what a bound loses by approximation, and what by amortization."""

from __future__ import annotations

from vaelib.derivation import Derivation

CHAPTER: tuple[Derivation, ...] = ()
