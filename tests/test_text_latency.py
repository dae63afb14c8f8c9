"""Latency of single texts, tokenisation included."""

from __future__ import annotations

import time

import numpy as np
import torch
from small import split

from dkd_cli.engine.deploy.predictor import Logits, Pairs, Predictor
from dkd_cli.evaluation.text_latency import measure_text_latency


def predictor(seconds: float, seen: list[int]) -> Predictor:
    def logits(texts: list[str], pairs: Pairs) -> tuple[Logits, int]:
        assert len(texts) == 1
        seen.append(torch.get_num_threads())
        time.sleep(seconds)
        return np.zeros((1, 2), dtype=np.float32), 0

    return Predictor(("a", "b"), "classification", "text", None, 16, logits)  # type: ignore[arg-type]


def test_each_model_is_timed_on_one_text_at_a_time_with_one_thread() -> None:
    before, seen = torch.get_num_threads(), list[int]()
    fast, slow = measure_text_latency([predictor(0.0, seen), predictor(0.004, seen)], split("test", 0, 24))
    assert fast.runs == slow.runs >= 16
    assert fast.median_ms < 4 <= slow.median_ms <= slow.p95_ms
    assert set(seen) == {1}
    assert torch.get_num_threads() == before
