"""Arithmetic and memory of a model small enough to count by hand."""

from __future__ import annotations

import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from dkd_cli.evaluation.cost import LiveResults, count_cost


def test_operations_of_an_encoder_by_hand() -> None:
    hidden, inner, tokens, classes, layers = 32, 64, 10, 3, 2
    config = BertConfig(
        vocab_size=50,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_labels=classes,
    )
    model = BertForSequenceClassification(config).eval().requires_grad_(False)
    example = {"input_ids": torch.ones(1, tokens, dtype=torch.long)}
    batch = {"input_ids": torch.ones(4, 2 * tokens, dtype=torch.long)}
    cost = count_cost(model, example, batch)
    dense = layers * tokens * (4 * hidden * hidden + 2 * hidden * inner)
    attention = layers * 2 * tokens * tokens * hidden
    head = hidden * hidden + hidden * classes
    assert cost.flops == 2 * (dense + attention + head)
    assert (cost.tokens, cost.batch) == (tokens, (4, 2 * tokens))
    weights = sum(p.numel() for p in model.parameters()) * 4 + sum(
        b.numel() * b.element_size() for b in model.buffers()
    )
    assert cost.weights_bytes == weights
    # At least the widest layer's output and its input are alive at once.
    assert cost.peak_bytes >= weights + 4 * 2 * tokens * 4 * (hidden + inner)


def test_the_peak_is_what_is_alive_at_once() -> None:
    kilobyte = torch.zeros(256)
    with torch.no_grad(), LiveResults([kilobyte]) as results:
        for _ in range(5):
            chain = nn.functional.relu(kilobyte + 1)
        view = chain[:10]
    assert results.peak == 3 * 1024, "the sum, its relu, and the chain of the round before"
    assert results.live == 1024
    del chain, view
    assert results.live == 0
