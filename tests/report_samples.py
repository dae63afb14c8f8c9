"""The figures of an evaluation whose models were never trained: drawn logits, made-up logs and clocks.

All of it goes through the same functions as real figures do, so that its keys are theirs.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.data.metric_names import judged
from dkd_cli.data.tasks import Task
from dkd_cli.engine.machine.precision import Compute
from dkd_cli.engine.runs.checkpoints import Run
from dkd_cli.evaluation.contests import Contest, Entrant
from dkd_cli.evaluation.cost import Cost
from dkd_cli.evaluation.details import Said
from dkd_cli.evaluation.discover import ModelFolder
from dkd_cli.evaluation.figures import contest_figures, machine
from dkd_cli.evaluation.latency import Speed
from dkd_cli.evaluation.scoring import Predictions, Timing, compare, summarise_seeds
from dkd_cli.evaluation.speed_grid import BatchSpeed, LengthSpeed, SpeedGrid
from dkd_cli.evaluation.text_latency import TextLatency
from dkd_cli.recipe.schema import Data, Recipe, Train
from dkd_cli.recipe.strategy_section import Strategy

UNKIND = "<script>alert('tweet')</script> & <b>bold</b>"
STUDENTS = (
    ("none", 1),
    ("none", 2),
    ("static", 1),
    ("static", 2),
    ("dynamic-teacher", 1),
    ("dynamic-data", 1),
    ("dynamic-objective", 1),
)


def evaluation(
    folder: Path,
    classes: int = 3,
    *,
    students: int = len(STUDENTS),
    timed: bool = True,
    metric: str | None = None,
) -> Any:
    """The value of `evaluation.json`; `classes` 1 is a task of numbers, `folder` keeps the logs."""
    names = (*(f"class-{i}" for i in range(classes - 1)), UNKIND) if classes > 1 else None
    kind: Any = "classification" if names else "regression"
    random = np.random.default_rng(0)
    splits = {name: _split(name, 300, classes, random) for name in ("train", "validation", "test")}
    data = judged(TaskData(Task("sample", kind=kind, metrics=KINDS[kind].metrics), names, splits, ()), metric)
    entrants, noise = _entrants(folder, students)
    own = {e.folder.source: entrants[0].folder.source for e in entrants if e.folder.role == "student"}
    contest = Contest(data, splits["test"], tuple(entrants), own)
    said = [_answers(e, contest, classes, spread, random) for e, spread in zip(entrants, noise, strict=True)]
    timings = {one.shape: _timing(one.layers) for one in said} if timed else {}
    results = compare(contest, said, timings)
    figures = contest_figures(contest, results, summarise_seeds(results, data.task.metrics[0]))
    return {"machine": machine(), "evaluations": [figures]}


def _split(name: str, rows: int, classes: int, random: np.random.Generator) -> Split:
    numbers = random.integers(classes, size=rows) if classes > 1 else random.normal(size=rows)
    texts = [f"{UNKIND} {name} {i}" for i in range(rows)]
    return Split(name, texts, None, numbers.tolist(), [f"{name}-{i}" for i in range(rows)])


def _entrants(folder: Path, students: int) -> tuple[list[Entrant], list[float]]:
    models: list[tuple[Any, str, str | None, int, float]] = [
        ("teacher", "large", None, 1, 0.9),
        ("teacher", "small", None, 1, 1.1),
    ]
    for strategy, seed in STUDENTS[:students]:
        models.append(("student", strategy, strategy, seed, 1.2 + 0.1 * seed))
    entrants = []
    for role, name, strategy, seed, _ in models:
        recipe = Recipe(
            name="sample",
            model="some-encoder",
            data=Data(source=f"{UNKIND}.csv"),
            strategy=Strategy(name=strategy or "none"),
            train=Train(seed=seed),
        )
        label = f"{role}-{name}" + (f"-seed{seed}" if strategy else "")
        path = folder / label
        path.mkdir(parents=True)
        (path / "model.safetensors").touch()
        os.truncate(path / "model.safetensors", 4 * _parameters(label))
        (path / "training.json").write_text(json.dumps(_log(strategy)), encoding="utf-8")
        run = Run(
            role=role,
            name=label,
            strategy=strategy,
            seed=seed,
            teacher=str(folder / "teacher-large") if strategy else None,
            recipe=recipe,
            validation={},
            seconds=12.0,
        )
        entrants.append(Entrant(ModelFolder(label, str(path), run), recipe))
    return entrants, [noise for *_, noise in models]


def _log(strategy: str | None) -> dict[str, Any]:
    history: list[dict[str, float]] = []
    for step in range(10, 130, 10):
        line = {"step": step, "epoch": step / 60, "loss": 100 / step, "ce": 60 / step}
        if strategy not in (None, "none"):
            line |= {"kd": 40 / step, "share-large": 1.0, "share-selected": 1.0}
        if strategy == "dynamic-teacher":
            line |= {"share-small": 0.3 + step / 400, "share-large": 0.7 - step / 400}
        if strategy == "dynamic-objective":
            line |= {"pt": 0.01, "uncertainty": 10 / step, "kl-weight": 1 - 10 / step, "pt-weight": 10 / step}
        history.append(line)
    history += [{"step": step, "eval_accuracy": 0.5 + step / 500, "eval_loss": 0.7} for step in (60, 120)]
    return {"steps": 120, "examples": 1920, "teacher_queries": {"large": 1000}, "history": history}


def _layers(label: str) -> int:
    return {"teacher-large": 6, "teacher-small": 4}.get(label, 3)


def _parameters(label: str) -> int:
    return 12_000_000 + 1_800_000 * _layers(label)


def _answers(entrant: Entrant, contest: Contest, classes: int, noise: float, random: Any) -> Predictions:
    def logits(split: Split) -> Any:
        labels = np.asarray(split.labels)
        truth = 2 * np.eye(classes)[labels] if classes > 1 else labels[:, None]
        return (truth + noise * random.normal(size=truth.shape)).astype(np.float32)

    assert contest.validation is not None
    layers = _layers(entrant.folder.label)
    return Predictions(
        entrant=entrant,
        split=contest.split,
        said=Said(logits(contest.split), logits(contest.validation)),
        layers=layers,
        parameters=_parameters(entrant.folder.label),
        format="torch fp32",
        truncated=0,
        shape=(layers,),
        compute=Compute(torch.device("cpu"), torch.float32, "the tests"),
    )


def _timing(layers: int) -> Timing:
    cells = [(tokens, threads) for threads in (1, 2) for tokens in (16, 32, 64)]
    return Timing(
        speed=Speed(2.0 * layers, 2.4 * layers, 24, 600 / layers, 64, 3),
        grid=SpeedGrid(
            tuple(LengthSpeed(n, t, layers * n / 16 / t, layers * n / 14 / t, 20) for n, t in cells),
            tuple(BatchSpeed(size, 64, 100 * size**0.5 / layers, 20) for size in (1, 4, 16, 64)),
        ),
        text=TextLatency(2.5 * layers, 2.9 * layers, 48),
        cost=Cost(120_000_000 * layers, 33, 4_000_000 * layers, 9_000_000 * layers, (64, 64)),
    )
