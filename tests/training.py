"""What the tests of training share: runs on 40 short texts that take a second, and what they learn from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from small import CPU, encoded, schedule, split, task_data
from torch import Tensor

from dkd_cli.engine.method.distillation import StepLoss, StudentOutput, distillation_step
from dkd_cli.engine.method.losses import cross_entropy
from dkd_cli.engine.method.selection import EVERYTHING
from dkd_cli.engine.method.strategies import Plan
from dkd_cli.engine.models.students import build_classifier
from dkd_cli.engine.training.job import Fitted, Job, Metrics, Step
from dkd_cli.engine.training.pool import Pool
from dkd_cli.recipe.strategy_section import DataSelection, Objective, TeacherAdoption

Weights = dict[str, Tensor]
STATIC = TeacherAdoption(mode="static", weights={"large": 1.0})


class Random:
    """A teacher whose answers are noise, the same for the same row."""

    def logits(self, name: str, rows: Tensor) -> Tensor:
        return torch.randn(200, 2, generator=torch.Generator().manual_seed(5))[rows]

    def common(self, name: str, rows: Tensor) -> None:
        return None

    def hidden_states(self, name: str, rows: Tensor) -> list[Tensor]:
        raise AssertionError("not aligned")


def on_labels(student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
    assert labels is not None
    loss = cross_entropy(student.logits, labels).mean()
    return StepLoss(loss, {"ce": loss.detach()})


def random_selection(student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
    """A strategy that draws random numbers of its own at every step."""
    plan = Plan(
        selection=DataSelection(score="random", ratio=0.5),
        adoption=STATIC,
        objective=Objective(mode="fixed", hidden_weight=0.0),
        teachers=("large",),
    )
    assert plan.selection != EVERYTHING
    return distillation_step(plan, student, labels, rows, Random(), {})


def accuracy(logits: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    return {"accuracy": float((logits.argmax(-1) == labels).mean())}


class Jobs:
    """Makes runs: `jobs(step=..., working="a", **settings of the schedule)`."""

    def __init__(self, encoder: Path, folder: Path) -> None:
        self._encoder, self._folder = encoder, folder
        self._tokens, self._collator = encoded(encoder, split("train", 0, 40))
        self._validation, _ = encoded(encoder, split("validation", 48, 72))

    def __call__(
        self,
        step: Step = on_labels,
        working: str = "working",
        advance: Callable[..., None] = lambda count, **fields: None,
        metrics: Metrics = accuracy,
        metric: str = "accuracy",
        needs_hidden_states: bool = False,
        pool: Pool | None = None,
        **settings: Any,
    ) -> Job:
        model = build_classifier(str(self._encoder), task_data(), layers=2, seed=1, key="student").model
        (self._folder / working).mkdir(exist_ok=True)
        return Job(
            model=model,
            train=self._tokens,
            validation=self._validation,
            collator=self._collator,
            step=step,
            needs_hidden_states=needs_hidden_states,
            pool=pool,
            settings=schedule(**settings),
            learning_rate=schedule(**settings).learning_rate or 1e-3,
            compute=CPU,
            metrics=metrics,
            metric=metric,
            working=self._folder / working,
            advance=advance,
        )


def different(one: Weights, other: Weights) -> list[str]:
    assert set(one) == set(other)
    return [name for name in one if not torch.equal(one[name], other[name])]


def losses(fitted: Fitted, term: str = "loss") -> list[float]:
    return [line[term] for line in fitted.history if term in line]


class Killed(Exception):
    """Stands for SIGKILL."""


def kill_at(call: int) -> Callable[..., None]:
    """An `advance` that dies in the given forward pass."""
    passes = 0

    def advance(count: int, **fields: float) -> None:
        nonlocal passes
        passes += count > 0
        if passes == call:
            raise Killed

    return advance


class Recorder:
    """A step that notes the rows of each forward pass, and lets another step do the work."""

    def __init__(self, step: Step = on_labels) -> None:
        self.batches: list[list[int]] = []
        self._step = step

    def __call__(self, student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
        self.batches.append(rows.tolist())
        return self._step(student, labels, rows)
