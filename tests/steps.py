"""What the tests of a step share: teachers with fixed answers, a student's output, plans, one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dkd_cli.engine.method.distillation import StepLoss, StudentOutput, distillation_step
from dkd_cli.engine.method.objectives import KD_LOSSES
from dkd_cli.engine.method.strategies import Plan, resolve
from dkd_cli.recipe.fields import choices
from dkd_cli.recipe.schema import Data, Recipe, Teacher
from dkd_cli.recipe.strategy_section import DataSelection, Objective, Strategy, TeacherAdoption
from dkd_cli.recipe.value_types import Score

ROWS, LENGTH, WIDTH, CLASSES = 12, 6, 4, 3
LAYERS = {"small": [0, 1], "large": [0, 1]}


class Oracle:
    """Teachers with fixed answers, who remember which rows they were asked for."""

    def __init__(self, names: Sequence[str] = tuple(LAYERS), width: int = WIDTH) -> None:
        made = torch.Generator().manual_seed(1)
        self._logits = {name: torch.randn(ROWS, CLASSES, generator=made) for name in names}
        self._states = {name: torch.randn(2, ROWS, LENGTH, width, generator=made) for name in names}
        self.lengths = torch.arange(ROWS) % LENGTH + 1
        self.asked: dict[str, list[int]] = {name: [] for name in names}

    def logits(self, name: str, rows: Tensor) -> Tensor:
        self.asked[name] += rows.tolist()
        return self._logits[name][rows]

    def common(self, name: str, rows: Tensor) -> None:
        return None

    def hidden_states(self, name: str, rows: Tensor) -> list[Tensor]:
        self.asked[name] += rows.tolist()
        longest = int(self.lengths[rows].max())
        real = torch.arange(longest)[None, :] < self.lengths[rows][:, None]
        return [layer[rows, :longest] * real[:, :, None] for layer in self._states[name]]


def resolved(
    name: str,
    *,
    objective: Objective | None = None,
    data: DataSelection | None = None,
    adoption: Any = None,
    teachers: Sequence[str] = tuple(LAYERS),
) -> Plan:
    strategy = Strategy(
        name=name,
        teacher=adoption or TeacherAdoption(),
        data=data or DataSelection(),
        objective=objective or Objective(),
    )
    named = {name: Teacher() for name in teachers}
    return resolve(
        Recipe(name="unit", model="unused", data=Data(source="x"), teachers=named, strategy=strategy)
    )


def student_of(rows: Tensor, oracle: Oracle, size: float = 1.0) -> StudentOutput:
    """A student's output on these rows, the same for the same rows; its logits are a leaf."""
    made = torch.Generator().manual_seed(2)
    logits = (size * torch.randn(ROWS, CLASSES, generator=made))[rows].requires_grad_()
    states = [torch.randn(ROWS, LENGTH, WIDTH, generator=made)[rows].requires_grad_() for _ in range(3)]
    mask = (torch.arange(LENGTH)[None, :] < oracle.lengths[rows][:, None]).long()
    return StudentOutput(logits, mask, states)


def step(
    plan: Plan,
    rows: Tensor | None = None,
    *,
    labelled: bool = True,
    size: float = 1.0,
    progress: float = 0.0,
) -> tuple[StepLoss, StudentOutput, Oracle]:
    oracle = Oracle()
    rows = torch.arange(8) if rows is None else rows
    student = replace(student_of(rows, oracle, size), progress=progress)
    labels = rows % CLASSES if labelled else None
    return distillation_step(plan, student, labels, rows, oracle, LAYERS), student, oracle


ADOPTIONS = ("static", "hard", "soft", "soft-instance")
OBJECTIVES = ("fixed", "uncertainty", "uncertainty-r")
ALL_PLANS: dict[str, Plan] = {"none": resolved("none"), "static": resolved("static")}
for hidden in (0.0, 0.5):
    ALL_PLANS[f"static hidden {hidden}"] = resolved("static", objective=Objective(hidden_weight=hidden))
for mode in ADOPTIONS:
    for hidden in (0.0, 0.5):
        ALL_PLANS[f"dynamic-teacher {mode} hidden {hidden}"] = resolved(
            "dynamic-teacher", adoption=TeacherAdoption(mode=mode), objective=Objective(hidden_weight=hidden)
        )
for score in choices(Score):
    ALL_PLANS[f"dynamic-data {score}"] = resolved("dynamic-data", data=DataSelection(score=score))
for loss in KD_LOSSES:
    ALL_PLANS[f"static {loss}"] = resolved("static", objective=Objective(kd_loss=loss))  # type: ignore[arg-type]
for objective in OBJECTIVES:
    ALL_PLANS[f"dynamic-objective {objective}"] = resolved(
        "dynamic-objective", objective=Objective(mode=objective, kd_loss="kl")
    )
    for mode in ADOPTIONS:
        ALL_PLANS[f"all three {mode} {objective}"] = resolved(
            "dynamic-teacher,dynamic-data,dynamic-objective",
            adoption=TeacherAdoption(mode=mode),
            objective=Objective(mode=objective),
        )
