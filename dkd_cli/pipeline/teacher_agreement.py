"""Choosing a student's best checkpoint where the validation split has no labels: by its teacher's answers.

Knows neither how the teacher answered nor how the student learns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from dkd_cli.data.encoding import EncodedSplit
from dkd_cli.data.examples import TaskData
from dkd_cli.errors import RecipeError
from dkd_cli.evaluation.fidelity import agreement
from dkd_cli.pipeline.workshop import Judge, Splits
from dkd_cli.recipe.schema import Train


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
    given = answers.argmax(dim=-1) if data.label_names is not None else answers.squeeze(-1)
    columns = dict(splits.validation.columns) | {"labels": given.tolist()}
    answered = EncodedSplit(splits.validation.split, columns, splits.validation.cut)
    kind = data.task.kind

    def agrees(logits: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
        if kind == "regression":
            return {"agreement": agreement(logits, labels[:, None], kind)}
        return {"agreement": float((logits.argmax(axis=-1) == labels).mean())}

    return replace(splits, validation=answered), Judge(agrees, "agreement")
