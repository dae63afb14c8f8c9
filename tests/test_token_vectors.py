"""Vectors of single tokens: what they are, and that one encoder is asked once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from dkd_cli.engine.models import token_vectors as module
from dkd_cli.engine.models.token_vectors import principal, token_vectors


def test_a_vector_is_the_mean_of_the_states_of_a_token_between_special_ones(tiny_encoder: Path) -> None:
    model, tokenizer = (
        AutoModel.from_pretrained(tiny_encoder).eval(),
        AutoTokenizer.from_pretrained(tiny_encoder),
    )
    found = token_vectors(model, tokenizer)
    assert len(found) == model.config.vocab_size
    token = tokenizer.convert_tokens_to_ids("superb")
    with torch.no_grad():
        states = model(**tokenizer("superb", return_tensors="pt")).last_hidden_state[0]
    assert torch.allclose(found[token], states.mean(dim=0), atol=1e-5)


def test_an_encoder_is_asked_once_until_its_weights_change(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = (
        AutoModel.from_pretrained(tiny_encoder).eval(),
        AutoTokenizer.from_pretrained(tiny_encoder),
    )
    made: list[int] = []
    computed = module.compute_vectors
    monkeypatch.setattr(module, "LAST", {})
    monkeypatch.setattr(module, "compute_vectors", lambda *words: made.append(1) or computed(*words))
    first = token_vectors(model, tokenizer)
    kept = first.clone()
    first.zero_()  # what one student does to its vectors
    assert torch.equal(token_vectors(model, tokenizer), kept)
    assert len(made) == 1
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[7, 0] += 1
    assert not torch.equal(token_vectors(model, tokenizer), kept)
    assert len(made) == 2


def test_principal_components_keep_what_varies() -> None:
    vectors = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) @ torch.eye(3, 8)
    found, centred = principal(vectors, 3), vectors - vectors.mean(dim=0)
    assert torch.allclose(found @ found.T, centred @ centred.T, atol=1e-4)
    assert found.square().sum(dim=0).diff().max() < 0
