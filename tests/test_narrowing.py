"""`student.vocabulary` and `student.ffn` from the recipe to the student's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import heard
from conftest import TinyRecipe
from transformers import AutoModelForSequenceClassification, AutoTokenizer

FRESH_WORDS = "zyxwv gratuitously"


@pytest.fixture
def recipe(tiny_recipe: TinyRecipe) -> Path:
    """Its teacher is trained."""
    path = tiny_recipe({"teachers": {"small": None, "large": {"layers": 2}}})
    path.write_text(path.read_text(encoding="utf-8").replace("  small: null\n", ""), encoding="utf-8")
    assert heard("train-teacher", path, "--quiet").code == 0
    return path


def test_a_narrow_student_of_few_tokens_is_an_ordinary_folder(recipe: Path, tmp_path: Path) -> None:
    """It learns hidden states where its tokens are the teacher's, and is scored like any other."""
    settings = ("--set", "student.vocabulary=80", "--set", "student.ffn=16")
    said = heard("distill", recipe, "--strategy", "dynamic-objective", *settings)
    assert said.code == 0, said
    assert "student: 80 of 298 tokens" in said.out
    assert "student: feed-forward layers of 16 neurons, which keep" in said.out
    assert "try student.learning_rate at up to twice that of train.learning_rate" in said.out
    assert "hidden states: compared with large on" in said.out
    folder = tmp_path / "checkpoints" / "tiny" / "student-dynamic-objective-seed1"
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.vocab_size == len(tokenizer) == 80
    assert model.config.intermediate_size == 16
    assert tokenizer.unk_token_id not in tokenizer(FRESH_WORDS)["input_ids"]
    assert heard("evaluate", folder, "--no-timing", "--quiet").code == 0


def test_with_the_used_tokens_it_learns_what_it_would_with_all(recipe: Path, tmp_path: Path) -> None:
    """The same losses, bit for bit: no text to train on reads otherwise."""
    said = heard(
        "distill", recipe, "--sweep", "student.vocabulary=[null,used]", "--strategy", "dynamic-objective"
    )
    assert said.code == 0, said
    assert "hidden states: compared" not in said.out
    folders = sorted((tmp_path / "checkpoints" / "tiny").glob("student-*"))
    histories = [read_history(folder) for folder in folders]
    assert len(histories) == 2
    assert histories[0] == histories[1]


def read_history(folder: Path) -> list[dict[str, float]]:
    lines = json.loads((folder / "training.json").read_text(encoding="utf-8"))["history"]
    return [{"loss": line["loss"], "grad_norm": line["grad_norm"]} for line in lines if "loss" in line]


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("student.vocabulary=some", "must be `used` or a number of tokens"),
        ("student.vocabulary=0", "must be `used` or a number of tokens"),
        ("student.ffn=0", "must be a whole number ≥ 1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_loaded(
    tiny_recipe: TinyRecipe, setting: str, line: str
) -> None:
    said = heard("distill", tiny_recipe(), "--set", setting)
    assert said.code == 2
    assert line in said.err


def test_what_does_not_fit_the_model_is_told_in_a_line(recipe: Path) -> None:
    said = heard("distill", recipe, "--set", "student.vocabulary=20")
    assert said.code == 4
    assert "student.vocabulary: 20 tokens are fewer than the" in said.err
    said = heard("distill", recipe, "--set", "student.ffn=65")
    assert said.code == 4
    assert "student.ffn: 65 neurons of feed-forward layers that have 64" in said.err
