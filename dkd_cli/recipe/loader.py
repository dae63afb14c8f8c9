"""Recipe loading: YAML to validated dataclasses; all problems are reported together, with their lines.

Knows nothing about data, models or commands; `schema` defines the keys.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from dkd_cli.errors import RecipeError, one_line, raise_all
from dkd_cli.recipe import fields
from dkd_cli.recipe.bundled import bundled_names, bundled_path
from dkd_cli.recipe.overrides import Override, Sweep, apply_overrides, collect_options
from dkd_cli.recipe.rules import check
from dkd_cli.recipe.schema import Recipe, Value
from dkd_cli.recipe.sweeps import Swept, points, repeated, swept_value, take_sweep, tree_at
from dkd_cli.recipe.written import MAX_CHARACTERS, Found, Place, Written, numeric, read_yaml, shown

DEFAULT = "quickstart"
_START = "start from a copy: dkd recipes copy quickstart"


def load_recipe(reference: str | None, overrides: Sequence[str | Override] = ()) -> Recipe:
    """Load a recipe file, or the bundled recipe of that name; None is `quickstart`.

    The recipe has its own values. Its sweep is stored as data, but every point of it is validated too.
    """
    text, origin = _open(reference)
    return parse_recipe(text, origin, overrides)


def load_points(
    reference: str | None,
    overrides: Sequence[str | Override] = (),
    sweeps: Sequence[str | Sweep] = (),
    keep: Callable[[str], bool] | None = None,
) -> list[Recipe]:
    """Load every point of a recipe's sweep: one recipe for each, whose `sweep` has the values it was given.

    Args:
        reference: as for `load_recipe`.
        overrides: values to set; a key that the recipe sweeps is then no longer swept.
        sweeps: `key=[value, value]` items, text or parsed; each replaces the recipe's own sweep of its key.
        keep: selects the recipe's own sweeps by dotted key; the others are ignored.

    Raises:
        RecipeError: or Problems with those of all points, without repetition.
    """
    text, origin = _open(reference)
    source, swept, found = _read_source(text, origin, overrides, sweeps, keep)
    recipes = _points(source, swept, found)
    _raise(found)
    return recipes


def _open(reference: str | None) -> tuple[str, str]:
    """(the text of a recipe, its name in error messages)."""
    reference = DEFAULT if reference is None else reference
    path = recipe_path(reference)
    origin = one_line(path.name if reference in bundled_names() else reference).strip() or repr(reference)
    return _read(path, origin), origin


def recipe_path(reference: str) -> Path:
    """The file of a reference; a bundled name takes precedence over a file with the same name."""
    if reference in bundled_names():
        return bundled_path(reference)
    path = Path(reference)
    if path.suffix in (".yaml", ".yml") or path.name != reference or _exists(path):
        return path
    return bundled_path(reference)


def parse_recipe(text: str, origin: str, overrides: Sequence[str | Override] = ()) -> Recipe:
    """Parse the text of a recipe; `origin` is its name in error messages. Raises as `load_recipe` does."""
    source, swept, found = _read_source(text, origin, overrides, (), None)
    recipe = _complete(source, found)
    tried = _points(source, swept, found) if swept else []
    _raise(found)
    assert recipe is not None
    values = {key: tuple(dict.fromkeys(point.sweep[key][0] for point in tried)) for key in swept}
    return replace(recipe, sweep=values)


def _read_source(
    text: str,
    origin: str,
    overrides: Sequence[str | Override],
    sweeps: Sequence[str | Sweep],
    keep: Callable[[str], bool] | None,
) -> tuple[_Source, Swept, list[Found]]:
    """The tree of a recipe without its sweep, the values to try, and the problems so far."""
    set_values, tried, found = collect_options(overrides, sweeps)
    root, problems = read_yaml(text, origin)
    found += problems
    first = Place(origin, 1)
    if root is None:
        if not problems:
            found.append(Found(first, "is empty", _START))
        _raise(found)
    elif not isinstance(root.value, dict):
        kind = "a list" if isinstance(root.value, list) else "one value"
        found.append(Found(first, f"is {kind}, not keys with values", _START))
        _raise(found)
    else:
        found += apply_overrides(root.value, set_values)
        swept = take_sweep(root.value, tried, keep, found)
        options = {str(one.place): one.key for one in set_values} | {str(one.place): one.key for one in tried}
        source = _Source(root.value, first, options, frozenset(swept))
        found += _unknown_keys(source)
        return source, swept, found
    raise AssertionError("an empty recipe is a problem")


def _points(source: _Source, swept: Swept, found: list[Found]) -> list[Recipe]:
    """The recipe of each valid point; problems are added to `found`."""
    recipes = []
    resolved: dict[tuple[str, int], Value] = {}
    for point in points(swept):
        recipe = _complete(replace(source, root=tree_at(source.root, swept, point)), found)
        if recipe is not None:
            values = {key: swept_value(recipe, key) for key in swept}
            resolved |= {(key, point[key]): value for key, value in values.items()}
            recipes.append(replace(recipe, sweep={key: (value,) for key, value in values.items()}))
    for key, written in repeated(swept, resolved):
        problem = source.named(key, written.place, f"has {written.text} more than once")
        found.append(Found(written.place, problem, "give it once"))
    return recipes


def _complete(source: _Source, found: list[Found]) -> Recipe | None:
    """The recipe of a tree; problems with its values are added to `found`."""
    recipe = _typed(source, found)
    if recipe is not None:
        found += [source.found(*broken) for broken in check(recipe)]
    return recipe


def dump_recipe(recipe: Recipe) -> str:
    """The complete recipe as YAML, defaults included; `parse_recipe` restores an equal recipe."""
    return yaml.dump(asdict(recipe), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


class _Dumper(yaml.SafeDumper):
    """PyYAML's, but line breaks of all kinds are escaped: its other styles turn U+0085 into a newline."""


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)


@dataclass(frozen=True, slots=True)
class _Source:
    """The tree as written, the option that sets each key, and the swept keys."""

    root: dict[str, Written]
    start: Place
    options: dict[str, str]
    swept: frozenset[str]

    def at(self, path: fields.Path) -> Written:
        """The value at `path`, or its nearest ancestor that is written."""
        here = Written(self.root, "", self.start)
        for step in path:
            if isinstance(here.value, dict) and str(step) in here.value:
                here = here.value[str(step)]
            elif isinstance(here.value, list) and isinstance(step, int):
                here = here.value[step]
            else:
                break
        return here

    def path(self, dotted: str) -> fields.Path:
        """The parts of a dotted key, as far as it is written; names may contain dots."""
        here: Any = self.root
        steps: list[str] = []
        rest = dotted
        while isinstance(here, dict) and rest:
            known = [key for key in here if rest == key or rest.startswith(f"{key}.")]
            if not known:
                break
            key = max(known, key=len)
            steps.append(key)
            here, rest = here[key].value, rest[len(key) + 1 :]
        return tuple(steps)

    def found(self, dotted: str, problem: str, remedy: str) -> Found:
        """A problem at a key; the message names the key unless the place already does."""
        place = self.at(self.path(dotted)).place
        return Found(place, self.named(dotted, place, problem), remedy)

    def named(self, dotted: str, place: Place, problem: str) -> str:
        return problem if self.options.get(str(place)) == dotted else f"{shown(dotted)[1:-1]} {problem}"


def _raise(found: Sequence[Found]) -> None:
    # Points share their problems; each is reported once.
    ordered = sorted(dict.fromkeys(found), key=lambda problem: (problem.place.line == 0, problem.place.line))
    raise_all([problem.error() for problem in ordered])


def _unknown_keys(source: _Source) -> Iterator[Found]:
    every = fields.known_paths(Recipe, {})

    def visit(hint: Any, written: Written, path: tuple[str, ...]) -> Iterator[Found]:
        if not isinstance(written.value, dict) or not (fields.is_section(hint) or fields.is_mapping(hint)):
            return
        known = fields.hints(fields.bare(hint)) if fields.is_section(hint) else None
        for key, child in written.value.items():
            if known is None:
                yield from visit(fields.entry_hint(hint), child, (*path, key))
            elif key in known:
                yield from visit(known[key], child, (*path, key))
            else:
                elsewhere = fields.key_elsewhere(key, every)
                otherwise = f"did you mean `{elsewhere}`?" if elsewhere else f"use {_listed(known)}"
                remedy = fields.did_you_mean(key, known, otherwise)
                yield Found(child.place, f"unknown key {shown('.'.join((*path, key)))}", remedy)

    yield from visit(Recipe, Written(source.root, "", source.start), ())


def _listed(words: Any) -> str:
    return ", ".join(f"`{word}`" for word in words)


@cache
def _adapter() -> TypeAdapter[Recipe]:
    return TypeAdapter(Recipe)


def _typed(source: _Source, found: list[Found]) -> Recipe | None:
    """Check types and bounds; mismatches are added to `found`."""
    value = _plain(Written(source.root, "", source.start))
    errors = _errors(value)
    if isinstance(errors, Recipe):
        return errors
    # If text is expected, `1`, `true` and `no` stay text as written; if a number is, '1e-5' is one.
    for error in errors:
        written = source.at(error["loc"])
        if error["type"] == "string_type" and isinstance(written.value, (bool, int, float)):
            _put(value, error["loc"], written.text)
        elif error["type"] == "float_type" and isinstance(written.value, str) and numeric(written.text):
            _put(value, error["loc"], float(written.text))
        elif error["type"] == "tuple_type" and isinstance(written.value, str) and _in_section(error["loc"]):
            _put(value, error["loc"], [written.value])
    errors = _errors(value)
    if isinstance(errors, Recipe):
        return errors
    found += [_type_problem(source, error) for error in errors]
    return None


def _in_section(path: fields.Path) -> bool:
    """Return whether a value is under a key of the schema, not under one that the user chose (`sweep`)."""
    return fields.is_section(fields.hint_at(Recipe, path[:-1]))


def _errors(value: Any) -> Recipe | list[Any]:
    try:
        # JSON and not objects: in strict mode it still allows a list for a tuple and a mapping for a
        # dataclass.
        return _adapter().validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        return [
            one | {"loc": _keys(one["loc"])} for one in error.errors(include_url=False, include_context=False)
        ]


def _keys(location: fields.Path) -> fields.Path:
    """The path of a value without pydantic's name for the form that it has."""
    for place in range(1, len(location)):
        if len(fields.forms(fields.hint_at(Recipe, location[:place]))) > 1:
            return location[:place] + location[place + 1 :]
    return location


def _type_problem(source: _Source, error: Any) -> Found:
    path: fields.Path = error["loc"]
    dotted = ".".join(map(str, path))
    written = source.at(path)
    if error["type"] == "missing":
        return Found(written.place, f"the key `{dotted}` is missing", f"add it; {_START}")
    hint = fields.hint_at(Recipe, path)
    problem = f"must be {fields.describe(hint)}, {_said(written)}"
    return Found(
        written.place, source.named(dotted, written.place, problem), _type_remedy(source, path, hint, written)
    )


def _type_remedy(source: _Source, path: fields.Path, hint: Any, written: Written) -> str:
    choices = fields.choices(hint)
    if choices:
        return fields.did_you_mean(written.text, choices, "write one of them")
    if fields.is_section(hint) or fields.is_mapping(hint):
        return "indent its keys below it, or remove it"
    if isinstance(path[-1], int) or ".".join(map(str, path)) in source.swept:
        return "change it"
    owner = fields.hint_at(Recipe, path[:-1])
    if not fields.is_section(owner) or fields.required(fields.bare(owner), path[-1]):
        return "change it"
    default = fields.schema_field(fields.bare(owner), path[-1]).default
    return f"change it, or remove it for the default ({_as_yaml(default)})"


def _as_yaml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _said(written: Written) -> str:
    if isinstance(written.value, dict):
        return "not a section of keys"
    if isinstance(written.value, list):
        return "not a list"
    if not written.text:
        return "but is empty"
    return f"not {shown(written.value) if isinstance(written.value, str) else written.text}"


def _plain(written: Written) -> Any:
    if isinstance(written.value, dict):
        return {key: _plain(child) for key, child in written.value.items()}
    if isinstance(written.value, list):
        return [_plain(child) for child in written.value]
    return written.value


def _put(value: Any, path: fields.Path, new: str | float | list[str]) -> None:
    for step in path[:-1]:
        value = value[step]
    value[path[-1]] = new


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _read(path: Path, origin: str) -> str:
    try:
        if path.is_dir():
            raise RecipeError(origin, "is a directory", "name a recipe file inside it")
        with path.open("rb") as handle:
            # Bounded, so that an endless file such as a device is not read forever.
            content = handle.read(4 * MAX_CHARACTERS + 1)
    except FileNotFoundError:
        raise RecipeError(
            origin, "no such file", "check the path, or see `dkd recipes list` for the bundled recipes"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RecipeError(
            origin, f"cannot be read ({reason})", "check the path and its permissions"
        ) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"byte 0x{content[error.start]:02x} is not UTF-8"
        raise RecipeError(f"{origin}:{line}", problem, "save the file as UTF-8") from None
