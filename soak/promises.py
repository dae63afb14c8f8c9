"""The rows of the table: what is promised, how often it is tried, and by what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from soak import attacks, crowds, fuzz, paid, shrinking
from soak.bench import Place


@dataclass(frozen=True)
class Promise:
    """One row."""

    name: str
    what: str
    trials: int
    """In a whole soak."""
    trial: Callable[[Place, int], None]
    """Raises `Broken` where it did not hold."""


PROMISES = (
    Promise(
        "repeated",
        "the same recipe and seed in another process: the same bits",
        10,
        crowds.repeated,
    ),
    Promise(
        "killed",
        "SIGKILL at any moment, write, sync, rename or removal; the same command again: the same bits, "
        "one update made twice at most for each",
        200,
        attacks.killed,
    ),
    Promise(
        "disk-full",
        "the disk full from any operation on: a line, the checkpoint before it loads, then the same bits",
        150,
        attacks.disk_full,
    ),
    Promise(
        "damaged",
        "a bit turned or a file cut, in checkpoint or cache: noticed, and the same bits in the end",
        500,
        attacks.damaged,
    ),
    Promise(
        "finished",
        "likewise in a finished teacher: refused in a line",
        60,
        attacks.finished_damaged,
    ),
    Promise(
        "signalled",
        "SIGTERM and SIGINT in training, evaluation, selection, caching, saving: 143 or 130, resumable",
        140,
        attacks.signalled,
    ),
    Promise(
        "shared-cache",
        "two to eight processes fill one cache, one killed as it writes: the same bits for all",
        28,
        crowds.shared_cache,
    ),
    Promise(
        "rank-killed",
        "one of two processes killed under torchrun --max-restarts: both go on, the same bits",
        10,
        crowds.rank_killed,
    ),
    Promise(
        "paid",
        "SIGKILL while a paid endpoint is asked: at most those in flight asked again, no answer lost, "
        "the budget kept",
        100,
        paid.killed,
    ),
    Promise(
        "shrunk",
        "SIGKILL twice at any moment of `dkd shrink`; the same command again: the same exports and choice",
        8,
        shrinking.killed,
    ),
    Promise(
        "fuzzed",
        f"{fuzz.IN_A_TRIAL:,} odd recipes, options and data files: no traceback, no hang, no file changed",
        20,
        fuzz.trial,
    ),
)
