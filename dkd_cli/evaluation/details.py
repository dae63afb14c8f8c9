"""Details of a model beyond its row in the table: classes, probabilities, differences from the teacher.

Temperatures and thresholds are fitted on the validation split and reported on the split that is scored.
Knows nothing about clocks.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.data.metric_names import LOWER_IS_BETTER, METRIC_NAMES
from dkd_cli.data.output_math import Floats, centred, sigmoid
from dkd_cli.evaluation import cascade
from dkd_cli.evaluation.calibration import Reliability, fit_temperature, reliability
from dkd_cli.evaluation.cascade import CascadePoint
from dkd_cli.evaluation.disagreements import Disagreement, disagreements
from dkd_cli.evaluation.metrics import score
from dkd_cli.evaluation.outputs import SCORED, LabelCalibration, ScoredOutput
from dkd_cli.evaluation.per_class import ClassScore
from dkd_cli.evaluation.temperature_file import Fit, Temperature
from dkd_cli.evaluation.thresholds import as_thresholds, fit_cuts
from dkd_cli.recipe.words import NO_WORD

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
    by_label: tuple[LabelCalibration, ...] = ()
    """Of several labels."""
    disagreements: tuple[Disagreement, ...] = ()
    cascade: StudentCascade | None = None


@dataclass(frozen=True)
class Said:
    """The logits of one model, [N, C]: on the scored split, and on validation if that has labels."""

    scored: Logits
    validation: Logits | None
    fitted: Temperature | None = None
    """Temperature and thresholds, fitted on validation; None without labels there, or probabilities."""
    cuts: Floats | None = None
    """[C], the logits above which labels are predicted; None where there are no thresholds."""


def fit_said(data: TaskData, validation: Split | None, said: Said) -> Said:
    """Fit the temperature and, of several labels, the thresholds of a model on the validation split."""
    own, logits = SCORED[data.task.kind], said.validation
    if own is None or validation is None or validation.labels is None or logits is None:
        return said
    rows = own.rows(logits, validation.labels)
    temperature = fit_temperature(*rows)
    cuts = fit_cuts(logits, validation.labels, temperature) if KINDS[data.task.kind].thresholds else None
    before, after = (reliability(*rows, t) for t in (1.0, temperature))
    fitted = Temperature(
        temperature=temperature,
        fitted_on=validation.name,
        rows=len(validation),
        before=Fit(before.ece, before.nll),
        after=Fit(after.ece, after.nll),
        thresholds={} if cuts is None else as_thresholds(cuts, temperature, data.label_names or ()),
    )
    return replace(said, fitted=fitted, cuts=cuts)


def own_details(data: TaskData, split: Split, own: Said) -> Details:
    """Compute the details that need no teacher."""
    known = SCORED[data.task.kind]
    if known is None:
        return Details()
    assert data.label_names is not None, "classes have names"
    assert split.labels is not None, "a contest is about labelled rows"
    return Details(
        classes=tuple(known.classes(centred(own.scored, own.cuts), split.labels, data.label_names)),
        confusion=tuple(tuple(row) for row in known.confusion(own.scored, split.labels, data.outputs)),
        calibration=_calibration(known, split, own),
        by_label=tuple(_by_label(known, split, data.label_names, own)),
    )


def _by_label(known: ScoredOutput, split: Split, names: tuple[str, ...], own: Said) -> list[LabelCalibration]:
    temperature = own.fitted.temperature if own.fitted else 1.0
    thresholds = None if own.cuts is None else sigmoid(own.cuts / temperature)
    return known.by_label(own.scored.astype(np.float64), split.labels or (), names, temperature, thresholds)


def calibrated(said: Said) -> Floats:
    """The logits on the scored rows less the model's cuts, divided by its temperature, where it has such."""
    temperature = said.fitted.temperature if said.fitted else 1.0
    logits = centred(said.scored.astype(np.float64), said.cuts)
    return np.asarray(np.where(logits == NO_WORD, NO_WORD, logits / temperature), dtype=np.float64)


def differences(split: Split, own: Said, teacher: Said, kind: str) -> tuple[Disagreement, ...]:
    """The surest disagreements with the teacher, by calibrated probabilities."""
    return tuple(disagreements(split, calibrated(own), calibrated(teacher), kind))


def student_before_teacher(
    data: TaskData, split: Split, validation: Split | None, own: Said, teacher: Said
) -> StudentCascade | None:
    """The cascade of both; None without uncertainty, or without rows to choose a threshold on."""
    if own.fitted is None or own.validation is None or teacher.validation is None:
        return None
    if KINDS[data.task.kind].uncertainty is None:
        return None
    assert validation is not None
    temperature, kind = own.fitted.temperature, data.task.kind

    main = data.task.metrics[0]

    def quality_on(rows: Split) -> cascade.Quality:
        return lambda logits: score(main, data.task, logits, rows.labels or ())

    def compared(of_own: Logits, of_teacher: Logits) -> tuple[Floats, Floats, Floats]:
        """Uncertainty, and the logits of both, less the cuts where the metric reads what is predicted."""
        doubt = cascade.uncertainty(of_own, temperature, kind, own.cuts)
        both = of_own.astype(np.float64), of_teacher.astype(np.float64)
        if not METRIC_NAMES[main].decides:
            return doubt, *both
        return doubt, centred(both[0], own.cuts), centred(both[1], teacher.cuts)

    seen = compared(own.validation, teacher.validation)
    known = (*seen, quality_on(validation))
    no_worse = operator.le if main in LOWER_IS_BETTER else operator.ge
    threshold = cascade.keeping_the_teachers_quality(*known, no_worse)
    new = (*compared(own.scored, teacher.scored), quality_on(split))
    return StudentCascade(
        curve=tuple(cascade.curve(*new)),
        chosen=cascade.at_threshold(threshold, *new),
        chosen_on=validation.name,
        validation=cascade.at_threshold(threshold, *known),
    )


def _calibration(known: ScoredOutput, split: Split, own: Said) -> Calibration | None:
    if own.fitted is None:
        return None
    rows = known.rows(own.scored, split.labels or ())
    return Calibration(own.fitted, reliability(*rows), reliability(*rows, own.fitted.temperature))
