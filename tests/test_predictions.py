"""Cached predictions are found again, and never for another model, other texts, or from a damaged file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small import LABELS, save_classifier, task_data

from dkd_cli.data.examples import Split
from dkd_cli.pipeline import predictions as module
from dkd_cli.pipeline.predictions import Logits, answers, digest
from dkd_cli.recipe.loader import load_recipe
from dkd_cli.recipe.schema import Recipe

DATA = task_data()
SPLIT = DATA.splits["validation"]


@pytest.fixture
def model(tmp_path: Path, tiny_encoder: Path) -> Path:
    return save_classifier(tmp_path / "model", tiny_encoder, LABELS)


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("quickstart", ["train.precision=fp32", "data.max_length=16"])


def ask(
    model: Path, recipe: Recipe, split: Split = SPLIT, labels: tuple[str, ...] | None = None
) -> tuple[Logits, int]:
    """The answers, and how many rows were reported as answered."""
    told: list[int] = []
    kept = model.parent / "kept" / "one.safetensors"
    return answers(str(model), recipe, DATA, split, kept, told.append, labels), sum(told)


def test_what_is_kept_is_not_asked_again(
    model: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, told = ask(model, recipe)
    assert (first.shape, told) == ((24, 2), 24)
    monkeypatch.setattr(module, "load_classifier", None)  # asking would fail
    again, told = ask(model, recipe)
    assert (again == first).all()
    assert told == 24


def test_another_model_other_rows_and_another_cut_are_asked(
    model: Path, recipe: Recipe, tiny_encoder: Path
) -> None:
    first, _ = ask(model, recipe)
    part, _ = ask(model, recipe, SPLIT.take([3, 5], "part"))
    assert np.allclose(part, first[[3, 5]], atol=1e-5)
    assert not np.allclose(ask(model, replace(recipe, data=replace(recipe.data, max_length=4)))[0], first)
    save_classifier(model, tiny_encoder, LABELS, seed=2)
    assert not np.allclose(ask(model, recipe)[0], first)


def test_what_is_kept_is_for_the_labels_that_the_recipe_gave(model: Path, recipe: Recipe) -> None:
    first, _ = ask(model, recipe, labels=LABELS)
    assert (ask(model, recipe, labels=LABELS[::-1])[0] == first[:, ::-1]).all()


def test_a_damaged_file_is_made_again(model: Path, recipe: Recipe) -> None:
    first, _ = ask(model, recipe)
    [file] = (model.parent / "kept").iterdir()
    file.write_bytes(file.read_bytes()[:40])
    assert (ask(model, recipe)[0] == first).all()


def test_a_digest_tells_predictions_apart() -> None:
    ones = np.ones(3, dtype=np.int64)
    assert digest(ones) == digest(ones.copy())
    assert digest(ones) != digest(np.array([1, 1, 0]))
