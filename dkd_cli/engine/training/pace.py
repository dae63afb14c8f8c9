"""Seconds per row, measured on a few batches, for forecasts.

Trains a model that is thrown away; writes nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator
from dkd_cli.engine.machine.precision import Compute
from dkd_cli.engine.models.inference import model_inputs
from dkd_cli.engine.models.models import Model
from dkd_cli.engine.training.fit import prepare_model, training_attention
from dkd_cli.engine.training.used_rows import ids_read, training_used_rows
from dkd_cli.recipe.schema import Train

STEPS = 4
"""Timed, after one that is not."""


@dataclass(frozen=True)
class Pace:
    """Seconds a row."""

    training: float
    """Forward, backward and update."""
    answering: float
    """Forward alone."""


def measure_pace(
    model: Model, train: EncodedSplit, collator: PaddingCollator, settings: Train, compute: Compute
) -> Pace:
    """Time some updates and some predictions on evenly chosen rows; the model is spoilt by it.

    Args:
        model: not trained yet.
        train: in the model's own tokens.
        collator: of the same tokenizer.
        settings: the schedule.
        compute: device and precision.
    """
    size = min(settings.batch_size, len(train))
    spread = train.by_length()[np.linspace(0, len(train) - 1, (STEPS + 1) * size).astype(int)]
    # Batches hold texts of like length, and those of middling length stand for all.
    batches = [spread[step * size : (step + 1) * size].tolist() for step in range(STEPS + 1)]
    model.to(compute.device)
    prepare_model(model, settings)
    with (
        training_attention(model, compute.device),
        training_used_rows(model, ids_read(train, collator), settings.weight_decay),
    ):
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.0)
        model.train()
        started = 0.0
        for step, rows in enumerate(batches):
            if step == 1:
                started = time.monotonic()
            with compute.autocast():
                batch = collator([train[row] for row in rows])
                logits = model(**model_inputs(model, batch, compute.device)).logits
            logits.float().square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        trained = time.monotonic() - started
    model.eval()
    started = time.monotonic()
    for rows in batches[1:]:
        with torch.inference_mode(), compute.autocast():
            model(**model_inputs(model, collator([train[row] for row in rows]), compute.device))
    answered = time.monotonic() - started
    return Pace(trained / (STEPS * size), answered / (STEPS * size))
