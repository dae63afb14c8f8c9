"""How a validation split is scored while a model trains: by its labels, or by a teacher where it has none."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from dkd_cli.data.encoding import EncodedSplit
from dkd_cli.data.examples import TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.engine.training.job import Metrics
from dkd_cli.errors import RecipeError
from dkd_cli.evaluation.fidelity import AGREEMENT
from dkd_cli.evaluation.metrics import task_metrics
from dkd_cli.pipeline.workshop import Splits
from dkd_cli.recipe.schema import Train


@dataclass(frozen=True)
class Judge:
    """How the validation split is scored, and which score picks the best checkpoint."""

    metrics: Metrics
    metric: str


def judge_by_labels(data: TaskData) -> Judge:
    """Score by the task's metrics, against the labels of the validation split; the first one decides."""
    return Judge(lambda logits, labels: task_metrics(data.task, logits, labels), data.task.metrics[0])


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
