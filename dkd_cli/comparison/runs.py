"""Runs of a comparison: reported rows, contenders, and settings that differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dkd_cli.comparison.predicted_labels import with_recorded_labels
from dkd_cli.data.examples import Split, TaskData
from dkd_cli.engine.method.checks import check_plan
from dkd_cli.engine.method.strategies import resolve
from dkd_cli.engine.runs.checkpoints import teacher_folder
from dkd_cli.engine.runs.identity import identity
from dkd_cli.engine.training.counts import loaded_at_once, shortened
from dkd_cli.errors import DataError, DkdError
from dkd_cli.pipeline.planned import StudentRun, TeacherRun, plan_student, plan_teacher
from dkd_cli.pipeline.student import hard_labels_note
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.recipe.contenders import (
    CONTROL,
    LABELLED,
    MAX_PASSES,
    REFERENCES,
    SELECTING,
    ComparisonRequest,
    Contender,
    Contenders,
    load_contenders,
)
from dkd_cli.recipe.schema import Recipe, Train, Value
from dkd_cli.recipe.student_kinds import student_train
from dkd_cli.recipe.teacher_kinds import kind_of


@dataclass(frozen=True)
class Candidate:
    """A setting of a strategy: a run for each seed."""

    settings: Mapping[str, Value]
    """The grid values that distinguish it from the strategy's other settings, by dotted key."""
    points: tuple[StudentRun, ...]


@dataclass(frozen=True)
class ComparedStrategy:
    """One strategy and the settings that may stand for it."""

    name: str
    control: bool
    candidates: tuple[Candidate, ...]

    @property
    def points(self) -> tuple[StudentRun, ...]:
        """Every run of it."""
        return tuple(point for candidate in self.candidates for point in candidate.points)


@dataclass(frozen=True)
class Comparison:
    """Everything a comparison will do."""

    base: Recipe
    data: TaskData
    reported: Split
    """The rows that scores are reported on; nothing was chosen by them."""
    judge: str | None
    """The teacher whose predictions stand for the labels of the reported rows; None: they have labels."""
    entries: tuple[ComparedStrategy, ...]
    teacher: str | None
    """The name of the reference teacher: the largest one that is a model."""
    teachers: tuple[TeacherRun, ...]
    """Those that `dkd train-teacher` would make."""
    notes: tuple[str, ...]

    @property
    def chosen_by(self) -> str:
        """The validation metric that chooses: where there are no labels, agreement with the teacher."""
        labelled = self.data.splits["validation"].labels is not None
        return self.data.task.metrics[0] if labelled else "agreement"

    @property
    def hard(self) -> str | None:
        """The teacher whose predictions `none` learns, where the training texts have no labels."""
        return list(self.base.teachers)[-1] if self.base.data.unlabelled else None

    def students(self) -> list[StudentRun]:
        """Every run, one seed after the other, so that an interrupted comparison has complete seeds."""
        points = [point for entry in self.entries for point in entry.points]
        seeds = list(dict.fromkeys(point.seed for point in points))
        return sorted(points, key=lambda point: seeds.index(point.seed))


def make_plan(asked: ComparisonRequest, workshop: Workshop) -> Comparison:
    """Load the data and settle what is run and what is reported.

    Raises:
        DataError: for too few rows to report on, or a recorded teacher that leaves some of them out.
        RecipeError: for a requested strategy that is not defined on this task.
    """
    contenders = load_contenders(asked)
    contenders, reported, halved = _reported(asked, contenders, workshop)
    data, judge = workshop.data(contenders.base), None
    if reported.labels is None:
        judge = list(contenders.base.teachers)[-1]
        halved.append(
            f"no split has labels: scores are against the predictions of teachers.{judge}, not the truth; "
            "a labelled file in data.test would tell"
        )
        reported = with_recorded_labels(contenders.base, judge, data, reported)
    admitted, refused = _defined(contenders, data, asked)
    entries = tuple(
        ComparedStrategy(one.name, one.control, _candidates(_differing(one.points, data))) for one in admitted
    )
    needed = {name for entry in entries for point in entry.points for name in point.teachers}
    base = contenders.base
    here = [name for name, one in base.teachers.items() if kind_of(one).trained_here]
    teachers = tuple(plan_teacher(base, name) for name in here if name in needed)
    teacher, absent = _teacher(base, needed)
    plan = Comparison(base, data, reported, judge, entries, teacher, teachers, ())
    taught = [] if plan.hard is None else [hard_labels_note(plan.hard)]
    return replace(plan, notes=(*contenders.notes, *refused, *halved, *absent, *taught))


def _teacher(base: Recipe, asked: Collection[str]) -> tuple[str | None, list[str]]:
    """The largest teacher that is a model, unless no strategy queries it and it was never trained."""
    name = plan_student(base).reference
    if name is None:
        return None, []
    made = not kind_of(base.teachers[name]).trained_here or teacher_folder(base, name).is_dir()
    if name in asked or made:
        return name, []
    return None, [
        f"no strategy queries the teacher {name!r}, which is not trained: there is no reference score"
    ]


def _reported(
    asked: ComparisonRequest, contenders: Contenders, workshop: Workshop
) -> tuple[Contenders, Split, list[str]]:
    """The rows to report on; if the test labels are hidden, half of the validation split.

    Where validation has no labels either, a teacher that is a model predicts the test split.
    """
    data = workshop.data(contenders.base)
    test, whole = data.splits.get("test"), data.splits["validation"]
    judge = contenders.base.teachers[list(contenders.base.teachers)[-1]]
    if test is not None and (test.labels is not None or (whole.labels is None and kind_of(judge).is_model)):
        return contenders, test, []
    if len(whole) < 4:
        raise DataError(
            data.task.name,
            f"has no labelled test split, and {len(whole)} validation rows are too few to halve",
            "name a labelled file in data.test, or raise data.max_validation",
        )
    contenders = load_contenders(asked, max_validation=len(whole) // 2)
    choosing = set(workshop.data(contenders.base).splits["validation"].example_ids)
    rest = [row for row, example in enumerate(whole.example_ids) if example not in choosing]
    note = (
        f"there is no labelled test split, so validation is halved by a hash of the text: "
        f"{len(choosing)} rows select checkpoints and settings, the other {len(rest)} are reported on"
    )
    return contenders, whole.take(rest, "the other half of validation"), [note]


def _defined(
    contenders: Contenders, data: TaskData, asked: ComparisonRequest
) -> tuple[Sequence[Contender], list[str]]:
    """Those that are defined on the task; a single number has no entropy to go by."""
    admitted: list[Contender] = []
    notes = []
    for one in contenders.strategies:
        try:
            for point in one.points:
                plan = replace(resolve(point), output=data.task.kind)
                check_plan(plan, point.strategy.name, data.outputs)
        except DkdError as error:
            if asked.strategies or one.name in REFERENCES:
                raise
            notes.append(f"{one.name} takes no part: {error.problem}")
            continue
        admitted.append(one)
    if not any(one.name == SELECTING for one in admitted) and CONTROL not in asked.strategies:
        admitted = [one for one in admitted if one.name != CONTROL]
    if data.transfer is None:
        admitted = [one for one in admitted if one.name != LABELLED]
    return admitted, notes


def own_schedule(recipe: Recipe, data: TaskData) -> Train:
    """The schedule of a student, which may end sooner where it leaves the transfer set aside."""
    settings = student_train(recipe)
    if plan_student(recipe).takes_transfer:
        return settings
    at_once = loaded_at_once(settings, None)
    sizes = len(data.splits["train"]), data.rows_taught, at_once
    return shortened(settings, *sizes, recipe.strategy.max_passes)


def _differing(points: Sequence[Recipe], data: TaskData) -> Sequence[Recipe]:
    """Points without those that would go through the labelled rows few times anyway."""
    unlimited = [point for point in points if MAX_PASSES not in point.sweep]
    if data.transfer is None or not unlimited:
        return unlimited or points
    limited = [point for point in points if MAX_PASSES in point.sweep]
    return [*unlimited, *(point for point in limited if own_schedule(point, data) != student_train(point))]


def _candidates(points: Sequence[Recipe]) -> tuple[Candidate, ...]:
    """Points by setting, each experiment once: keys that do not affect a strategy give no second run."""
    swept = list(dict.fromkeys(key for point in points for key in point.sweep))
    idle = [key for key in swept if _is_idle(key, points)]
    runs: dict[Path, StudentRun] = {}
    for point in points:
        sweep = {key: value for key, value in point.sweep.items() if key not in idle}
        run = plan_student(replace(point, sweep=sweep))
        runs.setdefault(run.folder, run)
    settled = ("train.seed", *idle)
    varied = [
        key
        for key in swept
        if key not in settled and len({run.recipe.sweep.get(key) for run in runs.values()}) > 1
    ]
    groups: dict[tuple[tuple[str, Value], ...], list[StudentRun]] = {}
    for run in runs.values():
        own = [(key, run.recipe.sweep[key][0]) for key in varied if key in run.recipe.sweep]
        groups.setdefault(tuple(own), []).append(run)
    return tuple(Candidate(dict(values), tuple(group)) for values, group in groups.items())


def _is_idle(key: str, points: Sequence[Recipe]) -> bool:
    """Return whether points that differ only in this key are the same experiment."""
    groups: dict[tuple[object, ...], list[Recipe]] = {}
    for point in points:
        groups.setdefault(tuple(v for k, v in point.sweep.items() if k != key), []).append(point)
    several = [group for group in groups.values() if len(group) > 1]
    return bool(several) and all(
        _experiment(other) == _experiment(group[0]) for group in several for other in group[1:]
    )


def _experiment(point: Recipe) -> dict[str, object]:
    return identity(point, "student", point.strategy.name)
