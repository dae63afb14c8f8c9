"""Where a run lives, what makes it whole, and whether a folder is the same experiment.

A run works in a hidden folder beside its own and is renamed into place at its end, so that a model folder is
whole or absent. Beside the weights stand `recipe.yaml` (the resolved recipe), `dkd.json` (what this model is)
and `training.json` (the log).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from filelock import FileLock, Timeout

from dkd_cli.data.locate import PREFIX
from dkd_cli.engine.method.strategies import resolve
from dkd_cli.engine.runs.snapshots import begun, clean, keep
from dkd_cli.errors import DataError, SystemProblem
from dkd_cli.files import remove, rename, write_json, write_text
from dkd_cli.manifests import damage, staged
from dkd_cli.recipe.loader import dump_recipe, load_recipe
from dkd_cli.recipe.schema import Recipe, Teacher, Train, decides_teachers, has_transfer, strategy_parts
from dkd_cli.recipe.student_kinds import student_train
from dkd_cli.recipe.sweeps import variant
from dkd_cli.recipe.teacher_kinds import kind_of
from dkd_cli.version import __version__

Role = Literal["teacher", "student"]
NO_TEACHERS: Mapping[str, str] = MappingProxyType({})
BEGUN, FINISHED, REPLACED = "begun", "finished", "replaced"
"""In a working folder: what the run began with, the model as it will be, and the one whose place it takes."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run, as its folder tells it."""

    role: Role
    name: str
    strategy: str | None
    seed: int
    teacher: str | None
    """The folder (absolute) or hub id of the teacher that it is measured against."""
    recipe: Recipe
    validation: Mapping[str, float]
    """The metrics of the best checkpoint on the validation split."""
    seconds: float
    teachers: Mapping[str, str] = field(default_factory=dict)
    """A digest of each teacher that it learnt from, by name."""


def teacher_train(train: Train, teacher: Teacher) -> Train:
    """The schedule of one teacher: its own settings over the recipe's."""
    own = {
        key: value
        for key in ("epochs", "learning_rate", "batch_size", "warmup", "freeze")
        if (value := getattr(teacher, key)) is not None
    }
    return replace(train, **own)


def teacher_folder(recipe: Recipe, name: str, *, schedule: bool = False) -> Path:
    """Where `dkd train-teacher` puts a teacher, and `dkd distill` looks for it.

    Args:
        recipe: a point, if it sweeps anything.
        name: the teacher's.
        schedule: the teacher's own schedule is swept (`train.` keys), not the students'.
    """

    def tells_apart(key: str) -> bool:
        scheduled = schedule and key.startswith("train.") and key != "train.seed"
        return scheduled or decides_teachers(key, name)

    seed = f"seed{recipe.train.seed}" if schedule and "train.seed" in recipe.sweep else ""
    parts = ("teacher", name, variant(recipe, tells_apart), seed)
    return Path(recipe.output_dir) / recipe.name / "-".join(filter(None, parts))


def student_folder(recipe: Recipe) -> Path:
    """Where `dkd distill` puts a student: a folder for each strategy, seed and other swept value."""
    strategy = "_".join(strategy_parts(recipe.strategy.name))
    suffix = variant(recipe, lambda key: key not in ("strategy.name", "train.seed"))
    parts = ("student", strategy, suffix, f"seed{recipe.train.seed}")
    return Path(recipe.output_dir) / recipe.name / "-".join(filter(None, parts))


def teacher_source(recipe: Recipe, name: str) -> str:
    """The trained teacher that a recipe means: the one it names, or the one made from it."""
    return recipe.teachers[name].checkpoint or str(teacher_folder(recipe, name))


def largest_teacher(recipe: Recipe) -> str | None:
    """The name of the largest teacher that is a model; None where all are files."""
    models = [name for name, teacher in recipe.teachers.items() if kind_of(teacher).is_model]
    return models[-1] if models else None


def given_labels(recipe: Recipe, source: str) -> tuple[str, ...] | None:
    """The class names that a recipe gives to the outputs of the model `source`, as one of its teachers.

    Folders are the same model however their paths are written.
    """
    for teacher in recipe.teachers.values():
        named = teacher.checkpoint is not None and teacher.labels is not None
        if named and _place(teacher.checkpoint or "") == _place(source):
            return teacher.labels
    return None


def _place(source: str) -> str:
    if source.startswith(PREFIX):
        return source
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() else source


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
        settings |= {
            "student": asdict(recipe.student),
            "strategy": {
                "data": asdict(plan.selection),
                "teacher": asdict(plan.adoption),
                "objective": asdict(plan.objective),
                "transfer": recipe.strategy.transfer or not (has_transfer(recipe.data) and plan.teachers),
            },
            "teachers": {teacher: asdict(recipe.teachers[teacher]) for teacher in plan.teachers},
            "train": asdict(student_train(recipe.train, recipe.student)),
        }
    flat = _flatten(settings)
    return {key: value for key, value in flat.items() if key not in ("train.log_every", "train.report_to")}


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def read_run(folder: Path) -> Run | None:
    """What a model folder says of itself; None for one that was made elsewhere.

    Raises:
        DataError: for a `dkd.json` that cannot be read.
    """
    path = folder / "dkd.json"
    if not path.exists():
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        teacher = facts["teacher"]
        if facts["teacher_is_local"]:
            teacher = str((folder / teacher).resolve())
        return Run(
            role=facts["role"],
            name=facts["name"],
            strategy=facts["strategy"],
            seed=facts["seed"],
            teacher=teacher,
            recipe=load_recipe(str(folder / "recipe.yaml")),
            validation=facts["validation"],
            seconds=facts["seconds"],
            teachers=facts["teachers"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            str(path), f"cannot be read ({error})", "remove the folder and make the model again"
        ) from error


def finished(
    final: Path, recipe: Recipe, role: Role, name: str, teachers: Mapping[str, str] = NO_TEACHERS
) -> Run | None:
    """The complete run of this experiment in its folder `final`; None where there is none yet.

    Args:
        final: the run's own folder.
        recipe: the resolved recipe.
        role: with `name` (a teacher's), what the recipe is read as.
        name: the teacher's name, or the student's strategy.
        teachers: a digest of each teacher that the run should have learnt from, by name.

    Raises:
        SystemProblem: if the folder holds something else, or was taught by others.
    """
    done = read_run(final)
    if done is None and final.exists():
        raise SystemProblem(
            str(final), "holds something that dkd did not make", "choose another name or --output-dir"
        )
    if done is not None:
        _refuse_other(final, done.recipe, recipe, role, name)
        _refuse_other_teachers(final, done.teachers, teachers)
    return done


@contextmanager
def claim(
    final: Path,
    recipe: Recipe,
    role: Role,
    name: str,
    *,
    fresh: bool,
    warn: Callable[[str], None],
    teachers: Mapping[str, str] = NO_TEACHERS,
) -> Iterator[Path | None]:
    """Claim the folder `final` for this run: yields the folder to work in, or None if the run is complete.

    What a killed process left undone is done first. What was begun with `fresh` is gone on with without it.

    Args:
        final: the run's own folder.
        recipe: the resolved recipe, kept in the working folder.
        role: with `name` (a teacher's), what the recipe is read as.
        name: the teacher's name, or the student's strategy.
        fresh: start over, whatever there is of the same experiment.
        warn: told where a run that was begun cannot be gone on with.
        teachers: a digest of each teacher that the run learns from, by name.

    Raises:
        SystemProblem: if the folder holds something else or is a symbolic link, another process is at work in
            it, or the teachers are others than those it began with.
    """
    working = final.with_name(f".{final.name}")
    _refuse_links(final.parent, final, working)
    complete = _complete(final, recipe, role, name, fresh, teachers)
    if complete and not working.exists():
        yield None
        return
    try:
        working.mkdir(parents=True, exist_ok=True)
        held = FileLock(working / "lock").acquire(timeout=0)
    except (Timeout, OSError) as error:
        if complete:
            yield None
            return
        if isinstance(error, Timeout):
            problem, remedy = "another process is at work on it", "wait for it, or stop it"
        else:
            problem, remedy = f"cannot be written ({error.strerror})", "choose another --output-dir"
        raise SystemProblem(str(final), problem, remedy) from error
    with held:
        clean(working)
        _settle(working, final)
        complete = _complete(final, recipe, role, name, fresh, teachers)
        if complete and not begun(working):
            shutil.rmtree(working)
            yield None
            return
        saved = working / BEGUN
        broken = damage(saved) if begun(working) and not fresh else None
        if broken is not None:
            warn(f"{saved} {broken}: what its checkpoints belong to is not known; starting over")
        # A run that was stopped before its first checkpoint has left nothing to protect.
        if fresh or broken is not None or not begun(working):
            _empty(working)
            with staged(saved) as folder:
                write_text(folder / "recipe.yaml", dump_recipe(recipe))
                write_json(folder / "teachers.json", dict(teachers))
        else:
            _refuse_other(working, load_recipe(str(saved / "recipe.yaml")), recipe, role, name)
            theirs = json.loads((saved / "teachers.json").read_text(encoding="utf-8"))
            _refuse_other_teachers(working, theirs, teachers)
        yield working


def _complete(
    final: Path, recipe: Recipe, role: Role, name: str, fresh: bool, teachers: Mapping[str, str]
) -> bool:
    """Whether the run is finished and may stay; with `fresh` its teachers may be others than they were."""
    done = finished(final, recipe, role, name, NO_TEACHERS if fresh else teachers)
    return done is not None and not fresh


def _refuse_links(*folders: Path) -> None:
    """The output folder itself may be a link, for the user names it; what is in it may not lead out of it."""
    for folder in folders:
        if folder.is_symlink():
            raise SystemProblem(
                str(folder),
                "is a symbolic link, which could lead out of the output folder",
                "remove it, or name the place that it leads to with --output-dir",
            )


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name != "lock":
            remove(entry)


def _refuse_other(folder: Path, theirs: Recipe, ours: Recipe, role: Role, name: str) -> None:
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


def _refuse_other_teachers(folder: Path, theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    changed = [name for name in ours if theirs.get(name) != ours[name]]
    if changed:
        raise SystemProblem(
            str(folder),
            f"was taught by another {changed[0]!r} than there is now: its weights have changed",
            "teach it anew with --fresh, or bring the old teacher back",
        )


def publish(
    working: Path, final: Path, run: Run, save_weights: Callable[[Path], None], log: Mapping[str, Any]
) -> None:
    """Turn a finished run into its folder: stage everything, rename it into place, drop the working files.

    Args:
        working: the folder that `claim` gave.
        final: the run's own folder; an older one of the same experiment is replaced.
        run: what `dkd.json` and `recipe.yaml` will say.
        save_weights: called with the staging folder; writes model and tokenizer.
        log: what `training.json` will say.
    """
    finished = working / FINISHED
    remove(finished)
    teacher, local = run.teacher, False
    # Its own teacher may be made later (a student by `none` needs none): its place is known all the same.
    if teacher is not None and (Path(teacher).exists() or Path(teacher).parent == final.parent):
        teacher, local = os.path.relpath(Path(teacher).resolve(), final.resolve()), True
    facts = {
        "dkd": __version__,
        "role": run.role,
        "name": run.name,
        "strategy": run.strategy,
        "seed": run.seed,
        "teacher": teacher,
        "teacher_is_local": local,
        "teachers": dict(run.teachers),
        "validation": dict(run.validation),
        "seconds": run.seconds,
    }
    with staged(finished) as folder:
        save_weights(folder)
        write_text(folder / "recipe.yaml", dump_recipe(run.recipe))
        write_json(folder / "training.json", log)
        write_json(folder / "dkd.json", facts)
    _put_in_place(working, final)
    shutil.rmtree(working)


def _put_in_place(working: Path, final: Path) -> None:
    """From the moment that a whole finished model stands in the working folder, it is the run's result.

    A kill in here leaves the old model, the new one, or neither under its name; `_settle` then ends it.
    """
    keep(working)  # without its checkpoints what is left of the folder is no run that was begun
    if final.exists():
        rename(final, working / REPLACED)
    rename(working / FINISHED, final)


def _settle(working: Path, final: Path) -> None:
    """End what a kill cut short."""
    finished, replaced = working / FINISHED, working / REPLACED
    if finished.exists() and damage(finished) is None:
        _put_in_place(working, final)
    elif replaced.exists() and not final.exists():
        rename(replaced, final)
