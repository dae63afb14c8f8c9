"""The training loop: transformers' Trainer with our loss, our order of examples and our checks.

The only file that knows TrainingArguments. Distributed runs, mixed precision and trackers come from there.
Knows nothing of strategies: it calls `step` on each batch and logs the terms it returns.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers
from accelerate.data_loader import prepare_data_loader
from accelerate.utils.memory import clear_device_cache
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput

from dkd_cli.data.encoding import LengthGroupedBatches
from dkd_cli.data.metric_names import LOWER_IS_BETTER
from dkd_cli.engine.machine.memory import (
    RandomState,
    backward_in_parts,
    out_of_memory,
    random_state,
    set_random_state,
    too_little,
)
from dkd_cli.engine.machine.processes import Share
from dkd_cli.engine.method.distillation import StudentOutput
from dkd_cli.engine.models.inference import model_inputs, predict_logits
from dkd_cli.engine.models.word_logits import answered
from dkd_cli.engine.runs.snapshots import Snapshot
from dkd_cli.engine.training.counts import loaded_at_once, pass_weight
from dkd_cli.engine.training.dropout import cheap_dropout
from dkd_cli.engine.training.job import Job
from dkd_cli.engine.training.nan_guard import NanGuard
from dkd_cli.engine.training.pool import pick
from dkd_cli.engine.training.resumable import ResumableTrainer
from dkd_cli.engine.training.trackers import by_trainer
from dkd_cli.errors import SystemProblem


@dataclass(frozen=True)
class Batch:
    """Batch of a step."""

    inputs: dict[str, Tensor]
    share: Share
    seen: int
    """Rows loaded, by all processes."""
    progress: float
    weights: Tensor | None = None
    """[b], of rows chosen from a pool."""


class DistillationTrainer(ResumableTrainer):
    """Trainer whose loss is `job.step`, on this process's part of each batch."""

    def __init__(
        self,
        job: Job,
        args: TrainingArguments,
        callbacks: Sequence[TrainerCallback],
        last: Snapshot | None,
    ) -> None:
        """`last`: the checkpoint that `train` will be told to go on from."""
        super().__init__(
            job,
            last,
            model=job.model,
            args=args,
            data_collator=job.collator,
            train_dataset=job.train,
            eval_dataset=job.validation,
            callbacks=[EpochLines(), *callbacks],
        )
        self._watch = NanGuard(job.compute, job.train.split.example_ids)
        self._learnt: tuple[Mapping[str, Tensor], int, float] = {}, 0, 1.0
        self._begun: list[tuple[RandomState, dict[str, Tensor]]] = []
        """The batches of the update at hand, and the random state before each."""
        self._rows_of_update: list[int] = []
        """Rows that each pass of the current update trains on, over all processes."""
        self._rows_at_once: int | None = None
        """Rows of a batch that go through the model together; None: all."""
        self.remove_callback(transformers.PrinterCallback)
        # `forward(**kwargs)` makes Trainer believe that the loss is scaled for accumulation already; ours is
        # a mean over the batch at hand, so it must divide.
        self.model_accepts_loss_kwargs = False
        if not job.peers.leads:
            # Else all processes would drop out alike. The leading one draws as a run of one process does.
            torch.manual_seed(int(np.random.default_rng([args.seed, job.peers.rank]).integers(2**63)))

    def get_train_dataloader(self) -> DataLoader[Any]:
        """This process's part of each batch; Trainer's own would repeat rows to make the parts even."""
        job = self.job
        loaded = loaded_at_once(job.settings, job.pool, job.peers.count)
        batches = LengthGroupedBatches(
            job.train.lengths, loaded, job.settings.seed, job.peers.part, job.rows_per_epoch
        )
        loader = DataLoader(
            job.train,
            batch_sampler=batches,
            collate_fn=job.collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        prepared: DataLoader[Any] = prepare_data_loader(
            loader, self.args.device, num_processes=1, process_index=0, put_on_device=True
        )
        return prepared

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[Any], Any]:
        """The batches of one update; remembers how many rows each of them trains on."""
        samples, items = super().get_batch_samples(*args, **kwargs)
        self._rows_of_update = []
        if len(samples) < 2:
            return samples, items
        peers, pool = self.job.peers, self.job.pool
        own = [int((inputs["row"] >= 0).sum()) for inputs in samples]
        loaded = [sum(rows) for rows in zip(*peers.all(own), strict=True)]
        self._rows_of_update = [rows if pool is None else pool.kept(rows) for rows in loaded]
        return samples, items

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        """The mean loss on the labels and the task's metrics; each row counts once, and in every process.

        `constant` is the class of every row where one class alone is predicted.
        """
        job = self.job
        job.model.eval()
        logits = predict_logits(
            job.model,
            job.validation,
            job.collator,
            batch_size=job.settings.eval_batch_size,
            precision=job.settings.precision,
            advance=lambda count: self.look(),
            peers=job.peers,
        )
        labels = job.validation.labels
        found = {"loss": job.supervised(logits, labels).mean().item()}
        for name, value in job.metrics(logits.numpy(), labels.numpy()).items():
            # An undefined correlation (a constant prediction) must not become the best checkpoint.
            found[name] = -1.0 if value is None else float(value)
        if (constant := job.constant(logits)) is not None:
            found["constant"] = float(constant)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
        return EvalLoopOutput(logits.numpy(), labels.numpy(), metrics, len(labels))

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor],
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """One batch forward and back: at once or, where memory or the budget does not suffice, in parts."""
        self._begun.append((random_state(self.args.device), inputs))
        loss, failed = None, False
        while loss is None:
            try:
                if failed:
                    clear_device_cache()  # only here: the error's traceback held the step's tensors
                    loss = self._restart_update(model)
                elif self._rows_at_once is None and self.job.settings.max_tokens is None:
                    loss = super().training_step(model, inputs, num_items_in_batch)
                else:
                    loss = self._step_in_parts(model, inputs)
            except (RuntimeError, MemoryError) as error:
                self._halve_rows(error)
                failed = True
        terms, seen, weight = self._learnt
        for name, value in terms.items():
            self._terms[name].append(value if weight == 1 else weight * value)
        self.job.advance(seen)
        return loss

    def _halve_rows(self, error: RuntimeError | MemoryError) -> None:
        """Compute half the rows at once from now on, if the error says that memory did not suffice.

        Raises:
            SystemProblem: where one row is too much; or in a run of several processes, which keep in step.
        """
        if not out_of_memory(error):
            raise error
        place, rows = f"step {self.state.global_step + 1}", self._rows_at_once or self.job.settings.batch_size
        if self.job.peers.count > 1:
            remedy = "lower train.batch_size and raise train.accumulation, or start more processes"
            raise SystemProblem(place, "its part of a batch does not fit into memory", remedy) from error
        if rows == 1:
            raise too_little(place) from error
        self._rows_at_once = (rows + 1) // 2
        self.job.warn(
            f"{place} does not fit into memory: from here on {self._rows_at_once} rows of a batch are "
            "computed at once; batches, and what is selected of them, stay the same"
        )

    def _restart_update(self, model: torch.nn.Module) -> Tensor:
        """All batches of the update: what a failed attempt gave to the gradient cannot be taken out again."""
        model.zero_grad()
        losses = []
        for state, inputs in self._begun:
            set_random_state(state, self.args.device)
            losses.append(self._step_in_parts(model, inputs))
        return losses[-1]

    def _step_in_parts(self, model: torch.nn.Module, inputs: dict[str, Tensor]) -> Tensor:
        model.train()
        batch = self._choose(self._prepare_inputs(inputs))
        at_once = self._fitting(batch.inputs)
        parts = [
            {name: values[start : start + at_once] for name, values in batch.inputs.items()}
            for start in range(0, len(batch.inputs["row"]), at_once)
        ]
        scale = self.current_gradient_accumulation_steps
        with self.compute_loss_context_manager():
            total = backward_in_parts(
                lambda part: self._forward(model, part),
                parts,
                lambda outputs: self._learn(batch, outputs),
                lambda loss: self.accelerator.backward(loss / scale),
                self.args.device,
            )
        scaled: Tensor = total / scale
        return scaled

    def _fitting(self, inputs: dict[str, Tensor]) -> int:
        """Number of these rows that go through the model together."""
        size, length = inputs["input_ids"].shape
        budget = self.job.settings.max_tokens
        within = size if budget is None else max(1, budget // length)
        return min(within, self._rows_at_once or size)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The strategy's loss on this process's rows; its mean over processes is that of the batch."""
        job, batch = self.job, self._choose(inputs)
        total = self._learn(batch, self._forward(model, batch.inputs))
        if job.projections and model is not job.model:
            # DDP waits for the gradient of every weight; a projection has none where no row here needs it.
            return total + 0.0 * sum(w.sum() for w in job.model.parameters() if w.requires_grad)
        return total

    def _choose(self, inputs: dict[str, Tensor]) -> Batch:
        """Select the rows to train on from those that were loaded."""
        job, peers = self.job, self.job.peers
        share = Share.of(peers, len(inputs["row"]) if peers.count == 1 else int((inputs["row"] >= 0).sum()))
        # Of updates done: a continued run knows it, and the passes of one update have the same.
        progress = self.state.global_step / max(1, self.state.max_steps)
        if job.pool is None:
            return Batch(inputs, share, share.size, progress)
        seen, at_once = share.size, min(job.settings.eval_batch_size, self._fitting(inputs))
        chosen = pick(job.pool, job.model, inputs, at_once, job.collator.side, share, progress)
        picked = share.gather(inputs["row"])[chosen.positions]
        mine = peers.part(len(picked))
        inputs = self._prepare_inputs(job.collator([job.train[row] for row in picked[mine].tolist() or [-1]]))
        return Batch(inputs, Share.dealt(peers, len(picked)), seen, progress, chosen.weights[mine])

    def _forward(self, model: torch.nn.Module, inputs: dict[str, Tensor]) -> list[Tensor]:
        """Logits [b, C] or [b, W, C] and, where they are aligned, all hidden states, each [b, L, H]."""
        job = self.job
        # A compiled model draws its random numbers within its own kernels.
        with contextlib.nullcontext() if job.settings.compile else cheap_dropout(self.args.device):
            output = model(
                **model_inputs(job.model, inputs, self.args.device),
                output_hidden_states=job.needs_hidden_states,
            )
        return [answered(output.logits, inputs), *(getattr(output, "hidden_states", None) or ())]

    def _learn(self, batch: Batch, outputs: Sequence[Tensor]) -> Tensor:
        """The loss of the outputs."""
        job, peers, share = self.job, self.job.peers, batch.share
        labels, labelled = (
            None if (values := batch.inputs.get(name)) is None else share.own(values)
            for name in ("labels", "labelled")
        )
        rows = share.own(batch.inputs["row"])
        student = StudentOutput(
            share.own(outputs[0]),
            share.own(batch.inputs["attention_mask"]),
            [share.own(states) for states in outputs[1:]],
            batch.weights,
            None if job.pool is None else batch.seen,
            share,
            batch.progress,
            labelled,
        )
        with peers.together():
            result = job.step(student, labels, rows)
        self._watch.loss(self.state.global_step + 1, result, student.logits, rows)
        if self._watch.at_once:
            with peers.together():
                self._watch.check()
        weight = pass_weight(share.size, self._rows_of_update)
        self._learnt = result.terms, batch.seen, weight
        total: Tensor = result.total
        return total if weight == 1 else weight * total

    def _progress(self) -> dict[str, Any]:
        return super()._progress() | {"rows_at_once": self._rows_at_once}

    def _take_up(self) -> None:
        if self._last is not None:
            self._rows_at_once = self._last.progress["rows_at_once"]
        super()._take_up()

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        """Trainer asks for it just before the update, whether it clips or not."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        self._begun.clear()
        self._watch.gradient(torch.as_tensor(norm))
        if self._watch.at_once:
            with self.job.peers.together():
                self._watch.check()
        else:
            self._watch.guard(self.optimizer.optimizer, self.job.peers.sum)
        return norm

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        # Numbers are checked before anything is logged, evaluated or saved.
        if self.control.should_log or self.control.should_evaluate or self.control.should_save:
            with self.job.peers.together():
                self._watch.check()
        super()._maybe_log_save_evaluate(*args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the mean of each term since the last line."""
        if "loss" in logs:
            means = self.job.peers.all(
                {name: torch.stack(v).mean().item() for name, v in self._terms.items()}
            )
            logs = logs | {name: statistics.fmean(mean[name] for mean in means) for name in means[0]}
            self._terms.clear()
            self.job.advance(0, loss=logs["loss"])
        super().log(logs, start_time)


class EpochLines(TrainerCallback):
    """A line of the log at the end of each epoch too: so a run shorter than `log_every` has its terms."""

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Ask for it; Trainer leaves it out where it has just written one."""
        control.should_log = True
        return control


def training_arguments(job: Job) -> TrainingArguments:
    """The recipe's `train` section in Trainer's terms."""
    settings = job.settings
    return TrainingArguments(
        output_dir=str(job.working),
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.eval_batch_size,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=job.learning_rate,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch_fused",
        lr_scheduler_type="linear",
        use_cpu=job.compute.device.type == "cpu",
        bf16=job.compute.dtype == torch.bfloat16,
        fp16=job.compute.dtype == torch.float16,
        seed=settings.seed,
        data_seed=settings.seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        metric_for_best_model=f"eval_{job.metric}",
        greater_is_better=job.metric not in LOWER_IS_BETTER,
        logging_strategy="steps",
        logging_steps=settings.log_every,
        logging_nan_inf_filter=False,
        report_to=by_trainer(settings.report_to),
        run_name=job.working.name.removeprefix("."),
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        # The projections stand outside of what DDP calls: it must not take them for weights without use.
        ddp_find_unused_parameters=not job.projections,
        log_level_replica="passive",  # else the others would talk
        dataloader_pin_memory=job.compute.device.type == "cuda",
    )
