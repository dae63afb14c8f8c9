"""Numbers of examples, batches and updates of a run: arithmetic on the schedule alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dkd_cli.engine.training.pool import Pool
from dkd_cli.recipe.schema import Train

MOST_VALIDATIONS = 10
"""Of a student that goes through a few rows many times, for each pass of the others over all rows."""


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


def shortened(settings: Train, own: int, whole: int, loaded: int, passes: int | None) -> Train:
    """The settings of a run that ends after so many passes over its own rows, where that is sooner.

    Args:
        settings: with `epochs` as passes over the whole.
        own: rows that it learns from.
        whole: rows of the students that it is compared with.
        loaded: as `loaded_at_once` says.
        passes: None: no limit.

    >>> shortened(Train(epochs=2, batch_size=16), 1000, 13000, 16, 10).max_steps
    625
    >>> shortened(Train(epochs=2, batch_size=16), 1000, 3000, 16, 10) == Train(epochs=2, batch_size=16)
    True
    """
    if passes is None:
        return settings
    updates = math.ceil(passes * own / (loaded * settings.accumulation))
    sooner = updates < updates_of(settings, whole, loaded)
    return replace(settings, max_steps=updates) if sooner else settings


def between_validations(settings: Train, own: int, whole: int, loaded: int) -> tuple[int, Train]:
    """Rows between two validations of a student that takes as many updates over few rows as others over many.

    Many passes overfit. Validated as rarely as the others, it would have no checkpoint from before that, and
    whatever is compared with it would look better than it is. So its epoch is a pass over its own rows,
    though there are at most `MOST_VALIDATIONS` of them to a pass over the whole.

    Args:
        settings: with `epochs` as passes over the whole.
        own: rows that it learns from.
        whole: rows of those that it is compared with.
        loaded: as `loaded_at_once` says.

    Returns:
        rows of an epoch, in whole updates, and settings with as many updates as before.

    >>> rows, changed = between_validations(Train(epochs=2, batch_size=16), 1000, 13000, 16)
    >>> rows, changed.max_steps
    (1312, 1626)
    >>> between_validations(Train(epochs=2), 1000, 1000, 32) == (1000, Train(epochs=2))
    True
    """
    update = loaded * settings.accumulation
    rows = math.ceil(max(own, whole / MOST_VALIDATIONS) / update) * update
    if rows >= whole:
        return whole, settings
    return rows, replace(settings, max_steps=updates_of(settings, whole, loaded))


def updates_of(settings: Train, size: int, loaded: int) -> int:
    """Number of updates of a whole run over a training split of `size`."""
    if settings.max_steps is not None:
        return settings.max_steps
    return math.ceil(settings.epochs * updates_per_epoch(settings, size, loaded))


def examples_seen(settings: Train, size: int, pool: Pool | None = None, processes: int = 1) -> int:
    """Number of examples in a whole run over a training split of `size`, repeats counted."""
    updates = updates_of(settings, size, loaded_at_once(settings, pool, processes))
    return work(settings, size, pool, updates, processes).examples


def pass_weight(rows: int, passes: Sequence[int]) -> float:
    """Weight of a pass of so many rows in an update of `passes`; 1 where all have equally many.

    Each pass has a mean over its own rows, and Trainer divides by the number of passes: unweighted, the rows
    of a last, smaller pass would count more than the others.

    >>> pass_weight(90, [90, 10]), pass_weight(10, [90, 10]), pass_weight(50, [50, 50])
    (1.8, 0.2, 1.0)
    """
    return rows * len(passes) / sum(passes) if len(set(passes)) > 1 else 1.0
