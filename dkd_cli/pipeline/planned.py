"""Runs to be made, each resolved once: its recipe, plan and folder, and where its models come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dkd_cli.engine.method.strategies import Plan, resolve
from dkd_cli.engine.runs.checkpoints import student_folder, teacher_folder, teacher_source
from dkd_cli.engine.runs.identity import teacher_train
from dkd_cli.recipe.schema import Recipe, Train, without_transfer
from dkd_cli.recipe.student_kinds import student_train
from dkd_cli.recipe.teacher_kinds import kind_of


@dataclass(frozen=True, kw_only=True)
class TeacherRun:
    """A teacher to train."""

    recipe: Recipe
    name: str
    folder: Path
    settings: Train
    """The recipe's schedule with the teacher's own settings over it."""
    source: str
    """The pretrained encoder."""

    @property
    def seed(self) -> int:
        """The random seed of the run."""
        return self.settings.seed


@dataclass(frozen=True, kw_only=True)
class StudentRun:
    """A student to train."""

    recipe: Recipe
    plan: Plan
    folder: Path
    settings: Train
    """The recipe's schedule with that of the student's kind and its own settings over it."""
    source: str
    """The model that it is made from."""
    teachers: Mapping[str, str]
    """Hub id or folder of each teacher that is a model and is needed: queried, or cut down to the student."""
    reference: str | None
    """The name of the largest teacher that is a model, which the student is measured against."""
    reference_source: str | None
    """Its hub id or folder, whether or not it is needed."""

    @property
    def seed(self) -> int:
        """The random seed of the run."""
        return self.settings.seed

    @property
    def takes_transfer(self) -> bool:
        """Return whether it learns from the transfer set, where there is one."""
        return bool(self.plan.teachers) and self.recipe.strategy.transfer


def plan_teacher(recipe: Recipe, name: str, *, schedule: bool = False) -> TeacherRun:
    """Resolve the run that trains one teacher of a recipe; `schedule` as in `checkpoints.teacher_folder`."""
    teacher, recipe = recipe.teachers[name], without_transfer(recipe)
    return TeacherRun(
        recipe=recipe,
        name=name,
        folder=teacher_folder(recipe, name, schedule=schedule),
        settings=teacher_train(recipe.train, teacher),
        source=teacher.model or recipe.model,
    )


def plan_student(recipe: Recipe) -> StudentRun:
    """Resolve the run of a recipe's student."""
    plan, names = resolve(recipe), tuple(recipe.teachers)
    sources = {
        name: teacher_source(recipe, name) for name in names if kind_of(recipe.teachers[name]).is_model
    }
    cut = recipe.student.model == "teacher"
    needed = plan.teachers or (names[-1:] if cut else ())
    return StudentRun(
        recipe=recipe,
        plan=plan,
        folder=student_folder(recipe),
        settings=student_train(recipe),
        source=sources[names[-1]] if cut else recipe.student.model or recipe.model,
        teachers={name: sources[name] for name in needed if name in sources},
        reference=next(reversed(sources), None),
        reference_source=next(reversed(sources.values()), None),
    )
