"""Schedules: the objective and the selection as functions of progress.

Pure functions of the plan and of progress, the share of the run that is done. They have no state, so a
resumed run continues with the same values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dkd_cli.engine.method.strategies import Plan
from dkd_cli.recipe.strategy_section import DataSelection, Objective

SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda progress: progress,
    "cosine": lambda progress: (1.0 - math.cos(math.pi * progress)) / 2.0,
}
"""Share of the change by progress: both in [0, 1], from 0 to 1."""

SCHEDULED = ("temperature", "kd_weight", "ce_weight", "hidden_weight", "teacher_share")
"""Keys that `strategy.objective.final` can change."""


def at(plan: Plan, progress: float) -> Plan:
    """Return the plan at this share of the run."""
    changes: dict[str, Any] = dict(moving(plan.objective, progress))
    objective = replace(plan.objective, **changes)
    return replace(plan, objective=objective, selection=selection_at(plan.selection, progress))


def moving(objective: Objective, progress: float) -> dict[str, float]:
    """Return the current values of scheduled keys, by recipe key: a + (b - a) · shape(progress).

    >>> from dkd_cli.recipe.strategy_section import Final
    >>> moving(Objective(temperature=5.0, final=Final(temperature=1.0)), 0.25)
    {'temperature': 4.0}
    """
    done = SHAPES[objective.final.shape](progress)
    found = {}
    for name in SCHEDULED:
        start, end = getattr(objective, name), getattr(objective.final, name)
        unused = name == "teacher_share" and objective.kd_loss != "taid"
        if end is not None and end != start and not unused:
            found[name] = start + (end - start) * done
    return found


def selection_at(selection: DataSelection, progress: float) -> DataSelection:
    """Return the selection at this share of the run; before the end of `warmup`, no score decides.

    Until then everything is distilled or, if the batch is chosen from a pool, chosen at random, so that the
    number of updates and their batches stay the same.
    """
    if progress >= selection.warmup:
        return selection
    return replace(selection, score="random" if selection.backward == "selected" else "none")
