"""Checks of a strategy against the kind of output, before a model is loaded."""

from __future__ import annotations

from collections.abc import Callable

from dkd_cli.engine.method.outputs import OUTPUTS
from dkd_cli.engine.method.strategies import Plan
from dkd_cli.errors import RecipeError
from dkd_cli.recipe.words import score_reads


def check_plan(plan: Plan, strategy: str, outputs: int) -> None:
    """Refuse a plan that means nothing for its kind of output, or for so many outputs.

    Args:
        plan: of the kind of output that the task has.
        strategy: the recipe's name of it.
        outputs: how many the model has.

    Raises:
        RecipeError: names the key, and what is defined instead.
    """
    CHECKS[plan.output](plan, strategy, outputs)


def _check_number(plan: Plan, strategy: str, outputs: int) -> None:
    if plan.uses_uncertainty:
        raise RecipeError(
            "strategy.name",
            f"{strategy!r} reads the entropy of the prediction, which a single number does not have",
            "use none, static, or dynamic-data with strategy.data.score label-loss or random",
        )
    if plan.teachers and plan.objective.kd_loss not in OUTPUTS[plan.output].kd_losses:
        raise RecipeError(
            "strategy.objective.kd_loss",
            f"{plan.objective.kd_loss!r} compares class probabilities, and the softmax of a single number is "
            "always 1",
            "set it to mse",
        )
    if "probabilities" in score_reads(plan.selection.score):
        raise RecipeError(
            "strategy.data.score",
            f"{plan.selection.score!r} reads class probabilities, which a single number does not have",
            "choose label-loss (the loss on the label) or random",
        )


def _check_classes(plan: Plan, strategy: str, outputs: int) -> None:
    if outputs != 2 or not plan.teachers:
        return
    key, objective = "strategy.objective", plan.objective
    if objective.kd_loss == "decoupled":
        problem = "'decoupled' compares the other classes among themselves; of two classes there is one"
        raise RecipeError(f"{key}.kd_loss", problem, "set it to kl")
    if objective.kd_loss == "dist" and objective.inter_weight > 0:
        problem = "two probabilities that sum to 1 correlate perfectly or not at all: nothing to learn from"
        raise RecipeError(f"{key}.inter_weight", problem, "set it to 0, or choose another kd_loss")
    if objective.standardise:
        problem = "z-scores of two logits are always 1 and -1: the teacher's confidence is lost"
        raise RecipeError(f"{key}.standardise", problem, "set it to false")


def _check_labels(plan: Plan, strategy: str, outputs: int) -> None:
    objective, key = plan.objective, "strategy.objective"
    if not plan.teachers:
        return
    if objective.kd_loss not in OUTPUTS[plan.output].kd_losses:
        why = {
            "decoupled": "sets one target class against the others, and a text may have several labels",
            "dist": "correlates the classes of one softmax, and each label has a probability of its own",
        }[objective.kd_loss]
        raise RecipeError(f"{key}.kd_loss", f"{objective.kd_loss!r} {why}", "set it to kl, mse, jsd or taid")
    if objective.standardise:
        problem = "takes away the level of the logits, by which labels are decided"
        raise RecipeError(f"{key}.standardise", problem, "set it to false")


CHECKS: dict[str, Callable[[Plan, str, int], None]] = {
    "classification": _check_classes,
    "multi-label": _check_labels,
    "tokens": _check_classes,
    "regression": _check_number,
}
"""By the kind of output."""
