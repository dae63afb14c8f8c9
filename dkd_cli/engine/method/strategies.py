"""Strategies: the three axes (examples, teacher, objective) and the plan resolved from a recipe.

Each axis is a dict from a recipe's word to a small pure function; `resolve` turns a recipe into the `Plan`
that `distillation.py` follows. Static is the identity on each axis. Knows no model and no trainer. Selection
is in `selection.py`; indices here are positions among the selected examples.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dkd_cli.engine.method.outputs import OUTPUTS
from dkd_cli.engine.method.selection import EVERYTHING
from dkd_cli.recipe.hidden_weight import hidden_weight
from dkd_cli.recipe.schema import Recipe, strategy_parts
from dkd_cli.recipe.strategy_section import DataSelection, Objective, TeacherAdoption


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A resolved strategy: data selection, teachers and objective."""

    selection: DataSelection = EVERYTHING
    adoption: TeacherAdoption
    objective: Objective
    teachers: tuple[str, ...]
    """The teachers that may be asked, from small to large; empty: learn from the labels alone."""
    hard: bool = False
    """The predictions of the (only) teacher stand for the labels, and nothing else is learnt from it."""
    output: str = "classification"
    """The kind of output (`outputs.OUTPUTS`)."""

    @property
    def hidden_weight(self) -> float:
        """The weight of the hidden-state term, with its default resolved."""
        assert self.objective.hidden_weight is not None
        return self.objective.hidden_weight

    @property
    def aligns(self) -> bool:
        """Return whether hidden states count at any time of the run."""
        return self.hidden_weight > 0 or bool(self.objective.final.hidden_weight)

    @property
    def relates(self) -> bool:
        """Return whether it is the relations among tokens that count of them."""
        return self.aligns and self.objective.hidden_loss == "relations"

    @property
    def uses_uncertainty(self) -> bool:
        """Return whether the student's entropy decides anything."""
        return bool(self.teachers) and (self.adoption.mode != "static" or self.objective.mode != "fixed")


FINE_TUNING = Plan(
    adoption=TeacherAdoption(mode="static", weights={}),
    objective=Objective(mode="fixed", ce_weight=1.0, kd_weight=0.0, hidden_weight=0.0),
    teachers=(),
)
"""No teacher: labels alone, with weight 1 whatever the recipe's weights."""


@dataclass(frozen=True)
class Route:
    """The examples that one teacher teaches, and their weights."""

    teacher: str
    positions: Tensor
    """[n], positions among the selected examples."""
    weights: Tensor
    """[n], detached."""


# Axis: which teacher -------------------------------------------------------------------------------------


def route_static(plan: Plan, uncertainty: Tensor) -> list[Route]:
    """Route every example to every teacher, with fixed weights."""
    assert plan.adoption.weights is not None
    everything = torch.arange(uncertainty.numel(), device=uncertainty.device)
    return [
        Route(name, everything, torch.full_like(uncertainty, plan.adoption.weights[name]))
        for name in plan.teachers
    ]


def route_hard(plan: Plan, uncertainty: Tensor) -> list[Route]:
    """Route the most uncertain ⌊B/2⌋ examples to the small teacher and the rest to the large one.

    Li et al. (2021), teacher adoption, "hard".

    N teachers share the ranking in N equal parts, the smallest teacher taking the most uncertain one.
    """
    order = torch.argsort(uncertainty, descending=True, stable=True)
    size, teachers = uncertainty.numel(), len(plan.teachers)
    bounds = [size * part // teachers for part in range(teachers + 1)]
    parts = [order[start:stop] for start, stop in itertools.pairwise(bounds)]
    return [
        Route(name, part, torch.ones_like(part, dtype=uncertainty.dtype))
        for name, part in zip(plan.teachers, parts, strict=True)
        if part.numel()
    ]


def teacher_weights(uncertainty: Tensor, teachers: int) -> list[Tensor]:
    """Distribute each example's weight over teachers ordered by size: [B] -> N times [B], summing to 1.

    A student with uncertainty u is at (1 - u)(N - 1) on the line of teachers 0 (smallest) to N - 1 and
    learns from its two neighbours, the nearer one more. Two teachers: u and 1 - u, as in
    Li et al. (2021).

    >>> teacher_weights(torch.tensor([0.25]), 2)
    [tensor([0.2500]), tensor([0.7500])]
    """
    place = (1.0 - uncertainty) * (teachers - 1)
    return [(1.0 - (place - index).abs()).clamp(min=0.0) for index in range(teachers)]


def route_soft_instance(plan: Plan, uncertainty: Tensor) -> list[Route]:
    """Route every example to all teachers, weighted by that example's uncertainty."""
    everything = torch.arange(uncertainty.numel(), device=uncertainty.device)
    weights = teacher_weights(uncertainty, len(plan.teachers))
    return [Route(name, everything, weight) for name, weight in zip(plan.teachers, weights, strict=True)]


def route_soft(plan: Plan, uncertainty: Tensor) -> list[Route]:
    """Route every example to all teachers, weighted by the mean uncertainty (Li et al., 2021, "soft")."""
    return route_soft_instance(plan, uncertainty.mean().expand_as(uncertainty))


ROUTES: dict[str, Callable[[Plan, Tensor], list[Route]]] = {
    "static": route_static,
    "hard": route_hard,
    "soft": route_soft,
    "soft-instance": route_soft_instance,
}


# Axis: which objective -----------------------------------------------------------------------------------


def _fixed(uncertainty: Tensor) -> tuple[Tensor, Tensor]:
    return torch.ones_like(uncertainty), torch.ones_like(uncertainty)


def _by_uncertainty(uncertainty: Tensor) -> tuple[Tensor, Tensor]:
    return 1.0 - uncertainty, uncertainty


def _by_certainty(uncertainty: Tensor) -> tuple[Tensor, Tensor]:
    return uncertainty, 1.0 - uncertainty


OBJECTIVES: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "fixed": _fixed,
    "uncertainty": _by_uncertainty,
    "uncertainty-r": _by_certainty,
}
"""[B] uncertainty -> the weights of (KD, PT), each [B] (Li et al., 2021, objective adaptation)."""


def resolve(recipe: Recipe) -> Plan:
    """Resolve the recipe's strategy into a plan; an axis that is not dynamic is the identity."""
    parts = strategy_parts(recipe.strategy.name)
    teachers = tuple(recipe.teachers)
    objective = recipe.strategy.objective
    dynamic_objective = "dynamic-objective" in parts
    objective = replace(
        objective,
        hidden_weight=hidden_weight(recipe),
        mode=objective.mode if dynamic_objective else "fixed",
    )
    if "none" in parts:
        return (
            replace(FINE_TUNING, teachers=teachers[-1:], hard=True) if recipe.data.unlabelled else FINE_TUNING
        )
    adoption = recipe.strategy.teacher
    if "dynamic-teacher" not in parts:
        teachers = teachers[-1:]
        adoption = TeacherAdoption(mode="static", weights={teachers[0]: 1.0})
    elif adoption.mode == "static":
        weights = adoption.weights or dict.fromkeys(teachers, 1.0)
        teachers = tuple(name for name in teachers if weights.get(name, 0.0) > 0)
        adoption = replace(adoption, weights={name: weights[name] for name in teachers})
    return Plan(
        selection=recipe.strategy.data if "dynamic-data" in parts else EVERYTHING,
        adoption=adoption,
        objective=objective,
        teachers=teachers,
    )


def uncertainty_of(plan: Plan, logits: Tensor) -> Tensor:
    """The student's normalised entropy [B], or zeros where the plan does not look at it."""
    if not plan.uses_uncertainty:
        return torch.zeros(logits.size(0), device=logits.device)
    return OUTPUTS[plan.output].uncertainties["entropy"](logits)
