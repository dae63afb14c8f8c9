"""Predictions of a teacher in the place of labels that the reported rows lack.

Scores are then agreement with that teacher, and each table and verdict says so.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.output_math import Floats
from dkd_cli.engine.method.outputs import OUTPUTS
from dkd_cli.errors import RecipeError
from dkd_cli.evaluation.metrics import predicted
from dkd_cli.pipeline.answered import answers_to
from dkd_cli.pipeline.predictions import Logits
from dkd_cli.recipe.schema import Recipe
from dkd_cli.recipe.teacher_kinds import kind_of


def with_recorded_labels(recipe: Recipe, name: str, data: TaskData, split: Split) -> Split:
    """The split with the predictions of a recorded teacher as labels; as it is, if the teacher is a model.

    Raises:
        DataError: for a text that the teacher has no prediction of.
        RecipeError: for probabilities where the task is to predict a number.
    """
    if kind_of(recipe.teachers[name]).is_model:
        return split
    output = OUTPUTS[data.task.kind]
    if output.from_probabilities is None:
        problem = "holds probabilities of classes, but the task is to predict a number"
        raise RecipeError(f"teachers.{name}.probabilities", problem, "name a trained model")
    found, _ = answers_to(recipe, name, data, split, sum_to_one=output.probabilities_sum_to_one)
    return with_predicted_labels(data, split, output.from_probabilities(torch.from_numpy(found)).numpy())


def with_predicted_labels(data: TaskData, split: Split, logits: Logits, cuts: Floats | None = None) -> Split:
    """The split with what these logits [N, C] predict as labels; `cuts` [C] as in `known_cuts`."""
    said = predicted(data.task, logits, cuts).tolist()
    return replace(split, labels=[tuple(one) if isinstance(one, list) else one for one in said])
