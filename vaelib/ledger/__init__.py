"""The ledger: identities of the course, each with its witnesses and its slips, by number.

`from vaelib.ledger import F1` and `LEDGER["F1"]` are the same derivation. PUBLISHED holds chains as they stand in
published notes, with their mistakes; they are expected to break. A file holds one topic of one chapter; an identity
that is needed for a topic stands there even if its number belongs to another chapter.
"""

from __future__ import annotations

from vaelib.derivation import Derivation
from vaelib.ledger import (
    a_bayes,
    b_evidence,
    c_divergence,
    c_geometry,
    d_entropy,
    d_likelihood,
    e_gaussian,
    e_geometry,
    f_beyond,
    f_elbo,
    g_em,
    h_gradients,
    i_gaps,
    j_importance,
    k_rate,
    l_linear,
    m_missing,
    n_numerics,
)
from vaelib.ledger.published import PUBLISHED

_FILES = (
    a_bayes,
    b_evidence,
    c_divergence,
    c_geometry,
    d_entropy,
    d_likelihood,
    e_gaussian,
    e_geometry,
    f_beyond,
    f_elbo,
    g_em,
    h_gradients,
    i_gaps,
    j_importance,
    k_rate,
    l_linear,
    m_missing,
    n_numerics,
)

LEDGER: dict[str, Derivation] = {
    derivation.id: derivation
    for derivation in sorted((d for file in _FILES for d in file.CHAPTER), key=lambda d: (d.id[0], int(d.id[1:])))
}

__all__ = ["LEDGER", "PUBLISHED"]


def __getattr__(name: str) -> Derivation:
    try:
        return LEDGER[name]
    except KeyError:
        raise AttributeError(f"Expected an identity of the ledger ({', '.join(LEDGER)}), but got {name!r}.") from None
