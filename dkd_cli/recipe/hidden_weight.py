"""The weight of hidden states, where a recipe names none."""

from __future__ import annotations

from dkd_cli.recipe.schema import Recipe, strategy_parts
from dkd_cli.recipe.teacher_kinds import kind_of


def hidden_weight(recipe: Recipe) -> float:
    """Return the recipe's `strategy.objective.hidden_weight`, or its default."""
    objective = recipe.strategy.objective
    if objective.hidden_weight is not None:
        return objective.hidden_weight
    if "dynamic-objective" in strategy_parts(recipe.strategy.name):
        return 1.0
    published = objective.hidden_loss == "states"
    return float(not published and cut_from_its_teachers(recipe))


def left_open(recipe: Recipe) -> bool:
    """Return whether the recipe wants hidden states only because their default is to be learnt."""
    objective = recipe.strategy.objective
    named = objective.hidden_weight is not None or objective.final.hidden_weight is not None
    return not named and "dynamic-objective" not in strategy_parts(recipe.strategy.name)


def cut_from_its_teachers(recipe: Recipe) -> bool:
    """Return whether student and teachers are layers of the same encoder, the student's not more of them.

    They then have the same tokens and the same width.
    """
    student = recipe.student
    names = list(recipe.teachers)
    if "dynamic-teacher" not in strategy_parts(recipe.strategy.name):
        names = names[-1:]
    if student.family != "encoder" or not names:
        return False
    for teacher in (recipe.teachers[name] for name in names):
        if not kind_of(teacher).trained_here:
            return False
        if student.model not in (None, "teacher", teacher.model) or (
            student.model is None and teacher.model not in (None, recipe.model)
        ):
            return False
        if teacher.layers is not None and (student.layers is None or student.layers > teacher.layers):
            return False
    return True
