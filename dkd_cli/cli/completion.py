"""Shell completion of recipes, strategies, keys of `--set` and model folders.

Loads no library beyond the recipe's schema, for the user waits with a finger on the key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DEEPEST = 3
"""Folders below `checkpoints` in which models are looked for: output_dir / recipe / model."""


def recipes(incomplete: str) -> list[str]:
    """Bundled recipes, and the YAML files that the path begun leads to."""
    from dkd_cli.recipe.bundled import bundled_names

    return [*(name for name in bundled_names() if name.startswith(incomplete)), *_files(incomplete, ".yaml")]


def bundled(incomplete: str) -> list[str]:
    """Bundled recipes alone."""
    from dkd_cli.recipe.bundled import bundled_names

    return [name for name in bundled_names() if name.startswith(incomplete)]


def strategies(incomplete: str) -> list[str]:
    """Strategies; after a comma the dynamic ones that can be joined to those before it."""
    from dkd_cli.recipe.schema import STRATEGIES

    before, comma, begun = incomplete.rpartition(",")
    taken = before.split(",") if comma else []
    names = [name for name in STRATEGIES if name.startswith("dynamic-")] if comma else STRATEGIES
    return [f"{before}{comma}{name}" for name in names if name.startswith(begun) and name not in taken]


def keys(incomplete: str) -> list[str]:
    """Dotted keys of a recipe with `=` behind them, as `--set` takes them."""
    from dkd_cli.recipe.schema import Recipe, Teacher

    found = [*_keys(Recipe, ""), *(f"teachers.large.{key}" for key in _keys(Teacher, ""))]
    return [f"{key}=" for key in found if key.startswith(incomplete)]


def models(incomplete: str) -> list[str]:
    """Model folders below the folder that was begun; below `checkpoints` for an empty word."""
    begun = Path(incomplete or "checkpoints")
    top = begun if begun.is_dir() else begun.parent
    found = sorted(str(folder) for folder in _models(top, DEEPEST) if str(folder).startswith(incomplete))
    inside = [] if incomplete and not begun.parent.is_dir() else _folders(incomplete)
    return [*found, *(folder for folder in inside if folder not in found)]


def _keys(section: type, prefix: str) -> Iterator[str]:
    import dataclasses
    import typing

    hints: Mapping[str, Any] = typing.get_type_hints(section)
    for one in dataclasses.fields(section):
        if dataclasses.is_dataclass(hints[one.name]):
            yield from _keys(hints[one.name], f"{prefix}{one.name}.")
        elif one.name not in ("teachers", "sweep"):
            yield f"{prefix}{one.name}"


def _models(top: Path, depth: int) -> Iterator[Path]:
    if (top / "config.json").is_file():
        yield top
    elif depth and top.is_dir():
        for folder in sorted(top.iterdir()):
            if folder.is_dir() and not folder.name.startswith("."):
                yield from _models(folder, depth - 1)


def _files(incomplete: str, suffix: str) -> list[str]:
    top = Path(incomplete).parent if not incomplete.endswith("/") else Path(incomplete)
    if not top.is_dir():
        return []
    files = sorted(str(path) for path in top.iterdir() if path.suffix == suffix)
    return [name for name in files if name.startswith(incomplete)] + _folders(incomplete)


def _folders(incomplete: str) -> list[str]:
    top = Path(incomplete).parent if not incomplete.endswith("/") else Path(incomplete)
    if not top.is_dir():
        return []
    folders = sorted(f"{path}/" for path in top.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [name for name in folders if name.startswith(incomplete)]
