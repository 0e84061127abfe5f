r"""Chapter B: the evidence, why naive estimates of it fail, and what tames them."""

from __future__ import annotations

from vaelib.derivation import Derivation

CHAPTER: tuple[Derivation, ...] = ()
