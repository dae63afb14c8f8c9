"""`--set`, `--seed` and `--strategy` as values of a recipe."""

from __future__ import annotations

import pytest

from dkd_cli.errors import RecipeError
from dkd_cli.recipe.loader import dump_recipe, parse_recipe
from dkd_cli.recipe.overrides import (
    one_seed,
    options,
    parse_overrides,
    parse_seeds,
    seeds_and_strategies,
)

RECIPE = """
name: x
model: m
data: {source: s}
teachers:
  small: {layers: 4}
  v1.5: {layers: 6}
"""


def test_values_replace_and_add() -> None:
    recipe = parse_recipe(
        RECIPE,
        "r.yaml",
        ["train.learning_rate=2e-5", "teachers.small.layers=2", "data.labels=[yes, no]", " name = y "],
    )
    assert recipe.train.learning_rate == 2e-5
    assert recipe.teachers["small"].layers == 2
    assert recipe.teachers["v1.5"].layers == 6
    assert recipe.data.labels == ("yes", "no")
    assert recipe.name == "y"


def test_a_name_with_a_dot_is_one_step() -> None:
    assert parse_recipe(RECIPE, "r.yaml", ["teachers.v1.5.layers=3"]).teachers["v1.5"].layers == 3


def test_a_whole_section_is_replaced() -> None:
    recipe = parse_recipe(RECIPE, "r.yaml", ["teachers={large: {layers: 6}}", "teachers.large.epochs=1"])
    assert list(recipe.teachers) == ["large"]
    assert recipe.teachers["large"].epochs == 1


def test_the_default_teacher_can_be_set_where_the_recipe_names_none() -> None:
    recipe = parse_recipe("name: x\nmodel: m\ndata: {source: s}\n", "r.yaml", ["teachers.large.layers=3"])
    assert recipe.teachers["large"].layers == 3


def test_weights_take_the_names_of_the_teachers() -> None:
    recipe = parse_recipe(
        RECIPE, "r.yaml", ["strategy.teacher.mode=static", "strategy.teacher.weights.small=2"]
    )
    assert recipe.strategy.teacher.weights == {"small": 2.0}


def test_a_section_that_may_be_null_is_made() -> None:
    dumped = dump_recipe(parse_recipe(RECIPE, "r.yaml"))
    assert "weights: null" in dumped
    changes = ["strategy.teacher.mode=static", "strategy.teacher.weights.small=2"]
    assert parse_recipe(dumped, "r.yaml", changes).strategy.teacher.weights == {"small": 2.0}


def test_a_section_that_may_not_be_null_is_an_error_all_the_same() -> None:
    with pytest.raises(RecipeError, match=r"r\.yaml:\d+: train must be a section of keys, but is empty"):
        parse_recipe(RECIPE + "train:\n", "r.yaml", ["train.epochs=1"])


def test_the_value_may_hold_an_equals_sign() -> None:
    assert parse_recipe(RECIPE, "r.yaml", ["description='a=b'"]).description == "a=b"


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("train.epoch=1", "did you mean `train.epochs`?"),
        ("epochs=1", "did you mean `train.epochs`?"),
        ("teachers.big.layers=1", "the recipe's teachers are: small, v1.5"),
        ("student.zzz=1", "`student` has `family`, `model`, `layers`"),
        ("trian.epochs=1", "did you mean `train.epochs`?"),
        ("train.foo=1", "`train` has `epochs`, "),
        ("zzz=1", "docs/recipe-reference.md"),
        ("sweep.train.seed=[1]", "write `--sweep 'train.seed=[...]'`"),
    ],
)
def test_unknown_keys_are_told_with_the_known_ones(item: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(RECIPE, "r.yaml", [item])
    key = item.partition("=")[0]
    assert str(caught.value).startswith(f"--set {key}: there is no key '{key}'; ")
    assert said in str(caught.value)


def test_parse_overrides_keeps_order_and_place() -> None:
    overrides = parse_overrides(["train.seed=3", *options(("--output-dir", "output_dir", "out"))])
    assert [(one.key, one.value.value, str(one.place)) for one in overrides] == [
        ("train.seed", 3, "--set train.seed"),
        ("output_dir", "out", "--output-dir"),
    ]


def test_seeds_in_the_order_given() -> None:
    assert parse_seeds("3, 1,2") == (3, 1, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("1,,2", "'' is not a whole number"),
        ("1,1", "1 is given more than once"),
        ("01,1", "1 is given more than once"),
        ("x", "'x' is not a whole number"),
        ("-1", "'-1' is not a whole number"),
        ("4294967296", "'4294967296' is not a whole number from 0 to 4294967295"),
        ("١", "is not a whole number"),
    ],
)
def test_bad_seeds(text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=r"^--seed: ") as caught:
        parse_seeds(text)
    assert said in str(caught.value)


def test_one_seed_takes_one() -> None:
    assert one_seed(None) == []
    assert one_seed("7")[0].value.value == 7
    with pytest.raises(RecipeError, match="gives 2 seeds"):
        one_seed("1,2")


def test_several_seeds_and_strategies_are_swept() -> None:
    overrides, sweeps = seeds_and_strategies("1,2", ["none", "static"])
    assert overrides == []
    assert [(one.key, str(one.place)) for one in sweeps] == [
        ("strategy.name", "--strategy"),
        ("train.seed", "--seed"),
    ]
    written = [one.value.value for one in sweeps]
    assert [[value.text for value in values] for values in written if isinstance(values, list)] == [
        ["none", "static"],
        ["1", "2"],
    ]


def test_one_seed_and_one_strategy_are_set() -> None:
    overrides, sweeps = seeds_and_strategies("7", ["none"])
    assert [(one.key, one.value.value, str(one.place)) for one in overrides] == [
        ("strategy.name", "none", "--strategy"),
        ("train.seed", 7, "--seed"),
    ]
    assert sweeps == []
    assert seeds_and_strategies(None, []) == ([], [])


def test_the_same_strategy_twice_whatever_the_order() -> None:
    with pytest.raises(RecipeError, match=r"--strategy: .* more than once"):
        seeds_and_strategies(None, ["dynamic-data,dynamic-teacher", "dynamic-teacher, dynamic-data"])
