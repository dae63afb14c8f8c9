"""The clock: every model on the same rows, in turns, within a bound."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, BertForSequenceClassification

from dkd_cli.data.encoding import PaddingCollator, encode
from dkd_cli.data.examples import Split
from dkd_cli.engine.machine.precision import decide
from dkd_cli.evaluation.latency import Contestant, contestant, measure_speeds


@pytest.fixture
def two(tiny_encoder: Path) -> list[Contestant]:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    texts = [" ".join(["film"] * (1 + i % 9)) for i in range(20)]
    split = Split("test", texts, None, None, [f"{i:016x}" for i in range(20)])
    encoded, collator = encode(split, tokenizer, 16), PaddingCollator(tokenizer)
    models = [
        BertForSequenceClassification.from_pretrained(tiny_encoder, num_hidden_layers=n).eval()
        for n in (4, 1)
    ]
    return [
        contestant(model, decide("fp32"), encoded, collator, batch_size=8, max_tokens=16) for model in models
    ]


def test_every_model_is_timed_on_the_same_rows(two: list[Contestant]) -> None:
    for left, right in zip(
        [*two[0].singles, *two[0].batches], [*two[1].singles, *two[1].batches], strict=True
    ):
        assert torch.equal(left["input_ids"], right["input_ids"])
    assert len(two[0].singles) == 20
    assert [len(batch["input_ids"]) for batch in two[0].batches] == [8, 8]


def test_models_take_turns(two: list[Contestant]) -> None:
    calls: list[int] = []
    for number, one in enumerate(two):
        one.model.register_forward_hook(lambda *_, number=number: calls.append(number))
    speeds = measure_speeds(two, seconds_each=0.0)
    assert [speed.runs for speed in speeds] == [24, 24]
    assert [speed.batches for speed in speeds] == [1, 1]
    assert speeds[0].batch_size == 8
    block = [0] * 10 + [1] * 10
    assert calls == block * 3 + [0] * 3 + [1] * 3
    for speed in speeds:
        assert 0 < speed.median_ms <= speed.p95_ms
        assert speed.examples_per_second > 0
