"""Weights of classes: balanced, by name, and in the loss of a step."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import dkd, refused
from conftest import TinyRecipe
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from dkd_cli.data.class_weights import class_weights
from dkd_cli.engine.method.distillation import StrategyStep, StudentOutput
from dkd_cli.engine.method.outputs import OUTPUTS
from dkd_cli.engine.method.strategies import FINE_TUNING
from dkd_cli.engine.teachers.bank import NO_TEACHERS
from dkd_cli.errors import RecipeError
from dkd_cli.recipe.loader import dump_recipe, parse_recipe

NAMES = ["billing", "bug", "other"]


@given(st.lists(st.integers(0, 2), min_size=1, max_size=50))
def test_balanced_gives_each_class_that_occurs_the_same_total(labels: list[int]) -> None:
    weights = class_weights("balanced", labels, NAMES)
    assert weights is not None
    totals = np.bincount(labels, weights=weights[labels], minlength=3)
    assert np.allclose(totals[totals > 0], len(labels) / (totals > 0).sum(), rtol=1e-5)
    assert np.isfinite(weights).all()


@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=50),
    st.dictionaries(st.sampled_from(NAMES), st.floats(0.1, 9)),
)
def test_the_mean_over_the_training_rows_is_1(labels: list[int], setting: dict[str, float]) -> None:
    weights = class_weights(setting, labels, NAMES)
    assert weights is not None
    assert weights[labels].mean() == pytest.approx(1, rel=1e-5)
    asked = np.array([setting.get(name, 1.0) for name in NAMES])
    assert np.allclose(weights / asked, weights[0] / asked[0], rtol=1e-5)


def test_a_step_weighs_the_loss_on_the_labels_as_torch_does_and_nothing_else() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(8, 3), torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])
    output = StudentOutput(logits=logits, mask=torch.ones(8, 1))
    found = class_weights("balanced", labels.tolist(), NAMES)
    assert found is not None
    weights = torch.from_numpy(found)
    step = StrategyStep(plan=FINE_TUNING, teachers=NO_TEACHERS, class_weights=weights)
    expected = functional.cross_entropy(logits, labels, weight=weights)  # their sum is the number of rows
    assert step(output, labels, torch.arange(8)).total.item() == pytest.approx(expected.item(), rel=1e-6)
    plain = StrategyStep(plan=FINE_TUNING, teachers=NO_TEACHERS)
    assert plain(output, labels, torch.arange(8)).total.item() != pytest.approx(expected.item(), rel=1e-3)


@pytest.mark.parametrize(
    ("setting", "labels", "names", "problem"),
    [
        ({"bog": 2.0}, [0, 1], NAMES, "did you mean `bug`"),
        ({"billing": 0.0}, [0, 0], NAMES, "every training row the weight 0"),
        ("balanced", [0.5, 1.5], None, "the labels are numbers"),
        ("balanced", None, NAMES, "no training row has one"),
    ],
)
def test_weights_that_mean_nothing_are_refused(
    setting: object, labels: list[float] | None, names: list[str] | None, problem: str
) -> None:
    with pytest.raises(RecipeError, match=problem):
        class_weights(setting, labels, names)  # type: ignore[arg-type]


@pytest.mark.parametrize("written", ["balanced", "{spam: 3, 0: 0.5}", "null"])
def test_a_recipe_keeps_them(written: str) -> None:
    text = f"name: a\nmodel: m\ndata:\n  source: a.csv\ntrain:\n  class_weights: {written}\n"
    recipe = parse_recipe(text, "a.yaml")
    assert parse_recipe(dump_recipe(recipe), "again") == recipe
    expected = {"balanced": "balanced", "null": None}.get(written, {"spam": 3.0, "0": 0.5})
    assert recipe.train.class_weights == expected


@pytest.mark.parametrize("written", ["balance", "3", "[1]", "{spam: -1}", "{spam: much}"])
def test_another_form_is_refused_at_its_key(written: str) -> None:
    text = f"name: a\nmodel: m\ndata:\n  source: a.csv\ntrain:\n  class_weights: {written}\n"
    with pytest.raises(RecipeError, match=r"train\.class_weights(\.spam)? must be"):
        parse_recipe(text, "a.yaml")


def test_a_teacher_and_a_student_train_with_them(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    recipe = tiny_recipe({"train": {"max_steps": 1, "class_weights": "balanced"}})
    assert dkd("train-teacher", recipe, "--teacher", "large", "--quiet") == 0
    assert dkd("distill", recipe, "--strategy", "static", "--quiet") == 0
    other = ("--output-dir", tmp_path / "other", "--set", "train.class_weights={no: 2}")
    said = refused(2, "train-teacher", recipe, "--teacher", "large", *other)
    assert said[0].startswith("train.class_weights.no: is no class")


def test_of_several_labels_each_counts_as_much_as_its_absence() -> None:
    labels = [(1, 0), (0, 0), (0, 1), (0, 1)]
    found = class_weights("balanced", labels, ["rare", "half"])
    assert found is not None
    assert found.tolist() == [3.0, 1.0]
    logits, truth = torch.zeros(1, 2), torch.tensor([[1, 0]])
    loss = OUTPUTS["multi-label"].weighted
    assert loss is not None
    assert loss(logits, truth, torch.from_numpy(found)).item() == pytest.approx((3 + 1) * math.log(2) / 2)
