"""Keys of the schema and descriptions of their types.

Knows types only: does not read or check recipes.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache, lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

Path = tuple[str | int, ...]


@cache
def hints(section: type) -> dict[str, Any]:
    """The type of each key of a section, in the order of the schema."""
    found = get_type_hints(section, include_extras=True)
    return {field.name: found[field.name] for field in fields(section)}


def schema_field(section: type, key: str) -> Field[Any]:
    """The dataclass field behind a key."""
    return next(field for field in fields(section) if field.name == key)


def required(section: type, key: str) -> bool:
    """Return whether a key has no default."""
    field = schema_field(section, key)
    return field.default is MISSING and field.default_factory is MISSING


def without_null(hint: Any) -> tuple[Any, bool]:
    """(the type without `None`, whether null is allowed)."""
    if get_origin(hint) in (Union, types.UnionType):
        members = [member for member in get_args(hint) if member is not type(None)]
        assert len(members) == 1, f"a union of the schema is with None, or names its forms: {hint}"
        return members[0], True
    return hint, False


def bare(hint: Any) -> Any:
    """The type without its bounds and without None; of a word or named values, the latter's."""
    return forms(hint)[-1]


def forms(hint: Any) -> list[Any]:
    """The types that a value may have, a word first; nearly always a single one."""
    hint, _ = without_null(hint)
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, types.UnionType):
        return [form for member in get_args(hint) for form in forms(member)]
    return [hint]


def is_section(hint: Any) -> bool:
    """Return whether a key holds a fixed set of keys."""
    return isinstance(bare(hint), type) and is_dataclass(bare(hint))


def is_mapping(hint: Any) -> bool:
    """Return whether a key holds entries whose names the user chooses."""
    return get_origin(bare(hint)) is Mapping


def entry_hint(hint: Any) -> Any:
    """The type of a mapping's values or of a list's items."""
    arguments = get_args(bare(hint))
    return arguments[1] if is_mapping(hint) else arguments[0]


def hint_at(root: type, path: Path) -> Any:
    """The type of the value at `path`, whose keys are known ones."""
    hint: Any = root
    for step in path:
        hint = hints(bare(hint))[str(step)] if is_section(hint) else entry_hint(hint)
    return hint


def describe(hint: Any) -> str:
    """Describe a type in words.

    >>> describe(Annotated[float, Gt(0), Le(1)] | None)
    'a number > 0 and ≤ 1, or null'
    >>> describe(tuple[str, ...])
    'a list of texts'
    """
    inner, nullable = without_null(hint)
    return _describe(inner) + (", or null" if nullable else "")


def choices(hint: Any) -> tuple[str, ...]:
    """The values that a key accepts, if they can be listed."""
    kind = forms(hint)[0]
    return get_args(kind) if get_origin(kind) is Literal else ()


def _describe(hint: Any) -> str:
    kind = bare(hint)
    if len(forms(hint)) > 1:
        listed = ", ".join(f"`{word}`" for word in choices(hint))
        return f"{listed} or {_describe(kind)}"
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in get_args(kind))
    if is_section(kind):
        return "a section of keys"
    if is_mapping(kind):
        entry = entry_hint(kind)
        if get_origin(bare(entry)) is tuple:
            return "lists of values by key"
        if is_section(entry):
            return "sections by name"
        return "texts by name" if bare(entry) is str else "numbers by name"
    if get_origin(kind) is tuple:
        item = entry_hint(kind)
        return "a list of texts" if bare(item) is str else f"a list of texts, each {_describe(item)}"
    words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}[kind]
    return words + _bounds(hint)


def _bounds(hint: Any) -> str:
    signs = ((Ge, "ge", "≥"), (Gt, "gt", ">"), (Le, "le", "≤"), (Lt, "lt", "<"))
    bounds = [
        f"{sign} {getattr(bound, name)}"
        for bound in getattr(hint, "__metadata__", ())
        for kind, name, sign in signs
        if isinstance(bound, kind)
    ]
    return " " + " and ".join(bounds) if bounds else ""


def known_paths(root: type, names: Mapping[str, Sequence[str]]) -> Mapping[str, Path]:
    """Every dotted key with its path; `names` gives the entries of each mapping, by the mapping's dotted key.

    A name may contain dots, so a dotted key cannot simply be split.
    """
    return _known_paths(root, tuple((mapping, tuple(entries)) for mapping, entries in names.items()))


# Cached: the points of a sweep need the same keys thousands of times.
@lru_cache(maxsize=8)
def _known_paths(root: type, names: tuple[tuple[str, tuple[str, ...]], ...]) -> Mapping[str, Path]:
    entries = dict(names)
    found: dict[str, Path] = {}

    def visit(hint: Any, path: Path) -> None:
        dotted = ".".join(map(str, path))
        if path:
            found[dotted] = path
        if is_section(hint):
            for key, inner in hints(bare(hint)).items():
                visit(inner, (*path, key))
        elif is_mapping(hint):
            for name in entries.get(dotted, ()):
                visit(entry_hint(hint), (*path, name))

    visit(root, ())
    return found


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """A remedy that suggests the nearest known word, or `otherwise` if none is similar.

    >>> did_you_mean("epoch", ["epochs", "seed"], "remove it")
    'did you mean `epochs`?'
    """
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else otherwise


def key_elsewhere(name: str, known: Iterable[str]) -> str | None:
    """The dotted key that ends in `name`, which was written in the wrong section; None if there is none.

    Of several, one of `train` comes first: students and teachers have copies of its keys.

    >>> key_elsewhere("epochs", ["student.epochs", "train.epochs", "train.seed"])
    'train.epochs'
    """
    found = [dotted for dotted in known if dotted.rpartition(".")[2] == name]
    return next((dotted for dotted in found if dotted.startswith("train.")), found[-1] if found else None)
