"""Predicting with torch: an architecture whose own code fails in bf16."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from architectures import save_architecture
from command_line import heard, refused
from conftest import TinyRecipe
from transformers import AutoModelForSequenceClassification, AutoTokenizer

LABELS = ("negative", "positive")


@pytest.fixture
def deberta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A classifier with the names of the tiny texts' classes, on a machine that multiplies bf16 fast."""
    folder = save_architecture(tmp_path / "deberta", "deberta")
    names = {"id2label": dict(enumerate(LABELS)), "label2id": {name: i for i, name in enumerate(LABELS)}}
    model = AutoModelForSequenceClassification.from_pretrained(folder, **names)
    model.save_pretrained(folder)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    return folder


def test_it_is_read_in_fp32(deberta: Path) -> None:
    said = heard("predict", deberta, "blue red green", "old new", "--all-probabilities")
    assert said.code == 0, said
    assert said.err == f"{deberta}: read in fp32, because its architecture fails in bf16\n"
    model = AutoModelForSequenceClassification.from_pretrained(deberta).eval()
    tokenizer = AutoTokenizer.from_pretrained(deberta)
    with torch.no_grad():
        logits = model(**tokenizer("blue red green", return_tensors="pt")).logits[0].softmax(-1)
    shown = [float(value) for value in said.out.splitlines()[1].split(",")[-2:]]
    assert shown == pytest.approx(logits.tolist(), abs=1e-5)


def test_training_names_the_setting(deberta: Path, tiny_recipe: TinyRecipe) -> None:
    teacher = {"large": {"checkpoint": str(deberta), "layers": None}}
    recipe = tiny_recipe({"teachers": teacher, "train": {"precision": "bf16"}})
    assert refused(4, "distill", recipe, "--strategy", "static") == [
        "train.precision: one of the models cannot compute in bf16, which this machine multiplies fast; "
        "set train.precision: fp32"
    ]
    assert heard("distill", recipe, "--strategy", "static", "--set", "train.precision=fp32").code == 0
