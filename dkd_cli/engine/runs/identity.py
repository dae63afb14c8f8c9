"""Identity of a run: its settings, data and teachers. Refuses to continue a run that differs in one.

Knows no folder but by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from dkd_cli.engine.method.strategies import resolve
from dkd_cli.errors import SystemProblem
from dkd_cli.recipe.schema import Recipe, Teacher, Train, has_transfer
from dkd_cli.recipe.student_kinds import student_train

Role = Literal["teacher", "student"]


NO_DIFFERENCE = frozenset({"train.log_every", "train.report_to", "data.unseen_labels"})
"""Keys that change no weight: the last one is about test rows alone."""


def teacher_train(train: Train, teacher: Teacher) -> Train:
    """The schedule of one teacher: its own settings over the recipe's."""
    own = {
        key: value
        for key in ("epochs", "learning_rate", "batch_size", "warmup", "freeze")
        if (value := getattr(teacher, key)) is not None
    }
    return replace(train, **own)


def identity(recipe: Recipe, role: Role, name: str) -> dict[str, Any]:
    """The settings that decide a run's result, flat, by dotted key: equal means the same experiment."""
    settings: dict[str, Any] = {"model": recipe.model, "data": asdict(recipe.data)}
    if role == "teacher":
        teacher = recipe.teachers[name]
        settings |= {
            "teacher": {"model": teacher.model, "layers": teacher.layers},
            "train": asdict(teacher_train(recipe.train, teacher)),
        }
    else:
        plan = resolve(recipe)
        alone = has_transfer(recipe.data) and not (plan.teachers and recipe.strategy.transfer)
        settings |= {
            "student": asdict(recipe.student),
            "strategy": {
                "data": asdict(plan.selection),
                "teacher": asdict(plan.adoption),
                "objective": asdict(plan.objective),
                "transfer": not (alone and plan.teachers),
                "max_passes": recipe.strategy.max_passes if alone else None,
            },
            "teachers": {teacher: asdict(recipe.teachers[teacher]) for teacher in plan.teachers},
            "train": asdict(student_train(recipe)),
        }
    flat = _flatten(settings)
    return {key: value for key, value in flat.items() if key not in NO_DIFFERENCE}


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def refuse_other(folder: Path, theirs: Recipe, ours: Recipe, role: Role, name: str) -> None:
    """Refuse a folder whose recipe makes another experiment of the same role and name."""
    if role == "teacher" and name not in theirs.teachers:
        raise SystemProblem(str(folder), "holds another experiment", "set another name, or --output-dir")
    before, now = identity(theirs, role, name), identity(ours, role, name)
    changed = [
        f"{key} is {before.get(key)!r} there and {now.get(key)!r} here"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if changed:
        more = f" and {len(changed) - 2} more" if len(changed) > 2 else ""
        raise SystemProblem(
            str(folder),
            f"holds another experiment: {', '.join(changed[:2])}{more}",
            "give this one another name (--set name=...) or --output-dir, or remove the folder",
        )


def refuse_other_data(folder: Path, theirs: str | None, ours: str | None) -> None:
    """Refuse a folder that was made from other texts or labels; None is not known."""
    if theirs is not None and ours is not None and theirs != ours:
        raise SystemProblem(
            str(folder),
            "was made from other data than there are now: its texts or labels have changed",
            "make it again with --fresh, or bring the old data back",
        )


def refuse_other_teachers(folder: Path, theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    """Refuse a student of teachers whose weights or answers were others, by their digests."""
    for name, digest in ours.items():
        if name not in theirs:  # older versions wrote none down for files of probabilities
            problem = (
                f"does not say what {name!r} was when it learnt from it: an older version of dkd made it"
            )
            raise SystemProblem(str(folder), problem, "train it again with --fresh")
        if theirs[name] != digest:
            raise SystemProblem(
                str(folder),
                f"was taught by another {name!r} than there is now: its weights or answers have changed",
                "train it again with --fresh, or restore the old teacher",
            )
