"""Settings of an endpoint teacher: prompt, client and answer file, from its section of a recipe.

Knows nothing about texts, requests or budgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dkd_cli.errors import DataError, RecipeError
from dkd_cli.labelling.answers import answers_root, digest
from dkd_cli.labelling.budget import Tariff
from dkd_cli.labelling.endpoint import request_fields
from dkd_cli.labelling.prompts import CLASSES, INSTRUCTION, Prompt
from dkd_cli.reading.locate import file_path
from dkd_cli.recipe.schema import Recipe, Teacher


@dataclass(frozen=True)
class Setting:
    """A teacher that is an endpoint, resolved."""

    name: str
    teacher: Teacher
    prompt: Prompt
    facts: dict[str, Any]
    """Everything that decides an answer, in words and numbers."""
    record: Path
    """The folder of its answers, shared by all recipes that ask the same."""
    folder: Path
    """The folder of this recipe's labelling."""

    @property
    def place(self) -> str:
        """The teacher's key in the recipe."""
        return f"teachers.{self.name}"

    @property
    def tariff(self) -> Tariff:
        """Prices of the endpoint."""
        return Tariff(self.teacher.price.input, self.teacher.price.output)

    @property
    def samples(self) -> int:
        """Answers that one request asks for."""
        asking = self.teacher.asking
        return asking.votes if asking.answers == "votes" else 1


def endpoint_name(recipe: Recipe, name: str | None) -> str:
    """The teacher to ask: the one named, or the only endpoint.

    Raises:
        RecipeError: there is none, or several.
    """
    found = [key for key, teacher in recipe.teachers.items() if teacher.endpoint is not None]
    if name is not None and name not in found:
        known = ", ".join(found) or "none"
        raise RecipeError("--teacher", f"{name!r} is no endpoint of this recipe", f"there is: {known}")
    if not found:
        remedy = "add one as in `teachers: {llm: {endpoint: https://..., model: ...}}`"
        raise RecipeError("teachers", "none of them is an endpoint", remedy)
    if name is None and len(found) > 1:
        raise RecipeError("teachers", f"{', '.join(found)} are endpoints", "choose one with --teacher")
    return name or found[0]


def labelling_folder(recipe: Recipe, name: str) -> Path:
    """The folder of a recipe's labelling by one teacher."""
    return Path(recipe.output_dir) / recipe.name / f"labels-{name}"


def labels_file(recipe: Recipe, name: str) -> Path:
    """File of probabilities that `dkd distill` reads."""
    return labelling_folder(recipe, name).with_suffix(".jsonl")


def resolve_setting(recipe: Recipe, name: str, label_names: Sequence[str]) -> Setting:
    """Build the prompt, and settle where answers are recorded.

    Args:
        recipe: the recipe.
        name: a teacher with an `endpoint`.
        label_names: the task's classes, in the order of their ids.

    Raises:
        RecipeError: `classes` are others than the task's; an example's class is none.
        DataError: the prompt's file cannot be read, or has no `{classes}`.
    """
    teacher = recipe.teachers[name]
    place = f"teachers.{name}"
    described = teacher.classes or {}
    if teacher.classes is not None and set(described) != set(label_names):
        problem = f"describes {', '.join(described)}, the task has {', '.join(label_names)}"
        raise RecipeError(f"{place}.classes", problem, "describe each class once")
    for label in teacher.examples.values():
        if label not in label_names:
            remedy = f"use one of {', '.join(label_names)}"
            raise RecipeError(f"{place}.examples", f"has the class {label!r}", remedy)
    prompt = Prompt(
        classes={label: described.get(label, "") for label in label_names},
        instruction=INSTRUCTION
        if teacher.prompt is None
        else _read_prompt(teacher.prompt, f"{place}.prompt"),
        examples=tuple(teacher.examples.items()),
        most_characters=teacher.asking.max_characters,
    )
    assert teacher.model is not None
    assert teacher.endpoint is not None
    facts = {
        "endpoint": teacher.endpoint.rstrip("/"),
        "prompt": prompt.digest,
        "request": request_fields(teacher.asking, teacher.model),
    }
    words = facts | {"instruction": prompt.instruction, "classes": dict(prompt.classes)}
    return Setting(
        name, teacher, prompt, words, answers_root() / digest(facts), labelling_folder(recipe, name)
    )


def _read_prompt(reference: str, place: str) -> str:
    path = file_path(reference)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})"
        raise DataError(place, f"{reference} {problem}", "name a text file") from None
    if CLASSES not in text:
        raise DataError(place, f"{reference} has no {CLASSES}", "write it where the list of classes belongs")
    return text
