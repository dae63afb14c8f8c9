"""About how long a climb takes, from the pace of the teacher: shown before it begins. Trains nothing."""

from __future__ import annotations

from collections.abc import Sequence

from dkd_cli.comparison.forecast import forecast
from dkd_cli.engine.training.counts import examples_seen
from dkd_cli.pipeline.planned import StudentRun, TeacherRun
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.shrinking.ladder import Rung

FIXED = {"encoder": 25.0, "static": 30.0}
"""Seconds to load, save, export and judge a student of each family; of a static one, to make its vectors."""
STATIC_ROW = 3e-4
"""Seconds that a static student learns a row in."""


def estimated_seconds(
    workshop: Workshop,
    teachers: Sequence[TeacherRun],
    rungs: Sequence[tuple[Rung, StudentRun]],
    teacher_layers: int,
    known: float | None,
) -> tuple[float, float]:
    """Seconds until the teachers are there, and until all rungs are.

    Args:
        workshop: gives data and tokens.
        teachers: those to be trained.
        rungs: those to be climbed.
        teacher_layers: of the teacher that they are compared with.
        known: seconds that the teacher learnt a row in, if it is there.
    """
    before = forecast(workshop, teachers, [], []).seconds if teachers else 0.0
    pace = known
    if pace is None and teachers:
        rows = sum(
            examples_seen(one.settings, len(workshop.data(one.recipe).splits["train"])) for one in teachers
        )
        pace = before / max(1, rows)
    total = before
    for rung, run in rungs:
        rows = examples_seen(run.settings, workshop.data(run.recipe).rows_taught)
        depth = rung.layers / max(1, teacher_layers)
        row = STATIC_ROW if rung.family == "static" else (pace or 0.0) * depth
        total += FIXED[rung.family] + row * rows
    return before, total
