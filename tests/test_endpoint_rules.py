"""Rules between the keys of an endpoint."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dkd_cli.recipe.asking import Asking, Price
from dkd_cli.recipe.endpoint_rules import check_endpoints
from dkd_cli.recipe.schema import Data, Recipe, Teacher

URL = "https://api.example.com/v1"
GOOD = Teacher(endpoint=URL, model="m", key_env="KEY")


def broken(teacher: Teacher, **data: object) -> list[str]:
    settings = Data(source="x.csv", labels=("a", "b"))
    recipe = Recipe(name="r", model="m", data=replace(settings, **data), teachers={"llm": teacher})  # type: ignore[arg-type]
    return [f"{key}: {problem}" for key, problem, _ in check_endpoints(recipe)]


def test_a_complete_endpoint_breaks_nothing() -> None:
    assert not broken(replace(GOOD, classes={"a": "", "b": "the rest"}, examples={"text": "a"}))


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        (replace(GOOD, model=None), "teachers.llm.model: is missing"),
        (replace(GOOD, endpoint="ftp://x/v1"), "no http or https address"),
        (replace(GOOD, endpoint="https://me:secret@x/v1"), "holds a user name"),
        (replace(GOOD, endpoint="https://x/v1?key=secret"), "holds a user name"),
        (replace(GOOD, classes={"a": "", "c": ""}), "describes a, c"),
        (replace(GOOD, examples={"text": "c"}), "has the class 'c'"),
        (replace(GOOD, examples={str(i): "a" for i in range(9)}), "has 9 texts"),
        (Teacher(key_env="KEY"), "key_env: belongs to an `endpoint`"),
        (Teacher(price=Price(input=1.0)), "price: belongs to an `endpoint`"),
        (Teacher(asking=Asking(votes=3)), "asking: belongs to an `endpoint`"),
    ],
)
def test_what_contradicts_is_said(teacher: Teacher, said: str) -> None:
    assert any(said in line for line in broken(teacher))


def test_a_secret_in_the_address_is_not_repeated() -> None:
    assert "secret" not in " ".join(broken(replace(GOOD, endpoint="https://me:secret@x/v1")))
