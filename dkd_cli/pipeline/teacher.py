"""One teacher: which are to be made, what is read and built for it, and its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dkd_cli.engine.method.distillation import StrategyStep
from dkd_cli.engine.method.outputs import OUTPUTS
from dkd_cli.engine.method.strategies import FINE_TUNING
from dkd_cli.engine.models.models import check_fit
from dkd_cli.engine.models.students import build_classifier
from dkd_cli.engine.runs.checkpoints import Run, claim
from dkd_cli.engine.teachers.bank import NO_TEACHERS
from dkd_cli.engine.training.job import Job
from dkd_cli.engine.training.learning_rate import TEACHER, learning_rate
from dkd_cli.errors import RecipeError, raise_all
from dkd_cli.pipeline.judging import judge_by_labels, weights_of_classes
from dkd_cli.pipeline.planned import TeacherRun, plan_teacher
from dkd_cli.pipeline.training import Prepared, train_and_publish
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.recipe.schema import Recipe, decides_teachers
from dkd_cli.recipe.teacher_kinds import made_elsewhere


def teachers_to_make(points: Sequence[Recipe], only: tuple[str, ...]) -> list[TeacherRun]:
    """The teachers to train: each once, however many points share it; none if all are made elsewhere.

    Args:
        points: resolved recipes.
        only: the names to make; empty: all that are not made elsewhere.

    Raises:
        RecipeError: for a name that is no teacher of the recipe, or one that is made elsewhere, and for a
            swept key that changes no teacher.
    """
    idle = [key for key in points[0].sweep if not (decides_teachers(key) or key.startswith("train."))]
    raise_all(
        [RecipeError(f"--sweep {key}", "changes no teacher", "sweep it with `dkd distill`") for key in idle]
    )
    made: dict[Path, TeacherRun] = {}
    for recipe in points:
        for name in _chosen(recipe, only):
            run = plan_teacher(recipe, name, schedule=True)
            made.setdefault(run.folder, run)
    return list(made.values())


def _chosen(recipe: Recipe, only: tuple[str, ...]) -> list[str]:
    elsewhere = {
        name: source
        for name, teacher in recipe.teachers.items()
        if (source := made_elsewhere(teacher)) is not None
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
    if names and recipe.data.unlabelled:
        raise RecipeError(
            "data.unlabelled",
            "is true, but a teacher learns from labels",
            "name trained ones in `teachers`",
        )
    return names


def one_teacher(workshop: Workshop, run: TeacherRun, fresh: bool) -> Run:
    """Fine-tune one teacher, or find it made."""
    warn = workshop.terminal.warn
    data = workshop.peers.decide(lambda: workshop.data_digest(run.recipe))
    claiming = claim(run.folder, run.recipe, "teacher", run.name, fresh=fresh, warn=warn, data=data)
    with workshop.peers.led(claiming) as working:
        if working is None:
            return workshop.found(run.folder)
        with workshop.peers.together():
            prepared = prepare(workshop, run, working, data)
        return train_and_publish(workshop, prepared, run.folder)


def prepare(workshop: Workshop, run: TeacherRun, working: Path, digest: str | None) -> Prepared:
    """Read and build everything that training a teacher needs; `digest` is that of its data.

    Raises:
        Problems, DkdError: for whatever is wrong with data, machine or model, before training begins.
    """
    recipe, settings, key = run.recipe, run.settings, f"teachers.{run.name}"
    workshop.check(recipe, settings, {key: run.source})
    data = workshop.data(recipe)
    judge, weights = judge_by_labels(data), weights_of_classes(settings, data)
    compute = workshop.compute(settings)
    layers = recipe.teachers[run.name].layers
    built = build_classifier(run.source, data, layers=layers, seed=settings.seed, key=key)
    for note in built.notes:
        workshop.terminal.warn(note)
    splits = workshop.splits(recipe, built.tokenizer)
    check_fit(built.model, (splits.train, splits.validation), recipe.data.max_length, "teacher")
    job = Job(
        model=built.model,
        train=splits.train,
        validation=splits.validation,
        collator=splits.collator,
        step=StrategyStep(
            plan=replace(FINE_TUNING, output=data.task.kind), teachers=NO_TEACHERS, class_weights=weights
        ),
        needs_hidden_states=False,
        settings=settings,
        learning_rate=learning_rate(settings.learning_rate, built.model.config, TEACHER),
        compute=compute,
        metrics=judge.metrics,
        supervised=OUTPUTS[data.task.kind].supervised,
        constant=OUTPUTS[data.task.kind].constant,
        metric=judge.metric,
        working=working,
        peers=workshop.peers,
        warn=workshop.terminal.warn,
    )
    made = Run(
        role="teacher",
        name=run.folder.name,
        strategy=None,
        seed=settings.seed,
        teacher=None,
        recipe=recipe,
        validation={},
        seconds=0.0,
        data=digest,
    )
    return Prepared(job=job, built=built, source=run.source, run=made, teachers=NO_TEACHERS)
