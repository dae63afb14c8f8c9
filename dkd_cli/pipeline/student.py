"""One student: the teachers it needs, what is read and built for it, and its training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from dkd_cli.engine.cache.fingerprint import weights_digest
from dkd_cli.engine.method.distillation import distillation_step
from dkd_cli.engine.method.strategies import check_classes, resolve
from dkd_cli.engine.models.attention import show_attention
from dkd_cli.engine.models.models import check_fit
from dkd_cli.engine.models.students import build_classifier
from dkd_cli.engine.runs.checkpoints import Run, claim, student_folder, teacher_source
from dkd_cli.engine.training.pool import pooled
from dkd_cli.errors import DkdError, ModelError, raise_all
from dkd_cli.pipeline.loaded_teachers import LoadedTeachers
from dkd_cli.pipeline.teacher_agreement import judge_by_teacher
from dkd_cli.pipeline.workshop import Workshop, judge_by_labels, make_or_find, train_and_publish
from dkd_cli.recipe.schema import Recipe


def require_teachers(points: Sequence[Recipe], typed: str) -> None:
    """Every teacher that a run will ask, before anything is loaded."""
    missing: dict[str, DkdError] = {}
    for recipe in points:
        for name in asked_teachers(recipe):
            teacher, source = recipe.teachers[name], teacher_source(recipe, name)
            if teacher.checkpoint is None and teacher.probabilities is None and not Path(source).is_dir():
                remedy = f"make it with `dkd train-teacher{typed}`"
                missing[source] = ModelError(f"teachers.{name}", f"{source} does not exist yet", remedy)
    raise_all(list(missing.values()))


def asked_teachers(recipe: Recipe) -> tuple[str, ...]:
    """The teachers that a run needs: those of its strategy, and the one that the student is cut from."""
    names = resolve(recipe).teachers
    if recipe.student.model == "teacher" and not names:
        return tuple(recipe.teachers)[-1:]
    return names


def one_student(workshop: Workshop, shelf: LoadedTeachers, recipe: Recipe, fresh: bool) -> Run:
    """Distil one student, or find it made."""
    final = student_folder(recipe)
    teachers = workshop.peers.decide(lambda: weights_of_teachers(recipe))
    place = claim(
        final,
        recipe,
        "student",
        recipe.strategy.name,
        fresh=fresh,
        warn=workshop.terminal.warn,
        teachers=teachers,
    )
    return make_or_find(workshop, final, place, lambda: prepared(workshop, shelf, recipe, teachers))


def weights_of_teachers(recipe: Recipe) -> dict[str, str]:
    """A digest of the weights of each teacher that is a model."""
    return {
        name: weights_digest(teacher_source(recipe, name), f"teachers.{name}")
        for name in asked_teachers(recipe)
        if recipe.teachers[name].probabilities is None
    }


def prepared(
    workshop: Workshop, shelf: LoadedTeachers, recipe: Recipe, teachers: Mapping[str, str]
) -> Callable[..., Run]:
    """All that a process reads and builds before the training begins; what is left wants the folders."""
    plan = resolve(recipe)
    workshop.check(recipe, recipe.train, models(recipe))
    data = workshop.data(recipe)
    check_classes(plan, recipe.strategy.name, len(data.label_names or ("a number",)))
    labelled = data.splits["validation"].labels is not None
    # A wrong metric is reported before any weight is read.
    judge = judge_by_labels(recipe.train, data) if labelled else None
    compute = workshop.compute(recipe.train)
    student = build_classifier(
        student_source(recipe),
        data,
        layers=recipe.student.layers,
        take=recipe.student.take,
        seed=recipe.train.seed,
        key="student",
    )
    if plan.relates:
        show_attention(student.model, "student")
    for note in student.notes:
        workshop.terminal.warn(note)
    splits = workshop.splits(recipe, student.tokenizer)
    if judge is None:
        answers = shelf.validation_answers(recipe, plan, student, splits)
        splits, judge = judge_by_teacher(recipe.train, data, splits, answers)
    bank, layers, projections = shelf.bank(recipe, plan, student, splits, compute)
    in_batch, pool = pooled(plan, recipe.train.batch_size * workshop.peers.count, bank.logits)
    if pool is not None and pool.size > len(splits.train):
        workshop.terminal.warn(
            f"the training split has {len(splits.train)} rows and a pool {pool.size}: "
            f"each update learns from {pool.kept(len(splits.train))}; lower train.batch_size"
        )
    check_fit(student.model, (splits.train, splits.validation), recipe.data.max_length, "student")
    return partial(
        train_and_publish,
        workshop,
        Run(
            role="student",
            name=student_folder(recipe).name,
            strategy=recipe.strategy.name,
            seed=recipe.train.seed,
            teacher=reference_teacher(recipe),
            recipe=recipe,
            validation={},
            seconds=0.0,
            teachers=teachers,
        ),
        student,
        splits,
        lambda output, labels, rows: distillation_step(
            in_batch, output, labels, rows, bank, layers, projections
        ),
        base=student_source(recipe),
        judge=judge,
        settings=recipe.train,
        compute=compute,
        needs_hidden_states=plan.aligns,
        projections=projections,
        pool=pool,
        teachers=bank,
    )


def largest_teacher(recipe: Recipe) -> str | None:
    """The name of the largest teacher that is a model; None where all are files."""
    models = [name for name, teacher in recipe.teachers.items() if teacher.probabilities is None]
    return models[-1] if models else None


def reference_teacher(recipe: Recipe) -> str | None:
    """Where the model lies that the student will be measured against."""
    name = largest_teacher(recipe)
    return None if name is None else teacher_source(recipe, name)


def models(recipe: Recipe) -> dict[str, str]:
    """What a run loads, by the recipe's key."""
    made = {name for name in asked_teachers(recipe) if recipe.teachers[name].probabilities is None}
    teachers = {f"teachers.{name}": teacher_source(recipe, name) for name in recipe.teachers if name in made}
    return {"student": student_source(recipe)} | teachers


def student_source(recipe: Recipe) -> str:
    """What the student is cut from."""
    if recipe.student.model == "teacher":
        return teacher_source(recipe, tuple(recipe.teachers)[-1])
    return recipe.student.model or recipe.model
