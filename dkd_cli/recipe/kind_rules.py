"""Rules of a recipe that follow from its kind of output: keys that mean nothing for it. Knows no data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any

from dkd_cli.recipe.schema import Recipe
from dkd_cli.recipe.words import KIND_WORDS

Broken = tuple[str, str, str]


def check_kind(recipe: Recipe) -> Iterator[Broken]:
    """Yield (key, problem, remedy) for each key that is set although the kind of output refuses it."""
    kind = recipe.data.kind or "classification"
    for key, why in KIND_WORDS[kind].refused.items():
        for place, section, name in _sections(recipe, "", key):
            if getattr(section, name) != _default(section, name):
                yield place, f"{why} (data.kind: {kind})", "remove it"


def _sections(section: Any, above: str, key: str) -> Iterator[tuple[str, Any, str]]:
    """The places that a dotted key means: each with its section and its name there."""
    first, dot, rest = key.partition(".")
    if not dot:
        yield f"{above}{first}", section, first
        return
    if first == "*":
        assert isinstance(section, Mapping), "a star stands for names"
        for name, one in section.items():
            yield from _sections(one, f"{above}{name}.", rest)
        return
    yield from _sections(getattr(section, first), f"{above}{first}.", rest)


def _default(section: Any, name: str) -> Any:
    found = next(one for one in fields(section) if one.name == name)
    return found.default if found.default_factory is MISSING else found.default_factory()
