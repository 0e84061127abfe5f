"""Latents decoded block by block, each by one core: the same numbers, wherever the cuts are."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from torch import Tensor

from vaelib.evaluate import blocks
from vaelib.evaluate.blocks import BLOCKS, in_blocks


def latents(samples: int = 40, examples: int = 3) -> Tensor:
    return torch.randn((samples, examples, 2), generator=torch.Generator().manual_seed(0))


def two_rows(z: Tensor) -> Tensor:
    return torch.stack([z.sum(-1), z.exp().sum(-1)])


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("samples", "pixels_in_a_block", "sizes"),
    [(40, 1, [1] * 40), (40, 10**6, [2] * 20), (100, 50, [4] * 25), (BLOCKS - 1, 1, [BLOCKS - 1])],
)
def test_blocks_are_cut_alike_on_any_number_of_cores_and_joined_in_their_order(
    monkeypatch: pytest.MonkeyPatch, count: int, samples: int, pixels_in_a_block: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(blocks, "PIXELS_IN_A_BLOCK", pixels_in_a_block)
    monkeypatch.setattr(blocks, "cores", lambda: count)
    seen: list[int] = []

    def noted(z: Tensor) -> Tensor:
        seen.append(len(z))
        return two_rows(z)

    assert torch.equal(in_blocks(noted, latents(samples), 4), two_rows(latents(samples)))
    assert sorted(seen) == sizes


def test_two_cores_work_at_once_each_with_one_thread_and_without_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "cores", lambda: 2)
    both, before, found = threading.Barrier(2), torch.get_num_threads(), []

    def meeting(z: Tensor) -> Tensor:
        both.wait(timeout=60)  # one alone would wait in vain
        found.append((torch.get_num_threads(), torch.is_grad_enabled()))
        return z.sum(-1)

    result = in_blocks(meeting, latents().requires_grad_(), 4)
    assert found == [(1, False)] * 20 and not result.requires_grad and torch.get_num_threads() == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_error_in_a_block_is_heard_and_the_blocks_that_nobody_began_are_given_up(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    monkeypatch.setattr(blocks, "cores", lambda: 1)
    begun: list[int] = []

    def first_fails(z: Tensor) -> Tensor:
        begun.append(len(z))
        if len(begun) == 1:
            raise error("Expected another z.")
        time.sleep(0.2)  # long enough for the first to be heard
        return z.sum(-1)

    before = torch.get_num_threads()
    with pytest.raises(error, match="another z"):
        in_blocks(first_fails, latents(), 4)
    assert len(begun) < 10 and torch.get_num_threads() == before
