"""The recipes that come with the program."""

from __future__ import annotations

from pathlib import Path

import pytest

from dkd_cli.errors import RecipeError
from dkd_cli.recipe.bundled import bundled_folder, bundled_names, bundled_path
from dkd_cli.recipe.loader import load_recipe

FILES = sorted(bundled_folder().rglob("*.yaml"))


def test_there_are_recipes() -> None:
    assert FILES
    assert bundled_names()[0] == "quickstart"
    assert len(bundled_names()) == len(FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_recipe_loads_under_its_own_name(path: Path) -> None:
    recipe = load_recipe(path.stem)
    assert recipe.name == path.stem
    assert recipe.description
    assert bundled_path(path.stem) == path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "strategy", ["none", "static", "dynamic-teacher", "dynamic-data", "dynamic-objective"]
)
def test_every_recipe_takes_every_strategy(path: Path, strategy: str) -> None:
    if strategy == "dynamic-teacher" and len(load_recipe(str(path)).teachers) == 1:
        # The published scripts of the other two axes have one teacher.
        assert path.stem in ("data", "objective")
        return
    assert load_recipe(str(path), [f"strategy.name={strategy}"]).strategy.name == strategy


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("quikstart", "did you mean `quickstart`?"), ("zzz", "`dkd recipes list` shows them all")],
)
def test_an_unknown_name(name: str, remedy: str) -> None:
    with pytest.raises(RecipeError) as caught:
        bundled_path(name)
    assert caught.value.remedy == remedy
