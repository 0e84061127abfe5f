"""Several processes that train one run together, as torchrun starts them: who they are, and what they tell each other.

Each holds the whole state and takes the same steps; `engine.spread` gives each its share of a minibatch. The first,
of rank 0, alone reads and writes the folder of the run, and tells the others what it found there. Everything goes
through `torch.distributed`: with gloo on the CPU, with NCCL on GPUs.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from vaelib._spoken import option
from vaelib.train.config import RunError

T = TypeVar("T")

JOIN = timedelta(minutes=5)  # within which all must have come
HEAR = 6.0  # seconds in which a process that ends waits for the first to say why, and the first to be heard
SAID, CLAIMED, LEFT = "said", "claimed", "left"  # keys in the store
MEETINGS = itertools.count()  # of this process, one for each run


class Lost(RunError):
    """Another process of the group has ended, or does not answer."""


@dataclass(frozen=True)
class Processes:
    """This process among those that train together; alone, unless it was started with others."""

    rank: int = 0
    count: int = 1
    store: Any = None  # of torch.distributed, where all see the same keys; None alone, and in a group made elsewhere

    @property
    def first(self) -> bool:
        """The one that reads, writes and speaks."""
        return self.rank == 0

    def add_up(self, numbers: Tensor) -> None:
        """Put the sums over processes into `numbers`.

        Raises:
            Lost: a process is gone.
        """
        if self.count > 1:
            with answered(self.count):
                distributed.all_reduce(numbers)

    def told(self, make: Callable[[], T]) -> T:
        """What `make` returns on the first process, on all of them; the others do not call it.

        Raises:
            Lost: a process is gone.
        """
        found: list[Any] = [make() if self.first else None]
        if self.count > 1:
            with answered(self.count):
                distributed.broadcast_object_list(found, src=0)
        result: T = found[0]
        return result

    def any(self, flag: bool) -> bool:
        """Is `flag` true on one of them? All ask at once, and hear the same."""
        votes = torch.tensor([flag], dtype=torch.int32)
        self.add_up(votes)
        return bool(votes.item())

    def require_same(self, mine: Mapping[str, Any]) -> None:
        """Refuse to begin where the processes were asked to do different things.

        Raises:
            RunError: on all of them; it names what differs. Lost: a process is gone.
        """
        if self.count == 1:
            return
        found: list[Any] = [None] * self.count
        with answered(self.count):
            distributed.all_gather_object(found, dict(mine))
        for rank, other in enumerate(found):
            differing = [name for name in found[0] if found[0][name] != other[name]]
            if differing:
                listed = "; ".join(f"{name} is {found[0][name]!r} in process 0, {other[name]!r} in {rank}"
                                   for name in differing)  # fmt: skip
                raise RunError(
                    f"Expected the {self.count} processes of a run to be asked for the same, but {listed}. Start them"
                    " with the same command, on the same data."
                )

    def may_say(self, error: BaseException) -> bool:
        """Should this process say why it ends? The first one does; another, only what has not been said.

        One that ends waits a moment to hear the first, whose end torchrun would hasten.
        """
        if self.store is None:
            return True
        try:
            if self.first:
                self.store.set(SAID, str(error))
                return True
            until = time.monotonic() + HEAR
            while not self.store.check([SAID]) and time.monotonic() < until:
                time.sleep(0.02)
            heard = self.store.get(SAID).decode() if self.store.check([SAID]) else None
            if isinstance(error, Lost):  # one of those that are left is enough
                return heard is None and self.store.add(CLAIMED, 1) == 1
        except RuntimeError:  # the store has ended with the process that kept it
            heard = None
        return not isinstance(error, KeyboardInterrupt) and heard != str(error)

    def leave(self) -> None:
        """End the part in the group. The first, which may keep the store, waits until the others have heard why."""
        distributed.destroy_process_group()  # those that wait for an answer of this process learn now that it is gone
        with suppress(RuntimeError):  # the store has ended with the process that kept it
            if not self.first:
                self.store.add(LEFT, 1)
            elif self.store.check([SAID]):
                until = time.monotonic() + HEAR
                while self.store.add(LEFT, 0) < self.count - 1 and time.monotonic() < until:
                    time.sleep(0.02)


ALONE = Processes()


@contextmanager
def answered(count: int) -> Iterator[None]:
    """What `torch.distributed` raises inside, where all take part, is said in words.

    Raises:
        Lost: a process is gone, or has not answered in time.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # gloo and NCCL have no type for it
        raise lost(count) from error


def lost(count: int) -> Lost:
    return Lost(
        f"Expected the {count} processes of this run to go on together, but one of them has ended or does not answer."
        " It may have said why, above or below; if not, it was killed, or its machine or memory gave out."
        f" What was saved stays: go on with {option('resume', True)}, in any number of processes."
    )


def require_gpus(device: str, environment: Mapping[str, str]) -> None:
    """Refuse more processes on this machine than it has GPUs, of which each takes one.

    Raises:
        RunError: there are too few.
    """
    here = environment.get("LOCAL_WORLD_SIZE", "1")
    if device == "cuda" and int(here) > torch.cuda.device_count():
        raise RunError(
            f"Expected a GPU for each of the {here} processes on this machine, but it has {torch.cuda.device_count()}."
            f" Start as many as there are GPUs, or use {option('device', 'cpu')}."
        )


# ------------------------------------------------------------------------------------------------------ coming together


def present() -> Processes:
    """The group of processes that there is; this one alone, if there is none."""
    if distributed.is_available() and distributed.is_initialized():
        return Processes(distributed.get_rank(), distributed.get_world_size())
    return ALONE


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that this one was started with, by RANK and WORLD_SIZE in the environment, as torchrun sets them.

    A group that exists already is used, and left as it is.

    Raises:
        RunError: the environment is not whole, or not all have come.
    """
    if (already := present()).count > 1:
        yield already
        return
    rank, count = asked(os.environ)
    if count == 1:
        yield ALONE
        return
    if not distributed.is_available():
        raise RunError("Expected a PyTorch with torch.distributed for several processes, but this one has none.")
    store = met(rank, count)
    on_gpu = torch.cuda.is_available() and distributed.is_nccl_available()
    place = int(os.environ.get("LOCAL_RANK", rank))
    if on_gpu and place < torch.cuda.device_count():
        torch.cuda.set_device(place)
    with answered(count):
        distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", None, None, count, rank, store)
    processes = Processes(rank, count, store)
    try:
        yield processes
    finally:
        processes.leave()


def asked(environment: Mapping[str, str]) -> tuple[int, int]:
    """(rank, number of processes) as the environment says.

    Raises:
        RunError: it says only half of it, or what cannot be.

    >>> asked({}), asked({"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"})
    ((0, 1), (1, 4))
    """
    for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        if not environment.get(name, "0").isdecimal():
            raise RunError(
                f"Expected a whole number >= 0 as {name} in the environment, but got {environment[name]!r}. torchrun"
                " sets it; where there is one process, unset it."
            )
    given = [name for name in ("RANK", "WORLD_SIZE") if name in environment]
    if not given:
        return 0, 1
    advice = "Start several processes with torchrun, which sets all of it; for one, unset RANK and WORLD_SIZE."
    if len(given) == 1:
        missing = "WORLD_SIZE" if given == ["RANK"] else "RANK"
        raise RunError(
            f"Expected RANK and WORLD_SIZE in the environment, or neither, but {given[0]} is set to"
            f" {environment[given[0]]!r} and {missing} is not. {advice}"
        )
    texts = [environment[name] for name in given]
    rank, count = (int(text) if text.isdecimal() else -1 for text in texts)
    if not 0 <= rank < count:
        raise RunError(
            f"Expected whole numbers 0 <= RANK < WORLD_SIZE in the environment, but RANK is {texts[0]!r} and WORLD_SIZE"
            f" is {texts[1]!r}. {advice}"
        )
    port = environment.get("MASTER_PORT", "")
    if count > 1 and not (environment.get("MASTER_ADDR") and port.isdecimal() and 0 < int(port) < 2**16):
        raise RunError(
            f"Expected MASTER_ADDR and MASTER_PORT in the environment, where the {count} processes meet, but got"
            f" {environment.get('MASTER_ADDR')!r} and {environment.get('MASTER_PORT')!r}. {advice}"
        )
    return rank, count


def met(rank: int, count: int) -> Any:
    """The store of `torch.distributed` where all processes meet, once all have come.

    Raises:
        RunError: it cannot be reached, two have one rank, or not all have come in time. Lost: one has ended meanwhile.
    """
    place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    try:
        server = next(distributed.rendezvous("env://", timeout=JOIN))[0]  # type: ignore[attr-defined]
    except RuntimeError as error:
        cause = (
            f"Port {os.environ['MASTER_PORT']} is taken. Give another: torchrun --master-port."
            if "EADDRINUSE" in str(error) or "in use" in str(error)
            else f"Not all {count} were there within {JOIN.total_seconds():.0f} s. Is the address right, and was every"
            " process started?"
        )
        raise RunError(f"Could not meet the other processes at {place}. {cause}") from error
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = distributed.PrefixStore(f"vaelib/{attempt}/{next(MEETINGS)}", server)  # type: ignore[attr-defined]
    with answered(count):
        others_of_this_rank = store.add(f"here {rank}", 1) - 1
    if others_of_this_rank:
        raise RunError(
            f"Expected {count} processes with different ranks at {place}, but two have RANK {rank}. Is another run"
            " under way there? Give it another port."
        )
    until = time.monotonic() + JOIN.total_seconds()
    while absent := missing(store, count):
        if time.monotonic() > until:
            raise RunError(
                f"Expected {count} processes to meet at {place}, but after {JOIN.total_seconds():.0f} s"
                f" {', '.join(map(str, absent))} had not come. Did they fail, or are they not started?"
            )
        time.sleep(0.02)
    return store


def missing(store: Any, count: int) -> list[int]:
    """The ranks that have not come yet.

    Raises:
        Lost: the process that keeps the store has ended.
    """
    with answered(count):
        return [other for other in range(count) if not store.check([f"here {other}"])]
