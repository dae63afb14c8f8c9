"""The commands as plain functions that return values, for notebooks and pipelines.

`from dkd_cli import load_recipe, train_teacher, distill, evaluate, predict`: each does what its command does,
in the same folders. What is there is found, and what was interrupted resumes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dkd_cli.commands import distill as distill_command
from dkd_cli.commands import evaluate as evaluate_command
from dkd_cli.commands import train_teacher as train_teacher_command
from dkd_cli.data.kinds import KINDS
from dkd_cli.engine.deploy.load import load_answering
from dkd_cli.engine.runs.checkpoints import Run
from dkd_cli.errors import ModelError
from dkd_cli.evaluation.temperature_file import read_temperature, read_thresholds
from dkd_cli.evaluation.thresholds import as_cuts
from dkd_cli.reading.locate import local_path
from dkd_cli.recipe.loader import load_points
from dkd_cli.recipe.overrides import seeds_and_strategies
from dkd_cli.recipe.schema import decides_teachers
from dkd_cli.report.terminal import Terminal

BATCH = 32
"""Texts in each forward pass of `predict`."""

__all__ = ["Run", "distill", "evaluate", "predict", "train_teacher"]


def train_teacher(
    recipe: str | None = None,
    *,
    overrides: Sequence[str] = (),
    teachers: Sequence[str] = (),
    fresh: bool = False,
    quiet: bool = True,
) -> list[Run]:
    """Train a recipe's teachers, or find them trained.

    Args:
        recipe: a file, or the name of a bundled recipe; None: `quickstart`.
        overrides: `key=value` items, as `--set`.
        teachers: the names of those to train; empty: all that are not made elsewhere.
        fresh: start over.
        quiet: print warnings only.

    Returns:
        A run for each teacher: its name, recipe, validation metrics and seconds.

    Raises:
        DkdError, Problems: one for each thing that is wrong, with its place and the remedy.
    """
    points = load_points(recipe, overrides, keep=decides_teachers)
    return train_teacher_command.train_teacher(
        points, only=tuple(teachers), fresh=fresh, terminal=Terminal(quiet), typed=""
    )


def distill(
    recipe: str | None = None,
    *,
    strategies: Sequence[str] = (),
    seeds: Sequence[int] = (),
    overrides: Sequence[str] = (),
    fresh: bool = False,
    cached: bool = True,
    quiet: bool = True,
) -> list[Run]:
    """Distil a recipe's students, or find them made; its teachers must be there.

    Args:
        recipe: a file, or the name of a bundled recipe; None: `quickstart`.
        strategies: such as `static` or `dynamic-data,dynamic-objective`; empty: the recipe's own.
        seeds: one run for each; empty: the recipe's own.
        overrides: `key=value` items, as `--set`.
        fresh: start over.
        cached: read and write the cache of teachers' logits and hidden states.
        quiet: print warnings only.

    Returns:
        A run for each strategy, seed and other swept value.

    Raises:
        DkdError, Problems: one for each thing that is wrong, with its place and the remedy.
    """
    text = ",".join(map(str, seeds)) or None
    pinned, varied = seeds_and_strategies(text, strategies)
    points = load_points(recipe, [*overrides, *pinned], varied)
    return distill_command.distill(points, fresh=fresh, terminal=Terminal(quiet), typed="", cached=cached)


def evaluate(
    *paths: str | Path,
    split: str | None = None,
    output: str | Path | None = None,
    timing: bool = True,
    quiet: bool = True,
) -> dict[str, Any]:
    """Compare the models in and below some folders, as `dkd evaluate`.

    Args:
        paths: model folders, or folders that hold them.
        split: the split to score; None: the labelled test split, else validation.
        output: where `evaluation.json` and `report.html` go; None: the first of `paths`.
        timing: measure latency and throughput.
        quiet: print warnings only.

    Returns:
        The figures of `evaluation.json`.

    Raises:
        DkdError, Problems: one for each thing that is wrong, with its place and the remedy.
    """
    folders = [Path(path) for path in paths]
    where = folders[0] if output is None else Path(output)
    evaluate_command.evaluate(
        folders,
        recipe=None,
        split=split,
        predictions=None,
        output=where,
        timing=timing,
        terminal=Terminal(quiet),
    )
    figures: dict[str, Any] = json.loads((where / "evaluation.json").read_text(encoding="utf-8"))
    return figures


def predict(
    model: str | Path, texts: Sequence[str], pairs: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Predict texts with a checkpoint, an export, a hub id or `pkg://`, as `dkd predict`.

    Args:
        model: the classifier.
        texts: N texts.
        pairs: their partners, for a model of text pairs.

    Returns:
        N rows in the order of the texts: `label` (of several labels per text `labels`, a list),
        `probability`, `uncertainty` and `probabilities`, or `prediction` for a model of numbers, or
        `entities` (`text`, `label`, `start`, `end`, `score`) and `uncertainty` for one of tagged words.

    Raises:
        ModelError: where there is no such classifier.
    """
    predictor = load_answering(str(model))
    folder, names = local_path(str(model), ModelError), predictor.labels
    temperature = read_temperature(folder)
    cuts = as_cuts(read_thresholds(folder), temperature, names or ())
    kind = KINDS[predictor.kind]
    rows: list[dict[str, Any]] = []
    for start in range(0, len(texts), BATCH):
        some = texts[start : start + BATCH]
        logits, _ = predictor.logits(
            [kind.reads(text) for text in some], None if pairs is None else pairs[start : start + BATCH]
        )
        rows += [
            kind.answer(values.astype(np.float64), temperature, cuts, names, text)
            for values, text in zip(logits, some, strict=True)
        ]
    return rows
