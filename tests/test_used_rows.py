"""Leaving unused rows of the token table out of training changes nothing but the time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from encoders import save_encoder
from small import task_data
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from dkd_cli.engine.models.models import Model
from dkd_cli.engine.models.students import build_classifier
from dkd_cli.engine.training.used_rows import UsedRows, training_used_rows

IDS = [2, 3, 0, 17, 29, 31, 40]


def student(encoder: Path) -> Model:
    return build_classifier(str(encoder), task_data(), layers=2, seed=1, key="student").model


def batch() -> dict[str, Tensor]:
    ids = torch.tensor([[2, 17, 29, 3], [2, 31, 3, 0]])
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


def trained(model: Model, steps: int, learning_rate: float = 1e-2) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.0, fused=True)
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(model(**batch()).logits, torch.tensor([0, 1]))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "deberta-v3", "modernbert"])
def test_the_result_is_that_of_training_the_whole_table(family: str, tmp_path: Path) -> None:
    encoder = save_encoder(tmp_path / family, family)
    whole, some = student(encoder), student(encoder)
    before = some.get_input_embeddings().weight.detach().clone()
    trained(whole, 5)
    with training_used_rows(some, IDS, 0.0):
        assert isinstance(some.get_input_embeddings(), UsedRows)
        trained(some, 5)
    expected, found = whole.state_dict(), some.state_dict()
    assert expected.keys() == found.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=2e-5, msg=name)
    after = some.get_input_embeddings().weight
    moved = (after != before).any(dim=-1).nonzero().flatten().tolist()
    assert set(moved) <= set(IDS)
    assert {17, 29, 31} <= set(moved)


def test_evaluation_knows_every_word(tiny_encoder: Path) -> None:
    model = student(tiny_encoder).eval()
    ids = torch.arange(0, 60).reshape(4, 15)
    expected = model(input_ids=ids).logits
    with training_used_rows(model, IDS, 0.0):
        assert torch.equal(model(input_ids=ids).logits, expected)
        saved = {name for name in model.state_dict() if "word_embeddings" in name}
        assert len(saved) == 1, "what follows from model and data is in no checkpoint"


def test_padding_gets_no_gradient(tiny_encoder: Path) -> None:
    model = student(tiny_encoder)
    padding = model.get_input_embeddings().padding_idx
    assert padding == 0
    with training_used_rows(model, IDS, 0.0):
        model.train()
        model(**batch()).logits.sum().backward()
        gradient = model.get_input_embeddings().weight.grad
        assert gradient is not None
        silent = gradient.abs().sum(dim=-1) == 0
    assert silent[sorted(IDS).index(0)]
    assert not silent[sorted(IDS).index(17)]


def test_a_saved_model_has_its_whole_table(tiny_encoder: Path, tmp_path: Path) -> None:
    model = student(tiny_encoder)
    with training_used_rows(model, IDS, 0.0):
        trained(model, 2)
    model.save_pretrained(tmp_path / "saved")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    # Hidden states asked for: both then compute all tokens in all layers, and have the same bits.
    found, expected = (one(**batch(), output_hidden_states=True).logits for one in (again, model))
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("ids", "weight_decay", "frozen"),
    [(IDS, 0.01, False), (IDS, 0.0, True), (range(390), 0.0, False)],
    ids=["weight decay moves all rows", "frozen", "most rows are used"],
)
def test_where_it_would_change_or_gain_nothing(
    tiny_encoder: Path, ids: Sequence[int], weight_decay: float, frozen: bool
) -> None:
    model = student(tiny_encoder)
    table = model.get_input_embeddings()
    table.weight.requires_grad_(not frozen)
    with training_used_rows(model, ids, weight_decay):
        assert model.get_input_embeddings() is table
