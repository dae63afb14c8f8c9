"""Sweeps: which points they make, what is refused, and the name of a point's folder."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dkd_cli.errors import Problems, RecipeError
from dkd_cli.recipe.loader import dump_recipe, load_points, load_recipe, parse_recipe
from dkd_cli.recipe.overrides import Override, Sweep
from dkd_cli.recipe.schema import Recipe, Value
from dkd_cli.recipe.sweeps import MAX_POINTS, MAX_SUFFIX, swept_value, variant

MINIMAL = "name: x\nmodel: m\ndata: {source: s}\n"
SWEPT = """name: x
model: m
data: {source: s}
sweep:
  train.seed: [1, 2]
  strategy.data.score:
    - margin
    - entropy
"""

Points = Callable[..., list[Recipe]]
Refused = Callable[..., list[str]]


@pytest.fixture
def points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Points:
    """`points(text, overrides, sweeps, keep)`: the points of a recipe that is called `r.yaml`."""
    monkeypatch.chdir(tmp_path)

    def load(
        text: str,
        overrides: Sequence[str | Override] = (),
        sweeps: Sequence[str | Sweep] = (),
        keep: Callable[[str], bool] | None = None,
    ) -> list[Recipe]:
        Path("r.yaml").write_text(text, encoding="utf-8")
        return load_points("r.yaml", overrides, sweeps, keep)

    return load


@pytest.fixture
def refused(points: Points) -> Refused:
    """As `points`, for what must be refused: the lines of the errors."""

    def lines(*given: object) -> list[str]:
        with pytest.raises((Problems, RecipeError)) as caught:
            points(*given)
        return str(caught.value).splitlines()

    return lines


def everything(_: str) -> bool:
    return True


def sweeps_of(recipes: Sequence[Recipe]) -> list[dict[str, Value]]:
    """What each point was given."""
    return [{key: value for key, (value,) in recipe.sweep.items()} for recipe in recipes]


def test_the_last_key_varies_fastest_but_for_the_seed(points: Points) -> None:
    found = points(SWEPT, (), ["strategy.data.ratio=[0.1, 0.5]"])
    assert [(one.strategy.data.score, one.strategy.data.ratio, one.train.seed) for one in found] == [
        (score, ratio, seed) for score in ("margin", "entropy") for ratio in (0.1, 0.5) for seed in (1, 2)
    ]


def test_a_point_keeps_what_it_was_given(points: Points) -> None:
    first = points(SWEPT)[0]
    assert first.sweep == {"train.seed": (1,), "strategy.data.score": ("margin",)}
    assert parse_recipe(dump_recipe(first), "saved") == first
    assert points(dump_recipe(first)) == [first]


def test_a_recipe_keeps_its_own_values_beside_its_sweep() -> None:
    recipe = parse_recipe(SWEPT, "r.yaml")
    assert (recipe.train.seed, recipe.strategy.data.score) == (1, "entropy")
    assert recipe.sweep == {"train.seed": (1, 2), "strategy.data.score": ("margin", "entropy")}
    assert parse_recipe(dump_recipe(recipe), "again") == recipe


def test_without_a_sweep_there_is_one_point(points: Points) -> None:
    assert points(MINIMAL) == [parse_recipe(MINIMAL, "r.yaml")]
    assert points(MINIMAL)[0].sweep == {}


def test_values_are_told_as_the_recipe_reads_them(points: Points) -> None:
    text = MINIMAL + "sweep: {train.learning_rate: ['1e-5', 1], data.text: [true, 2.50], student.layers: [~]}"
    found = sweeps_of(points(text))
    assert [(one["train.learning_rate"], one["data.text"]) for one in found] == [
        (1e-5, "true"),
        (1e-5, "2.50"),
        (1.0, "true"),
        (1.0, "2.50"),
    ]
    assert {type(one["train.learning_rate"]) for one in found} == {float}
    assert found[0]["student.layers"] is None


def test_one_value_alone_is_a_list_of_one(points: Points) -> None:
    found = points(MINIMAL + "sweep: {train.seed: 3}", (), ["student.layers=null"])
    assert sweeps_of(found) == [{"train.seed": 3, "student.layers": None}]


def test_a_key_that_is_set_is_no_longer_swept(points: Points) -> None:
    for setting in ("train.seed=5", "train={seed: 5}"):
        found = points(SWEPT, [setting])
        assert [one.train.seed for one in found] == [5, 5]
        assert [list(one.sweep) for one in found] == [["strategy.data.score"]] * 2
    assert parse_recipe(SWEPT, "r.yaml", ["train.seed=5"]).sweep == {
        "strategy.data.score": ("margin", "entropy")
    }
    assert len(points(SWEPT, ["train={epochs: 5}"])) == 4


def test_the_command_line_sweeps_instead_of_the_recipe(points: Points) -> None:
    found = points(SWEPT, (), ["train.seed=[7, 8, 9]"])
    assert [one.train.seed for one in found] == [7, 8, 9] * 2


def test_the_whole_sweep_can_be_set(points: Points) -> None:
    assert [one.sweep for one in points(SWEPT, ["sweep={}"])] == [{}]
    assert [one.train.epochs for one in points(SWEPT, ["sweep={train.epochs: [1, 2]}"])] == [1, 2]
    mixed = points(SWEPT, ["sweep={}"], ["train.epochs=[1, 2]"])
    assert [one.sweep for one in mixed] == [{"train.epochs": (1,)}, {"train.epochs": (2,)}]


def test_the_recipes_own_sweeps_can_be_left_out_but_not_those_asked_for(points: Points) -> None:
    found = points(SWEPT, (), ["train.epochs=[1, 2]"], lambda key: key == "train.seed")
    assert [list(one.sweep) for one in found] == [["train.seed", "train.epochs"]] * 4
    assert {one.strategy.data.score for one in found} == {"entropy"}
    kept = points(SWEPT, (), ["strategy.data.score=[label-loss]"], lambda key: False)
    assert sweeps_of(kept) == [{"strategy.data.score": "label-loss"}]


def test_names_with_dots_and_weights_that_are_not_there_yet(points: Points) -> None:
    text = (
        MINIMAL
        + "teachers: {small: {layers: 1}, v1.5: {}}\nstrategy: {teacher: {mode: static}}\n"
        + "sweep: {teachers.v1.5.layers: [2, 3], strategy.teacher.weights.small: [1, 2]}\n"
    )
    found = points(text)
    assert [(one.teachers["v1.5"].layers, one.strategy.teacher.weights) for one in found] == [
        (layers, {"small": weight}) for layers in (2, 3) for weight in (1.0, 2.0)
    ]
    assert swept_value(found[0], "teachers.v1.5.layers") == 2
    assert swept_value(found[0], "teachers.small.layers") == 1
    assert variant(found[3], everything) == "layers=3,small=2"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("train.sed: [1]", "there is no key 'train.sed'; did you mean `train.seed`?"),
        ("epochs: [1]", "there is no key 'epochs'; did you mean `train.epochs`?"),
        ("teachers.big.layers: [1]", "there is no key 'teachers.big.layers'; the recipe's teachers are: "),
        ("train.seed: []", "`train.seed` has no values to try; give one or more, or remove it"),
        ("train.seed:", "`train.seed` has no values to try; "),
        ("train.seed: [1, 2, 1]", "train.seed has 1 more than once; give it once"),
        ("train.learning_rate: [1e-5, 2, 0.00001]", "train.learning_rate has 0.00001 more than once; "),
        (
            "strategy.name: ['dynamic-data,dynamic-objective', 'dynamic-objective, dynamic-data']",
            "strategy.name has dynamic-objective, dynamic-data more than once; ",
        ),
        ("train.seed: [[1]]", "`train.seed` has a list among its values; give single values"),
        ("train.seed: [{a: 1}]", "`train.seed` has a section among its values; "),
        ("train.seed: {a: 1}", "`train.seed` has a section among its values; "),
        ("train: {seed: [1]}", "`train` is a section, which cannot be swept; sweep a key of it, such as `t"),
        ("teachers: [a]", "`teachers` is a section, which cannot be swept; "),
        ("teachers.large: [a]", "`teachers.large` is a section, which cannot be swept; "),
        ("data.labels: [a]", "`data.labels` is a list, which cannot be swept; "),
        ("name: [a]", "`name` cannot be swept"),
        ("description: [a]", "`description` cannot be swept"),
        ("output_dir: [a]", "`output_dir` cannot be swept"),
        ("sweep: [a]", "`sweep` cannot be swept"),
        ("train.seed: [1, x]", "train.seed must be a whole number ≥ 0 and < 4294967296, not 'x'; change it"),
        ("train.epochs: [1, 0]", "train.epochs must be a number > 0, not 0; change it"),
        ("strategy.data.score: [margn]", "strategy.data.score must be one of "),
        ("strategy.name: [static, statc]", "strategy.name 'statc' is not a strategy; did you mean `static`?"),
    ],
)
def test_what_is_refused_is_told_with_its_line(entry: str, said: str, refused: Refused) -> None:
    lines = refused(f"{MINIMAL}sweep:\n  {entry}\n")
    assert len(lines) == 1
    assert lines[0].startswith(f"r.yaml:5: {said}"), lines
    with pytest.raises(RecipeError, match=re.escape(lines[0])):
        load_recipe("r.yaml")


@pytest.mark.parametrize("sweep", ["3", "[train.seed]", "''", ""])
def test_a_sweep_that_is_no_section(sweep: str, refused: Refused) -> None:
    lines = refused(f"{MINIMAL}sweep: {sweep}\n")
    assert [line.split(",")[0] for line in lines] == ["r.yaml:4: sweep must be lists of values by key"]


@pytest.mark.parametrize(
    ("item", "line"),
    [
        ("train.seed", "--sweep: 'train.seed' is not `key=[value, value]`; write, for example, --sweep "),
        ("train.sed=[1]", "--sweep train.sed: there is no key 'train.sed'; did you mean `train.seed`?"),
        ("train.seed=[1", "--sweep train.seed: is not valid YAML "),
        ("train.seed=", "--sweep train.seed: `train.seed` has no values to try; "),
        ("train.seed=[1, 1]", "--sweep train.seed: has 1 more than once; "),
        ("train.epochs=[1, 0]", "--sweep train.epochs: must be a number > 0, not 0; change it"),
        ("strategy.name=[none, statc]", "--sweep strategy.name: 'statc' is not a strategy; "),
    ],
)
def test_what_is_refused_is_told_with_its_option(item: str, line: str, refused: Refused) -> None:
    lines = refused(SWEPT, (), [item])
    assert len(lines) == 1
    assert lines[0].startswith(line), lines


def test_the_problems_of_all_points_come_at_once_and_once(refused: Refused) -> None:
    text = """name: x
model: m
data: {source: s}
train: {warmup: 2}
sweep:
  train.sed: [1]
  train.seed: [1, 2]
  train.epochs:
    - 1
    - 0
    - x
"""
    otherwise = "change it, or remove it for the default (0.1)"
    assert [line.split(": ")[:2] for line in refused(text, (), ["train.batch_size=[1, 0]"])] == [
        ["r.yaml:4", f"train.warmup must be a number ≥ 0 and < 1, not 2; {otherwise}"],
        ["r.yaml:6", "there is no key 'train.sed'; did you mean `train.seed`?"],
        ["r.yaml:10", "train.epochs must be a number > 0, not 0; change it"],
        ["r.yaml:11", "train.epochs must be a number > 0, not 'x'; change it"],
        ["--sweep train.batch_size", "must be a whole number ≥ 1, not 0; change it"],
    ]


def test_a_rule_that_one_point_breaks_is_told_at_its_value(refused: Refused) -> None:
    text = MINIMAL + "sweep:\n  strategy.name:\n    - static\n    - dynamic-teacher\n  train.seed: [1, 2]\n"
    (line,) = refused(text)
    assert line.startswith("r.yaml:7: strategy.name `dynamic-teacher` chooses between teachers")


def test_set_and_sweep_of_one_key_contradict(refused: Refused) -> None:
    assert refused(SWEPT, ["train.seed=1"], ["train.seed=[1, 2]"]) == [
        "--sweep train.seed: `train.seed` is given twice (also by --set train.seed); give it once"
    ]
    assert refused(SWEPT, (), ["train.seed=1", "train.seed=2"]) == [
        "--sweep train.seed: `train.seed` is given twice; give it once"
    ]


def test_too_many_points_are_counted_not_made(points: Points, refused: Refused) -> None:
    hundred = list(range(1, 101))
    text = f"{MINIMAL}sweep:\n  train.seed: {hundred}\n  train.batch_size: {hundred[:10]}\n"
    assert len(points(text)) == MAX_POINTS
    said = f"the sweep makes 2000 points, more than {MAX_POINTS}; try fewer values"
    assert refused(text + "  train.epochs: [1, 2]\n") == [f"r.yaml:4: {said}"]
    assert refused(text, (), ["train.epochs=[1, 2]"]) == [f"--sweep train.epochs: {said}"]
    assert len(points(text + "  train.epochs: [1, 2]\n", ["train.batch_size=3"])) == 200


def point(**given: Value) -> Recipe:
    """A point that was given these values; `__` stands for the dot."""
    recipe = parse_recipe(MINIMAL + "teachers: {small: {}, large: {}}\n", "r.yaml")
    return replace(recipe, sweep={key.replace("__", "."): (value,) for key, value in given.items()})


def test_a_key_is_as_long_as_it_must_be() -> None:
    both = point(teachers__small__layers=2, teachers__large__layers=4)
    assert variant(both, everything) == "small.layers=2,large.layers=4"
    assert variant(both, lambda key: "large" in key) == "layers=4"
    assert variant(both, lambda key: key.startswith("train.")) == ""
    # A key that is the end of another one cannot be longer itself.
    assert variant(point(model="a", student__model="b"), everything) == "model=a,student.model=b"


def test_a_point_has_one_name_however_its_sweep_was_written() -> None:
    one = point(strategy__data__score="margin", strategy__data__ratio=0.5)
    other = point(strategy__data__ratio=0.5, strategy__data__score="margin")
    assert variant(one, everything) == variant(other, everything) == "score=margin,ratio=0.5"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5"),
        (1e-05, "1e-05"),
        (1e16, "1e16"),
        (3.0, "3"),
        (3, "3"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        ("bert-base_1.5", "bert-base_1.5"),
        ("a" * 40, "a" * 40),
    ],
)
def test_values_as_text(value: Value, text: str) -> None:
    assert variant(point(model=value), everything) == f"model={text}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("google/bert", "google-bert"),
        ("pkg://models/" + "x" * 50, "x" * 30),
        ("a" * 41, "a" * 30),
        ("../étude/", "tude"),
        ("null", "null"),
        ("/", ""),
    ],
)
def test_text_that_cannot_stand_in_a_name_ends_in_a_digest(value: str, text: str) -> None:
    named = variant(point(model=value), everything)
    assert re.fullmatch(re.escape(f"model={text}{'-' if text else ''}") + "[0-9a-f]{6}", named), named
    assert named == variant(point(model=value), everything)
    assert named != variant(point(model=f"/{value}"), everything)


def test_a_long_name_ends_in_a_digest_of_the_whole() -> None:
    values: dict[str, Value] = {"model": "a" * 40, "student__model": "b" * 40, "data__source": "c" * 40}
    named = variant(point(**values), everything)
    assert len(named) == MAX_SUFFIX
    assert named.startswith(f"model={'a' * 40},source=")
    assert named != variant(point(**values | {"student__model": "d" * 40}), everything)


def test_only_a_point_has_a_folder() -> None:
    recipe = parse_recipe(SWEPT, "r.yaml")
    with pytest.raises(AssertionError, match="only a point"):
        variant(recipe, everything)


TEXTS = st.text(alphabet="ab./-~0", min_size=1, max_size=50)
SWEEPS = st.fixed_dictionaries(
    {},
    optional={
        key: st.lists(values, min_size=1, max_size=size, unique=True)
        for key, values, size in (
            ("train.seed", st.integers(0, 2**32 - 1), 3),
            ("train.learning_rate", st.floats(1e-12, 1e20), 3),
            ("student.layers", st.none() | st.integers(1, 9), 2),
            ("student.model", st.none() | TEXTS, 2),
            ("model", TEXTS, 2),
            ("strategy.data.score", st.sampled_from(["margin", "label-loss", "none"]), 2),
        )
    },
)


@settings(max_examples=40, deadline=None)
@given(sweep=SWEEPS, order=st.permutations(range(6)))
def test_points_are_as_many_as_combinations_and_all_differ(
    sweep: dict[str, list[Value]], order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    keys = [list(sweep)[at] for at in order if at < len(sweep)]
    swept = replace(parse_recipe(MINIMAL, "r.yaml"), sweep={key: tuple(sweep[key]) for key in keys})
    path = tmp_path_factory.getbasetemp() / "swept.yaml"
    path.write_text(dump_recipe(swept), encoding="utf-8")
    assert load_recipe(str(path)) == swept
    found = load_points(str(path))
    assert len(found) == math.prod(len(values) for values in sweep.values())
    assert len({repr(replace(one, sweep={})) for one in found}) == len(found)
    names = {variant(one, everything) for one in found}
    assert len(names) == len(found)
    assert all(re.fullmatch(r"[A-Za-z0-9._=,-]*", name) and len(name) <= MAX_SUFFIX for name in names)
    for one in found:
        assert one.sweep == {key: (swept_value(one, key),) for key in keys}
    for one in (found[0], found[-1]):
        assert parse_recipe(dump_recipe(one), "saved") == one
