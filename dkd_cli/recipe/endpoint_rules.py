"""Rules between the keys of a teacher that is an endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from dkd_cli.recipe.asking import Asking, Price
from dkd_cli.recipe.schema import Recipe, Teacher

Broken = tuple[str, str, str]
"""As `rules.Broken`: (dotted key, problem, remedy)."""

MOST_EXAMPLES = 8
OWN_KEYS = ("key_env", "classes", "prompt")


def check_endpoints(recipe: Recipe) -> Iterator[Broken]:
    """Every rule about endpoints that the recipe breaks."""
    for name, teacher in recipe.teachers.items():
        place = f"teachers.{name}"
        if teacher.endpoint is None:
            yield from _idle_keys(teacher, place)
            continue
        yield from _address(teacher.endpoint, f"{place}.endpoint")
        if teacher.model is None:
            yield f"{place}.model", "is missing: the endpoint has to be told which model answers", "name it"
        if recipe.data.kind not in (None, "classification"):
            problem = f"names one class of a text, but `data.kind` is {recipe.data.kind}"
            yield f"{place}.endpoint", problem, "remove one of the two"
        if len(teacher.examples) > MOST_EXAMPLES:
            problem = f"has {len(teacher.examples)} texts"
            yield (
                f"{place}.examples",
                problem,
                f"keep {MOST_EXAMPLES} at most: each is paid for with every text",
            )
        yield from _classes(recipe, teacher, place)


def _idle_keys(teacher: Teacher, place: str) -> Iterator[Broken]:
    """Keys that say something only beside `endpoint`."""
    given = [key for key in OWN_KEYS if getattr(teacher, key) is not None]
    given += ["examples"] if teacher.examples else []
    given += ["price"] if teacher.price != Price() else []
    given += ["asking"] if teacher.asking != Asking() else []
    for key in given:
        yield (
            f"{place}.{key}",
            "belongs to an `endpoint`, which this teacher has not",
            "remove one, or add the other",
        )


def _address(address: str, key: str) -> Iterator[Broken]:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        yield key, "is no http or https address", "write it as in https://api.example.com/v1"
    elif parts.username or parts.password or parts.query:
        # A recipe is copied into every model's folder.
        yield (
            key,
            "holds a user name, a password or a query",
            "put the API key into a variable that `key_env` names",
        )


def _classes(recipe: Recipe, teacher: Teacher, place: str) -> Iterator[Broken]:
    known = recipe.data.labels
    if teacher.classes is not None and known is not None and set(teacher.classes) != set(known):
        problem = f"describes {', '.join(teacher.classes)}, but `data.labels` names {', '.join(known)}"
        yield f"{place}.classes", problem, "describe each class once"
    names = teacher.classes if known is None else known
    for label in teacher.examples.values():
        if names is not None and label not in names:
            yield f"{place}.examples", f"has the class {label!r}", f"use one of {', '.join(names)}"
