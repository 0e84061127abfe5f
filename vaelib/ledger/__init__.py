"""The ledger: identities of the course, each with its witnesses and its slips, by number.

`from vaelib.ledger import F1` and `LEDGER["F1"]` are the same derivation. PUBLISHED holds chains as they stand in
published notes, with their mistakes; they are expected to break.
"""

from __future__ import annotations

from vaelib.derivation import Derivation
from vaelib.ledger import a_bayes, c_divergence, d_entropy, e_gaussian, f_elbo
from vaelib.ledger.published import PUBLISHED

_CHAPTERS = (a_bayes, c_divergence, d_entropy, e_gaussian, f_elbo)

LEDGER: dict[str, Derivation] = {derivation.id: derivation for module in _CHAPTERS for derivation in module.CHAPTER}

__all__ = ["LEDGER", "PUBLISHED"]


def __getattr__(name: str) -> Derivation:
    try:
        return LEDGER[name]
    except KeyError:
        raise AttributeError(f"Expected an identity of the ledger ({', '.join(LEDGER)}), but got {name!r}.") from None
