"""Runs in the kernel of a notebook under test, before its first cell: notes what each cell verified."""


def _record():
    """All in a function, whose name goes too: a name left here would hide an import that the notebook lacks."""
    import json
    import os
    import sys
    import time

    from IPython import get_ipython

    from vaelib.derivation import Derivation
    from vaelib.ledger import LEDGER

    checked = []
    started = [0.0]
    check = Derivation.check

    def noting_check(self, *args, **kwargs):
        """The same check; an identity of the ledger that holds, unchanged, is noted."""
        report = check(self, *args, **kwargs)
        if report.holds and LEDGER.get(self.id) is self:
            checked.append(self.id)
        return report

    def before(info):
        checked.clear()
        started[0] = time.monotonic()

    def after(result):
        line = {
            "source": result.info.raw_cell,
            "verified": checked.copy(),
            "torch": "torch" in sys.modules,
            "seconds": time.monotonic() - started[0],
        }
        with open(os.environ["VAELIB_RECORD"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    Derivation.check = noting_check
    get_ipython().events.register("pre_run_cell", before)
    get_ipython().events.register("post_run_cell", after)


_record()
del _record
