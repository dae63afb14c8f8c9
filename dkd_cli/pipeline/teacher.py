"""One teacher: which are wanted, what is read and built for it, and its training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dkd_cli.engine.method.distillation import distillation_step
from dkd_cli.engine.method.strategies import FINE_TUNING
from dkd_cli.engine.models.models import check_fit
from dkd_cli.engine.models.students import build_classifier
from dkd_cli.engine.runs.checkpoints import Run, claim, teacher_folder, teacher_train
from dkd_cli.engine.teachers.bank import NO_TEACHERS
from dkd_cli.errors import RecipeError, raise_all
from dkd_cli.pipeline.workshop import Workshop, judge_by_labels, make_or_find, train_and_publish
from dkd_cli.recipe.schema import Recipe, decides_teachers


@dataclass(frozen=True)
class Wanted:
    """A teacher to make, and where."""

    recipe: Recipe
    name: str
    folder: Path


def wanted(points: Sequence[Recipe], only: tuple[str, ...]) -> list[Wanted]:
    """The teachers to make: each once, however many points share it.

    Raises:
        RecipeError: as `train_teacher`, and for a swept key that changes no teacher.
    """
    idle = [key for key in points[0].sweep if not (decides_teachers(key) or key.startswith("train."))]
    raise_all(
        [RecipeError(f"--sweep {key}", "changes no teacher", "sweep it with `dkd distill`") for key in idle]
    )
    made: dict[Path, Wanted] = {}
    for recipe in points:
        for name in chosen(recipe, only):
            folder = teacher_folder(recipe, name, schedule=True)
            made.setdefault(folder, Wanted(recipe, name, folder))
    return list(made.values())


def chosen(recipe: Recipe, only: tuple[str, ...]) -> list[str]:
    """The names of the teachers to make."""
    elsewhere = {
        name: source
        for name, teacher in recipe.teachers.items()
        if (source := teacher.checkpoint or teacher.probabilities) is not None
    }
    for name in only:
        if name not in recipe.teachers:
            raise RecipeError(
                "--teacher", f"{name!r} is no teacher of this recipe", f"choose {', '.join(recipe.teachers)}"
            )
        if name in elsewhere:
            raise RecipeError(
                f"teachers.{name}", f"is made elsewhere ({elsewhere[name]})", "go on with `dkd distill`"
            )
    names = list(only) or [name for name in recipe.teachers if name not in elsewhere]
    if not names:
        raise RecipeError("teachers", "all of them are made elsewhere", "go on with `dkd distill`")
    if recipe.data.unlabelled:
        raise RecipeError(
            "data.unlabelled",
            "is true, but a teacher learns from labels",
            "name trained ones in `teachers`",
        )
    return names


def one_teacher(workshop: Workshop, wanted: Wanted, fresh: bool) -> Run:
    """Fine-tune one teacher, or find it made."""
    warn = workshop.terminal.warn
    place = claim(wanted.folder, wanted.recipe, "teacher", wanted.name, fresh=fresh, warn=warn)
    return make_or_find(workshop, wanted.folder, place, lambda: prepared(workshop, wanted))


def prepared(workshop: Workshop, wanted: Wanted) -> Callable[..., Run]:
    """All that a process reads and builds before the training begins; what is left wants the folders."""
    recipe, name = wanted.recipe, wanted.name
    teacher = recipe.teachers[name]
    settings = teacher_train(recipe.train, teacher)
    key, source = f"teachers.{name}", teacher.model or recipe.model
    workshop.check(recipe, settings, {key: source})
    data = workshop.data(recipe)
    judge = judge_by_labels(settings, data)  # a wrong metric is reported before any weight is read
    compute = workshop.compute(settings)
    built = build_classifier(
        source,
        data,
        layers=teacher.layers,
        seed=settings.seed,
        key=key,
    )
    for note in built.notes:
        workshop.terminal.warn(note)
    splits = workshop.splits(recipe, built.tokenizer)
    check_fit(built.model, (splits.train, splits.validation), recipe.data.max_length, "teacher")
    return partial(
        train_and_publish,
        workshop,
        Run(
            role="teacher",
            name=wanted.folder.name,
            strategy=None,
            seed=settings.seed,
            teacher=None,
            recipe=recipe,
            validation={},
            seconds=0.0,
        ),
        built,
        splits,
        lambda student, labels, rows: distillation_step(FINE_TUNING, student, labels, rows, NO_TEACHERS, {}),
        base=source,
        judge=judge,
        settings=settings,
        compute=compute,
        needs_hidden_states=False,
        projections={},
        pool=None,
        teachers=NO_TEACHERS,
    )
