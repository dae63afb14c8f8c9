"""One training run from its job to its best weights: what is prepared, continued, and put back afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dkd_cli.engine.models.models import Model, head_parameters
from dkd_cli.engine.runs.disk_space import check_room
from dkd_cli.engine.runs.snapshots import Snapshot, newest
from dkd_cli.engine.teachers.alignment import attached
from dkd_cli.engine.training.counts import work
from dkd_cli.engine.training.hooks import check_trainer
from dkd_cli.engine.training.job import Fitted, Job
from dkd_cli.engine.training.trackers import tracking
from dkd_cli.engine.training.trainer import DistillationTrainer, training_arguments
from dkd_cli.engine.training.used_rows import ids_read, training_used_rows
from dkd_cli.errors import RecipeError, SystemProblem
from dkd_cli.recipe.schema import Train
from dkd_cli.stopping import finishing


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


def weight_bytes(model: Model) -> tuple[int, int]:
    """The bytes of all weights, and of those that are trained."""
    weights = list(model.parameters())
    return sum(one.nbytes for one in weights), sum(one.nbytes for one in weights if one.requires_grad)


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


def refuse_another_run(job: Job, last: Snapshot) -> None:
    """A file may change between a kill and the next command; the place in it would then mean nothing.

    With another number of processes the batches would be others, and each has a random state of its own.

    Raises:
        SystemProblem: if the training split, or the number of processes, is not what the run began with.
    """
    begun = len(last.progress["processes"])
    if begun != job.peers.count:
        raise SystemProblem(
            str(job.working),
            f"was begun by {begun} process{'es' if begun > 1 else ''}, not by {job.peers.count}",
            f"go on with {begun}, or start over with --fresh",
        )
    if last.progress["data"] != job.train.digest:
        raise SystemProblem(
            str(job.working),
            "the training data is not what this run began with",
            "bring it back, or start over with --fresh",
        )


def refuse_parts_among_several(job: Job) -> None:
    """Processes wait for each other in every pass, and would not have equally many parts.

    Raises:
        RecipeError: if there are several, and a budget of tokens.
    """
    if job.settings.max_tokens is not None and job.peers.count > 1:
        raise RecipeError(
            "train.max_tokens",
            f"is for one process, and this run has {job.peers.count}",
            "leave it out, and lower train.batch_size and raise train.accumulation",
        )


@contextmanager
def compiling(model: Model, wanted: bool) -> Iterator[None]:
    """With torch.compile, for batches of any length; afterwards the model is as it was."""
    if wanted:
        model.compile(dynamic=True)
    try:
        yield
    finally:
        model._compiled_call_impl = None


def fit(job: Job) -> Fitted:
    """Train, continuing from the newest checkpoint in `job.working`; afterwards the model is the best one.

    Raises:
        RecipeError: for a budget of tokens among several processes.
        NumericError: for a loss or gradient that is not finite, before the update it would spoil.
        ModelError: if the best weights are damaged.
        Stopped: when asked to, after the step at hand, with a checkpoint of it.
        SystemProblem: if the run began with other data, or its checkpoints cannot be written or have no room.
    """
    started = time.monotonic()
    check_trainer()
    with job.peers.together():
        refuse_parts_among_several(job)
    prepare_model(job.model, job.settings)
    job.peers.decide(lambda: check_room(job.working, *weight_bytes(job.model)))
    last = job.peers.decide(lambda: newest(job.working, job.warn))
    if last is not None:
        with job.peers.together():
            refuse_another_run(job, last)
        done = work(job.settings, job.rows_per_epoch, job.pool, last.step, job.peers.count)
        job.say(f"resuming from step {last.step}, after {done.examples:,} examples")
        job.advance(done.examples)
    resumed = last is not None
    with (
        attached(job.model, job.projections),
        training_attention(job.model, job.compute.device),
        training_used_rows(job.model, ids_read(job.train, job.collator), job.settings.weight_decay),
        compiling(job.model, job.settings.compile),
        tracking(job.settings.report_to if job.peers.leads else [], job.working, resumed) as callbacks,
        finishing(),
    ):
        trainer = DistillationTrainer(job, training_arguments(job), callbacks, last)
        trainer.train(resume_from_checkpoint=str(last.folder) if last is not None else None)
        with job.peers.together():
            trainer.load_best()
    state = trainer.state
    assert state.best_global_step is not None, "the best weights were there"
    best = next(
        line for line in state.log_history if line["step"] == state.best_global_step and "eval_loss" in line
    )
    skipped = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "eval_constant")
    validation = {
        k.removeprefix("eval_"): v for k, v in best.items() if k.startswith("eval_") and k not in skipped
    }
    job.model.eval()
    return Fitted(
        validation=validation,
        constant=int(best["eval_constant"]) if "eval_constant" in best else None,
        best_step=state.best_global_step,
        steps=state.global_step,
        work=work(job.settings, job.rows_per_epoch, job.pool, state.global_step, job.peers.count),
        history=[dict(line) for line in state.log_history],
        seconds=time.monotonic() - started,
    )
