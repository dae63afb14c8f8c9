"""Paid teachers as `dkd label` left them: the accuracy of its audit, and the price of 1,000 texts.

Queries nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dkd_cli.engine.runs.checkpoints import Run
from dkd_cli.labelling.setting import labelling_folder
from dkd_cli.recipe.schema import Recipe


@dataclass(frozen=True)
class PaidTeacher:
    """A teacher behind an endpoint that `dkd label` has queried."""

    name: str
    model: str
    per_1000: float
    """Price of 1,000 requests, in the currency of `price`."""
    requests: int
    accuracy: float | None = None
    """On the audited rows, with its 95 % interval; None without an audit."""
    low: float | None = None
    high: float | None = None
    audited: int = 0


def paid_teachers(recipe: Recipe) -> list[PaidTeacher]:
    """The recipe's endpoints that have a labelling, in the recipe's order."""
    endpoints = [name for name, teacher in recipe.teachers.items() if teacher.endpoint is not None]
    found = [_read(labelling_folder(recipe, name), name) for name in endpoints]
    return [one for one in found if one is not None]


def teachers_paid_for(students: Iterable[tuple[Path, Run]]) -> list[PaidTeacher]:
    """The endpoints that taught some students, given as folder and run; each once."""
    folders: dict[Path, str] = {}
    for folder, run in students:
        for name, teacher in run.recipe.teachers.items():
            if teacher.endpoint is not None and name in run.teachers:
                # Next to the student, wherever that was moved to.
                folders[folder.resolve().parent / labelling_folder(run.recipe, name).name] = name
    found = [_read(folder, name) for folder, name in folders.items()]
    return [one for one in found if one is not None]


def price_figures(paid: Sequence[PaidTeacher]) -> list[dict[str, Any]]:
    """Plain values for `comparison.json` and `evaluation.json`."""
    return [asdict(one) for one in paid]


def _read(folder: Path, name: str) -> PaidTeacher | None:
    if not (folder / "summary.json").is_file():
        return None
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    path, audit = folder / "audit.json", dict[str, Any]()
    if path.is_file():
        audit = json.loads(path.read_text(encoding="utf-8"))
    return PaidTeacher(
        name,
        str(summary["teacher"]),
        float(summary["per_1000"]),
        int(summary["requests"]),
        audit.get("accuracy"),
        audit.get("low"),
        audit.get("high"),
        int(audit.get("rows", 0)),
    )
