"""Run folders: claiming, publishing, and comparison of experiments.

A run works in a hidden folder next to its own and is renamed into place at its end, so that a model folder is
complete or absent. Apart from the weights, it holds `recipe.yaml` (the resolved recipe), `dkd.json` (role and
results) and `training.json` (the log).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from filelock import FileLock, Timeout

from dkd_cli.engine.runs.identity import Role, refuse_other, refuse_other_data, refuse_other_teachers
from dkd_cli.engine.runs.snapshots import begun, clean, keep
from dkd_cli.errors import Busy, DataError, DkdError, Problems, SystemProblem
from dkd_cli.files import remove, rename, write_json, write_text
from dkd_cli.manifests import damage, staged
from dkd_cli.reading.locate import PREFIX
from dkd_cli.recipe.loader import dump_recipe, load_recipe
from dkd_cli.recipe.schema import Recipe, decides_teachers, strategy_parts
from dkd_cli.recipe.sweeps import variant
from dkd_cli.recipe.teacher_kinds import kind_of
from dkd_cli.version import __version__

NO_TEACHERS: Mapping[str, str] = MappingProxyType({})
MAY_CHANGE = ("calibration.json",)
"""What `dkd evaluate` writes again."""
DATA = "data.json"
BEGUN, FINISHED, REPLACED = "begun", "finished", "replaced"
"""In a working folder: the settings that the run began with, the finished model, and the model that it
replaces."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run, as stored in its folder."""

    role: Role
    name: str
    strategy: str | None
    seed: int
    teacher: str | None
    """The folder (absolute) or hub id of its reference teacher."""
    recipe: Recipe
    validation: Mapping[str, float]
    """The metrics of the best checkpoint on the validation split."""
    seconds: float
    teachers: Mapping[str, str] = field(default_factory=dict)
    """A digest of each teacher that it learnt from, by name."""
    data: str | None = None
    """A digest of the texts and labels that it was made from; None: not known."""
    predicts: str | None = None
    """The class that it predicts for every validation row; None if it predicts several, or a number."""


def teacher_folder(recipe: Recipe, name: str, *, schedule: bool = False) -> Path:
    """The folder of a teacher that `dkd train-teacher` trains.

    Args:
        recipe: a point, if it has a sweep.
        name: the teacher's.
        schedule: whether the teacher's own schedule is swept (`train.` keys).
    """

    def tells_apart(key: str) -> bool:
        scheduled = schedule and key.startswith("train.") and key != "train.seed"
        return scheduled or decides_teachers(key, name)

    seed = f"seed{recipe.train.seed}" if schedule and "train.seed" in recipe.sweep else ""
    parts = ("teacher", name, variant(recipe, tells_apart), seed)
    return Path(recipe.output_dir) / recipe.name / "-".join(filter(None, parts))


def student_folder(recipe: Recipe) -> Path:
    """The folder of a student that `dkd distill` trains: one for each strategy, seed and other swept
    value."""
    strategy = "_".join(strategy_parts(recipe.strategy.name))
    suffix = variant(recipe, lambda key: key not in ("strategy.name", "train.seed"))
    parts = ("student", strategy, suffix, f"seed{recipe.train.seed}")
    return Path(recipe.output_dir) / recipe.name / "-".join(filter(None, parts))


def teacher_source(recipe: Recipe, name: str) -> str:
    """The source of a recipe's trained teacher: the one it names, or the one trained from it."""
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


def read_run(folder: Path) -> Run | None:
    """Read the run of a model folder; None for a model made elsewhere.

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
            data=facts["data"],
            predicts=facts["predicts"],
        )
    except KeyError as error:
        raise DataError(
            str(path),
            f"has no {error}: another version of dkd wrote it, or it is damaged",
            "use that version, or remove the folder and train the model again",
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            str(path), f"cannot be read ({error})", "remove the folder and train the model again"
        ) from error


def finished(
    final: Path,
    recipe: Recipe,
    role: Role,
    name: str,
    teachers: Mapping[str, str] = NO_TEACHERS,
    data: str | None = None,
) -> Run | None:
    """Return the complete run of this experiment in its folder `final`; None if there is none yet.

    Args:
        final: the run's own folder.
        recipe: the resolved recipe.
        role: `teacher` or `student`.
        name: the teacher's name, or the student's strategy.
        teachers: a digest of each teacher that the run should have learnt from, by name.
        data: a digest of the texts and labels that it should have been made from; None: any.

    Raises:
        SystemProblem: if the folder holds something else, was taught by others or was made from other data.
    """
    done = read_run(final)
    if done is None and final.exists():
        raise SystemProblem(
            str(final), "holds files that dkd did not write", "choose another name or --output-dir"
        )
    if done is not None:
        refuse_other(final, done.recipe, recipe, role, name)
        refuse_other_data(final, done.data, data)
        refuse_other_teachers(final, done.teachers, teachers)
    return done


def progress_of(final: Path, recipe: Recipe, role: Role, name: str) -> str:
    """Describe how far a run is, for `--dry-run`: `finished`, `begun`, refused with the reason, or empty.

    Teachers and data, which take time to digest, are not compared.
    """
    working = final.with_name(f".{final.name}")
    try:
        if finished(final, recipe, role, name) is not None:
            return "finished"
        if not begun(working):
            return ""
        refuse_other(working, load_recipe(str(working / BEGUN / "recipe.yaml")), recipe, role, name)
    except (DkdError, Problems) as problem:
        first = problem.errors[0] if isinstance(problem, Problems) else problem
        return f"refused: {first.problem}; {first.remedy}"
    return "begun"


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
    data: str | None = None,
) -> Iterator[Path | None]:
    """Claim the folder `final` for this run: yields the working folder, or None if the run is complete.

    First completes what a killed process left unfinished. A run started with `fresh` resumes without it.

    Args:
        final: the run's own folder.
        recipe: the resolved recipe, kept in the working folder.
        role: `teacher` or `student`.
        name: the teacher's name, or the student's strategy.
        fresh: start over, whatever exists of the same experiment.
        warn: reports a started run that cannot be resumed.
        teachers: a digest of each teacher that the run learns from, by name.
        data: a digest of the texts and labels that it is made from; None: not known.

    Raises:
        SystemProblem: if the folder holds something else or is a symbolic link, another process is at work in
            it, or the data or the teachers are others than those it began with.
    """
    working = final.with_name(f".{final.name}")
    _refuse_links(final.parent, final, working)
    complete = _complete(final, recipe, role, name, fresh, teachers, data)
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
            raise Busy(str(final), "another process is at work on it", "wait for it, or stop it") from error
        problem = f"cannot be written ({error.strerror})"
        raise SystemProblem(str(final), problem, "choose another --output-dir") from error
    with held:
        clean(working)
        _settle(working, final)
        complete = _complete(final, recipe, role, name, fresh, teachers, data)
        if complete and not begun(working):
            shutil.rmtree(working)
            yield None
            return
        saved = working / BEGUN
        broken = damage(saved) if begun(working) and not fresh else None
        if broken is not None:
            warn(f"{saved} {broken}: the experiment of its checkpoints is unknown; starting over")
        # A run that was stopped before its first checkpoint has nothing to protect.
        if fresh or broken is not None or not begun(working):
            _empty(working)
            with staged(saved) as folder:
                write_text(folder / "recipe.yaml", dump_recipe(recipe))
                write_json(folder / "teachers.json", dict(teachers))
                write_json(folder / DATA, data)
        else:
            refuse_other(working, load_recipe(str(saved / "recipe.yaml")), recipe, role, name)
            refuse_other_data(working, json.loads((saved / DATA).read_text(encoding="utf-8")), data)
            theirs = json.loads((saved / "teachers.json").read_text(encoding="utf-8"))
            refuse_other_teachers(working, theirs, teachers)
        yield working


def _complete(
    final: Path,
    recipe: Recipe,
    role: Role,
    name: str,
    fresh: bool,
    teachers: Mapping[str, str],
    data: str | None,
) -> bool:
    """Return whether the run is finished and valid; with `fresh` its teachers and data may have changed."""
    done = finished(final, recipe, role, name, *((NO_TEACHERS, None) if fresh else (teachers, data)))
    return done is not None and not fresh


def _refuse_links(*folders: Path) -> None:
    """Refuse symbolic links: the output folder itself may be one, since the user names it, but its content
    may not lead out of it."""
    for folder in folders:
        if folder.is_symlink():
            raise SystemProblem(
                str(folder),
                "is a symbolic link, which could lead out of the output folder",
                "remove it, or name its target with --output-dir",
            )


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name != "lock":
            remove(entry)


def publish(
    working: Path, final: Path, run: Run, save_weights: Callable[[Path], None], log: Mapping[str, Any]
) -> None:
    """Publish a finished run: stage everything, rename it into place, remove the working files.

    Args:
        working: the folder from `claim`.
        final: the run's own folder; an older one of the same experiment is replaced.
        run: content of `dkd.json` and `recipe.yaml`.
        save_weights: called with the staging folder; saves model and tokenizer.
        log: content of `training.json`.
    """
    finished = working / FINISHED
    remove(finished)
    teacher, local = run.teacher, False
    # Its teacher may be trained later (a student by `none` needs none): its folder is known all the same.
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
        "data": run.data,
        "predicts": run.predicts,
        "validation": dict(run.validation),
        "seconds": run.seconds,
    }
    with staged(finished, but=MAY_CHANGE) as folder:
        save_weights(folder)
        write_text(folder / "recipe.yaml", dump_recipe(run.recipe))
        write_json(folder / "training.json", log)
        write_json(folder / "dkd.json", facts)
    _put_in_place(working, final)
    shutil.rmtree(working)


def _put_in_place(working: Path, final: Path) -> None:
    """Move a complete model from the working folder to the run's folder; from here on it is the run's result.

    A kill here leaves the old model, the new one, or neither under its name; `_settle` then completes it.
    """
    keep(working)  # without its checkpoints, the remaining folder is not a started run
    if final.exists():
        rename(final, working / REPLACED)
    rename(working / FINISHED, final)


def _settle(working: Path, final: Path) -> None:
    """Complete what a kill interrupted."""
    finished, replaced = working / FINISHED, working / REPLACED
    if finished.exists() and damage(finished) is None:
        _put_in_place(working, final)
    elif replaced.exists() and not final.exists():
        rename(replaced, final)
