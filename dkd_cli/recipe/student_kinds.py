"""The kinds of student that a recipe can ask for, `student.family`, and what each of them trains with.

How a kind is built is in `engine/models/students.py`, `STUDENTS`, by the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dkd_cli.recipe.schema import Recipe, Train, has_transfer

SCHEDULE = ("epochs", "learning_rate", "batch_size", "warmup", "freeze")
"""The keys of `train` that a student can have of its own."""


@dataclass(frozen=True, kw_only=True)
class StudentKind:
    """Facts about a kind of student before it is built."""

    loaded_by: Literal["transformers"] | None = None
    """The one that loads its folders; None: dkd alone."""
    schedule: Mapping[str, Any] = field(default_factory=dict)
    """In place of the recipe's `train`, whose values are meant for encoders."""
    with_transfer: Mapping[str, Any] = field(default_factory=dict)
    """Over `schedule`, where the recipe has a transfer set, which makes its epochs longer."""


STUDENT_KINDS: dict[str, StudentKind] = {
    "encoder": StudentKind(loaded_by="transformers"),
    "static": StudentKind(
        schedule={
            "epochs": 10.0,
            "learning_rate": 3e-3,
            "batch_size": 32,
            "warmup": 0.1,
            "freeze": "nothing",
        },
        with_transfer={"epochs": 5.0},
    ),
}


def student_train(recipe: Recipe) -> Train:
    """The schedule of a recipe's student: its own settings over those of its kind, over `train`.

    A student that leaves the transfer set aside has the same schedule.
    """
    train = recipe.train if recipe.train.dropout is not None else replace(recipe.train, dropout=0.0)
    own = {key: value for key in SCHEDULE if (value := getattr(recipe.student, key)) is not None}
    kind = STUDENT_KINDS[recipe.student.family]
    longer = kind.with_transfer if has_transfer(recipe.data) else {}
    return replace(train, **{**kind.schedule, **longer, **own})
