"""A recipe without a learning rate gets that of its models' width."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import dkd
from conftest import TinyRecipe
from transformers import AutoConfig, BertConfig, Gemma3Config, Gemma3TextConfig

from dkd_cli.engine.training.learning_rate import STUDENT, TEACHER, learning_rate


@pytest.mark.parametrize("width", [128, 384, 768, 1024])
def test_twice_the_width_halves_it(width: int) -> None:
    one, two = (learning_rate(None, BertConfig(hidden_size=size), STUDENT) for size in (width, 2 * width))
    assert one == pytest.approx(2 * two)


def test_the_width_of_a_model_of_several_parts_is_that_of_its_text_part() -> None:
    text = Gemma3TextConfig(hidden_size=400)
    assert learning_rate(None, Gemma3Config(text_config=text), STUDENT) == pytest.approx(STUDENT / 400)


def test_students_and_teachers_without_a_rate_have_the_bits_of_those_with_it(
    tiny_recipe: TinyRecipe, tiny_encoder: Path, tmp_path: Path
) -> None:
    width = AutoConfig.from_pretrained(tiny_encoder).hidden_size
    spelled = {"teachers": {"large": {"learning_rate": TEACHER / width}}}
    for name, rate, more in (("silent", None, {}), ("spelled", STUDENT / width, spelled)):
        recipe = tiny_recipe({"name": name, "train": {"learning_rate": rate}, **more}, f"{name}.yaml")
        dkd("train-teacher", recipe, "--teacher", "large")
        dkd("distill", recipe, "--strategy", "static")
    for model in ("teacher-large", "student-static-seed1"):
        silent, written = (tmp_path / "checkpoints" / name / model for name in ("silent", "spelled"))
        assert (silent / "model.safetensors").read_bytes() == (written / "model.safetensors").read_bytes()
    history = json.loads((silent / "training.json").read_text())["history"]
    rates = [line["learning_rate"] for line in history if "learning_rate" in line]
    assert 0 < max(rates) <= STUDENT / width
