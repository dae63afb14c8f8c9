"""What must hold between the keys of a recipe."""

from __future__ import annotations

import pytest

from dkd_cli.errors import RecipeError
from dkd_cli.recipe.loader import parse_recipe
from dkd_cli.recipe.rules import check, parse_layer_map, parse_take, valid_name
from dkd_cli.recipe.schema import Data, Recipe, Teacher
from dkd_cli.recipe.strategy_section import DataSelection, Final, Objective, Strategy, TeacherAdoption
from dkd_cli.recipe.student_section import Student

TWO = {"small": Teacher(), "large": Teacher()}


def broken(
    name: str = "static",
    *,
    objective: Objective | None = None,
    teacher: TeacherAdoption | None = None,
    data: Data | None = None,
    selection: DataSelection | None = None,
    **keys: object,
) -> list[tuple[str, str]]:
    """(key, problem) of every rule that a recipe with these settings breaks."""
    strategy = Strategy(
        name=name,
        objective=objective or Objective(),
        teacher=teacher or TeacherAdoption(),
        data=selection or DataSelection(),
    )
    settings: dict[str, object] = {"name": "x", "model": "m", "teachers": TWO} | keys
    recipe = Recipe(data=data or Data(source="s"), strategy=strategy, **settings)  # type: ignore[arg-type]
    return [(key, problem) for key, problem, _ in check(recipe)]


@pytest.mark.parametrize(
    "name",
    ["none", "static", "dynamic-teacher", "dynamic-objective,dynamic-data", "dynamic-data, dynamic-teacher"],
)
def test_right_strategies(name: str) -> None:
    assert broken(name) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dynamic-dta", "'dynamic-dta' is not a strategy"),
        ("", "'' is not a strategy"),
        ("static,", "'' is not a strategy"),
        ("dynamic-data,dynamic-data", "more than once"),
        ("none,dynamic-data", "joins `none` with"),
        ("dynamic-data,static", "joins `static` with"),
        ("static,none", "joins `none` and `static` with"),
    ],
)
def test_wrong_strategies(name: str, said: str) -> None:
    assert any(key == "strategy.name" and said in problem for key, problem in broken(name))


def test_a_list_of_strategies_is_answered_by_the_option_to_repeat() -> None:
    strategy = Strategy(name="static,none,dynamic-data")
    recipe = Recipe(name="x", model="m", data=Data(source="s"), teachers=TWO, strategy=strategy)
    [(key, _, remedy)] = check(recipe)
    assert key == "strategy.name"
    assert remedy.endswith("--strategy none --strategy static --strategy dynamic-data")


def test_teachers_that_a_strategy_needs() -> None:
    one = {"large": Teacher()}
    assert broken("dynamic-teacher", teachers=one)[0][0] == "strategy.name"
    assert broken("static", teachers=one) == []
    assert broken("static", teachers={})[0] == ("teachers", "is empty, but `static` needs a teacher")
    assert broken("none", teachers={}) == []
    assert broken("none", teachers={}, student=Student(model="teacher"))[0][0] == "student.model"


@pytest.mark.parametrize(
    ("adoption", "keys"),
    [
        (TeacherAdoption(mode="static", weights={"small": 0, "large": 1}), []),
        (TeacherAdoption(mode="hard", weights={"large": 1}), ["strategy.teacher.weights"]),
        (TeacherAdoption(mode="static", weights={"larg": 1}), ["strategy.teacher.weights.larg"]),
        (TeacherAdoption(mode="static", weights={"large": 0}), ["strategy.teacher.weights"]),
    ],
)
def test_weights_of_teachers(adoption: TeacherAdoption, keys: list[str]) -> None:
    assert [key for key, _ in broken("dynamic-teacher", teacher=adoption)] == keys


@pytest.mark.parametrize(
    ("name", "objective", "keys"),
    [
        ("dynamic-objective", Objective(hidden_weight=0), ["hidden_weight"]),
        ("dynamic-objective", Objective(kd_weight=0), ["kd_weight"]),
        ("dynamic-objective", Objective(mode="fixed", kd_weight=0), []),
        ("dynamic-objective", Objective(mode="fixed", kd_weight=0, hidden_weight=0), ["kd_weight"]),
        ("static", Objective(kd_weight=0, hidden_weight=0), ["kd_weight"]),
        ("static", Objective(kd_weight=0), []),
        ("static", Objective(kd_weight=0, final=Final(kd_weight=1.0)), []),
        ("static", Objective(kd_weight=0, final=Final(hidden_weight=1.0)), []),
        ("static", Objective(kd_weight=0, hidden_weight=0, final=Final(kd_weight=0)), ["kd_weight"]),
        ("dynamic-objective", Objective(hidden_weight=0, final=Final(hidden_weight=1.0)), []),
        ("static", Objective(kd_loss="kl", standardise=True), []),
        ("static", Objective(standardise=True), ["standardise"]),
        ("none", Objective(standardise=True), []),
        ("static", Objective(kd_loss="decoupled", target_weight=0), []),
        ("static", Objective(kd_loss="decoupled", target_weight=0, others_weight=0), ["target_weight"]),
        ("static", Objective(kd_loss="dist", inter_weight=0, intra_weight=0), ["inter_weight"]),
        ("static", Objective(kd_loss="kl", inter_weight=0, intra_weight=0), []),
        ("dynamic-data", Objective(kd_weight=0, hidden_weight=1), []),
        ("static", Objective(ce_weight=0), []),
        ("none", Objective(ce_weight=0), []),
        ("none", Objective(kd_weight=0), []),
    ],
)
def test_weights_that_leave_nothing_to_learn(name: str, objective: Objective, keys: list[str]) -> None:
    assert [key for key, _ in broken(name, objective=objective)] == [
        f"strategy.objective.{key}" for key in keys
    ]


@pytest.mark.parametrize(
    ("selection", "key"),
    [
        (DataSelection(backward="selected"), None),
        (DataSelection(backward="selected", keep="weighted", score="random"), None),
        (DataSelection(backward="selected", score="none"), "backward"),
        (DataSelection(backward="selected", ratio=1.0), "backward"),
        (DataSelection(backward="selected", score="none", ratio=1.0), "backward"),
        (DataSelection(keep="weighted", ratio=1.0), None),
        (DataSelection(keep="weighted", score="label-loss-b"), "keep"),
        (DataSelection(score="label-loss-b", backward="selected"), None),
        (DataSelection(scale="ratio"), None),
        (DataSelection(scale="ratio", backward="selected"), "scale"),
        (DataSelection(score="llkd", backward="selected", keep="weighted", warmup=0.3), None),
    ],
)
def test_selections(selection: DataSelection, key: str | None) -> None:
    found = [place for place, _ in broken("dynamic-data", selection=selection)]
    assert found == ([] if key is None else [f"strategy.data.{key}"])
    assert broken("static", selection=selection) == [], "idle without `dynamic-data`"


def test_a_loss_on_the_label_needs_one() -> None:
    texts = Data(source="s", unlabelled=True, labels=("a", "b", "c"))
    decoupled = Objective(kd_loss="decoupled")
    assert broken(objective=decoupled, data=texts)[0][0] == "strategy.objective.kd_loss"
    assert broken(objective=Objective(kd_loss="dist"), data=texts) == []


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (Data(), "data"),
        (Data(source="s", labels=("a", "a")), "data.labels"),
        (Data(source="s", labels=("a", "b"), unlabelled=True, missing_labels="drop"), "data.missing_labels"),
        (Data(source="s", labels=("a",)), "data.labels"),
        (Data(source="s", labels=("a", "b"), kind="regression"), "data.labels"),
        (Data(source="s", text="a", text_pair="a"), "data.text_pair"),
        (Data(source="s", text="a", label="a"), "data.label"),
        (Data(source="s", validation_share=0.5, test_share=0.5), "data.validation_share"),
    ],
)
def test_data(data: Data, key: str) -> None:
    assert [found for found, _ in broken(data=data)] == [key]


def test_a_training_file_needs_no_source() -> None:
    assert broken(data=Data(train="mine.csv")) == []


@pytest.mark.parametrize("name", ["a", "A-b_c.1", "x" * 100])
def test_right_names(name: str) -> None:
    assert valid_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a b", "ä", "x" * 101, "a\n"])
def test_names_that_would_leave_the_folder(name: str) -> None:
    assert not valid_name(name)
    with pytest.raises(RecipeError, match="name"):
        parse_recipe("model: m\ndata: {source: s}\n", "r.yaml", [f"name={name!r}"])


def test_layer_maps() -> None:
    assert parse_layer_map("uniform") == "uniform"
    assert parse_layer_map("last") == "last"
    assert parse_layer_map(" 0:0 , 1:2,2:4") == ((0, 0), (1, 2), (2, 4))


@pytest.mark.parametrize("text", ["", "0", "0:0,", "first", "0:-1", "a:b", "0:0;1:2", "0:0,0:1"])
def test_wrong_layer_maps(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|more than once"):
        parse_layer_map(text)
    if text:
        assert [key for key, _ in broken(objective=Objective(layer_map=text))] == [
            "strategy.objective.layer_map"
        ]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, None),
        ({"layer_map": "last"}, None),
        ({"layer_map": "1:2, 2:10"}, None),
        ({"layer_map": "0:0, 1:2"}, "layer_map"),
        ({"positions": "first"}, "positions"),
    ],
)
def test_relations_are_those_among_tokens_in_a_layer(settings: dict[str, str], key: str | None) -> None:
    objective = Objective(hidden_loss="relations", hidden_weight=1.0, **settings)  # type: ignore[arg-type]
    found = [place for place, _ in broken(objective=objective)]
    assert found == ([] if key is None else [f"strategy.objective.{key}"])
    idle = Objective(hidden_loss="relations", hidden_weight=0, **settings)  # type: ignore[arg-type]
    assert broken(objective=idle) == [], "no weight, nothing to compare"


def test_a_layer_map_beyond_the_student() -> None:
    assert broken(objective=Objective(layer_map="4:4"), student=Student(layers=3)) == [
        ("strategy.objective.layer_map", "maps student layer 4, but the student has 3")
    ]


def test_which_layers_to_take() -> None:
    for word in ("first", "last", "even", "random"):
        assert parse_take(word) == word
    assert parse_take(" 1 ,3,12") == (1, 3, 12)
    assert parse_take("2") == (2,)


@pytest.mark.parametrize("text", ["", "0", "0, 1", "1,", "1 2", "-1", "1.5", "uniform", "First", "all"])
def test_what_is_no_list_of_layers(text: str) -> None:
    with pytest.raises(ValueError, match="must be `first`"):
        parse_take(text)
    assert [key for key, _ in broken(student=Student(layers=2, take=text))] == ["student.take"]


@pytest.mark.parametrize("text", ["1, 1", "3, 2", "1, 3, 2", "2, 2, 1"])
def test_layers_out_of_order(text: str) -> None:
    with pytest.raises(ValueError, match="each layer once, the lowest first"):
        parse_take(text)


@pytest.mark.parametrize(
    ("student", "problem"),
    [
        (Student(take="1, 3", layers=3), "names 2 layers, but `layers` is 3"),
        (Student(take="last"), "is `last`, but `layers` does not say how many"),
        (Student(take="even"), "is `even`, but `layers` does not say how many"),
    ],
)
def test_layers_to_take_and_their_number(student: Student, problem: str) -> None:
    assert broken(student=student) == [("student.take", problem)]


@pytest.mark.parametrize(
    "student",
    [
        Student(take="1, 3"),
        Student(take="1, 3", layers=2),
        Student(take="last", layers=2),
        Student(take="random"),
        Student(),
    ],
)
def test_layers_that_can_be_taken(student: Student) -> None:
    assert broken(student=student) == []


def test_a_layer_map_beyond_the_layers_taken() -> None:
    assert broken(objective=Objective(layer_map="3:4"), student=Student(take="1, 4")) == [
        ("strategy.objective.layer_map", "maps student layer 3, but the student has 2")
    ]


@pytest.mark.parametrize("folder", ["x" * 256, "é" * 128, "/".join(["deep"] * 800)])
def test_a_path_that_no_file_system_takes(folder: str) -> None:
    assert [key for key, _ in broken(output_dir=folder)] == ["output_dir"]
    assert broken(output_dir=f"{'x' * 255}/{'é' * 127}") == []
