"""Curves from `training.json` over the steps of a run; does not know how they are drawn."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MOST_POINTS = 150
CLOCKS = ("runtime", "samples_per_second", "steps_per_second")
NOT_CURVES = frozenset({"step", "epoch", "total_flos", "train_loss"})


def training_log(folder: Path) -> dict[str, Any] | None:
    """Return the log of a run with its history turned into `curves`: name -> [[step, value], ...].

    None without a readable log: the report then omits the section.
    """
    try:
        log: dict[str, Any] = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    history = log.pop("history", [])
    return log | {"curves": curves(history)}


def curves(history: Sequence[Mapping[str, float]]) -> dict[str, list[list[float]]]:
    """Return a curve for each logged figure; long ones are thinned, keeping the first and the last point."""
    found: dict[str, list[list[float]]] = defaultdict(list)
    for line in history:
        for name, value in line.items():
            if name not in NOT_CURVES and not name.endswith(CLOCKS) and isinstance(value, int | float):
                found[name].append([line["step"], value])
    return {name: _thinned(points) for name, points in found.items()}


def _thinned(points: list[list[float]]) -> list[list[float]]:
    if len(points) <= MOST_POINTS:
        return points
    last = len(points) - 1
    return [points[round(i * last / (MOST_POINTS - 1))] for i in range(MOST_POINTS)]
