"""One student: the teachers it needs, what is read and built for it, and its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dkd_cli.engine.cache.fingerprint import weights_digest
from dkd_cli.engine.method.checks import check_plan
from dkd_cli.engine.method.distillation import StrategyStep
from dkd_cli.engine.method.outputs import OUTPUTS
from dkd_cli.engine.models.attention import show_attention
from dkd_cli.engine.models.models import check_fit
from dkd_cli.engine.models.students import build_student
from dkd_cli.engine.runs.checkpoints import Run, claim, given_labels
from dkd_cli.engine.training.counts import between_validations, loaded_at_once, shortened
from dkd_cli.engine.training.job import Job
from dkd_cli.engine.training.learning_rate import STUDENT, learning_rate
from dkd_cli.engine.training.pool import pooled
from dkd_cli.errors import DkdError, ModelError, raise_all
from dkd_cli.pipeline.answered import answer_digests, label_files
from dkd_cli.pipeline.hidden_states import settled
from dkd_cli.pipeline.judging import judge_by_labels, judge_by_teacher, weights_of_classes
from dkd_cli.pipeline.loaded_teachers import LoadedTeachers
from dkd_cli.pipeline.narrowing import narrowed
from dkd_cli.pipeline.planned import StudentRun
from dkd_cli.pipeline.training import Prepared, train_and_publish
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.recipe.teacher_kinds import kind_of


def require_teachers(runs: Sequence[StudentRun], typed: str) -> None:
    """Check that every teacher that a run needs exists, before anything is loaded.

    Raises:
        Problems, ModelError: for those that `dkd train-teacher` or `dkd label` has not made yet.
    """
    missing: dict[str, DkdError] = {}
    for run in runs:
        for name, source in run.teachers.items():
            if kind_of(run.recipe.teachers[name]).trained_here and not Path(source).is_dir():
                remedy = f"make it with `dkd train-teacher{typed}`"
                missing[source] = ModelError(f"teachers.{name}", f"{source} does not exist yet", remedy)
        for name, path in label_files(run.recipe).items():
            if name in run.plan.teachers and not path.is_file():
                remedy = f"make it with `dkd label{typed}`"
                missing[str(path)] = ModelError(f"teachers.{name}", f"{path} does not exist yet", remedy)
    raise_all(list(missing.values()))


def weights_of_teachers(run: StudentRun) -> dict[str, str]:
    """A digest of each teacher that the run needs: of a model's weights, of a recorded one's answers."""
    weights = {name: weights_digest(source, f"teachers.{name}") for name, source in run.teachers.items()}
    return weights | {
        name: one for name, one in answer_digests(run.recipe).items() if name in run.plan.teachers
    }


def hard_labels_note(teacher: str) -> str:
    """A line on what `none` learns where the training texts have no labels."""
    return f"none: the training texts have no labels; the predictions of teachers.{teacher} stand for them"


def one_student(workshop: Workshop, loaded: LoadedTeachers, run: StudentRun, fresh: bool) -> Run:
    """Distil one student, or find it made."""
    digests = workshop.peers.decide(lambda: weights_of_teachers(run))
    data = workshop.peers.decide(lambda: workshop.data_digest(run.recipe))
    claiming = claim(
        run.folder,
        run.recipe,
        "student",
        run.recipe.strategy.name,
        fresh=fresh,
        warn=workshop.terminal.warn,
        teachers=digests,
        data=data,
    )
    with workshop.peers.led(claiming) as working:
        if working is None:
            return workshop.found(run.folder)
        with workshop.peers.together():
            prepared = prepare(workshop, loaded, run, digests, working, data)
        return train_and_publish(workshop, prepared, run.folder)


def prepare(
    workshop: Workshop,
    loaded: LoadedTeachers,
    run: StudentRun,
    digests: Mapping[str, str],
    working: Path,
    digest: str | None,
) -> Prepared:
    """Read and build everything that training a student needs.

    Args:
        workshop: gives data, tokens and terminal.
        loaded: the teachers of the command.
        run: the student.
        digests: of its teachers' weights, by name.
        working: the claimed folder.
        digest: of its data.

    Raises:
        Problems, DkdError: for anything wrong with recipe, data, machine or models, before training begins.
    """
    recipe, settings = run.recipe, run.settings
    models = {"student": run.source} | {f"teachers.{name}": source for name, source in run.teachers.items()}
    workshop.check(recipe, settings, models)
    data = workshop.data(recipe)
    plan = replace(run.plan, output=data.task.kind)
    check_plan(plan, recipe.strategy.name, data.outputs)
    weights = weights_of_classes(settings, data)
    labelled = data.splits["validation"].labels is not None
    judge = judge_by_labels(data) if labelled else None
    compute = workshop.compute(settings)
    labels = given_labels(recipe, run.source)
    built = build_student(run.source, data, recipe, labels, workshop.terminal.progress)
    student = narrowed(workshop, recipe, built)
    if plan.hard:
        workshop.once(workshop.terminal.say, hard_labels_note(plan.teachers[-1]))
    for note in student.notes:
        workshop.terminal.warn(note)
    splits = workshop.splits(recipe, student.tokenizer)
    run = settled(workshop, loaded, run, student, splits)
    plan = replace(run.plan, output=data.task.kind)
    if plan.relates:
        show_attention(student.model, "student")
    if judge is None:
        answers = loaded.validation_answers(run, student, splits)
        splits, judge = judge_by_teacher(settings, data, splits, answers)
    bank, layers, projections = loaded.bank(run, student, splits, compute)
    in_batch, pool = pooled(plan, settings.batch_size * workshop.peers.count, bank.logits)
    if pool is not None and pool.size > len(splits.train):
        workshop.terminal.warn(
            f"the training split has {len(splits.train)} rows and a pool {pool.size}: "
            f"each update learns from {pool.kept(len(splits.train))}; lower train.batch_size"
        )
    # Without transfer texts a student sees the labelled rows as often as it takes for as many updates, and is
    # validated on the way: many passes over a few rows overfit.
    train = splits.train if run.takes_transfer else splits.labelled
    at_once = loaded_at_once(settings, pool, workshop.peers.count)
    sizes = len(train), len(splits.train), at_once
    if not run.takes_transfer:
        settings = shortened(settings, *sizes, recipe.strategy.max_passes)
    rows_per_epoch, settings = between_validations(settings, *sizes)
    check_fit(student.model, (splits.train, splits.validation), recipe.data.max_length, "student")
    job = Job(
        model=student.model,
        train=train,
        longer_epoch=rows_per_epoch,
        validation=splits.validation,
        collator=splits.collator,
        step=StrategyStep(
            plan=in_batch, teachers=bank, layers=layers, projections=projections, class_weights=weights
        ),
        needs_hidden_states=plan.aligns,
        projections=projections,
        pool=pool,
        settings=settings,
        learning_rate=learning_rate(settings.learning_rate, student.model.config, STUDENT),
        compute=compute,
        metrics=judge.metrics,
        supervised=OUTPUTS[data.task.kind].supervised,
        constant=OUTPUTS[data.task.kind].constant,
        metric=judge.metric,
        working=working,
        peers=workshop.peers,
        warn=workshop.terminal.warn,
        before_save=bank.flush,
    )
    made = Run(
        role="student",
        name=run.folder.name,
        strategy=recipe.strategy.name,
        seed=settings.seed,
        teacher=run.reference_source,
        recipe=recipe,
        validation={},
        seconds=0.0,
        teachers=digests,
        data=digest,
    )
    return Prepared(job=job, built=student, source=run.source, run=made, teachers=bank)
