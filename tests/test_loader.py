"""Recipes that are read, and recipes that are refused with a line each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dkd_cli.errors import Problems, RecipeError
from dkd_cli.recipe.bundled import bundled_names, bundled_path
from dkd_cli.recipe.loader import dump_recipe, load_recipe, parse_recipe
from dkd_cli.recipe.schema import Recipe

MINIMAL = "name: x\nmodel: m\ndata: {source: s}\n"


def lines_of(text: str, overrides: Sequence[str] = ()) -> list[str]:
    """Every error of a recipe as its line; none if it is right."""
    try:
        parse_recipe(text, "r.yaml", overrides)
    except Problems as several:
        return [str(error) for error in several.errors]
    except RecipeError as error:
        return [str(error)]
    return []


def test_defaults_come_from_the_schema() -> None:
    recipe = parse_recipe(MINIMAL, "r.yaml")
    assert recipe.train.epochs == 5.0
    assert list(recipe.teachers) == ["large"]


@pytest.mark.parametrize("spelt", ["2e-5", "'2e-5'", "0.00002", ".00002", "2.e-5"])
def test_numbers_in_every_spelling(spelt: str) -> None:
    recipe = parse_recipe(MINIMAL + f"train: {{learning_rate: {spelt}}}", "r.yaml")
    assert recipe.train.learning_rate == 2e-5


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        ("[0, 1]", ("0", "1")),
        ("[true, false]", ("true", "false")),
        ("[yes, no]", ("yes", "no")),
        ("[on, off]", ("on", "off")),
        ("[007, 1e3]", ("007", "1e3")),
        ("[2024-01-01, 12:30:00]", ("2024-01-01", "12:30:00")),
        ("['null', \"~\"]", ("null", "~")),
    ],
)
def test_class_names_stay_as_written(written: str, labels: tuple[str, ...]) -> None:
    recipe = parse_recipe(MINIMAL.replace("source: s", f"source: s, labels: {written}"), "r.yaml")
    assert recipe.data.labels == labels
    assert parse_recipe(dump_recipe(recipe), "again").data.labels == labels


@pytest.mark.parametrize("name", bundled_names())
def test_a_dumped_recipe_is_the_same_recipe(name: str) -> None:
    recipe = load_recipe(name)
    dumped = dump_recipe(recipe)
    assert parse_recipe(dumped, "dumped") == recipe
    assert dump_recipe(parse_recipe(dumped, "dumped")) == dumped


@given(text=st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_a_dump(text: str) -> None:
    recipe = parse_recipe(MINIMAL, "r.yaml", ["description=x"])
    changed = Recipe(
        name=recipe.name, model=text, description=text, data=recipe.data, output_dir=text, train=recipe.train
    )
    assert parse_recipe(dump_recipe(changed), "dumped") == changed


def test_none_is_the_quickstart_and_a_path_is_read(tmp_path: Path) -> None:
    assert load_recipe(None) == load_recipe("quickstart")
    copy = tmp_path / "copy.yaml"
    copy.write_bytes(b"\xef\xbb\xbf" + bundled_path("quickstart").read_bytes())
    assert load_recipe(str(copy)) == load_recipe("quickstart")


def test_a_bundled_name_wins_over_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quickstart").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_recipe("quickstart").name == "quickstart"


def test_all_problems_come_at_once_in_the_order_of_their_lines() -> None:
    text = "name: a/b\nmodel: m\ndata: {source: s}\ntrain:\n  epochs: 0\n  epoch: 1\n  seed: true\n"
    found = lines_of(text, ["train.warmup=2", "x"])
    assert [line.split(": ")[0] for line in found] == [
        "r.yaml:5",
        "r.yaml:6",
        "r.yaml:7",
        "--set",
        "--set train.warmup",
    ]


def test_rules_are_told_together_with_unknown_keys() -> None:
    found = lines_of("name: a/b\nmodel: m\nmodle: m\ndata: {source: s}\n")
    assert [line.split(": ")[0] for line in found] == ["r.yaml:1", "r.yaml:3"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train: {report_to: 3}", "train.report_to must be a list of texts"),
        ("train: 3", "train must be a section of keys, not 3; indent its keys below it, or remove it"),
        ("train:", "train must be a section of keys, but is empty"),
        ("teachers: [a]", "teachers must be sections by name, not a list"),
        ("teachers: {a: {layers: 2.0}}", "teachers.a.layers must be a whole number ≥ 1, or null, not 2.0"),
        ("output_dir: ''", "output_dir must be a text, but is empty"),
        (
            "strategy: {teacher: {weights: {a: x}}}",
            "strategy.teacher.weights.a must be a number ≥ 0, not 'x'",
        ),
        ("train: {metric: {a: 1}}", "train.metric must be a text, or null, not a section of keys"),
        ("? [a, b]\n: 1", "a key is a list or a mapping"),
        ("train: !!python/name:os.system x", "the tag 'tag:yaml.org,2002:python/name:os.system'"),
        ('description: "\\ud800"', "contains a lone surrogate"),
        ('description: "\\UFFFFFFFF"', "an escape names no character"),
    ],
)
def test_what_is_said_of_a_wrong_value(line: str, said: str) -> None:
    text = f"{MINIMAL}{line}\n"
    assert any(found.startswith(f"r.yaml:4: {said}") for found in lines_of(text)), lines_of(text)


def test_a_key_in_the_wrong_section_is_pointed_to_the_right_one() -> None:
    assert lines_of(MINIMAL + "batch_size: 3\n") == [
        "r.yaml:4: unknown key 'batch_size'; did you mean `train.batch_size`?"
    ]


def test_missing_keys_are_named() -> None:
    assert [line.split(";")[0] for line in lines_of("data: {source: s}")] == [
        "r.yaml:1: the key `name` is missing",
        "r.yaml:1: the key `model` is missing",
    ]


def test_an_endless_file_ends() -> None:
    if not Path("/dev/zero").exists():
        # Not every system has one, and a file that never ends cannot be made otherwise.
        pytest.skip("needs /dev/zero")
    with pytest.raises(RecipeError, match="longer than"):
        load_recipe("/dev/zero")


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=200, deadline=None)
@given(text=st.one_of(st.text(), st.text(alphabet="ab:-[]{}&*!|>'\"%@# \n\t\\Uu0", max_size=60)))
def test_no_text_gives_a_traceback(text: str) -> None:
    for candidate in (text, MINIMAL + text):
        with suppress(Problems, RecipeError):
            parse_recipe(candidate, "r.yaml")


@settings(max_examples=200, deadline=None)
@given(
    key=st.sampled_from(
        ["train", "data", "teachers", "strategy", "student", "name", "model", "output_dir", "sweep"]
    ),
    value=st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    ["layers", "seed", "labels", "large", "name", "", "train.seed", "train.epochs"]
                ),
                inner,
            ),
        ),
        max_leaves=6,
    ),
)
def test_no_value_gives_a_traceback(key: str, value: object) -> None:
    text = MINIMAL.replace(f"{key}:", "description:", 1) + yaml.safe_dump({key: value})
    with suppress(Problems, RecipeError):
        parse_recipe(text, "r.yaml")
