"""Overrides from the command line: `--set key=value` and `--sweep key=[...]`, parsed before a recipe is
checked.

Knows the keys, not the valid values: an overridden recipe is checked like any other.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

from dkd_cli.errors import RecipeError, raise_all
from dkd_cli.recipe import fields
from dkd_cli.recipe.fields import did_you_mean, hint_at, key_elsewhere, known_paths, without_null
from dkd_cli.recipe.schema import Recipe, strategy_parts
from dkd_cli.recipe.written import Found, Place, Written, meaning, read_yaml, shown

_SEED = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Override:
    """One value for one dotted key."""

    key: str
    value: Written

    flag: ClassVar[str] = "--set"
    form: ClassVar[str] = "key=value"
    example: ClassVar[str] = "--set train.epochs=2"

    @property
    def place(self) -> Place:
        """The option that set it."""
        return self.value.place


@dataclass(frozen=True, slots=True)
class Sweep:
    """The values to try for one dotted key: a list, or one value alone."""

    key: str
    value: Written

    flag: ClassVar[str] = "--sweep"
    form: ClassVar[str] = "key=[value, value]"
    example: ClassVar[str] = "--sweep 'train.seed=[1, 2, 3]'"

    @property
    def place(self) -> Place:
        """The option, or the line of a file, that set it."""
        return self.value.place


_Given = TypeVar("_Given", Override, Sweep)


def options(*given: tuple[str, str, str | None]) -> list[Override]:
    """The overrides of dedicated options: (flag, dotted key, text); None means not given."""
    return [
        Override(key, Written(meaning(text), text, Place(flag, 0)))
        for flag, key, text in given
        if text is not None
    ]


def parse_overrides(items: Sequence[str | Override]) -> list[Override]:
    """Parse `key=value` items, the values as YAML.

    Raises RecipeError (or all of them together) for an item without `=`, a value that is not YAML, and a key
    that is given twice.
    """
    overrides, _, found = collect_options(items)
    raise_all([problem.error() for problem in found])
    return overrides


def collect_options(
    overrides: Sequence[str | Override], sweeps: Sequence[str | Sweep] = ()
) -> tuple[list[Override], list[Sweep], list[Found]]:
    """Parse the items of `--set` and `--sweep`, where each key may occur once; problems are returned."""
    firsts: dict[str, Place] = {}
    found: list[Found] = []
    return _collect(Override, overrides, firsts, found), _collect(Sweep, sweeps, firsts, found), found


def _collect(
    kind: type[_Given], items: Sequence[str | _Given], firsts: dict[str, Place], found: list[Found]
) -> list[_Given]:
    kept = []
    for item in items:
        given = _parse(kind, item, found) if isinstance(item, str) else item
        if given is None:
            continue
        if given.key in firsts:
            first = firsts[given.key]
            other = "" if str(first) == str(given.place) else f" (also by {first})"
            found.append(Found(given.place, f"`{given.key}` is given twice{other}", "give it once"))
            continue
        firsts[given.key] = given.place
        kept.append(given)
    return kept


def _parse(kind: type[_Given], item: str, found: list[Found]) -> _Given | None:
    key, equals, text = item.partition("=")
    key = key.strip()
    if not equals or not key:
        problem = f"{shown(item)} is not `{kind.form}`"
        found.append(Found(Place(kind.flag, 0), problem, f"write, for example, {kind.example}"))
        return None
    place = Place(f"{kind.flag} {shown(key)[1:-1]}", 0)
    written, problems = read_yaml(text, place.origin, lines=False)
    found.extend(problems)
    if problems:
        return None
    return kind(key, replace(written, place=place) if written else Written(None, "", place))


def apply_overrides(root: dict[str, Written], overrides: Sequence[Override]) -> list[Found]:
    """Insert the values into the tree of a recipe, in the given order; problems are returned."""
    found = []
    for override in overrides:
        known = known_keys(root)
        path = known.get(override.key)
        if path is None:
            found.append(no_such_key(override, known, root))
            continue
        section: Written | None = Written(root, "", override.place)
        for depth, step in enumerate(path[:-1], start=1):
            section = _section(section, str(step), hint_at(Recipe, path[:depth]), override.place)
        # If the file has something else in place of a section, its own error reports that.
        if section is not None and isinstance(section.value, dict):
            section.value[str(path[-1])] = override.value
    return found


def _section(parent: Written | None, key: str, hint: Any, place: Place) -> Written | None:
    """The section `key` of `parent`, created if it is missing or may be null."""
    if parent is None or not isinstance(parent.value, dict):
        return None
    section = parent.value.get(key)
    if section is None or (section.value is None and without_null(hint)[1]):
        section = parent.value[key] = Written({}, "", place)
    return section


def known_keys(root: dict[str, Written]) -> Mapping[str, fields.Path]:
    """Every dotted key that a recipe may have, with its path; teachers are those of the tree `root`."""
    return known_paths(Recipe, _chosen_names(root))


def no_such_key(given: Override | Sweep, known: Iterable[str], root: dict[str, Written]) -> Found:
    """The error for an unknown key."""
    remedy = _nearest_key(given.key, known, root)
    return Found(given.place, f"there is no key {shown(given.key)}", remedy)


def _nearest_key(key: str, known: Iterable[str], root: dict[str, Written]) -> str:
    if key.startswith("sweep."):
        return f"write `--sweep '{key.removeprefix('sweep.')}=[...]'` to sweep a key"
    for mapping, names in _chosen_names(root).items():
        if key.startswith(f"{mapping}."):
            in_recipe = [name for name in names if key.startswith(f"{mapping}.{name}.")]
            if not in_recipe:
                every = ", ".join(names) or "none"
                return f"the recipe's teachers are: {every} (`--set '{mapping}={{...}}'` replaces them all)"
    parent, _, last = key.rpartition(".")
    siblings = {other.rpartition(".")[2]: other for other in known if other.rpartition(".")[0] == parent}
    near = difflib.get_close_matches(last, siblings, n=1)
    elsewhere = key_elsewhere(last, known)
    if near or elsewhere:
        return f"did you mean `{siblings[near[0]] if near else elsewhere}`?"
    if parent and siblings:
        return f"`{parent}` has " + ", ".join(f"`{name}`" for name in siblings)
    return did_you_mean(key, known, "docs/recipe-reference.md lists the keys")


def _chosen_names(root: dict[str, Written]) -> dict[str, list[str]]:
    teachers = root.get("teachers")
    if teachers is None:
        names = ["large"]
    else:
        names = list(teachers.value) if isinstance(teachers.value, dict) else []
    return {"teachers": names, "strategy.teacher.weights": names}


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parse the seeds of `--seed`, separated by commas, in the given order.

    >>> parse_seeds("1,2,3")
    (1, 2, 3)
    """
    parts = [part.strip() for part in text.split(",")]
    errors = []
    if not text.strip():
        raise RecipeError("--seed", "is empty", "give one seed or several, such as 1,2,3")
    for part in dict.fromkeys(parts):
        if not _SEED.fullmatch(part) or int(part) >= 2**32:
            problem = f"{shown(part)} is not a whole number from 0 to {2**32 - 1}"
            errors.append(RecipeError("--seed", problem, "give one seed or several, such as 1,2,3"))
    seeds = [int(part) for part in parts] if not errors else []
    for seed in dict.fromkeys(seeds):
        if seeds.count(seed) > 1:
            errors.append(RecipeError("--seed", f"{seed} is given more than once", "give each seed once"))
    raise_all(errors)
    return tuple(seeds)


def one_seed(text: str | None) -> list[Override]:
    """The override of a `--seed` that accepts one seed; empty if it was not given."""
    if text is None:
        return []
    seeds = parse_seeds(text)
    if len(seeds) > 1:
        raise RecipeError(
            "--seed",
            f"gives {len(seeds)} seeds",
            "give one; `dkd train-teacher` and `dkd distill` take several",
        )
    return options(("--seed", "train.seed", str(seeds[0])))


def seeds_and_strategies(seeds: str | None, strategies: Sequence[str]) -> tuple[list[Override], list[Sweep]]:
    """Overrides and sweeps of `--seed` and `--strategy`: a single value is set, several are swept."""
    named = [strategy_parts(name) for name in strategies]
    errors = [
        RecipeError("--strategy", f"`{','.join(parts)}` is given more than once", "give it once")
        for parts in dict.fromkeys(named)
        if named.count(parts) > 1
    ]
    raise_all(errors)
    numbers = [] if seeds is None else [str(seed) for seed in parse_seeds(seeds)]
    overrides: list[Override] = []
    sweeps: list[Sweep] = []
    for flag, key, texts in (
        ("--strategy", "strategy.name", strategies),
        ("--seed", "train.seed", numbers),
    ):
        values = options(*((flag, key, text) for text in texts))
        if len(values) > 1:
            sweeps.append(Sweep(key, Written([one.value for one in values], "", Place(flag, 0))))
        else:
            overrides += values
    return overrides, sweeps
