"""Processes that train one model together (torch.distributed), and their parts of a shared batch.

With one process every exchange is the identity. Control messages travel between CPUs, so that they do not
wait for a GPU; tensors on their own device. Knows no model and no strategy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from dkd_cli import launch
from dkd_cli.errors import DkdError, Problems, SystemProblem

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them; all must call the same methods in the same order."""

    rank: int = 0
    count: int = 1
    control: dist.ProcessGroup | None = None
    """Group for Python objects; None for one process."""

    @property
    def leads(self) -> bool:
        """Return whether this is the process that decides, writes and speaks."""
        return self.rank == 0

    def part(self, size: int) -> slice:
        """This process's rows of a batch of `size`: parts that differ by one row at most, in order of rank.

        >>> [Processes(rank, 3).part(8) for rank in range(3)]
        [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
        """
        return slice(size * self.rank // self.count, size * (self.rank + 1) // self.count)

    def all(self, value: T) -> list[T]:
        """Gather a value from each process, in order of rank; anything that pickles."""
        if self.count == 1:
            return [value]
        said: list[T] = [value] * self.count
        dist.all_gather_object(said, value, group=self.control)
        return said

    def any(self, here: bool) -> bool:
        """Return whether a condition holds in any process."""
        if self.count == 1:
            return here
        flag = torch.tensor([here], dtype=torch.uint8)
        dist.all_reduce(flag, dist.ReduceOp.MAX, group=self.control)
        return bool(flag)

    def sum(self, values: Tensor) -> Tensor:
        """Sum over all processes, in place; NaN stays NaN."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    @contextmanager
    def together(self) -> Iterator[None]:
        """Context for work that each process does for itself: if it fails in one, it fails in all.

        The work must not exchange anything after a point where it may fail: the others would wait there.

        Raises:
            DkdError, Problems: the first process's error, in all of them, so that they stay in step.
        """
        error = None
        try:
            yield
        except (DkdError, Problems) as raised:
            if self.count == 1:
                raise
            error = raised
        if self.any(error is not None):
            self._raise_first(self.all(error))

    def decide(self, work: Callable[[], T]) -> T:
        """Compute a value in the leading process; the others receive it, or its error.

        Raises:
            DkdError, Problems: the same in all processes.
        """
        if self.count == 1:
            return work()
        said = [_attempt(work) if self.leads else None]
        dist.broadcast_object_list(said, src=0, group=self.control)
        assert said[0] is not None
        result, error = said[0]
        self._raise_first([error])
        return result  # type: ignore[return-value]

    @contextmanager
    def led(self, context: AbstractContextManager[T]) -> Iterator[T]:
        """Enter a context in the leading process only; all receive its value.

        Raises:
            DkdError, Problems: the same in all processes, if it cannot be entered.
        """
        with ExitStack() as held:
            yield self.decide(lambda: held.enter_context(context))

    def _raise_first(self, errors: list[DkdError | Problems | None]) -> None:
        for error in errors:
            if error is not None:
                error.everywhere = True
                raise error


def _attempt(work: Callable[[], T]) -> tuple[T | None, DkdError | Problems | None]:
    try:
        return work(), None
    except (DkdError, Problems) as error:
        return None, error


ALONE = Processes()


@contextmanager
def meeting() -> Iterator[Processes]:
    """Connect to the processes that torchrun or accelerate started together with this one, and disconnect at
    the end.

    Raises:
        SystemProblem: for a training mode that dkd does not support, or if another process is lost.
    """
    for variable, name in (("ACCELERATE_USE_FSDP", "FSDP"), ("ACCELERATE_USE_DEEPSPEED", "DeepSpeed")):
        if os.environ.get(variable, "false").lower() == "true":
            raise SystemProblem(
                "accelerate",
                f"requests {name}, which dkd does not support",
                "choose data parallel (DDP) training",
            )
    if launch.processes() == 1:
        yield ALONE
        return
    try:
        yield _meet()
    except RuntimeError as error:
        if "gloo" not in str(error).lower() and not isinstance(error, dist.DistError):
            raise
        raise SystemProblem(
            f"process {launch.rank()}", "has lost another process of this run", "see the output of that one"
        ) from error
    dist.destroy_process_group()


def _meet() -> Processes:
    cuda = torch.cuda.is_available()
    if cuda and launch.local_rank() >= torch.cuda.device_count():
        raise SystemProblem(
            f"process {launch.rank()}",
            f"finds no GPU of its own among {torch.cuda.device_count()}",
            "start as many processes on each machine as it has GPUs",
        )
    if cuda:
        torch.cuda.set_device(launch.local_rank())
    store, rank, count = next(rendezvous("env://"))
    if launch.on_one_machine():
        # torchrun gives restarted processes the store of their predecessors, which still has their addresses.
        store = PrefixStore(f"start {launch.restarts()}", store)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo", store=store, rank=rank, world_size=count
    )
    # A separate group: control messages must not mix with the gradients of a backward pass.
    return Processes(rank, count, dist.new_group(backend="gloo"))


@dataclass(frozen=True)
class Share:
    """This process's rows of a batch; the batch consists of the rows of all processes, in order of rank.

    b is the number of rows here and B in all; a position counts from the first row of the batch.
    """

    peers: Processes
    sizes: tuple[int, ...]
    """The rows of each process."""

    @classmethod
    def of(cls, peers: Processes, rows: int) -> Share:
        """Exchange the number of rows of each process."""
        if peers.count == 1:
            return cls(peers, (rows,))
        said = torch.zeros(peers.count, 1, dtype=torch.long)
        dist.all_gather(list(said.unbind()), torch.tensor([rows]), group=peers.control)
        return cls(peers, tuple(said.flatten().tolist()))

    @classmethod
    def dealt(cls, peers: Processes, size: int) -> Share:
        """A batch of which each process has its `Processes.part`."""
        parts = [Processes(rank, peers.count).part(size) for rank in range(peers.count)]
        return cls(peers, tuple(part.stop - part.start for part in parts))

    @property
    def size(self) -> int:
        """B."""
        return sum(self.sizes)

    def own(self, values: Tensor) -> Tensor:
        """Remove the placeholder row of a process that has none: [b or 1, ...] -> [b, ...]."""
        return values if self.peers.count == 1 else values[: self.sizes[self.peers.rank]]

    def gather(self, values: Tensor) -> Tensor:
        """The values of the whole batch, without gradient: [b, ...] -> [B, ...]."""
        if self.peers.count == 1:
            return values.detach()
        values = self.own(values.detach())
        # Collectives want equal shapes: the shorter ones are padded and cut again.
        padded = values.new_zeros(max(self.sizes), *values.shape[1:])
        padded[: len(values)] = values
        parts = [torch.empty_like(padded) for _ in self.sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, self.sizes, strict=True)])

    def agreed(self, values: Tensor) -> Tensor:
        """Return the leading process's values: the others may have drawn other random numbers or rounded
        differently."""
        if self.peers.count > 1:
            values = values.contiguous()
            dist.broadcast(values, src=0)
        return values

    def mine(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Select the positions that are rows of this process, [n] -> [m], and those rows, [m]."""
        if self.peers.count == 1:
            return torch.arange(positions.numel(), device=positions.device), positions
        first = sum(self.sizes[: self.peers.rank])
        here = (positions >= first) & (positions < first + self.sizes[self.peers.rank])
        which = here.nonzero().flatten()
        return which, positions[which] - first

    def mean(self, values: Tensor, count: int) -> Tensor:
        """This process's part of a mean over `count` rows of the batch: [m] -> scalar.

        The mean of the parts over the processes, which is what DDP makes of their gradients, is that mean.
        """
        return values.sum() / count * self.peers.count


WHOLE = Share(ALONE, ())
"""A whole batch whose size does not matter."""
