"""Processes in a test: several that are forked from it and talk to each other, and one that is killed."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from dkd_cli.cli import run
from dkd_cli.engine.machine.processes import Processes

SECONDS = 120
"""That a command may take until it has done what it is killed after."""


def killed_after(done: Callable[[], bool], *words: str | Path) -> None:
    """Begin a `dkd` command in a fork, which has imported everything, and kill it (SIGKILL) once `done`."""
    begun = mp.get_context("fork").Process(target=_command, args=words)
    begun.start()
    deadline = time.monotonic() + SECONDS
    while not done():
        assert begun.is_alive(), "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    begun.kill()
    begun.join()
    assert begun.exitcode == -signal.SIGKILL


def _command(*words: str | Path) -> None:
    # A fork of a process that has used OpenMP must not start its threads.
    torch.set_num_threads(1)
    run([str(word) for word in words])


def in_processes(count: int, work: Callable[[Processes], Any]) -> list[Any]:
    """What `work` returns in each of `count` processes, in order of rank; tensors and plain values only."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mp.start_processes(_process, (count, work, folder), nprocs=count, start_method="fork")
        return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(count)]


def _process(rank: int, count: int, work: Callable[[Processes], Any], folder: Path) -> None:
    # A fork of a process that has used OpenMP must not start its threads.
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=count)
    torch.save(work(Processes(rank, count, dist.group.WORLD)), folder / f"{rank}.pt")
    dist.destroy_process_group()
