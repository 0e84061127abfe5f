"""Training: `fit(config, data)`, and `load(folder)` for what it has left on disk.

To be read in this order: `config` (what a run is asked to do), `state` (all that the next step needs), `engine` (one
step, and the ways to run it), `loop` (the run from its first step to its last), `keeping` (that run on disk),
`diagnose` (what went wrong). Beside them: `history` (the best epoch), `checkpoint`, `payload` and `lock` (the files of
a run), `window` (a training set that stays on disk), `processes` (several that train one run), `compiler` (what
`torch.compile` needs) and `surroundings` (nothing that a process has set may change a result).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaelib._lazy import handed_on

if TYPE_CHECKING:
    from vaelib.train.config import RunError, TrainConfig
    from vaelib.train.diagnose import NotFinite
    from vaelib.train.engine import step
    from vaelib.train.keeping import load
    from vaelib.train.loop import Stopped, fit
    from vaelib.train.state import StepInfo, TrainState, build, init

__all__ = [
    "NotFinite",
    "RunError",
    "StepInfo",
    "Stopped",
    "TrainConfig",
    "TrainState",
    "build",
    "fit",
    "init",
    "load",
    "step",
]

__getattr__, __dir__ = handed_on(
    __name__,
    {
        "config": "RunError TrainConfig",
        "diagnose": "NotFinite",
        "engine": "step",
        "keeping": "load",
        "loop": "Stopped fit",
        "state": "StepInfo TrainState build init",
    },
)
