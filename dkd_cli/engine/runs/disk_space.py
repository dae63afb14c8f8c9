"""Disk space that a training run needs, checked before it starts. Knows sizes, not models.

The cache is not counted: it has its own limit, and a run continues without it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from dkd_cli.errors import SystemProblem

MOMENTS = 2
"""AdamW stores two numbers per trained weight."""
CHECKPOINTS = 3
"""The most checkpoints on disk: the newest, the one before it, and the one being written. Each holds its
own weights and the best ones."""


def run_bytes(weights: int, trained: int) -> int:
    """The most bytes that a run has on disk.

    Args:
        weights: bytes of all weights.
        trained: bytes of the trained weights.
    """
    return CHECKPOINTS * (2 * weights + MOMENTS * trained) + weights


def check_room(folder: Path, weights: int, trained: int) -> None:
    """Refuse a run that would fill the disk; existing files of an interrupted run are counted as available.

    Args:
        folder: where the run works.
        weights: as in `run_bytes`.
        trained: as in `run_bytes`.

    Raises:
        SystemProblem: with the needed and the free bytes.
    """
    taken = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    needed, free = run_bytes(weights, trained) - taken, shutil.disk_usage(folder).free
    if needed > free:
        problem = f"{size(needed)} are needed for checkpoints and the model, but only {size(free)} are free"
        raise SystemProblem(str(folder), problem, "free some space, or choose another --output-dir")


def size(count: int) -> str:
    """Format bytes in the largest unit that gives a number of 1 or more.

    >>> [size(count) for count in (0, 12_345_678, 20_000_000_000)]
    ['0 B', '12.3 MB', '20 GB']
    """
    value, unit = float(count), "B"
    for larger in ("KB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"
