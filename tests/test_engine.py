"""One step, run in several ways: operation by operation, compiled, recorded and replayed; tests/test_processes.py
has the step that is spread over processes."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from test_train import config, same, tiny, weights
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vaelib.data import Data
from vaelib.train import RunError, TrainState, engine, fit, init
from vaelib.train.engine import Run, advance, compiled, take
from vaelib.train.state import begin_epoch, restore, snapshot

# ------------------------------------------------------------------------------------------------ recorded and replayed


class Recording(TorchDispatchMode):
    """Notes each operation with the very tensors it met; `replay` does them again on the same memory, as a graph does.

    What a CUDA graph would freeze is frozen here, too: numbers, and tensors that are made anew outside. Reading a value
    back, on which a graph's capture fails, is refused. Streams, the allocator and random state are not imitated.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operation is torch.ops.aten._local_scalar_dense.default:
            raise AssertionError("a value was read back to the host")
        result = operation(*args, **(kwargs or {}))
        self.operations.append((operation, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        for operation, args, kwargs, recorded in self.operations:
            again = operation(*args, **kwargs)
            for new, old in zip(tree_leaves(again), tree_leaves(recorded), strict=True):
                if isinstance(new, Tensor) and new.data_ptr() != old.data_ptr():
                    old.copy_(new)


def recorded(state: TrainState, run: Run) -> Run:
    """`run`, recorded on the first call and replayed on each call, as `engine.captured` does with a graph."""
    begin_epoch(state)
    before = copy.deepcopy(snapshot(state))
    with Recording() as recording:
        run(state)
    restore(state, before)
    state.position = 0
    return lambda state: recording.replay()


def train(state: TrainState, run: Run, steps: int = 9) -> TrainState:
    """Whole minibatches and odd ones, over epochs in which the learning rate changes."""
    for _ in range(steps):
        take(state, run)
        if state.position == state.batches:
            state.epoch, state.position = state.epoch + 1, 0
    return state


VARIANTS: dict[str, dict[str, Any]] = {
    "binarized": {},
    "warm-up": {"warmup": 3, "beta": 2.0, "free_bits": 0.1},
    "importance-weighted": {"objective": "dreg", "importance_samples": 3},
    "score function": {"objective": "score-baseline", "importance_samples": 2},
    "gaussian": {"decoder": "gaussian"},
    "levels": {"decoder": "discretized-logistic"},
    "double": {"dtype": "float64", "objective": "stl"},
}


def fresh(**changes: Any) -> TrainState:
    data = tiny()
    if changes.get("decoder") == "discretized-logistic" or changes.get("binarization") == "dequantized":
        data = Data(data.name, *((255 * part).astype(np.uint8) for part in (data.train, data.test)), (3, 4), 255.0)
    return init(config(**{"schedule": "cosine", "epochs": 5, "layer_norm": False, **changes}), data)


@pytest.mark.parametrize("variant", VARIANTS)
def test_replayed_step_equals_the_eager_one(variant: str) -> None:
    """Nine steps: three epochs of three whole minibatches and an odd one, each epoch at another learning rate."""
    changes = VARIANTS[variant]
    plain, replayed = fresh(**changes), fresh(**changes)
    order_of_the_recording = recorded(replayed, advance)
    begin_epoch(plain)  # the recording has drawn an order, too
    train(plain, advance)
    train(replayed, order_of_the_recording)
    assert same(weights(plain), weights(replayed))
    assert torch.equal(plain.sums, replayed.sums) and torch.equal(plain.order, replayed.order)
    assert int(plain.first_bad_step) == int(replayed.first_bad_step) == 1 + plain.position
    assert torch.equal(plain.generator.get_state(), replayed.generator.get_state())


def with_frozen_rate(state: TrainState) -> None:
    for group in state.optimizer.param_groups:
        group["lr"] = float(state.config.learning_rate)
    advance(state)


def with_fresh_indices(state: TrainState) -> None:
    batch = len(state.offsets)
    indices = torch.tensor(list(range(state.position * batch, (state.position + 1) * batch)))
    state.cursor += batch
    engine.account(state, engine.step(state, state.order[indices]), batch)


def with_a_step_counted_on_the_host(state: TrainState) -> None:
    state.step += 1
    with torch.no_grad():
        state.model.decoder.out.bias += 1e-3 * state.step
    advance(state)


@pytest.mark.parametrize("slip", [with_frozen_rate, with_fresh_indices, with_a_step_counted_on_the_host])
def test_replay_shows_what_a_graph_would_freeze(slip: Run) -> None:
    plain, replayed = fresh(), fresh()
    replay = recorded(replayed, slip)
    begin_epoch(plain)
    train(plain, advance)
    train(replayed, replay)
    assert not same(weights(plain), weights(replayed))


def with_item(state: TrainState) -> None:
    advance(state)
    state.sums[0].item()


def with_a_value_check(state: TrainState) -> None:
    advance(state)
    if state.sums.isfinite().all():
        state.cursor += 0


def with_checks_of_the_distributions(state: TrainState) -> None:
    from vaelib.objectives import loss
    from vaelib.train.state import draw

    loss(state.model, *draw(state, state.offsets))


@pytest.mark.parametrize("slip", [with_item, with_a_value_check, with_checks_of_the_distributions])
def test_recording_refuses_to_read_a_value(slip: Run) -> None:
    with pytest.raises(AssertionError, match="a value was read back"):
        recorded(fresh(), slip)


def test_first_bad_step_is_counted_on_the_device() -> None:
    state = fresh()
    train(state, advance, 1)
    with torch.no_grad():
        state.model.decoder.out.bias[0] = float("nan")
    take(state, advance)
    take(state, advance)
    assert int(state.first_bad_step) == 2 and state.step == 3
    begin_epoch(state)
    assert int(state.first_bad_step) == 1


# ---------------------------------------------------------------------------------------------------------- compiled


@pytest.mark.long  # short: that the loss is traced into one graph with the same gradient, in test_objectives
@pytest.mark.slow
def test_compiled_gradient_equals_the_eager_one() -> None:
    changes: dict[str, Any] = {"dtype": "float64", "objective": "dreg", "importance_samples": 3}
    plain, other = fresh(**changes), fresh(**changes)
    train(plain, advance)
    train(other, partial(advance, gradient=compiled(other)))
    for a, b in zip(plain.model.parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(plain.sums, other.sums, rtol=1e-10, atol=1e-12)


ELBOS = ("elbo", "elbo-sampled", "stl")


@pytest.mark.parametrize(
    "really", [False, pytest.param(True, marks=[pytest.mark.long, pytest.mark.slow])], ids=["as written", "compiled"]
)
@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "float64", "objective": "iwae", "importance_samples": 3},
        {"dtype": "float32", "objective": "iwae", "importance_samples": 3},
        {"dtype": "float64", "decoder": "gaussian"},  # its scale is a parameter without an axis
        {"dtype": "float64", "decoder": "discretized-logistic", "warmup": 3},
        {"dtype": "float64", "decoder": "gaussian", "binarization": "dequantized", "beta": 2.0},
    ],
    ids=lambda changes: " ".join(map(str, changes.values())),
)
def test_whole_step_in_one_function_is_the_step_of_adam(
    changes: dict[str, Any], really: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two take turns in one of the runs, so that the moments and the counts of steps are the optimizer's own."""
    if not really:
        monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    plain, whole, turns = fresh(**changes), fresh(**changes), fresh(**changes)
    train(plain, advance)
    train(whole, engine.compiled_whole(whole))
    runs = itertools.cycle([advance, engine.compiled_whole(turns)])
    train(turns, lambda state: next(runs)(state))
    close = {"rtol": 1e-10, "atol": 1e-12} if changes["dtype"] == "float64" else {"rtol": 1e-3, "atol": 1e-5}
    for other in (whole, turns):
        for a, b in zip(plain.model.parameters(), other.model.parameters(), strict=True):
            torch.testing.assert_close(a, b, **close)
            for key, moment in plain.optimizer.state[a].items():
                torch.testing.assert_close(moment, other.optimizer.state[b][key], **close)
        torch.testing.assert_close(plain.sums, other.sums, **close)


def test_step_follows_a_gradient_as_the_optimizer_does() -> None:
    ours, its = fresh(), fresh()
    for _ in range(3):
        gradients = [torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) for p in ours.parameters]
        engine.follow(ours, gradients)
        for parameter, gradient in zip(its.parameters, gradients, strict=True):
            parameter.grad = gradient
        its.optimizer.step()
    assert same(weights(ours), weights(its))
    for mine, other in zip(engine.moments(ours), engine.moments(its), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, other, strict=True))


def with_a_dead_unit(steps: int) -> TrainState:
    """After so many steps, of which all but the first few give the first hidden unit of the decoder no gradient."""
    state = fresh(latent_dim=2)
    unit = next(layer for layer in state.model.decoder.body.modules() if isinstance(layer, torch.nn.Linear))
    run = engine.runner(state)
    while state.step < steps:
        state.position %= state.batches
        if state.step == 5:
            with torch.no_grad():
                unit.bias[0] = -1e4
        take(state, run)
    return state


def lost(state: TrainState) -> int:
    """Numbers below the smallest normal float among Adam's means."""
    first, second, _ = engine.moments(state)
    return sum(int(((at != 0) & (at.abs() < torch.finfo(at.dtype).tiny)).sum()) for at in (*first, *second))


def test_dead_unit_leaves_no_number_that_a_processor_is_slow_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `forget` there are some; with it no weight is another."""
    monkeypatch.setattr(engine, "FORGET_EVERY", 200)
    ours = with_a_dead_unit(1000)
    monkeypatch.setattr(engine, "forget", lambda state: None)
    plain = with_a_dead_unit(1000)
    assert lost(plain) > 0 and lost(ours) == 0
    assert same(weights(ours), weights(plain)) and torch.equal(ours.sums, plain.sums)


@pytest.mark.long
@pytest.mark.slow
def test_compiled_runs_in_one_process_do_not_share_what_is_compiled() -> None:
    """Another objective and other shapes: nothing asks at a call whether the compiled step is the right one."""
    kinds: list[dict[str, Any]] = [{"objective": name} for name in ELBOS] + [{"importance_samples": k} for k in (2, 5)]
    runs = [(fresh(dtype="float64", **kind), fresh(dtype="float64", **kind)) for kind in kinds]
    ways = [engine.compiled_whole(whole) for _, whole in runs]
    for (plain, whole), way in zip(runs, ways, strict=True):
        train(plain, advance)
        train(whole, way)
        for a, b in zip(plain.model.parameters(), whole.model.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_setting_compile_reaches_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def noted(state: TrainState) -> Run:
        asked.append(1)
        return advance

    monkeypatch.setattr(engine, "compiled_whole", noted)
    assert same(weights(fit(config(compile=True), tiny())), weights(fit(config(), tiny()))) and asked == [1]


# ------------------------------------------------------------------------------------------------ memory that ends


@contextmanager
def memory_for(examples: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A device on which a larger minibatch does not fit."""
    real = engine.fused.loss

    def limited(model: Any, x: Tensor, *rest: Any) -> Any:
        if len(x) > examples:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 EiB")
        return real(model, x, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(engine.fused, "loss", limited)
        yield


@pytest.mark.parametrize(
    ("room", "advice"),
    [(6, r"A batch of 5 fits: batch_size=5, and another `out`\."), (0, "Not even one fits: use a smaller model")],
)
def test_out_of_memory_names_the_batch_that_fits(monkeypatch: pytest.MonkeyPatch, room: int, advice: str) -> None:
    with (
        memory_for(room, monkeypatch),
        pytest.raises(RunError, match=f"Expected 10 examples a step .* {advice}"),
    ):
        fit(config(), tiny())


def test_other_errors_of_the_runtime_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(engine.fused, "loss", broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        fit(config(), tiny())


# ------------------------------------------------------------------------------------------------------------ on a GPU


@pytest.mark.gpu
@pytest.mark.parametrize("variant", VARIANTS)
def test_captured_step_equals_the_eager_one_on_a_gpu(variant: str) -> None:
    """Twenty steps, three learning rates and more, the same noise: the generator is registered with the graph."""
    changes = VARIANTS[variant] | {"device": "cuda"}
    plain, graph = fresh(**changes), fresh(**changes)
    train(plain, advance, 20)
    train(graph, engine.captured(graph, advance), 20)
    for a, b in zip(plain.model.parameters(), graph.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    assert torch.equal(plain.generator.get_state(), graph.generator.get_state())


@pytest.mark.gpu
def test_capture_leaves_weights_moments_and_random_state_as_they_were() -> None:
    state = fresh(device="cuda")
    before = copy.deepcopy(snapshot(state))
    engine.captured(state, advance)
    after = snapshot(state)
    assert same(before["model"], after["model"]) and torch.equal(before["generator"], after["generator"])
    assert all(same(before["optimizer"][name], after["optimizer"][name]) for name in before["optimizer"])


def test_epoch_does_not_run_over_its_end() -> None:
    state = fresh()
    for _ in range(state.batches):
        take(state, advance)
    with pytest.raises(ValueError, match="Expected `position` to be below 4"):
        take(state, advance)
