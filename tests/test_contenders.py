"""What `dkd compare` runs, as recipes: which strategies, which settings, under which names."""

from __future__ import annotations

from pathlib import Path

import pytest

from dkd_cli.engine.runs.checkpoints import student_folder
from dkd_cli.errors import DkdError, Problems
from dkd_cli.recipe.contenders import ComparisonRequest, Contenders, load_contenders

ONE_TEACHER = "name: one\nmodel: m\ndata: {source: s.csv}\n"


def loaded(
    *grid: str, reference: str | None = None, strategies: tuple[str, ...] = (), **given: object
) -> Contenders:
    seeds = given.pop("seeds", (1, 2))
    overrides = given.pop("overrides", ())
    assert isinstance(seeds, tuple)
    assert isinstance(overrides, tuple)
    return load_contenders(ComparisonRequest(reference, overrides, grid, seeds, strategies), **given)  # type: ignore[arg-type]


def names(found: Contenders) -> list[str]:
    return [one.name for one in found.strategies]


def folders(found: Contenders, name: str) -> list[str]:
    [one] = [one for one in found.strategies if one.name == name]
    return [student_folder(point).name for point in one.points]


def test_by_default_all_strategies_and_the_control() -> None:
    found = loaded()
    everything = ["none", "static", "dynamic-teacher", "dynamic-data", "dynamic-objective", "random"]
    assert names(found) == everything
    assert [one.control for one in found.strategies] == [False] * 5 + [True]
    assert found.notes == ()


def test_runs_are_those_of_distill() -> None:
    found = loaded()
    assert folders(found, "static") == ["student-static-seed1", "student-static-seed2"]
    assert folders(found, "random") == [f"student-dynamic-data-score=random-seed{n}" for n in (1, 2)]


def test_a_strategy_that_the_recipe_does_not_allow_stays_out(workdir: Path) -> None:
    (workdir / "one.yaml").write_text(ONE_TEACHER)
    found = loaded(reference="one.yaml")
    assert "dynamic-teacher" not in names(found)
    assert found.notes == (
        "dynamic-teacher takes no part: `dynamic-teacher` chooses between teachers, but the recipe has one",
    )
    with pytest.raises(DkdError, match="chooses between teachers"):
        loaded(reference="one.yaml", strategies=("dynamic-teacher",))


def test_what_is_asked_for_meets_the_references_and_its_control() -> None:
    assert names(loaded(strategies=("dynamic-objective",))) == ["none", "static", "dynamic-objective"]
    asked = ("dynamic-objective,dynamic-data", "dynamic-data")
    assert names(loaded(strategies=asked)) == [
        *("none", "static", "dynamic-data,dynamic-objective", "dynamic-data", "random")
    ]


def test_each_strategy_gets_the_grid() -> None:
    found = loaded("train.learning_rate=[1e-4, 2e-4]", seeds=(3,))
    for one in found.strategies:
        assert [point.train.learning_rate for point in one.points] == [1e-4, 2e-4]
        assert {point.train.seed for point in one.points} == {3}
    assert folders(found, "none") == [f"student-none-learning_rate={lr}-seed3" for lr in ("0.0001", "0.0002")]


def test_the_control_keeps_its_score() -> None:
    given = ("strategy.data.score=margin",)
    for found in (loaded(overrides=given), loaded("strategy.data.score=[margin, kl]")):
        control = found.strategies[-1]
        assert {point.strategy.data.score for point in control.points} == {"random"}


@pytest.mark.parametrize(
    "key",
    [
        *("train.seed", "strategy.name", "data.max_length", "data.augment.copies", "train.epochs", "model"),
        *("student.epochs", "student.ffn", "student.family", "strategy.transfer"),
    ],
)
def test_a_grid_leaves_alone_what_all_share(key: str) -> None:
    with pytest.raises(DkdError) as caught:
        loaded(f"{key}=[1, 2]")
    assert caught.value.place == f"--grid {key}"


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises((DkdError, Problems), match="did you mean"):
        loaded("train.learning_rat=[1e-4]")


def test_a_common_cap_of_the_validation_split_names_every_folder() -> None:
    found = loaded(max_validation=100, overrides=("data.max_validation=150",))
    assert found.base.data.max_validation == 100
    assert folders(found, "none") == [f"student-none-max_validation=100-seed{n}" for n in (1, 2)]


def test_the_recipes_own_sweep_is_a_grid_where_it_can_be_one(workdir: Path) -> None:
    swept = "sweep: {train.learning_rate: [1e-4, 2e-4], train.seed: [7], data.max_length: [8, 16]}\n"
    (workdir / "one.yaml").write_text(ONE_TEACHER + swept)
    found = loaded(reference="one.yaml")
    points = found.strategies[0].points
    assert [(point.train.learning_rate, point.train.seed) for point in points] == [
        *((1e-4, 1), (1e-4, 2), (2e-4, 1), (2e-4, 2))
    ]
    assert any("data.max_length is left aside" in note for note in found.notes)


@pytest.mark.parametrize(
    ("train", "expected"), [("epochs: 2", 10), ("epochs: 12.5", 13), ("max_steps: 900", 10)]
)
def test_beside_a_transfer_set_fine_tuning_has_few_passes_as_a_second_setting(
    workdir: Path, train: str, expected: int
) -> None:
    data = "name: one\nmodel: m\ndata: {source: s.csv, transfer: more.txt}\n"
    (workdir / "one.yaml").write_text(f"{data}train: {{{train}}}\n")
    found = loaded(reference="one.yaml", seeds=(1,), strategies=("static",))
    passes = {one.name: [point.strategy.max_passes for point in one.points] for one in found.strategies}
    assert passes == {"none": [None, expected], "static": [None], "labelled": [None, expected]}
    assert folders(found, "none")[1] == f"student-none-max_passes={expected}-seed1"


def test_a_limit_of_the_recipe_is_the_only_setting(workdir: Path) -> None:
    (workdir / "one.yaml").write_text("name: one\nmodel: m\ndata: {source: s.csv, transfer: more.txt}\n")
    given = ("strategy.max_passes=4",)
    found = loaded(reference="one.yaml", seeds=(1,), strategies=("static",), overrides=given)
    assert {point.strategy.max_passes for one in found.strategies for point in one.points} == {4}


def test_without_a_transfer_set_there_is_nothing_to_limit() -> None:
    assert all(len(one.points) == 2 for one in loaded().strategies), "one setting, two seeds"
    with pytest.raises(DkdError, match="names no texts"):
        loaded(overrides=("strategy.max_passes=4",))


def test_the_students_own_learning_rate_may_be_tried() -> None:
    found = loaded("student.learning_rate=[1e-4, 2e-4]", seeds=(1,))
    assert [point.student.learning_rate for point in found.strategies[0].points] == [1e-4, 2e-4]


def test_a_sweep_of_one_value_is_a_setting(workdir: Path) -> None:
    swept = "sweep: {train.epochs: [3], student.layers: [1], train.seed: [7]}\n"
    (workdir / "one.yaml").write_text(ONE_TEACHER + swept)
    found = loaded(reference="one.yaml")
    assert (found.base.train.epochs, found.base.student.layers) == (3, 1)
    for one in found.strategies:
        assert {(point.train.epochs, point.student.layers) for point in one.points} == {(3, 1)}
        assert [point.train.seed for point in one.points] == [1, 2]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("strategy.transfer=false",), {"none": [None, 10], "static": [None, 10]}),
        (("strategy.transfer=true",), {"none": [None, 10], "static": [None], "labelled": [None, 10]}),
        (("strategy.max_passes=null",), {"none": [None, 10], "static": [None], "labelled": [None, 10]}),
        (
            ("data.unlabelled=true", "data.labels=[a, b]"),
            {"none": [None], "static": [None], "labelled": [None, 10]},
        ),
    ],
)
def test_what_leaves_the_transfer_set_aside_has_few_passes_too(
    workdir: Path, given: tuple[str, ...], expected: dict[str, list[int | None]]
) -> None:
    (workdir / "one.yaml").write_text("name: one\nmodel: m\ndata: {source: s.csv, transfer: more.txt}\n")
    found = loaded(reference="one.yaml", seeds=(1,), strategies=("static",), overrides=given)
    assert {
        one.name: [point.strategy.max_passes for point in one.points] for one in found.strategies
    } == expected
