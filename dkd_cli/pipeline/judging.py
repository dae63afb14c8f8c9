"""Class weights of the labels, and validation scores by labels or by a teacher."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dkd_cli.data.class_weights import class_weights
from dkd_cli.data.encoding import EncodedSplit
from dkd_cli.data.examples import TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.engine.training.job import Metrics
from dkd_cli.errors import RecipeError
from dkd_cli.evaluation.fidelity import AGREEMENT
from dkd_cli.evaluation.metrics import task_metrics
from dkd_cli.evaluation.thresholds import fit_cuts
from dkd_cli.pipeline.workshop import Splits
from dkd_cli.recipe.schema import Train


@dataclass(frozen=True)
class Judge:
    """Metrics of the validation split, and the one that picks the best checkpoint."""

    metrics: Metrics
    metric: str


def weights_of_classes(train: Train, data: TaskData) -> Tensor | None:
    """Compute the class weights [C] from the labelled training rows; None: every class counts the same.

    Raises:
        RecipeError: for a name that is no class, and where there are no classes or no labels.
    """
    labels = data.splits["train"].labels
    if KINDS[data.task.kind].by_word:
        labels = [tag for tags in labels or () for tag in tags]
    found = class_weights(train.class_weights, labels, data.label_names)
    return None if found is None else torch.from_numpy(found)


def judge_by_labels(data: TaskData) -> Judge:
    """Score by the task's metrics, against the labels of the validation split; the first one decides.

    Thresholds of several labels are fitted on the same rows, as `dkd evaluate` does.
    """

    def scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
        cuts = fit_cuts(logits, labels) if KINDS[data.task.kind].thresholds else None
        return task_metrics(data.task, logits, labels, cuts)

    return Judge(scores, data.task.metrics[0])


def judge_by_teacher(train: Train, data: TaskData, splits: Splits, answers: Tensor) -> tuple[Splits, Judge]:
    """Put the teacher's answers in the place of the missing labels; the score is called `agreement`.

    Args:
        train: the schedule; its `metric` must be left out.
        data: the task.
        splits: in the student's tokens.
        answers: [N, C], the teacher's logits on the validation split.

    Returns:
        The splits with those answers, and a judge: the share of equal classes, or the correlation of numbers.

    Raises:
        RecipeError: for a metric that needs labels.
    """
    if train.metric is not None:
        raise RecipeError(
            "train.metric",
            f"{train.metric!r} needs labels, and the validation split has none",
            "remove it: the best checkpoint is the one that agrees most with the teacher",
        )
    predicted, agreement = KINDS[data.task.kind].predicted, AGREEMENT[data.task.kind]
    given = predicted(answers.double().numpy())
    columns = dict(splits.validation.columns) | {"labels": given.tolist()}
    answered = EncodedSplit(splits.validation.split, columns, splits.validation.cut)

    def agrees(logits: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
        return {"agreement": agreement(predicted(logits.astype(np.float64)), labels.astype(np.float64))}

    return replace(splits, validation=answered), Judge(agrees, "agreement")
