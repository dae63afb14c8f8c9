"""One training run from its job to its best weights: what is prepared, continued, and put back afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from dkd_cli.data.encoding import TokenRows
from dkd_cli.engine.alignment import attached
from dkd_cli.engine.job import Fitted, Job
from dkd_cli.engine.models import Model, head_parameters
from dkd_cli.engine.trackers import tracking
from dkd_cli.engine.trainer import DistillationTrainer, training_arguments
from dkd_cli.engine.vocabulary import training_used_rows
from dkd_cli.engine.work import work
from dkd_cli.errors import ModelError
from dkd_cli.recipe.schema import Train


def newest_checkpoint(working: Path) -> Path | None:
    """The last checkpoint that was written to its end: its state file, written last, parses."""
    found = sorted(working.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True)
    for checkpoint in found:
        try:
            json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            continue
        return checkpoint
    return None


def prepare_model(model: Model, settings: Train) -> None:
    """Freeze and drop out as the recipe says; neither shows in the saved model."""
    if settings.freeze == "embeddings":
        model.get_input_embeddings().weight.requires_grad_(False)
    if settings.freeze == "encoder":
        head = set(head_parameters(model))
        for name, weight in model.named_parameters():
            weight.requires_grad_(name in head)
    if settings.dropout is not None:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = settings.dropout


@contextmanager
def training_attention(model: Model, device: torch.device) -> Iterator[None]:
    """The plain attention on a CPU: there the fused one loses in training, drawing a slow dropout of its own.

    docs/performance.md has the figures. Afterwards the model has its own again.
    """
    own = model.config._attn_implementation
    if device.type == "cpu":
        model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(own)


def fit(job: Job) -> Fitted:
    """Train, continuing from the newest checkpoint in `job.working`; afterwards the model is the best one.

    Raises:
        NumericError: for a loss or gradient that is not finite, before the update it would spoil.
        ModelError: if the best checkpoint cannot be found again.
    """
    started = time.monotonic()
    prepare_model(job.model, job.settings)
    checkpoint = newest_checkpoint(job.working)
    if checkpoint is not None:
        updates = int(checkpoint.name.split("-")[1])
        job.advance(work(job.settings, len(job.train), job.pool, updates).examples)
    resumed = checkpoint is not None
    tokens = job.train.columns["input_ids"]
    assert isinstance(tokens, TokenRows)
    ids = [*np.unique(tokens.flat).tolist(), job.collator.padding["input_ids"]]
    with (
        attached(job.model, job.projections),
        training_attention(job.model, job.compute.device),
        training_used_rows(job.model, ids, job.settings.weight_decay),
        tracking(job.settings.report_to, job.working, resumed) as callbacks,
    ):
        trainer = DistillationTrainer(job, training_arguments(job), callbacks)
        trainer.train(resume_from_checkpoint=str(checkpoint) if resumed else None)
    state = trainer.state
    # Trainer would keep the last weights with a mere warning.
    if state.best_model_checkpoint is None or not Path(state.best_model_checkpoint).is_dir():
        raise ModelError(str(job.working), "the best checkpoint is gone", "start over with --fresh")
    best = next(
        line for line in state.log_history if line["step"] == state.best_global_step and "eval_loss" in line
    )
    skipped = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second")
    validation = {
        k.removeprefix("eval_"): v for k, v in best.items() if k.startswith("eval_") and k not in skipped
    }
    job.model.eval()
    return Fitted(
        validation=validation,
        best_step=int(state.best_global_step or 0),
        steps=state.global_step,
        work=work(job.settings, len(job.train), job.pool, state.global_step, trainer.args.world_size),
        history=[dict(line) for line in state.log_history],
        seconds=time.monotonic() - started,
    )
