"""What torchrun and accelerate tell each process that they start, by its environment.

Knows nothing of how the processes talk: that is `engine/machine/processes.py`. Needs no torch.
"""

from __future__ import annotations

import os


def processes() -> int:
    """How many processes were started together; 1 for a command that was typed as it is."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this one is; 0 decides, writes and speaks."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Which of those on its own machine this one is."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def leads() -> bool:
    """Whether this process speaks for all."""
    return rank() == 0


def on_one_machine() -> bool:
    """Whether all of them are on this machine."""
    return os.environ.get("LOCAL_WORLD_SIZE") == os.environ.get("WORLD_SIZE")


def restarts() -> int:
    """How often torchrun has started them again; on several machines, how often on this one."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def hush() -> None:
    """Keep torch from advising each process on how to train together; to be called before it is loaded."""
    if processes() > 1:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
