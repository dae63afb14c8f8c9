"""Finds classifiers below folders by their files alone; loads nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dkd_cli.data.kinds import TAGGERS
from dkd_cli.engine.cache.fingerprint import weight_files
from dkd_cli.engine.models.export_formats import format_of
from dkd_cli.engine.models.exports import EXPORT_FILE, Export, read_export
from dkd_cli.engine.runs.checkpoints import Run, largest_teacher, read_run
from dkd_cli.errors import ModelError
from dkd_cli.reading.locate import local_path


@dataclass(frozen=True)
class ModelFolder:
    """A classifier on disk (or, for an external teacher, on the model hub)."""

    label: str
    """The shortest end of its path that is unique among the models."""
    source: str
    """A folder, or a hub id."""
    run: Run | None
    """The run that dkd saved with the weights; None for a model made elsewhere."""
    labels: tuple[str, ...] | None = None
    """The class names in the order of its outputs, if the recipe gives them."""
    export: Export | None = None
    """The format of an export; None for weights."""

    @property
    def path(self) -> Path | None:
        """The folder; None for a hub id."""
        return Path(self.source) if Path(self.source).is_dir() else None

    @property
    def role(self) -> str:
        """`teacher`, `student`, or `model` for one made elsewhere."""
        return self.run.role if self.run else "model"

    @property
    def weights_mb(self) -> float | None:
        """The weights' size on disk in 10⁶ bytes; None if a hub id's files are not known."""
        if self.path is not None and self.export is not None:
            files = [self.path / format_of(self.export.format, self.path).weights]
        else:
            files = weight_files(self.source)
        return sum(file.stat().st_size for file in files) / 1e6 if files else None


@dataclass(frozen=True)
class FoundModels:
    """The models, and a line on each folder that looks like one and is left out."""

    models: tuple[ModelFolder, ...]
    notes: tuple[str, ...]


def find_models(paths: Sequence[Path]) -> FoundModels:
    """Find every sequence classifier in or below the given folders, each once, in the order of their paths.

    Hidden folders, in which training is in progress, are skipped unless given explicitly.

    Raises:
        ModelError: for a path that is not a folder, or if there is no model at all.
    """
    folders: dict[Path, None] = {}
    notes: list[str] = []
    for path in paths:
        if not path.is_dir():
            raise ModelError(str(path), "does not exist", "name a model folder, or one above it")
        for folder in _candidates(path, notes):
            problem = _problem(folder)
            if problem is None:
                folders.setdefault(folder.resolve())
            else:
                notes.append(f"{folder} is left out: {problem}")
    if not folders:
        why = f" ({notes[0]})" if notes else ""
        raise ModelError(
            " ".join(map(str, paths)),
            f"has no trained classifier{why}",
            "make one with `dkd train-teacher`, then `dkd distill`",
        )
    labels = shortest_ends(list(folders))
    models = [
        ModelFolder(labels[folder], str(folder), read_run(folder), export=read_export(folder))
        for folder in folders
    ]
    return FoundModels(tuple(models), tuple(dict.fromkeys(notes)))


def teacher_of(student: Run) -> ModelFolder | None:
    """The teacher of a student; None for a student that names none.

    Raises:
        ModelError: for a teacher whose folder no longer exists.
    """
    name = student.teacher
    if name is None:
        return None
    called = largest_teacher(student.recipe)
    own = None if called is None else student.recipe.teachers[called]
    labels = own.labels if own else None
    path = local_path(name, ModelError)
    if path.is_dir():
        return ModelFolder(path.name, str(path.resolve()), read_run(path), labels)
    if own is None or own.checkpoint != name or path.is_absolute():
        raise ModelError(name, "this teacher is not there", "make it again to compare with it")
    return ModelFolder(name, name, None, labels)


def _candidates(top: Path, notes: list[str]) -> Iterator[Path]:
    for parent, children, files in os.walk(top):
        folder = Path(parent)
        if "config.json" in files:
            yield folder
        for child in sorted(children):
            if child.startswith(".") and (folder / child / "recipe.yaml").is_file():
                notes.append(f"{folder / child[1:]} is not finished; rerun its command to resume it")
        children[:] = sorted(child for child in children if not child.startswith("."))


def _problem(folder: Path) -> str | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"config.json cannot be read ({error})"
    architectures = config.get("architectures") if isinstance(config, dict) else None
    if not any(str(name).endswith(("ForSequenceClassification", TAGGERS)) for name in architectures or ()):
        return "config.json names no classifier"
    if (folder / EXPORT_FILE).is_file():
        export = read_export(folder)
        weights = format_of(export.format, folder).weights if export else EXPORT_FILE
        return None if (folder / weights).is_file() else f"it is an export without its {weights}"
    if (
        not (folder / "model.safetensors").is_file()
        and not (folder / "model.safetensors.index.json").is_file()
    ):
        pickled = any(folder.glob("pytorch_model*.bin"))
        return "its weights are pickled, not safetensors" if pickled else "it has no model.safetensors"
    return None


def shortest_ends(folders: Sequence[Path]) -> dict[Path, str]:
    """For each folder, the fewest trailing parts of its path that are unique."""

    def end(folder: Path, parts: int) -> tuple[str, ...]:
        return folder.parts[-parts:]

    labels = {}
    for folder in folders:
        parts = 1
        while any(end(folder, parts) == end(other, parts) for other in folders if other != folder):
            parts += 1
        labels[folder] = "/".join(end(folder, parts))
    return labels
