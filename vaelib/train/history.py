"""The records of a run's epochs: which is the best, and whether another is to come."""

from __future__ import annotations

from typing import Any

from vaelib.train.state import TrainState

Info = dict[str, Any]


def is_best(history: list[Info]) -> bool:
    """Is the last epoch the best so far by the validation bound? Without a validation set there is no best."""
    bounds = [record["validation_elbo"] for record in history if "validation_elbo" in record]
    return bool(bounds) and bounds.index(max(bounds)) == len(bounds) - 1


def best_record(history: list[Info]) -> Info:
    """The record of the epoch whose model a run returns: the best by the validation bound, without one the last."""
    return max(
        history, key=lambda record: record["validation_elbo"] if "validation_elbo" in record else record["epoch"]
    )


def finished(state: TrainState) -> bool:
    """Are all epochs done, or has the validation bound stopped improving?"""
    if state.epoch >= state.config.epochs:
        return True
    if state.config.patience is None or not state.history:
        return False
    bounds = [record["validation_elbo"] for record in state.history]
    return len(bounds) - 1 - bounds.index(max(bounds)) >= state.config.patience
