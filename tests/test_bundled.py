"""The recipes that come with the program."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

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
    "name", sorted({path.stem for path in FILES} - {"quickstart", "goemotions"}), ids=lambda name: name
)
def test_published_recipes_spell_out_the_published_objective(name: str) -> None:
    """Whatever a recipe without settings does."""
    written = yaml.safe_load(bundled_path(name).read_text(encoding="utf-8"))
    spelled = written["strategy"]["objective"]
    assert (spelled["kd_loss"], spelled["ce_weight"], spelled["hidden_loss"]) == ("mse", 1, "states")
    assert (written["train"]["epochs"], written["train"]["dropout"]) == (3, 0.1)
    assert {"learning_rate", "batch_size", "warmup"} <= set(written["train"])


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("quikstart", "did you mean `quickstart`?"), ("zzz", "`dkd recipes list` shows them all")],
)
def test_an_unknown_name(name: str, remedy: str) -> None:
    with pytest.raises(RecipeError) as caught:
        bundled_path(name)
    assert caught.value.remedy == remedy
