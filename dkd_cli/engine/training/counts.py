"""Numbers of examples, batches and updates of a run: arithmetic on the schedule alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dkd_cli.engine.training.pool import Pool
from dkd_cli.recipe.schema import Train


@dataclass(frozen=True)
class Work:
    """Rows that a run went through, repeats counted."""

    examples: int
    """Seen: trained on, or scored in a pool."""
    backward: int
    """Trained on."""


def work(settings: Train, size: int, pool: Pool | None, updates: int, processes: int = 1) -> Work:
    """Count the work of so many updates on a training split of `size` rows.

    Several processes are counted as one with batches so many times as large; a pool is that of all of them.
    """
    loaded = loaded_at_once(settings, pool, processes)
    chosen = processes * settings.batch_size
    epochs, rest = divmod(updates, updates_per_epoch(settings, size, loaded))
    # The sampler puts the batch that is not full last, so those of an unfinished epoch are full.
    begun = rest * settings.accumulation
    examples = epochs * size + begun * loaded
    if pool is None:
        return Work(examples, examples)
    full, left = divmod(size, loaded)
    return Work(examples, epochs * (full * chosen + (pool.kept(left) if left else 0)) + begun * chosen)


def loaded_at_once(settings: Train, pool: Pool | None, processes: int = 1) -> int:
    """Rows that the loaders of all processes yield together."""
    return processes * settings.batch_size if pool is None else pool.size


def updates_per_epoch(settings: Train, size: int, loaded: int) -> int:
    """The last one may be of fewer batches than the others."""
    return math.ceil(math.ceil(size / loaded) / settings.accumulation)


def examples_seen(settings: Train, size: int, pool: Pool | None = None, processes: int = 1) -> int:
    """Number of examples in a whole run over a training split of `size`, repeats counted."""
    updates = settings.max_steps
    if updates is None:
        updates = math.ceil(
            settings.epochs * updates_per_epoch(settings, size, loaded_at_once(settings, pool, processes))
        )
    return work(settings, size, pool, updates, processes).examples


def pass_weight(rows: int, passes: Sequence[int]) -> float:
    """Weight of a pass of so many rows in an update of `passes`; 1 where all have equally many.

    Each pass has a mean over its own rows, and Trainer divides by the number of passes: unweighted, the rows
    of a last, smaller pass would count more than the others.

    >>> pass_weight(90, [90, 10]), pass_weight(10, [90, 10]), pass_weight(50, [50, 50])
    (1.8, 0.2, 1.0)
    """
    return rows * len(passes) / sum(passes) if len(set(passes)) > 1 else 1.0
