"""The training loop: transformers' Trainer with our loss, our order of examples and our checks.

The only file that knows TrainingArguments. Distributed runs, mixed precision and trackers come from there.
Knows nothing of strategies: it calls `step` on each batch and logs the terms it returns.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from accelerate.data_loader import prepare_data_loader
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import EvalLoopOutput

from dkd_cli.data.encoding import LengthGroupedBatches
from dkd_cli.engine.distillation import StepLoss, StudentOutput
from dkd_cli.engine.dropout import cheap_dropout
from dkd_cli.engine.inference import model_inputs, predict_logits
from dkd_cli.engine.job import Job
from dkd_cli.engine.losses import supervised
from dkd_cli.engine.manifests import staged
from dkd_cli.engine.peers import Peers, Share
from dkd_cli.engine.pool import pick
from dkd_cli.engine.snapshots import TRAINER_STATE, Snapshot, free_name, keep, save_best, save_progress
from dkd_cli.engine.trackers import by_trainer
from dkd_cli.engine.work import loaded_at_once
from dkd_cli.errors import NumericError

SECONDS_BETWEEN_SAVES = 60.0
LOWER_IS_BETTER = frozenset({"mse"})


class DistillationTrainer(transformers.Trainer):
    """Trainer whose loss is `job.step`, on this process's part of each batch."""

    def __init__(
        self,
        job: Job,
        args: TrainingArguments,
        callbacks: Sequence[TrainerCallback] = (),
        last: Snapshot | None = None,
    ) -> None:
        """`last`: the checkpoint that `train` will be told to go on from."""
        self.job = job
        self._last = last
        self._latest: tuple[Tensor | float | None, float | None] = None, None
        self._terms: dict[str, list[Tensor]] = defaultdict(list)
        super().__init__(
            model=job.model,
            args=args,
            data_collator=job.collator,
            train_dataset=job.train,
            eval_dataset=job.validation,
            callbacks=[TimedSaves(job.peers), EpochLines(), *callbacks, AtTheStart(self._take_up)],
        )
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
        batches = LengthGroupedBatches(job.train.lengths, loaded, job.settings.seed, job.peers.part)
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

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        """The mean loss on the labels and the task's metrics; each row counts once, and in every process."""
        job = self.job
        job.model.eval()
        logits = predict_logits(
            job.model,
            job.validation,
            job.collator,
            batch_size=job.settings.eval_batch_size,
            precision=job.settings.precision,
            peers=job.peers,
        )
        labels = torch.as_tensor(job.validation.columns["labels"])
        found = {"loss": supervised(logits, labels).mean().item()}
        for name, value in job.metrics(logits.numpy(), labels.numpy()).items():
            # An undefined correlation (a constant prediction) must not become the best checkpoint.
            found[name] = -1.0 if value is None else float(value)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
        return EvalLoopOutput(logits.numpy(), labels.numpy(), metrics, len(labels))

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The strategy's loss on this process's rows; its mean over processes is that of the batch."""
        job, peers = self.job, self.job.peers
        share = Share.of(peers, len(inputs["row"]) if peers.count == 1 else int((inputs["row"] >= 0).sum()))
        # Of updates done: a continued run knows it, and the passes of one update have the same.
        progress = self.state.global_step / max(1, self.state.max_steps)
        seen, pool, weights = share.size, None, None
        if job.pool is not None:
            chosen = pick(
                job.pool, job.model, inputs, job.settings.eval_batch_size, job.collator.side, share, progress
            )
            picked = share.gather(inputs["row"])[chosen.positions]
            pool, share = seen, Share.dealt(peers, len(picked))
            mine = peers.part(len(picked))
            weights = chosen.weights[mine]
            inputs = self._prepare_inputs(
                job.collator([job.train[row] for row in picked[mine].tolist() or [-1]])
            )
        # A compiled model draws its random numbers within its own kernels.
        with contextlib.nullcontext() if job.settings.compile else cheap_dropout(self.args.device):
            output = model(
                **model_inputs(job.model, inputs, self.args.device),
                output_hidden_states=job.needs_hidden_states,
            )
        labels, rows = inputs.get("labels"), share.own(inputs["row"])
        student = StudentOutput(
            share.own(output.logits),
            share.own(inputs["attention_mask"]),
            [share.own(states) for states in output.hidden_states or ()],
            weights,
            pool,
            share,
            progress,
        )
        result = peers.together(
            lambda: self._finite(
                job.step(student, labels if labels is None else share.own(labels), rows), rows
            )
        )
        for name, value in result.terms.items():
            self._terms[name].append(value)
        job.advance(seen)
        if job.projections and model is not job.model:
            # DDP waits for the gradient of every weight; a projection has none where no row here needs it.
            return result.total + 0.0 * sum(w.sum() for w in job.model.parameters() if w.requires_grad)
        return result.total

    def _finite(self, result: StepLoss, rows: Tensor) -> StepLoss:
        """Stop before the optimizer steps: Trainer itself would hide the NaN and go on."""
        if bool(result.total.isfinite()):
            return result
        bad = [name for name, value in result.terms.items() if not bool(value.isfinite())]
        ids = [self.job.train.split.example_ids[row] for row in rows.tolist()[:3]]
        raise NumericError(
            f"step {self.state.global_step + 1}",
            f"the loss is not finite ({', '.join(bad) or 'sum'}; examples {', '.join(ids)}, ...)",
            "lower train.learning_rate, or train in fp32",
        )

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        """Trainer asks for it just before the update, whether it clips or not."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        # fp16 overflows now and then by design: its scaler skips the update and halves the scale.
        if self.job.compute.dtype != torch.float16 and not bool(torch.as_tensor(norm).isfinite()):
            raise NumericError(
                f"step {self.state.global_step + 1}",
                "the gradient is not finite",
                "lower train.learning_rate, or train in fp32",
            )
        return norm

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """What Trainer saves, and what it forgets; whole or absent, and the one before it stays."""
        self.job.before_save()
        self.store_flos()
        peers = self.job.peers
        random, progress = peers.all(self._random_state()), self._progress()
        self._last = peers.decide(lambda: self._write(random, progress))

    def _write(self, random: Sequence[tuple[str, bytes]], progress: dict[str, Any]) -> Snapshot:
        final = free_name(self.job.working, self.state.global_step)
        with staged(final) as folder:
            self.save_model(str(folder), _internal_call=True)
            (folder / TRAINING_ARGS_NAME).unlink()  # a pickle that nobody reads
            self._save_optimizer_and_scheduler(str(folder))
            self._save_scaler(str(folder))
            for name, state in random:
                (folder / name).write_bytes(state)
            self.state.save_to_json(str(folder / TRAINER_STATE))
            is_best = self.state.best_global_step == self.state.global_step
            save_best(folder, self._last, is_best=is_best)
            save_progress(folder, progress)
        keep(self.job.working, self._last, Snapshot(final))
        return Snapshot(final)

    def _random_state(self) -> tuple[str, bytes]:
        """This process's, as Trainer will look for it in a checkpoint: the file's name and content."""
        with tempfile.TemporaryDirectory() as folder:
            self._save_rng_state(folder)
            (path,) = Path(folder).iterdir()
            return path.name, path.read_bytes()

    def _progress(self) -> dict[str, Any]:
        norm, rate = self._latest
        terms = {name: torch.stack(values).tolist() for name, values in self._terms.items()}
        return {
            "data": self.job.train.digest,
            "processes": self.job.peers.all({"loss": self._tr_loss.item(), "terms": terms}),
            "loss_logged": self._total_loss_scalar,
            "last_logged": self._globalstep_last_logged,
            # Scaled fp16 gradients overflow now and then; JSON knows no infinity.
            "grad_norm": float(norm) if norm is not None and math.isfinite(norm) else None,
            "learning_rate": rate,
        }

    def _take_up(self) -> None:
        """Go on in the middle of a line of the log, or before an evaluation that was never made."""
        if self._last is None:
            return
        found, state = self._last.progress, self.state
        own = found["processes"][self.job.peers.rank]
        self._tr_loss += own["loss"]
        self._total_loss_scalar = found["loss_logged"]
        self._globalstep_last_logged = found["last_logged"]
        for name, values in own["terms"].items():
            self._terms[name] = list(torch.tensor(values, device=self.args.device))
        ended = state.epoch == int(state.epoch) or state.global_step >= state.max_steps
        if ended and not any(
            "eval_loss" in line and line["step"] == state.global_step for line in state.log_history
        ):
            self._load_rng_state(None)
            self.control.should_log = self.control.should_evaluate = self.control.should_save = True
            self._maybe_log_save_evaluate(
                self._tr_loss,
                found["grad_norm"],
                self.model,
                None,
                state.epoch,
                None,
                time.time(),
                found["learning_rate"],
            )

    def _load_rng_state(self, checkpoint: str | None) -> None:
        # Of the last checkpoint, which is not the one that Trainer means once an evaluation was made up for.
        super()._load_rng_state(str(self._last.folder) if self._last else checkpoint)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        # Trainer takes a step before it looks whether there is one left.
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*args, **kwargs)

    def _maybe_log_save_evaluate(
        self, tr_loss: Tensor, grad_norm: Tensor | float | None, *args: Any, **kwargs: Any
    ) -> None:
        self._latest = grad_norm, kwargs.get("learning_rate")
        super()._maybe_log_save_evaluate(tr_loss, grad_norm, *args, **kwargs)

    def load_best(self) -> None:
        """Give the model the best weights of the run.

        Raises:
            ModelError: if they are gone or damaged.
        """
        assert self._last is not None, "every run ends with an evaluation and a checkpoint"
        self.model.load_state_dict(load_file(self._last.best_weights()), strict=False)

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


class TimedSaves(TrainerCallback):
    """Saves once a minute besides the end of each epoch, so that a kill costs a minute."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._saved = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Ask for a save once the minute is over."""
        due = time.monotonic() - self._saved >= SECONDS_BETWEEN_SAVES
        # Clocks differ between processes, and all must save at the same step.
        if self._peers.any(due and self._peers.leads):
            control.should_save = True
        return control

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the next minute."""
        self._saved = time.monotonic()


class AtTheStart(TrainerCallback):
    """Does something once Trainer has found its place, before the first step."""

    def __init__(self, what: Callable[[], None]) -> None:
        self._what = what

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Do it."""
        self._what()


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
        learning_rate=settings.learning_rate,
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
