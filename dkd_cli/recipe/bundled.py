"""Bundled recipes: their names and files.

Does not know their content.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from dkd_cli.errors import RecipeError
from dkd_cli.recipe.fields import did_you_mean

_PACKAGE = Path(__file__).resolve().parent.parent


@cache
def bundled_folder() -> Path:
    """`dkd_cli/recipes` if the program was installed from a wheel, `recipes` in a checkout."""
    packed = _PACKAGE / "recipes"
    return packed if packed.is_dir() else _PACKAGE.parent / "recipes"


@cache
def bundled_names() -> tuple[str, ...]:
    """The names of all bundled recipes: quickstart first, the others by alphabet."""
    names = (path.stem for path in bundled_folder().glob("*.yaml"))
    return tuple(sorted(names, key=lambda name: (name != "quickstart", name)))


def bundled_path(name: str) -> Path:
    """The file of a bundled recipe; for an unknown name, a RecipeError suggests the nearest one."""
    if name not in bundled_names():
        remedy = did_you_mean(name, bundled_names(), "`dkd recipes list` shows them all")
        raise RecipeError(repr(name), "there is no such file and no bundled recipe of that name", remedy)
    return bundled_folder() / f"{name}.yaml"
