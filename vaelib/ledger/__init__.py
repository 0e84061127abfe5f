"""The ledger: identities of the course, each with its witnesses and its slips, by number.

`from vaelib.ledger import F1` and `LEDGER["F1"]` are the same derivation. PUBLISHED holds chains as they are in
published notes, with their mistakes; they are expected to break. A file holds one topic of one chapter; an identity
that is needed for a topic is there even if its number belongs to another chapter.
"""

from __future__ import annotations

import importlib
import pkgutil

from vaelib.derivation import Derivation
from vaelib.ledger.published import PUBLISHED

_FILES = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]

LEDGER: dict[str, Derivation] = {
    derivation.id: derivation
    for derivation in sorted(
        (d for file in _FILES for d in getattr(file, "CHAPTER", ())), key=lambda d: (d.id[0], int(d.id[1:]))
    )
}

__all__ = ["LEDGER", "PUBLISHED"]


def __getattr__(name: str) -> Derivation:
    try:
        return LEDGER[name]
    except KeyError:
        raise AttributeError(f"Expected an identity of the ledger ({', '.join(LEDGER)}), but got {name!r}.") from None


def __dir__() -> list[str]:
    """What a user means by `vaelib.ledger.<tab>`: the identities, by number."""
    return [*__all__, *LEDGER]
