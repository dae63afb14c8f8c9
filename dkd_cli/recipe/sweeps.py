"""Sweeps: values to try, the points they form, and the folder names of points.

A point is one combination of values. Knows the keys, not the valid values: a point is validated like any
other recipe.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import product
from typing import Any, get_origin

from dkd_cli.recipe import fields
from dkd_cli.recipe.overrides import Override, Sweep, apply_overrides, known_keys, no_such_key
from dkd_cli.recipe.schema import Recipe, Value, strategy_parts
from dkd_cli.recipe.written import Found, Place, Written

MAX_POINTS = 1000
MAX_SUFFIX = 120
"""The most characters of a suffix: with strategy, seed and a teacher's name, a folder's name stays below
the usual limit of 255."""

Swept = Mapping[str, tuple[Written, ...]]
"""The values of each dotted key, as written."""

_FASTEST = "train.seed"
_NOT_SWEPT = ("name", "description", "output_dir", "sweep")
_SAFE = re.compile(r"[A-Za-z0-9._-]{1,40}")


def take_sweep(
    root: dict[str, Written],
    sweeps: Sequence[Sweep],
    keep: Callable[[str], bool] | None,
    found: list[Found],
) -> dict[str, tuple[Written, ...]]:
    """Remove the swept keys from the tree of a recipe; problems are added to `found`.

    Args:
        root: the tree, overrides included. A key that an override sets is not swept.
        sweeps: those of the command line; each replaces the recipe's own sweep of its key.
        keep: which of the recipe's own sweeps count; None: all of them.
        found: receives the problems.
    """
    section = root.get("sweep")
    if section is None:
        entries = {}
    elif isinstance(section.value, dict):
        entries = section.value
        # The rest is checked like a recipe without a sweep.
        del root["sweep"]
    else:
        return {}
    known = known_keys(root)
    own = {key: Sweep(key, written) for key, written in entries.items() if not _set(root, known.get(key))}
    given = own | {sweep.key: sweep for sweep in sweeps}
    swept: dict[str, tuple[Written, ...]] = {}
    for key, sweep in given.items():
        problem = _problem(sweep, known, root)
        if problem is not None:
            found.append(problem)
        elif keep is None or sweep is not own.get(key) or keep(key):
            swept[key] = _values(sweep)
    number = math.prod(map(len, swept.values()))
    if number > MAX_POINTS:
        place = sweeps[-1].place if sweeps or section is None else section.place
        problem = Found(place, f"the sweep makes {number} points, more than {MAX_POINTS}", "try fewer values")
        found.append(problem)
        return {}
    return swept


def _set(root: dict[str, Written], path: fields.Path | None) -> bool:
    """Return whether the command line sets the value at `path`, directly or with its section."""
    here = Written(root, "", Place("", 1))
    for step in path or ():
        if not isinstance(here.value, dict) or str(step) not in here.value:
            return False
        here = here.value[str(step)]
    return here.place.line == 0


def _values(sweep: Sweep) -> tuple[Written, ...]:
    written = sweep.value
    if isinstance(written.value, list):
        return tuple(written.value)
    # Null is a possible value, but must be written.
    return () if written.value is None and not written.text else (written,)


def _problem(sweep: Sweep, known: Mapping[str, fields.Path], root: dict[str, Written]) -> Found | None:
    """Problems with the key or with the shape of its values."""
    key, path = sweep.key, known.get(sweep.key)
    if path is None:
        return no_such_key(sweep, known, root)
    if key in _NOT_SWEPT:
        problem = f"`{key}` cannot be swept: it is not a setting of an experiment"
        return Found(sweep.place, problem, "sweep a key that differs between runs")
    hint = fields.hint_at(Recipe, path)
    if fields.is_section(hint) or fields.is_mapping(hint):
        below = [other for other in known if other.startswith(f"{key}.")]
        remedy = f"sweep a key of it, such as `{below[0]}`" if below else "sweep a single value"
        return Found(sweep.place, f"`{key}` is a section, which cannot be swept", remedy)
    if get_origin(fields.bare(hint)) is tuple:
        return Found(sweep.place, f"`{key}` is a list, which cannot be swept", "sweep a single value")
    values = _values(sweep)
    if not values:
        return Found(sweep.place, f"`{key}` has no values to try", "give one or more, or remove it")
    for one in values:
        if isinstance(one.value, (list, dict)):
            kind = "a list" if isinstance(one.value, list) else "a section"
            return Found(one.place, f"`{key}` has {kind} among its values", "give single values")
    return None


def points(swept: Swept) -> Iterator[dict[str, int]]:
    """Every point, as the position of its value by key; the last key varies fastest, except for the seed.

    >>> values = (Written(1, "1", Place("", 0)), Written(2, "2", Place("", 0)))
    >>> [tuple(point.values()) for point in points({"train.seed": values, "train.epochs": values})]
    [(0, 0), (1, 0), (0, 1), (1, 1)]
    """
    order = sorted(swept, key=lambda key: key == _FASTEST)
    for positions in product(*(range(len(swept[key])) for key in order)):
        at = dict(zip(order, positions, strict=True))
        yield {key: at[key] for key in swept}


def tree_at(root: dict[str, Written], swept: Swept, point: Mapping[str, int]) -> dict[str, Written]:
    """The tree of a recipe with the values of one point; `root` is not changed."""
    tree = {key: _copied(child) for key, child in root.items()}
    problems = apply_overrides(tree, [Override(key, swept[key][at]) for key, at in point.items()])
    assert not problems, "the keys of a sweep are known ones"
    return tree


def _copied(written: Written) -> Written:
    if not isinstance(written.value, dict):
        return written
    children = {key: _copied(child) for key, child in written.value.items()}
    return Written(children, written.text, written.place)


def repeated(swept: Swept, resolved: Mapping[tuple[str, int], Value]) -> Iterator[tuple[str, Written]]:
    """(key, value) of each value that is equal in meaning to an earlier one of its key.

    Args:
        swept: the values as written.
        resolved: their meaning, by key and position, if they could be parsed.
    """
    for key, values in swept.items():
        seen = set()
        for position, written in enumerate(values):
            if (key, position) not in resolved:
                continue
            value = resolved[key, position]
            meaning = ",".join(strategy_parts(str(value))) if key == "strategy.name" else value
            if meaning in seen:
                yield key, written
            seen.add(meaning)


def swept_value(recipe: Recipe, dotted: str) -> Value:
    """The value at a dotted key that can be swept."""
    here: Any = recipe
    for step in _paths(recipe)[dotted]:
        here = here[step] if isinstance(here, Mapping) else getattr(here, str(step))
    assert here is None or isinstance(here, (str, int, float)), f"{dotted} is no single value"
    return here


def variant(recipe: Recipe, keys: Callable[[str], bool]) -> str:
    """The suffix that distinguishes a point's folder from others: `score=margin,ratio=0.5`; empty if nothing
    does.

    The keys are in the order of the schema, so that a point has one name however its sweep was written.

    Args:
        recipe: a point: every key that is selected has one value.
        keys: selects among the swept keys.
    """
    paths = {key: path for key, path in _paths(recipe).items() if key in recipe.sweep and keys(key)}
    assert all(len(recipe.sweep[key]) == 1 for key in paths), "only a point has a folder"
    parts = (f"{_short(key, paths)}={_value_text(recipe.sweep[key][0])}" for key in paths)
    suffix = ",".join(parts)
    if len(suffix) <= MAX_SUFFIX:
        return suffix
    return f"{suffix[: MAX_SUFFIX - 17]}-{blake2b(suffix.encode(), digest_size=8).hexdigest()}"


def _paths(recipe: Recipe) -> Mapping[str, fields.Path]:
    teachers = tuple(recipe.teachers)
    return fields.known_paths(Recipe, {"teachers": teachers, "strategy.teacher.weights": teachers})


def _short(key: str, paths: Mapping[str, fields.Path]) -> str:
    """The shortest trailing part of a key that is unambiguous; else the whole key."""
    path = paths[key]
    tails = (path[-length:] for length in range(1, len(path)))
    alone = (tail for tail in tails if sum(other[-len(tail) :] == tail for other in paths.values()) == 1)
    return ".".join(map(str, next(alone, path)))


def _value_text(value: Value) -> str:
    """Format a value for a folder's name.

    >>> [_value_text(value) for value in (0.5, 1e-05, 3.0, True, None, "margin")]
    ['0.5', '1e-05', '3', 'true', 'null', 'margin']
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return repr(value).removesuffix(".0").replace("+", "")
    if _SAFE.fullmatch(value) and value != "null":
        return value
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", value)[-30:].strip("-._")
    return f"{safe}-{blake2b(value.encode(), digest_size=3).hexdigest()}".lstrip("-")
