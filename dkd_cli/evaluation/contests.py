"""Contests: groups of models that are compared on the same rows.

Models whose recipes lead to the same labelled rows are in one contest, each with its teacher. Loads no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.data.labels import UNSEEN
from dkd_cli.data.metric_names import judged
from dkd_cli.engine.runs.checkpoints import given_labels
from dkd_cli.errors import DataError, DkdError, ModelError, RecipeError, raise_all
from dkd_cli.evaluation.discover import ModelFolder, shortest_ends, teacher_of
from dkd_cli.recipe.schema import Data, Recipe


@dataclass(frozen=True)
class Entrant:
    """A model and the settings that it is evaluated with."""

    folder: ModelFolder
    recipe: Recipe


@dataclass(frozen=True)
class Contest:
    """The rows of one split, and all the models that are scored on them."""

    data: TaskData
    split: Split
    entrants: tuple[Entrant, ...]
    teachers: dict[str, str]
    """A student's source -> its teacher's source; missing if the teacher no longer exists."""

    @property
    def validation(self) -> Split | None:
        """The labelled rows on which temperatures and thresholds are fitted; None if there are none."""
        split = self.data.splits.get("validation")
        return split if split is not None and split.labels is not None else None

    def role(self, entrant: Entrant) -> str:
        """`teacher` also for a model made elsewhere that teaches a student."""
        return "teacher" if entrant.folder.source in self.teachers.values() else entrant.folder.role


@dataclass(frozen=True)
class Programme:
    """All contests, and a note on each teacher that could not be included."""

    contests: tuple[Contest, ...]
    notes: tuple[str, ...]


def entrants(folders: Sequence[ModelFolder], recipe: Recipe | None) -> list[Entrant]:
    """Pair each model with its own recipe, or with the given one if it has none.

    Raises:
        RecipeError: for models that have none, when none is given.
    """
    lost: list[DkdError] = [
        RecipeError(folder.source, "has no recipe that names its data", "give --recipe NAME or FILE")
        for folder in folders
        if folder.run is None and recipe is None
    ]
    raise_all(lost)
    own = [(folder, folder.run.recipe if folder.run else recipe) for folder in folders]
    return [
        Entrant(replace(folder, labels=given_labels(settings, folder.source)), settings)
        for folder, settings in own
        if settings is not None
    ]


def find_teachers(models: Sequence[Entrant]) -> tuple[dict[str, ModelFolder], list[str]]:
    """Find the teacher of each student, by the student's source; report those that no longer exist."""
    teachers: dict[str, ModelFolder] = {}
    notes: dict[str, None] = {}
    for run, source in ((entrant.folder.run, entrant.folder.source) for entrant in models):
        if run is None or run.role != "student":
            continue
        try:
            teacher = teacher_of(run)
        except ModelError as error:
            notes.setdefault(f"no comparison with a teacher: {error}")
            continue
        if teacher is not None:
            teachers[source] = teacher
    return teachers, list(notes)


def plan_contests(
    models: Sequence[Entrant],
    split: str | None,
    load: Callable[[Data], TaskData],
    digest: Callable[[Recipe, TaskData], str],
) -> Programme:
    """Group the models that share the same rows.

    Args:
        models: the requested ones; the teacher of a student is added.
        split: its name; None: the labelled test splits, else the labelled validation splits.
        load: returns the data of a recipe's section; called once for each model.
        digest: of what a run of the recipe is made from today; where it raises a DataError, that is a note.

    Raises:
        DataError: if no model's data has labels to score on; if only some have none, that is a note.
    """
    teachers, notes = find_teachers(models)
    meetings: dict[tuple[object, ...], tuple[TaskData, Split, list[Entrant]]] = {}
    unlabelled: dict[str, DataError] = {}
    for entrant in models:
        data = load(entrant.recipe.data)
        made_from = entrant.folder.run.data if entrant.folder.run else None
        try:
            changed = made_from and made_from.split("+")[0] != digest(entrant.recipe, data).split("+")[0]
        except DataError as error:
            notes.append(f"{entrant.folder.label}: whether its data have changed is not known: {error}")
            changed = False
        if changed:
            notes.append(
                f"{entrant.folder.label} was made from other texts or labels than its data have now: "
                "what is scored here may be among its training texts"
            )
        try:
            scored = scored_splits(data, split)
        except DataError as error:
            unlabelled.setdefault(str(error), error)
            continue
        for rows in scored:
            # A model with other validation rows may have been trained on these.
            key = (data.task, data.label_names, *_content(rows), *_content(data.splits.get("validation")))
            meetings.setdefault(key, (data, rows, []))[2].append(entrant)
    if not meetings:
        raise_all(list(unlabelled.values()))
    notes += [f"left out: {message}" for message in unlabelled]
    contests = []
    for data, rows, found in meetings.values():
        present = {entrant.folder.source: entrant for entrant in found}
        for entrant in found:
            teacher = teachers.get(entrant.folder.source)
            if teacher is not None:
                there = present.setdefault(teacher.source, Entrant(teacher, entrant.recipe))
                if there.folder.labels is None and teacher.labels is not None:
                    folder = replace(there.folder, labels=teacher.labels)
                    present[teacher.source] = replace(there, folder=folder)
        own = {source: teachers[source].source for source in present if source in teachers}
        metric, several = _deciding(list(present.values()))
        notes += [*several, *_unseen(data, rows)]
        contests.append(Contest(judged(data, metric), rows, _told_apart(list(present.values())), own))
    return Programme(tuple(contests), tuple(notes))


def _unseen(data: TaskData, rows: Split) -> list[str]:
    """A note on rows that no model can predict right."""
    classes_of = KINDS[data.task.kind].classes_of
    count = sum(one <= UNSEEN for label in rows.labels or () for one in classes_of(label))
    if not count:
        return []
    return [f"{count:,} of the {len(rows):,} rows of {rows.name} are of classes that training lacks: wrong"]


def _deciding(present: Sequence[Entrant]) -> tuple[str | None, list[str]]:
    """The `train.metric` of the students, or of all if there are none; None and a note where they differ."""
    students = [entrant for entrant in present if entrant.folder.role == "student"]
    named = list(dict.fromkeys(entrant.recipe.train.metric for entrant in students or present))
    if len(named) == 1:
        return named[0], []
    words = ", ".join(name or "none" for name in named)
    return None, [
        f"the recipes name different metrics as train.metric ({words}): the task's own decides here"
    ]


def _content(split: Split | None) -> tuple[object, ...]:
    return () if split is None else (split.name, tuple(split.example_ids), tuple(split.labels or ()))


def _told_apart(present: Sequence[Entrant]) -> tuple[Entrant, ...]:
    """Make labels unique: two folders may have the same name if one was added as a teacher."""
    taken = Counter(entrant.folder.label for entrant in present)
    alike = [e.folder.path for e in present if e.folder.path is not None and taken[e.folder.label] > 1]
    ends = {str(path): end for path, end in shortest_ends(alike).items()}
    return tuple(
        replace(e, folder=replace(e.folder, label=ends.get(e.folder.source, e.folder.label))) for e in present
    )


def named_split(data: TaskData, name: str) -> Split:
    """Return the split with that name.

    Raises:
        DataError: if there is none; names the existing ones.
    """
    if name not in data.splits:
        raise DataError(
            "--split", f"{data.task.name} has no split {name!r}", f"choose {', '.join(data.splits)}"
        )
    return data.splits[name]


def scored_splits(data: TaskData, name: str | None) -> list[Split]:
    """Return the splits to score: the requested one, else all labelled test splits, else the validation
    splits.

    Raises:
        DataError: for a split that does not exist or has hidden labels.
    """
    if name is not None:
        split = named_split(data, name)
        if split.labels is None:
            raise DataError(
                f"--split {name}",
                f"its labels are hidden in {data.task.name}, so nothing can be scored",
                "add --predictions FILE to predict them, or choose another split",
            )
        return [split]
    for kind in ("test", "validation"):
        labelled = [s for s in data.splits.values() if s.name.startswith(kind) and s.labels is not None]
        if labelled:
            return labelled
    raise DataError(
        data.task.name, "has no labelled test or validation split", "predict it with --predictions"
    )
