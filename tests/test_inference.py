"""`predict_logits`: every row once, in its place, whatever the batches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small import LABELS, encoded, save_classifier, task_data
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from dkd_cli.engine.models.inference import model_inputs, predict_logits
from dkd_cli.engine.models.models import Model, load_classifier
from dkd_cli.errors import NumericError


@pytest.fixture
def model(tmp_path: Path, tiny_encoder: Path) -> Model:
    return load_classifier(str(save_classifier(tmp_path, tiny_encoder, LABELS)), task_data()).model


@pytest.mark.parametrize("batch_size", [1, 7, 48, 100])
def test_rows_keep_their_places(model: Model, tiny_encoder: Path, batch_size: int) -> None:
    tokens, collator = encoded(tiny_encoder, task_data().splits["train"])
    told: list[int] = []
    found = predict_logits(
        model, tokens, collator, batch_size=batch_size, precision="fp32", advance=told.append
    )
    assert found.shape == (48, 2)
    assert found.dtype == torch.float32
    assert sum(told) == 48
    assert max(told) <= batch_size
    for row in (0, 13, 47):
        with torch.no_grad():
            alone = model(input_ids=torch.tensor(tokens[row]["input_ids"])[None]).logits[0]
        torch.testing.assert_close(found[row], alone, rtol=1e-5, atol=1e-5)


def test_a_broken_prediction_names_the_first_example(model: Model, tiny_encoder: Path) -> None:
    tokens, collator = encoded(tiny_encoder, task_data().splits["train"])
    word = tokens[5]["input_ids"][1]
    broken = [row for row in range(48) if word in tokens[row]["input_ids"]]
    with torch.no_grad():
        model.get_input_embeddings().weight[word] = float("inf")
    with pytest.raises(NumericError, match=f"{len(broken)} of 48 predictions") as caught:
        predict_logits(model, tokens, collator, batch_size=16, precision="fp32")
    assert caught.value.place == f"example row-{broken[0]}"


def test_the_model_sees_neither_labels_nor_rows(model: Model, tiny_encoder: Path) -> None:
    tokens, collator = encoded(tiny_encoder, task_data().splits["train"])
    batch = collator([tokens[0], tokens[1]])
    assert {"labels", "row"} <= set(batch)
    assert set(model_inputs(model, batch, torch.device("cpu"))) == set(batch) - {"labels", "row"}
    assert "token_type_ids" in batch, "a model that reads them must get them"


def test_token_types_go_only_where_they_are_read(tiny_encoder: Path) -> None:
    """DistilBERT takes any keyword, so that a stray one is no error until somewhere deep inside."""
    size = {"vocab_size": 400, "dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 48}
    reader = DistilBertForSequenceClassification(DistilBertConfig(**size)).eval()
    tokens, collator = encoded(tiny_encoder, task_data().splits["train"])
    batch = collator([tokens[0], tokens[1]])
    assert "token_type_ids" in batch
    found = model_inputs(reader, batch, torch.device("cpu"))
    assert set(found) == {"input_ids", "attention_mask"}
    assert predict_logits(reader, tokens, collator, batch_size=16, precision="fp32").shape == (48, 2)
