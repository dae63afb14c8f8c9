"""How much disk a training run will take, asked for before it starts. Knows sizes, not models.

The teachers' answers are not counted: their cache has a limit of its own, and a run goes on without it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from dkd_cli.errors import SystemProblem

MOMENTS = 2
"""AdamW keeps two numbers for each trained weight."""
CHECKPOINTS = 3
"""The newest, the one before it, and the one that is being written. Each has its own weights and the best."""


def run_bytes(weights: int, trained: int) -> int:
    """What a run has on disk at its fullest.

    Args:
        weights: bytes of all weights.
        trained: bytes of those that are trained.
    """
    return CHECKPOINTS * (2 * weights + MOMENTS * trained) + weights


def check_room(folder: Path, weights: int, trained: int) -> None:
    """Refuse a run that would fill the disk; what an interrupted one has there already counts for it.

    Args:
        folder: where the run works.
        weights: as in `run_bytes`.
        trained: as in `run_bytes`.

    Raises:
        SystemProblem: says how much is needed and how much is free.
    """
    taken = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    needed, free = run_bytes(weights, trained) - taken, shutil.disk_usage(folder).free
    if needed > free:
        problem = f"{size(needed)} are needed for checkpoints and the finished model, {size(free)} are free"
        raise SystemProblem(str(folder), problem, "make room, or choose another --output-dir")


def size(count: int) -> str:
    """Bytes in the largest unit that leaves a number of 1 or more.

    >>> [size(count) for count in (0, 12_345_678, 20_000_000_000)]
    ['0 B', '12.3 MB', '20 GB']
    """
    value, unit = float(count), "B"
    for larger in ("KB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"
