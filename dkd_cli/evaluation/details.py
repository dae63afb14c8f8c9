"""Details of a model beyond its row in the table: classes, probabilities, differences from the teacher.

Temperatures and thresholds are fitted on the validation split and reported on the split that is scored.
Knows nothing about clocks.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.data.metric_names import LOWER_IS_BETTER
from dkd_cli.evaluation import cascade
from dkd_cli.evaluation.calibration import Reliability, fit_temperature, reliability
from dkd_cli.evaluation.cascade import CascadePoint
from dkd_cli.evaluation.disagreements import Disagreement, disagreements
from dkd_cli.evaluation.metrics import Floats, score
from dkd_cli.evaluation.per_class import ClassScore, class_scores, confusion
from dkd_cli.evaluation.temperature_file import Fit, Temperature

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Calibration:
    """The temperature of a model and its effect on the scored rows."""

    fitted: Temperature
    before: Reliability
    after: Reliability


@dataclass(frozen=True)
class StudentCascade:
    """A cascade of a student and its teacher."""

    curve: tuple[CascadePoint, ...]
    """On the scored rows."""
    chosen: CascadePoint
    """The threshold that keeps the teacher's quality on the validation split, evaluated on the scored
    rows."""
    chosen_on: str
    validation: CascadePoint
    """The same threshold on the split that it was chosen on."""


@dataclass(frozen=True)
class Details:
    """None, or empty, if the task is a regression or there is nothing to compare with."""

    classes: tuple[ClassScore, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    calibration: Calibration | None = None
    disagreements: tuple[Disagreement, ...] = ()
    cascade: StudentCascade | None = None


@dataclass(frozen=True)
class Said:
    """The logits of one model, [N, C]: on the scored split, and on validation if that has labels."""

    scored: Logits
    validation: Logits | None


def own_details(data: TaskData, split: Split, validation: Split | None, own: Said) -> Details:
    """Compute the details that need no teacher."""
    if KINDS[data.task.kind].log_probabilities is None:
        return Details()
    assert data.label_names is not None, "classes have names"
    assert split.labels is not None, "a contest is about labelled rows"
    return Details(
        classes=tuple(class_scores(own.scored, split.labels, data.label_names)),
        confusion=tuple(tuple(row) for row in confusion(own.scored, split.labels, len(data.label_names))),
        calibration=_calibration(split, validation, own),
    )


def calibrated(said: Said, details: Details) -> Floats:
    """The logits on the scored rows, divided by the model's temperature if it has one."""
    temperature = details.calibration.fitted.temperature if details.calibration else 1.0
    return said.scored.astype(np.float64) / temperature


def differences(
    split: Split, own: tuple[Said, Details], teacher: tuple[Said, Details], kind: str
) -> tuple[Disagreement, ...]:
    """The surest disagreements with the teacher, by calibrated probabilities."""
    return tuple(disagreements(split, calibrated(*own), calibrated(*teacher), kind))


def student_before_teacher(
    data: TaskData, split: Split, validation: Split | None, own: Said, details: Details, teacher: Said
) -> StudentCascade | None:
    """The cascade of both; None without uncertainty, or without rows to choose a threshold on."""
    if details.calibration is None or own.validation is None or teacher.validation is None:
        return None
    assert validation is not None
    temperature = details.calibration.fitted.temperature

    main = data.task.metrics[0]

    def quality_on(rows: Split) -> cascade.Quality:
        return lambda logits: score(main, data.task, logits, rows.labels or ())

    doubt = cascade.uncertainty(own.validation, temperature)
    seen = own.validation.astype(np.float64), teacher.validation.astype(np.float64)
    known = (doubt, *seen, quality_on(validation))
    no_worse = operator.le if main in LOWER_IS_BETTER else operator.ge
    threshold = cascade.keeping_the_teachers_quality(*known, no_worse)
    unseen = own.scored.astype(np.float64), teacher.scored.astype(np.float64)
    new = (cascade.uncertainty(own.scored, temperature), *unseen, quality_on(split))
    return StudentCascade(
        curve=tuple(cascade.curve(*new)),
        chosen=cascade.at_threshold(threshold, *new),
        chosen_on=validation.name,
        validation=cascade.at_threshold(threshold, *known),
    )


def _calibration(split: Split, validation: Split | None, own: Said) -> Calibration | None:
    if validation is None or own.validation is None:
        return None
    assert validation.labels is not None
    assert split.labels is not None, "a contest is about labelled rows"
    temperature = fit_temperature(own.validation, validation.labels)
    before, after = (reliability(own.validation, validation.labels, t) for t in (1.0, temperature))
    fitted = Temperature(
        temperature=temperature,
        fitted_on=validation.name,
        rows=len(validation),
        before=Fit(before.ece, before.nll),
        after=Fit(after.ece, after.nll),
    )
    return Calibration(
        fitted,
        reliability(own.scored, split.labels),
        reliability(own.scored, split.labels, temperature),
    )
