"""How much a schedule comes to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dkd_cli.engine.training.counts import (
    MOST_VALIDATIONS,
    Work,
    between_validations,
    examples_seen,
    shortened,
    updates_of,
    work,
)
from dkd_cli.engine.training.pool import Pool
from dkd_cli.recipe.schema import Train
from dkd_cli.recipe.strategy_section import DataSelection

HALF = DataSelection(score="entropy", ratio=0.5, backward="selected")


@pytest.mark.parametrize(
    ("settings", "pool", "updates", "expected"),
    [
        (Train(batch_size=8), None, 3, Work(24, 24)),
        (Train(batch_size=8), None, 13, Work(100, 100)),
        (Train(batch_size=8), None, 15, Work(116, 116)),
        (Train(batch_size=8), Pool(HALF, 16), 3, Work(48, 24)),
        (Train(batch_size=8), Pool(HALF, 16), 7, Work(100, 50)),
        (Train(batch_size=8), Pool(HALF, 16), 9, Work(132, 66)),
        (Train(batch_size=8, accumulation=3), Pool(HALF, 16), 3, Work(100, 50)),
        (Train(batch_size=8, accumulation=3), Pool(HALF, 16), 4, Work(148, 74)),
        (Train(batch_size=4), Pool(replace(HALF, ratio=0.04), 100), 2, Work(200, 8)),
        (Train(batch_size=8), Pool(replace(HALF, ratio=0.04), 200), 2, Work(200, 8)),
    ],
)
def test_the_work_of_some_updates(settings: Train, pool: Pool | None, updates: int, expected: Work) -> None:
    assert work(settings, 100, pool, updates) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Train(epochs=3.0), 300),
        (Train(epochs=0.5), 64),
        (Train(max_steps=7, batch_size=4, accumulation=2), 56),
    ],
)
def test_examples_seen(settings: Train, expected: int) -> None:
    assert examples_seen(settings, 100) == expected


@pytest.mark.parametrize("own", [1, 7, 100, 999, 5000])
@pytest.mark.parametrize("whole", [13_000, 30_011])
@pytest.mark.parametrize(
    "settings", [Train(epochs=0.3), Train(epochs=2, batch_size=16, accumulation=3), Train(max_steps=50)]
)
def test_a_student_of_few_rows_is_validated_more_often_in_as_many_updates(
    own: int, whole: int, settings: Train
) -> None:
    rows, changed = between_validations(settings, own, whole, settings.batch_size)
    assert rows % (settings.batch_size * settings.accumulation) == 0
    assert own <= rows < whole
    assert whole / rows <= MOST_VALIDATIONS
    assert changed.max_steps == updates_of(settings, whole, settings.batch_size)
    assert replace(changed, max_steps=settings.max_steps) == settings


@pytest.mark.parametrize("own", [98, 100])
def test_a_student_of_as_good_as_all_rows_keeps_its_epochs(own: int) -> None:
    assert between_validations(Train(batch_size=8), own, 100, 8) == (100, Train(batch_size=8))


@pytest.mark.parametrize(
    "settings",
    [Train(epochs=2, batch_size=16), Train(epochs=3, batch_size=8, accumulation=3), Train(max_steps=9)],
)
def test_a_limit_of_passes_only_ever_shortens(settings: Train) -> None:
    updates = [
        updates_of(shortened(settings, 100, 900, settings.batch_size, passes), 900, settings.batch_size)
        for passes in range(1, 40)
    ]
    whole = updates_of(settings, 900, settings.batch_size)
    assert updates == sorted(updates)
    assert updates[-1] == whole
    for passes, found in enumerate(updates, 1):
        update = settings.batch_size * settings.accumulation
        assert found == min(whole, -(-passes * 100 // update))
