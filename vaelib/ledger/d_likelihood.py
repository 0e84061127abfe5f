r"""Chapter D, continued: what a decoder's log-likelihood is, in nats and in bits."""

from __future__ import annotations

from vaelib.derivation import Derivation

CHAPTER: tuple[Derivation, ...] = ()
