"""The probe measures both kinds of work, on splits of any size."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import CPU, encoded, schedule, task_data

from dkd_cli.engine.models.students import build_classifier
from dkd_cli.engine.training.pace import measure_pace


@pytest.mark.parametrize("batch_size", [1, 8, 100])
def test_a_pace_is_measured(tiny_encoder: Path, batch_size: int) -> None:
    """100: more than the split has."""
    built = build_classifier(str(tiny_encoder), task_data(), layers=2, seed=1, key="student")
    tokens, collator = encoded(tiny_encoder, task_data().splits["train"])
    settings = schedule(batch_size=batch_size, freeze="embeddings")
    pace = measure_pace(built.model, tokens, collator, settings, CPU)
    assert pace.training > pace.answering > 0
    assert not built.model.training
