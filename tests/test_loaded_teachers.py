"""The teachers of a command: models and files, loaded once, and where each of them meets the student."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TinyRecipe, tiny_rows
from small import CPU, LABELS, random_classifier, save_classifier

from dkd_cli.engine.cache.entries import open_cache
from dkd_cli.engine.method.distillation import StudentOutput, distillation_step
from dkd_cli.engine.method.given import probability_logits
from dkd_cli.engine.method.strategies import resolve
from dkd_cli.engine.models.models import LoadedModel
from dkd_cli.engine.models.students import build_classifier
from dkd_cli.engine.teachers.alignment import Projection
from dkd_cli.engine.teachers.bank import TeacherBank
from dkd_cli.errors import RecipeError
from dkd_cli.pipeline.loaded_teachers import LoadedTeachers
from dkd_cli.pipeline.planned import plan_student
from dkd_cli.pipeline.workshop import Splits, Workshop
from dkd_cli.recipe.loader import load_recipe
from dkd_cli.recipe.schema import Recipe, Teacher
from dkd_cli.recipe.strategy_section import Objective, Strategy, TeacherAdoption
from dkd_cli.report.terminal import Terminal

ALL = torch.arange(20)
Bank = tuple[TeacherBank, dict[str, list[int]], dict[str, Projection]]


class Bench:
    """A workshop, and what a command does in it before it asks the shelf."""

    def __init__(self, recipes: list[Recipe], *, cached: bool = True) -> None:
        self.workshop = Workshop(Terminal(quiet=True), cached=cached)
        self.shelf = LoadedTeachers(self.workshop, [plan_student(recipe) for recipe in recipes])

    def student(self, recipe: Recipe) -> tuple[LoadedModel, Splits]:
        data, layers = self.workshop.data(recipe), recipe.student.layers
        built = build_classifier(recipe.model, data, layers=layers, seed=recipe.train.seed, key="student")
        return built, self.workshop.splits(recipe, built.tokenizer)

    def bank(self, recipe: Recipe) -> Bank:
        return self.shelf.bank(plan_student(recipe), *self.student(recipe), CPU)


@pytest.fixture
def recipe(tiny_recipe: TinyRecipe) -> Callable[..., Recipe]:
    """`recipe({"large": Teacher(...)}, name="static", **settings of the objective)`."""
    plain = load_recipe(str(tiny_recipe()))

    def make(teachers: dict[str, Teacher], name: str = "static", **objective: Any) -> Recipe:
        adoption = TeacherAdoption(mode="soft-instance")
        strategy = Strategy(name=name, teacher=adoption, objective=Objective(**objective))
        return replace(plain, teachers=teachers, strategy=strategy)

    return make


@pytest.fixture
def model(tmp_path: Path, tiny_encoder: Path) -> Teacher:
    """A trained classifier as wide as the student."""
    return Teacher(checkpoint=str(save_classifier(tmp_path / "model", tiny_encoder, LABELS)))


@pytest.fixture
def answers(tmp_path: Path, recipe: Callable[..., Recipe]) -> Teacher:
    """A file with an answer to every training text, in an order of its own: row i says (i + 1) / 100."""
    train = Workshop(Terminal(quiet=True)).data(recipe({})).splits["train"]
    rows = [
        {"example_id": example, "probabilities": {"positive": (row + 1) / 100, "negative": (99 - row) / 100}}
        for row, example in enumerate(train.example_ids)
    ]
    path = tmp_path / "llm.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)))
    return Teacher(probabilities=str(path))


# Files ---------------------------------------------------------------------------------------------------


def test_a_file_answers_like_a_teacher(recipe: Callable[..., Recipe], answers: Teacher) -> None:
    one = recipe({"llm": answers})
    bank, layers, projections = Bench([one]).bank(one)
    likely = (ALL + 1) / 100
    expected = probability_logits(torch.stack([1 - likely, likely], dim=1))
    torch.testing.assert_close(bank.logits("llm", ALL), expected)
    assert (bank.queries, layers, projections) == ({"llm": 0}, {}, {})


def test_a_file_and_models_teach_together(
    recipe: Callable[..., Recipe], answers: Teacher, model: Teacher
) -> None:
    one = recipe({"llm": answers, "small": model, "large": model}, name="dynamic-teacher")
    bank, layers, _ = Bench([one]).bank(one)
    logits = torch.zeros(20, 2, requires_grad=True)
    loss = distillation_step(
        resolve(one), StudentOutput(logits, torch.ones(20, 1)), ALL % 2, ALL, bank, layers
    )
    loss.total.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert bank.queries == {"llm": 0, "small": 20, "large": 0}, "one checkpoint under two names is asked once"


def test_a_file_is_no_teacher_of_a_number(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    numbers = tmp_path / "numbers.csv"
    lines = [f"{text},{row / 10}\n" for row, (text, _) in enumerate(tiny_rows())]
    numbers.write_text("text,label\n" + "".join(lines))
    one = recipe({"llm": Teacher(probabilities="absent.jsonl")})
    one = replace(one, data=replace(one.data, source=str(numbers), kind="regression"))
    with pytest.raises(RecipeError, match=r"teachers\.llm\.checkpoint") as caught:
        Bench([one]).bank(one)
    assert caught.value.place == "teachers.llm.probabilities"


# Models --------------------------------------------------------------------------------------------------


def test_answers_are_shared_by_students_of_any_size(recipe: Callable[..., Recipe], model: Teacher) -> None:
    """Where no hidden states are aligned, the student does not matter to its teacher."""
    one = recipe({"large": model})
    shallow = replace(one, student=replace(one.student, layers=1))
    bench = Bench([one, shallow])
    first, second = bench.bank(one)[0], bench.bank(shallow)[0]
    assert torch.equal(first.logits("large", ALL), second.logits("large", ALL))
    assert (first.queries, second.queries) == ({"large": 20}, {"large": 0})


@pytest.mark.parametrize("cached", [True, False])
def test_another_command_finds_the_answers_on_disk(
    recipe: Callable[..., Recipe], model: Teacher, cached: bool
) -> None:
    one = recipe({"large": model})
    first, second = (Bench([one], cached=cached).bank(one)[0] for _ in range(2))
    with first.kept():
        answers = first.logits("large", ALL)
    torch.testing.assert_close(second.logits("large", ALL), answers)
    assert second.tally() == ({"large": 0 if cached else 20}, {"large": 20 if cached else 0})
    cache = open_cache(pytest.fail)
    assert cache is not None
    splits = Workshop(Terminal(quiet=True)).data(one).splits
    texts = {*splits["train"].texts, *splits["validation"].texts}
    found = {entry.facts["kept"]: entry.rows for entry in cache.entries()}
    assert found == ({"logits": 20, "tokens": len(texts)} if cached else {})


def test_labels_in_another_order_are_other_answers(
    recipe: Callable[..., Recipe], tmp_path: Path, tiny_encoder: Path
) -> None:
    """The same weights under other names: what the cache says of one is not true of the other."""
    folder = save_classifier(tmp_path / "bare", tiny_encoder, None)
    found = []
    for labels in (LABELS, LABELS[::-1]):
        one = recipe({"large": Teacher(checkpoint=str(folder), labels=labels)})
        bank = Bench([one]).bank(one)[0]
        with bank.kept():
            found.append(bank.logits("large", ALL))
        assert bank.queries == {"large": 20}
    assert torch.equal(found[0], found[1].flip(1))


def test_a_file_is_not_cached(recipe: Callable[..., Recipe], answers: Teacher) -> None:
    one = recipe({"llm": answers})
    bank = Bench([one]).bank(one)[0]
    with bank.kept():
        bank.logits("llm", ALL)
    cache = open_cache(pytest.fail)
    assert cache is not None
    assert [entry.facts["kept"] for entry in cache.entries()] == ["tokens"]


def test_aligned_layers_follow_the_students_depth(recipe: Callable[..., Recipe], model: Teacher) -> None:
    one = recipe({"large": model}, hidden_weight=1.0)
    shallow = replace(one, student=replace(one.student, layers=1))
    bench = Bench([one, shallow])
    assert [bench.bank(each)[1]["large"] for each in (one, shallow)] == [[0, 1, 2], [0, 1]]


@pytest.mark.parametrize("hidden_weight", [0.0, 1.0])
def test_a_wider_teacher_gets_a_projection_where_its_states_are_aligned(
    recipe: Callable[..., Recipe], tmp_path: Path, tiny_encoder: Path, model: Teacher, hidden_weight: float
) -> None:
    wide = Teacher(checkpoint=str(random_classifier(tmp_path / "wide", tiny_encoder, 48)))
    one = recipe({"same": model, "wide": wide}, "dynamic-teacher", hidden_weight=hidden_weight)
    bench = Bench([one])
    _, layers, projections = bench.bank(one)
    assert set(projections) == ({"wide"} if hidden_weight else set())
    assert layers == dict.fromkeys(("same", "wide"), [0, 1, 2] if hidden_weight else [])
    if hidden_weight:
        again = bench.bank(one)[2]
        assert again["wide"] is not projections["wide"], "each run trains its own"
        assert torch.equal(again["wide"].weight, projections["wide"].weight)


def other_tokens(folder: Path, encoder: Path) -> Path:
    """A classifier that numbers two of the words the other way round."""
    save_classifier(folder, encoder, LABELS)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    words = tokenizer["model"]["vocab"]
    words["film"], words["story"] = words["story"], words["film"]
    path.write_text(json.dumps(tokenizer))
    return folder


def test_another_tokenizer_meets_the_student_at_the_first_token(
    recipe: Callable[..., Recipe], tmp_path: Path, tiny_encoder: Path
) -> None:
    teachers = {"large": Teacher(checkpoint=str(other_tokens(tmp_path / "other", tiny_encoder)))}
    first = recipe(teachers, hidden_weight=1.0, positions="first")
    bank, layers, _ = Bench([first]).bank(first)
    assert layers == {"large": [0, 1, 2]}
    assert [states.shape for states in bank.hidden_states("large", ALL)] == [(20, 1, 32)] * 3
    unaligned = recipe(teachers)
    assert Bench([unaligned]).bank(unaligned)[1] == {"large": []}
