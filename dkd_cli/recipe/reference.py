"""Generates the recipe reference from the schema.

`python -m dkd_cli.recipe.reference > docs/recipe-reference.md` updates the page.

Knows the schema only; the descriptions are the strings below its fields.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from dataclasses import MISSING
from typing import Any

from dkd_cli.recipe import fields, schema

_HEAD = """# Recipe reference

Every key of a recipe, its type, its default and its meaning. A recipe is a YAML file; omitted keys
have their defaults. Any key can be set on the command line: `--set train.epochs=2`.

`dkd recipes show quickstart` prints a recipe to start from, `dkd recipes check FILE` checks one.

<!-- Generated from dkd_cli/recipe/schema.py by dkd_cli.recipe.reference. -->
"""


def reference_markdown() -> str:
    """The whole reference as Markdown: one table for each section of a recipe."""
    parts = [_HEAD]
    _section(parts, schema.Recipe, "")
    return "\n".join(parts)


def _section(parts: list[str], section: type, dotted: str) -> None:
    docs = field_docs(section)
    parts.append(f"## `{dotted}`\n" if dotted else "## The top level\n")
    parts.append(f"{_flow(section.__doc__ or '')}\n")
    parts.append("| key | type | default | meaning |\n|---|---|---|---|")
    inner: list[tuple[type, str]] = []
    for key, hint in fields.hints(section).items():
        path = f"{dotted}.{key}" if dotted else key
        meaning = docs.get(key, "")
        if fields.is_section(hint):
            inner.append((fields.bare(hint), path))
            meaning = meaning or f"see [`{path}`](#{_anchor(path)})"
        elif fields.is_mapping(hint) and fields.is_section(fields.entry_hint(hint)):
            inner.append((fields.bare(fields.entry_hint(hint)), f"{path}.<name>"))
        row = (f"`{key}`", fields.describe(hint), _default(section, key), meaning)
        parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    parts.append("")
    for section_type, path in inner:
        _section(parts, section_type, path)


def field_docs(section: type) -> dict[str, str]:
    """The string below each field of a dataclass, on one line."""
    tree = ast.parse(inspect.getsource(section)).body[0]
    assert isinstance(tree, ast.ClassDef)
    docs: dict[str, str] = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            docs[field.target.id] = _flow(str(below.value.value))
    return docs


def _flow(text: str) -> str:
    return " ".join(text.split())


def _anchor(path: str) -> str:
    return path.replace(".", "").replace("<", "").replace(">", "")


def _default(section: type, key: str) -> str:
    field = fields.schema_field(section, key)
    if fields.required(section, key):
        return "required"
    if field.default is not MISSING:
        return f"`{json.dumps(_plain(field.default), ensure_ascii=False)}`"
    assert field.default_factory is not MISSING
    made = field.default_factory()
    if isinstance(made, dict):
        return "`{" + ", ".join(f"{name}: {{}}" for name in made) + "}`"
    return "its own defaults"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


if __name__ == "__main__":
    sys.stdout.write(reference_markdown())
