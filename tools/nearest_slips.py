"""How many slips of the ledger the nearest right line finds by itself, with their list switched off.

python tools/nearest_slips.py          all
python tools/nearest_slips.py E F      these chapters or identities
"""

from __future__ import annotations

import sys
import time
from collections import Counter

import numpy as np

from vaelib.derivation import Derivation, Slip
from vaelib.formula.tree import ByRule
from vaelib.ledger import LEDGER
from vaelib.nearest import Repairs, repairs

WITNESSES = 6


def repaired(derivation: Derivation, slip: Slip) -> Repairs | None:
    """What is found for a slip that is a formula; None for one that is not."""
    if not isinstance(slip.value, ByRule) or slip.relation is not None:
        return None
    line = derivation.lines[slip.line]
    if line.relation != "=" or line.samples is not None or line.step is not None:
        return None
    above = derivation.lines[slip.line - 1]
    if above.samples is not None or above.step is not None:
        return None
    witnesses = [derivation.draw(np.random.default_rng([3, i])) for i in range(WITNESSES)]
    formulas = [each.formula for j, each in enumerate(derivation.lines) if j != slip.line]
    others = [formula.formula for formula in formulas if isinstance(formula, ByRule)]
    return repairs(slip.value.formula, above.evaluate, witnesses, others, slip.value.also)


def main() -> None:
    np.seterr(all="ignore")
    asked = sys.argv[1:]
    counts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    start = time.perf_counter()
    for derivation in LEDGER.values():
        if asked and derivation.id not in asked and derivation.id[0] not in asked:
            continue
        for slip in derivation.slips:
            found = repaired(derivation, slip)
            if found is None:
                counts["not a formula, or no equation"] += 1
                continue
            outcome = "named" if found.only is not None else "several places" if found.edits else "none"
            counts[outcome] += 1
            if found.edits:
                kinds[found.edits[0].kind] += 1
            print(f"{derivation.id} {slip.name!r}: {outcome}, {len(found.edits)} of {found.tried} edits fit")
            for edit in found.edits[:3]:
                sign = "*" if edit is found.only else " "
                print(f"  {sign} {edit.kind}: {edit.old.plain}  ->  {edit.new.plain}")
    print(dict(counts), dict(kinds), f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
