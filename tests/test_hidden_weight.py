"""The default weight of hidden states: 1 for layers of the teachers' own encoder."""

from __future__ import annotations

from typing import Any

import pytest

from dkd_cli.recipe.hidden_weight import hidden_weight, left_open
from dkd_cli.recipe.schema import Data, Recipe, Teacher
from dkd_cli.recipe.strategy_section import Final, Objective, Strategy
from dkd_cli.recipe.student_section import Student


def recipe(strategy: str = "static", objective: Objective | None = None, **sections: Any) -> Recipe:
    chosen = Strategy(name=strategy, objective=objective or Objective())
    return Recipe(
        **({"name": "r", "model": "m", "data": Data(source="a.csv"), "strategy": chosen} | sections)
    )


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, 1),
        ({"student": Student(layers=3)}, 1),
        ({"student": Student(model="teacher")}, 1),
        ({"student": Student(model="n"), "teachers": {"large": Teacher(model="n")}}, 1),
        ({"student": Student(vocabulary="used", ffn=512)}, 1),
        ({"student": Student(layers=2), "teachers": {"large": Teacher(layers=4)}}, 1),
        ({"student": Student(layers=5), "teachers": {"large": Teacher(layers=4)}}, 0),
        ({"teachers": {"large": Teacher(layers=4)}}, 0),
        ({"student": Student(model="n")}, 0),
        ({"teachers": {"large": Teacher(model="n")}}, 0),
        ({"teachers": {"large": Teacher(checkpoint="c")}}, 0),
        ({"teachers": {"large": Teacher(probabilities="p.jsonl")}}, 0),
        ({"student": Student(family="static")}, 0),
    ],
)
def test_one_where_student_and_teacher_are_layers_of_one_encoder(
    sections: dict[str, Any], expected: float
) -> None:
    assert hidden_weight(recipe(**sections)) == expected


def test_the_published_loss_has_the_published_default() -> None:
    states = Objective(hidden_loss="states")
    assert hidden_weight(recipe(objective=states)) == 0
    assert hidden_weight(recipe("dynamic-objective", states)) == 1


def test_only_teachers_that_the_strategy_asks_count() -> None:
    mixed = {"teachers": {"small": Teacher(checkpoint="c"), "large": Teacher()}}
    assert hidden_weight(recipe("static", **mixed)) == 1
    assert hidden_weight(recipe("dynamic-teacher", **mixed)) == 0


def test_what_the_recipe_says_counts_and_is_no_open_question() -> None:
    assert hidden_weight(recipe(objective=Objective(hidden_weight=0))) == 0
    assert hidden_weight(recipe("dynamic-objective", student=Student(model="n"))) == 1
    assert left_open(recipe())
    assert not left_open(recipe(objective=Objective(hidden_weight=1)))
    assert not left_open(recipe(objective=Objective(final=Final(hidden_weight=1))))
    assert not left_open(recipe("dynamic-objective"))
