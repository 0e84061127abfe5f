"""Latents decoded block by block, each by one core: the same numbers, wherever the cuts are."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from vaelib.evaluate import blocks, evaluate
from vaelib.evaluate.blocks import in_blocks
from vaelib.vae import VAE


def latents(samples: int = 11, examples: int = 3) -> Tensor:
    return torch.randn((samples, examples, 2), generator=torch.Generator().manual_seed(0))


def two_rows(z: Tensor) -> Tensor:
    return torch.stack([z.sum(-1), z.exp().sum(-1)])


@pytest.mark.parametrize("numbers", [1, 50, 10**6])
def test_blocks_are_joined_in_their_order(monkeypatch: pytest.MonkeyPatch, numbers: int) -> None:
    monkeypatch.setattr(blocks, "NUMBERS", numbers)
    seen: list[int] = []

    def noted(z: Tensor) -> Tensor:
        seen.append(len(z))
        return two_rows(z)

    assert torch.equal(in_blocks(noted, latents(), 4), two_rows(latents()))
    assert sorted(seen) == {1: [1] * 11, 50: [3, 4, 4], 10**6: [11]}[numbers]


def test_two_cores_work_at_once_each_with_one_thread_and_without_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "NUMBERS", 1)
    monkeypatch.setattr(blocks, "cores", lambda: 2)
    both, before, found = threading.Barrier(2), torch.get_num_threads(), []

    def meeting(z: Tensor) -> Tensor:
        both.wait(timeout=60)  # one alone would wait in vain
        found.append((torch.get_num_threads(), torch.is_grad_enabled()))
        return z.sum(-1)

    in_blocks(meeting, latents(samples=6), 4)
    assert found == [(1, False)] * 6 and torch.get_num_threads() == before


def test_what_goes_wrong_in_a_block_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "NUMBERS", 1)

    def picky(z: Tensor) -> Tensor:
        if torch.equal(z[0], latents()[7]):
            raise ValueError("Expected another z.")
        return z.sum(-1)

    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="another z"):
        in_blocks(picky, latents(), 4)
    assert torch.get_num_threads() == before


def test_evaluation_does_not_depend_on_the_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    model = VAE(12, 2, (8,), rng=torch.Generator().manual_seed(0))
    x = (torch.rand((5, 12), generator=torch.Generator().manual_seed(1)) < 0.5).float()
    monkeypatch.setattr(blocks, "NUMBERS", 500)
    found = []
    for count in (1, 3):
        monkeypatch.setattr(blocks, "cores", lambda count=count: count)
        found.append(evaluate(model, x, importance_samples=40))
    assert (found[0].log_evidence == found[1].log_evidence).all()
    assert (found[0].log_likelihood == found[1].log_likelihood).all()
