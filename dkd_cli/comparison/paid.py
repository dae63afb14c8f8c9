"""Paid teachers beside the students: accuracy on the audited rows, and the price of 1,000 texts.

From what `dkd label` has left; queries nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

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
    found = []
    for name, teacher in recipe.teachers.items():
        folder = labelling_folder(recipe, name)
        if teacher.endpoint is None or not (folder / "summary.json").is_file():
            continue
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        path, audit = folder / "audit.json", dict[str, Any]()
        if path.is_file():
            audit = json.loads(path.read_text(encoding="utf-8"))
        found.append(
            PaidTeacher(
                name,
                str(summary["teacher"]),
                float(summary["per_1000"]),
                int(summary["requests"]),
                audit.get("accuracy"),
                audit.get("low"),
                audit.get("high"),
                int(audit.get("rows", 0)),
            )
        )
    return found


def price_rows(paid: Sequence[PaidTeacher]) -> tuple[list[str], list[list[object]]]:
    """Columns and rows: one for each paid teacher, and one for the students, which cost nothing to query."""
    rows: list[list[object]] = []
    for one in paid:
        accuracy = "not audited"
        if one.accuracy is not None:
            accuracy = f"{one.accuracy:.3f} ({one.low:.3f} to {one.high:.3f}) on {one.audited}"
        rows.append([f"{one.name} ({one.model})", accuracy, f"{one.per_1000:.2f}", f"{one.requests:,}"])
    rows.append(["students", "above", "0", ""])
    columns = ["model", "accuracy on audited texts", "price of 1,000 texts", "requests so far"]
    return columns, rows


def price_figures(paid: Sequence[PaidTeacher]) -> list[dict[str, Any]]:
    """The same for `comparison.json`."""
    return [asdict(one) for one in paid]
