"""YAML with positions: each value with its line and its own text.

Reads YAML like version 1.2: `2e-5` is a number, only `true` and `false` are booleans, and dates, octal
numbers and base 60 are text. Knows nothing about recipes.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Union

import yaml

from dkd_cli.errors import RecipeError, one_line

MAX_CHARACTERS = 200_000
MAX_DEPTH = 20
MAX_VALUES = 10_000

_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_TOO_DEEP = "nested too deep"
_TAGS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))

Scalar = Union[None, bool, int, float, str]  # noqa: UP007 (evaluated when the module is loaded)


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, or (line 0) a command-line option."""

    origin: str
    line: int

    def __str__(self) -> str:
        return f"{self.origin}:{self.line}" if self.line else self.origin


@dataclass(frozen=True, slots=True)
class Written:
    """A value: its meaning, the text of a scalar, and the place of its key."""

    value: Scalar | list[Written] | dict[str, Written]
    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Found:
    """A problem that is not yet an error, so that several can be sorted by line."""

    place: Place
    problem: str
    remedy: str

    def error(self) -> RecipeError:
        """Convert to the error to raise."""
        return RecipeError(str(self.place), self.problem, self.remedy)


class _Loader(yaml.SafeLoader):
    """PyYAML's composer without its resolvers, which follow version 1.1."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 (as in the parent class)
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, _TOO_DEEP, event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_yaml(text: str, origin: str, *, lines: bool = True) -> tuple[Written | None, list[Found]]:
    """Parse one YAML document; None if nothing in it is usable.

    `origin` names the text in every place; with `lines` False the places carry no line (an option's value).
    """
    start = Place(origin, 1 if lines else 0)
    if len(text) > MAX_CHARACTERS:
        return None, [Found(start, f"is longer than {MAX_CHARACTERS} characters", "give a recipe")]
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        return None, [_syntax_problem(error, text, origin, lines)]
    except (ValueError, OverflowError):
        # PyYAML's own slip: an escape such as "\\U99999999" names no character.
        place = Place(origin, loader.line + 1 if loader and lines else 0)
        return None, [Found(place, "an escape names no character", "write the character itself")]
    finally:
        if loader is not None:
            loader.dispose()
    if root is None:
        return None, []
    builder = _Builder(origin, lines)
    return builder.build(root, builder.place(root), 1), builder.found


class _Builder:
    """Converts PyYAML's nodes to `Written` values and collects problems."""

    def __init__(self, origin: str, lines: bool) -> None:
        self.origin, self.lines = origin, lines
        self.found: list[Found] = []
        self.values = 0

    def place(self, node: yaml.Node) -> Place:
        return Place(self.origin, node.start_mark.line + 1 if self.lines else 0)

    def build(self, node: yaml.Node, place: Place, depth: int) -> Written:
        # Counted after aliases are followed: a few lines of them can represent billions of values.
        self.values += 1
        if self.values > MAX_VALUES or depth > MAX_DEPTH:
            if self.values <= MAX_VALUES + 1:
                self.values = MAX_VALUES + 1
                self.found.append(Found(place, "holds far too many values", "write the values out"))
            return Written(None, "", place)
        if node.tag not in _TAGS:
            self.found.append(Found(place, f"the tag {shown(node.tag)} is not supported", "remove it"))
        if isinstance(node, yaml.MappingNode):
            return Written(self._mapping(node, depth), "", place)
        if isinstance(node, yaml.SequenceNode):
            items = [self.build(item, self.place(item), depth + 1) for item in node.value]
            return Written(items, "", place)
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, place)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Written]:
        entries: dict[str, Written] = {}
        for key_node, value_node in node.value:
            place = self.place(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.found.append(
                    Found(place, "a key is a list or a mapping", "write a plain word as the key")
                )
                continue
            key = self._scalar(key_node, place).text
            if key in entries:
                first = f" (first in line {entries[key].place.line})" if self.lines else ""
                self.found.append(
                    Found(place, f"the key {shown(key)} occurs twice{first}", "keep one of them")
                )
                continue
            entries[key] = self.build(value_node, place, depth + 1)
        return entries

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Written:
        text: str = node.value
        if not _encodable(text):
            self.found.append(
                Found(place, "contains a lone surrogate, half of a character", "write the whole character")
            )
            return Written("", "", place)
        quoted = node.style is not None
        return Written(text if quoted else meaning(text), text, place)


def meaning(text: str) -> Scalar:
    """Interpret an unquoted scalar.

    >>> [meaning(text) for text in ("2e-5", "no", "true", "~", "007", "3")]
    [2e-05, 'no', True, None, '007', 3]
    """
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if not text.lstrip("+-").isdigit() and numeric(text):
        return float(text)
    return text


def numeric(text: str) -> bool:
    """Return whether the text is a finite number."""
    return _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))


def shown(value: object) -> str:
    """Format a value on one line, quoted, not longer than 60 characters.

    >>> shown("two\\nlines")
    "'two\\\\nlines'"
    """
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _syntax_problem(error: yaml.YAMLError, text: str, origin: str, lines: bool) -> Found:
    if isinstance(error, yaml.reader.ReaderError):
        position = int(error.position)
        place = Place(origin, text.count("\n", 0, position) + 1 if lines else 0)
        problem = f"holds the control character U+{int(error.character):04X}"
        return Found(place, problem, "save it as plain UTF-8 text")
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or "it cannot be read"
    index = mark.line if mark is not None else 0
    place = Place(origin, index + 1 if lines else 0)
    if reason == _TOO_DEEP:
        return Found(place, f"is nested deeper than {MAX_DEPTH} levels", "no recipe needs that")
    source = text.splitlines()[index : index + 1]
    if source and "\t" in source[0][: len(source[0]) - len(source[0].lstrip())]:
        return Found(place, "a tab is used for indentation", "indent with spaces")
    return Found(place, f"is not valid YAML ({one_line(reason)})", "check indentation, quotes and brackets")
