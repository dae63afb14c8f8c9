"""Time estimates for missing runs, from similar runs or a short measurement."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from dkd_cli.comparison.runs import own_schedule
from dkd_cli.data.examples import TaskData
from dkd_cli.engine.models.models import LoadedModel
from dkd_cli.engine.models.students import build_classifier, build_student
from dkd_cli.engine.runs.checkpoints import Run
from dkd_cli.engine.training.counts import examples_seen
from dkd_cli.engine.training.pace import Pace, measure_pace
from dkd_cli.pipeline.planned import StudentRun, TeacherRun
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.recipe.schema import Recipe, Train
from dkd_cli.wording import counted

SECONDS_A_RUN = 3.0
"""Seconds to load, save checkpoints and publish."""


@dataclass(frozen=True)
class Forecast:
    """An estimate."""

    seconds: float
    basis: str
    """The basis of the estimate."""


def forecast(
    workshop: Workshop, teachers: Sequence[TeacherRun], students: Sequence[StudentRun], done: Sequence[Run]
) -> Forecast:
    """Estimate the time of the missing runs; measures for some seconds if no similar run is finished.

    Args:
        workshop: gives data and tokens.
        teachers: those to be made.
        students: those to be made, at least one unless there are teachers.
        done: finished students of the same comparison.
    """
    seconds, measured = 0.0, bool(teachers)
    for wanted in teachers:
        recipe, settings = wanted.recipe, wanted.settings
        layers, data = recipe.teachers[wanted.name].layers, workshop.data(recipe)
        key = f"teachers.{wanted.name}"
        model = build_classifier(wanted.source, data, layers=layers, seed=settings.seed, key=key)
        pace = _pace(workshop, recipe, model, settings)
        # It learns, and then predicts each training text of the students once.
        seconds += _run(pace, settings, data, examples_seen(settings, len(data.splits["train"])))
        seconds += pace.answering * max(
            [len(data.splits["train"]), *(workshop.data(run.recipe).rows_taught for run in students)]
        )
    if students and done:
        rate = statistics.mean(run.seconds / _examples(run.recipe, workshop) for run in done)
        seconds += sum(rate * _examples(run.recipe, workshop) for run in students)
    elif students:
        measured = True
        first = students[0].recipe
        # Its own teacher may not be trained yet; a similar one is equally fast.
        source = first.model if first.student.model == "teacher" else students[0].source
        data = workshop.data(first)
        model = build_student(source, data, first, progress=workshop.terminal.progress)
        pace = _pace(workshop, first, model, students[0].settings)
        seconds += sum(_run(pace, run.settings, data, _examples(run.recipe, workshop)) for run in students)
    basis = "from some timed steps" if measured else f"from {counted(len(done), 'finished student')}"
    return Forecast(seconds, basis)


def _pace(workshop: Workshop, recipe: Recipe, built: LoadedModel, settings: Train) -> Pace:
    splits = workshop.splits(recipe, built.tokenizer)
    return measure_pace(built.model, splits.train, splits.collator, settings, workshop.compute(settings))


def _run(pace: Pace, settings: Train, data: TaskData, examples: int) -> float:
    judged = math.ceil(settings.epochs) * len(data.splits["validation"])
    return SECONDS_A_RUN + pace.training * examples + pace.answering * judged


def _examples(recipe: Recipe, workshop: Workshop) -> int:
    data = workshop.data(recipe)
    return examples_seen(own_schedule(recipe, data), data.rows_taught)
