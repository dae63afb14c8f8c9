"""`dkd recipes check`: what it prints of data and models, and everything wrong with them at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_line import heard, refused
from conftest import TinyRecipe, tiny_rows
from small import save_classifier

from dkd_cli.pipeline import checking


def test_what_is_printed(tiny_recipe: TinyRecipe, tiny_csv: Path, tiny_encoder: Path) -> None:
    recipe = tiny_recipe({"sweep": {"train.epochs": [1, 2]}})
    said = heard("recipes", "check", recipe)
    assert (said.code, said.err) == (0, ""), said
    lines = said.out.splitlines()
    assert lines[0].startswith(f"data: {tiny_csv}: ")
    assert re.fullmatch(r"  classes in train: (negative|positive) \d+, (negative|positive) \d+", lines[1])
    assert "  metric: accuracy" in lines
    assert f"student: 2 of the 4 layers of {tiny_encoder}, up to 64 tokens" in lines
    assert f"teachers.large: 4 of the 4 layers of {tiny_encoder}, up to 64 tokens" in lines
    assert sum(line.startswith("  tokens: half of the texts ") for line in lines) == 1, "once for a tokenizer"
    assert lines[-1] == f"{recipe}: OK"
    assert not Path("checkpoints").exists()


def test_without_data_only_the_recipe_is_read(tiny_recipe: TinyRecipe, workdir: Path) -> None:
    recipe = tiny_recipe({"model": "./nowhere", "data": {"source": "gone.csv"}})
    said = heard("recipes", "check", "--no-data", recipe)
    assert (said.code, said.out, said.err) == (0, f"{recipe}: OK\n", "")


def test_all_that_is_wrong_is_reported_at_once(tiny_recipe: TinyRecipe, tiny_encoder: Path) -> None:
    changes = {
        "data": {"label": "queue", "max_length": 100},
        "student": {"layers": 9},
        "teachers": {"small": {"model": "./nowhere"}, "large": {"layers": 4}},
    }
    lines = refused(3, "recipes", "check", tiny_recipe(changes))
    assert [re.sub(r"^/\S+/", "", line) for line in lines] == [
        "tiny.csv: there is no column 'queue'; name one of: text, label in data.label, or set "
        "data.unlabelled: true",
        "student.layers: 9 layers of a model that has 4; ask for 1 to 4",
        "teachers.small: './nowhere' is not there; name a folder, a hub id or pkg://package/path",
        f"data.max_length: 100 tokens, but {str(tiny_encoder)!r} has 64 positions; lower it",
    ]


def test_a_teacher_made_elsewhere_must_have_the_classes(
    tiny_recipe: TinyRecipe, tiny_encoder: Path, workdir: Path
) -> None:
    save_classifier(Path("theirs"), tiny_encoder, labels=("good", "bad"))
    wrong = tiny_recipe({"teachers": {"large": {"checkpoint": "theirs", "layers": None}}})
    (line,) = refused(4, "recipes", "check", wrong)
    assert line.startswith("teachers.large: ")
    labels = ["positive", "negative"]
    right = {"teachers": {"large": {"checkpoint": "theirs", "layers": None, "labels": labels}}}
    assert heard("recipes", "check", tiny_recipe(right)).code == 0


def test_a_metric_that_cannot_be_measured(tiny_recipe: TinyRecipe) -> None:
    (line,) = refused(2, "recipes", "check", tiny_recipe({"train": {"metric": "pearson"}}))
    assert line.startswith("train.metric: 'pearson' is a metric of numbers")


def test_weights_of_classes_that_there_are_not(tiny_recipe: TinyRecipe) -> None:
    recipe = tiny_recipe({"train": {"class_weights": {"absent": 2}}})
    assert "train.class_weights.absent: is no class" in refused(2, "recipes", "check", recipe)[0]


def test_models_of_the_hub_that_are_not_at_hand(
    tiny_recipe: TinyRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "is_at_hand", lambda name: False)
    said = heard("recipes", "check", tiny_recipe({"model": "someone/encoder"}))
    assert said.code == 0
    assert (
        "student: someone/encoder is not on this disk, and the hub is out of reach: not checked" in said.out
    )


def test_tokens_that_the_encoder_does_not_know(tiny_recipe: TinyRecipe, workdir: Path) -> None:
    rows = [f"{text} добрый день спасибо большое,{label}" for text, label in tiny_rows()]
    Path("mixed.csv").write_text("text,label\n" + "\n".join(rows), encoding="utf-8")
    said = heard("recipes", "check", tiny_recipe({"data": {"source": "mixed.csv"}}))
    assert "of the tokens are unknown to the encoder ([UNK])" in said.err
