"""Details of a model beyond its row in the table: classes, probabilities, differences from the teacher.

Temperatures and thresholds are fitted on the validation split and reported on the split that is scored.
Knows nothing about clocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.evaluation import cascade
from dkd_cli.evaluation.calibration import Reliability, fit_temperature, reliability
from dkd_cli.evaluation.cascade import CascadePoint
from dkd_cli.evaluation.disagreements import Disagreement, disagreements
from dkd_cli.evaluation.metrics import CLASSIFICATION, Floats
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
class Cascade:
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
    cascade: Cascade | None = None


@dataclass(frozen=True)
class Said:
    """The logits of one model, [N, C]: on the scored split, and on validation if that has labels."""

    scored: Logits
    validation: Logits | None


def own_details(data: TaskData, split: Split, validation: Split | None, own: Said) -> Details:
    """Compute the details that need no teacher."""
    if data.label_names is None:
        return Details()
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
    split: Split, own: tuple[Said, Details], teacher: tuple[Said, Details]
) -> tuple[Disagreement, ...]:
    """The most confident disagreements with the teacher, by calibrated probabilities."""
    return tuple(disagreements(split, calibrated(*own), calibrated(*teacher)))


def student_before_teacher(
    data: TaskData, split: Split, validation: Split | None, own: Said, details: Details, teacher: Said
) -> Cascade | None:
    """The cascade of both; None without uncertainty, or without rows to choose a threshold on."""
    if details.calibration is None or own.validation is None or teacher.validation is None:
        return None
    assert validation is not None
    temperature = details.calibration.fitted.temperature

    def quality_on(rows: Split) -> cascade.Quality:
        labels = np.asarray(rows.labels, dtype=np.int64)
        return lambda logits: CLASSIFICATION[data.task.metrics[0]](logits.argmax(axis=1), labels)

    doubt = cascade.uncertainty(own.validation, temperature)
    seen = own.validation.astype(np.float64), teacher.validation.astype(np.float64)
    known = (doubt, *seen, quality_on(validation))
    threshold = cascade.keeping_the_teachers_quality(*known)
    unseen = own.scored.astype(np.float64), teacher.scored.astype(np.float64)
    new = (cascade.uncertainty(own.scored, temperature), *unseen, quality_on(split))
    return Cascade(
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
