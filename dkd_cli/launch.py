"""Rank and number of processes, from the environment that torchrun and accelerate set.

Knows nothing of how the processes talk: that is `engine/machine/processes.py`. Needs no torch.
"""

from __future__ import annotations

import os


def processes() -> int:
    """Number of processes started together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Rank of this process; 0 decides, writes and prints."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Rank of this process on its own machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def leads() -> bool:
    """Return whether this process speaks for all."""
    return rank() == 0


def on_one_machine() -> bool:
    """Return whether all of them are on this machine."""
    return os.environ.get("LOCAL_WORLD_SIZE") == os.environ.get("WORLD_SIZE")


def restarts() -> int:
    """Number of restarts by torchrun; on several machines, on this one."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def hush() -> None:
    """Keep torch from advising each process on how to train together; to be called before it is loaded."""
    if processes() > 1:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
