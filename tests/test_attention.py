"""Queries, keys and values in place of hidden states: of every family that has them, layer by layer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from command_line import heard, serious
from conftest import TinyRecipe
from encoders import FAMILIES, LAYERS, save_encoder
from small import LABELS, random_classifier
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from dkd_cli.engine.models.attention import check_heads, places, show_attention
from dkd_cli.engine.models.models import Model
from dkd_cli.errors import ModelError

WITHOUT = {"deberta-v2", "deberta-v3", "modernbert"}
TOKENS = torch.tensor([[5, 6, 7, 8, 9], [5, 6, 7, 0, 0]])


def loaded(folder: Path, name: str) -> Model:
    return AutoModelForSequenceClassification.from_pretrained(save_encoder(folder / name, name)).eval()


def run(model: Model, hidden: bool = True) -> tuple[Tensor, tuple[Tensor, ...] | None]:
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    with torch.no_grad():
        output = model(input_ids=TOKENS, attention_mask=mask, output_hidden_states=hidden)
    return output.logits, output.hidden_states


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - WITHOUT))
def test_every_layer_shows_its_three(tmp_path: Path, name: str) -> None:
    """And each is what its map makes of the layer's input, also where layers share their weights."""
    model = loaded(tmp_path, name)
    logits, states = run(model)
    show_attention(model, "student")
    after, shown = run(model)
    assert torch.equal(after, logits)
    assert states is not None
    assert shown is not None
    assert len(shown) == 3 * LAYERS
    again = run(model)[1]
    assert again is not None
    assert all(torch.equal(one, other) for one, other in zip(shown, again, strict=True)), (
        "nothing is left over"
    )
    names = [name for name, _ in model.named_modules() if name.split(".")[-1] in ("query", "q_lin", "q")]
    maps = dict(model.named_modules())
    for layer in range(LAYERS):
        query = maps[names[layer % len(names)]]
        torch.testing.assert_close(shown[3 * layer], query(states[layer]), rtol=0, atol=1e-5)


def test_what_is_not_asked_for_is_not_shown(tmp_path: Path) -> None:
    model = loaded(tmp_path, "bert")
    show_attention(model, "student")
    assert run(model, hidden=False)[1] is None
    shown = run(model)[1]
    assert shown is not None
    assert len(shown) == 3 * LAYERS


def test_a_pass_that_breaks_off_leaves_nothing_behind(tmp_path: Path) -> None:
    model = loaded(tmp_path, "bert")
    show_attention(model, "student")
    expected = run(model)[1]
    breaking = model.classifier.register_forward_pre_hook(lambda module, args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(model)
    breaking.remove()
    found = run(model)[1]
    assert expected is not None
    assert found is not None
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))


@pytest.mark.parametrize("name", sorted(WITHOUT))
def test_attention_without_three_maps_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="does not show queries, keys and values; set strategy"):
        show_attention(loaded(tmp_path, name), "teachers.large")


def test_layers_have_three_places_and_the_embeddings_none() -> None:
    assert places([(0, 0), (1, 2)]) == [(0, 3), (1, 4), (2, 5)]
    assert places([(0, 3), (2, 0)]) == []


def test_heads_divide_both_widths() -> None:
    check_heads(16, (384, 1024))
    with pytest.raises(ModelError, match="48 does not divide the widths 384 and 1024"):
        check_heads(48, (384, 1024))


def test_a_student_learns_the_relations_of_a_wider_teacher(
    tiny_recipe: TinyRecipe, tiny_encoder: Path, tmp_path: Path
) -> None:
    """Through the command line: the term falls, and the cache keeps it apart from hidden states."""
    teacher = random_classifier(tmp_path / "teacher", tiny_encoder, 64)
    objective = {"kd_weight": 0, "ce_weight": 0, "hidden_weight": 1, "layer_map": "last", "relation_heads": 4}
    recipe = tiny_recipe(
        {
            "teachers": {"large": {"layers": None, "checkpoint": str(teacher)}},
            "strategy": {"objective": objective},
            "train": {"epochs": 6, "log_every": 1},
        }
    )
    for loss in ("states", "relations"):
        output = tmp_path / loss
        words = ("--set", f"strategy.objective.hidden_loss={loss}", "--output-dir", output)
        said = heard("distill", recipe, *words)
        assert (said.code, serious(said.err)) == (0, ""), said
        folder = output / "tiny" / "student-static-seed1"
        log = json.loads((folder / "training.json").read_text())
        terms = [line["pt"] for line in log["history"] if "pt" in line]
        assert terms[-1] < 0.7 * terms[0]
        assert log["teacher_queries"] == {"large": 77}, "neither finds the other's answers"
        student = AutoModelForSequenceClassification.from_pretrained(folder)
        assert set(student.config.id2label.values()) == set(LABELS)
