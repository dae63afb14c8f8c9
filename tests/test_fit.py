"""What is done to a model for the time of a run, and undone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small import task_data

from dkd_cli.engine.models.students import build_classifier
from dkd_cli.engine.training.fit import compiling, training_attention


@pytest.mark.parametrize(("device", "expected"), [("cpu", "eager"), ("cuda", "sdpa")])
def test_plain_attention_on_a_cpu_for_the_time_of_a_run(
    tiny_encoder: Path, device: str, expected: str
) -> None:
    model = build_classifier(str(tiny_encoder), task_data(), layers=1, seed=1, key="student").model
    with training_attention(model, torch.device(device)):
        assert model.config._attn_implementation == expected
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(("wanted", "expected"), [(True, 1), (False, 0)])
def test_compiled_for_the_time_of_a_run(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, wanted: bool, expected: int
) -> None:
    calls: list[dict[str, Any]] = []

    def compiled(function: Callable[..., Any], **settings: Any) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            calls.append(settings)
            return function(*arguments, **named)

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    model = build_classifier(str(tiny_encoder), task_data(), layers=1, seed=1, key="student").model.eval()
    words = {"input_ids": torch.tensor([[2, 5, 3]])}
    before = model(**words).logits
    with compiling(model, wanted):
        assert torch.equal(model(**words).logits, before)
        assert len(calls) == expected
    model(**words)
    assert len(calls) == expected, "afterwards it is as it was"
    assert all(settings == {"dynamic": True} for settings in calls), "batches have many lengths"
