"""Table of prices: paid teachers beside students, which cost nothing to query.

Knows the figures of `labelling.paid.PaidTeacher` as plain values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TITLE = "price of a prediction"
COLUMNS = ("model", "accuracy", "price of 1,000 texts", "requests so far")
NOTES = ("A teacher's accuracy is on the audited texts; prices are in the currency of the recipe's `price`.",)
MOST = 5
"""Students in the table."""
Paid = Mapping[str, Any]


def price_rows(paid: Sequence[Paid], students: Sequence[tuple[str, str]]) -> list[list[object]]:
    """Rows of `COLUMNS`: one for each paid teacher and each student, given with its accuracy as text."""
    rows: list[list[object]] = [
        [_called(one), audited(one), f"{one['per_1000']:.2f}", f"{one['requests']:,}"] for one in paid
    ]
    return rows + [[name, shown, "0", None] for name, shown in students]


def scored_students(contest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names of a contest's students and their scores as text, the one chosen on validation first; at most
    `MOST`."""
    metric, best = contest["main_metric"], (contest["best_student"] or {}).get("model")
    students = [model for model in contest["models"] if model["role"] == "student"]
    scored = [model for model in students if model["metrics"][metric] is not None]
    scored.sort(key=lambda model: model["model"] != best)
    on = f"{metric} on {contest['rows']:,}"
    return [(model["model"], f"{model['metrics'][metric]:.3f} {on}") for model in scored[:MOST]]


def audited(one: Paid) -> str:
    """The accuracy of a paid teacher with its interval, or that there was no audit."""
    if one["accuracy"] is None:
        return "not audited"
    return f"{one['accuracy']:.3f} ({one['low']:.3f} to {one['high']:.3f}) on {one['audited']}"


def price_sentence(one: Paid, student: str) -> str:
    """A sentence on a paid teacher, for a headline."""
    accuracy = "not audited" if one["accuracy"] is None else f"accuracy {audited(one)} audited texts"
    price = f"{one['per_1000']:.2f} per 1,000 texts"
    return f"Its teacher {_called(one)}, {accuracy}, costs {price}; {student} costs nothing to query."


def _called(one: Paid) -> str:
    return f"{one['name']} ({one['model']})"
