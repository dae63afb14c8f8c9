"""A Trainer that can be ended at any moment, by a signal or a kill, and goes on as if it had not been.

Says what goes into a checkpoint, when one is written, and how a run takes up what Trainer itself forgets.
Knows nothing of the loss.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINING_ARGS_NAME

from dkd_cli.engine.machine.processes import Processes
from dkd_cli.engine.runs.snapshots import TRAINER_STATE, Snapshot, free_name, keep, save_best, save_progress
from dkd_cli.engine.training.job import Job
from dkd_cli.manifests import staged, writing
from dkd_cli.stopping import Stopped, asked

SECONDS_BETWEEN_SAVES = 60.0


class ResumableTrainer(transformers.Trainer):
    """Saves whole checkpoints in `job.working`, goes on from them, and stops after a step when asked to.

    Args:
        job: the run.
        last: the checkpoint that `train` will be told to go on from.
        callbacks: Trainer's, as are the other settings.
    """

    def __init__(
        self, job: Job, last: Snapshot | None, callbacks: Sequence[TrainerCallback], **settings: Any
    ) -> None:
        self.job = job
        self._last = last
        self._latest: tuple[Tensor | float | None, float | None] = None, None
        self._terms: dict[str, list[Tensor]] = defaultdict(list)
        """Of the loss, since the last line of the log."""
        super().__init__(callbacks=[TimedSaves(job.peers), *callbacks, AtTheStart(self._take_up)], **settings)

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Save Trainer's state and the rest of it; complete or absent, and the previous one stays."""
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
        with writing(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder:
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
        self._initial_global_step = 0  # the mean loss of the run is that of all its steps
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

    def _evaluate(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._evaluate(*args, **kwargs)
        except Stopped as stopped:
            # As it was before the evaluation, which is made up for when the run goes on.
            self._save_checkpoint(self.model, None)
            raise Stopped(stopped.number, saved_at(self.state)) from None

    def look(self) -> None:
        """Leave an evaluation when asked to stop; several processes end it together."""
        number = asked()
        if number is not None and self.job.peers.count == 1:
            raise Stopped(number)

    def load_best(self) -> None:
        """Give the model the best weights of the run.

        Raises:
            ModelError: if they are gone or damaged.
        """
        assert self._last is not None, "every run ends with an evaluation and a checkpoint"
        self.model.load_state_dict(load_file(self._last.best_weights()), strict=False)


def saved_at(state: TrainerState) -> str:
    """For the line that a stopped command ends with."""
    return f"saved at step {state.global_step}"


class TimedSaves(TrainerCallback):
    """Saves once a minute besides the end of each epoch, so that a kill costs a minute; and before a stop."""

    def __init__(self, peers: Processes) -> None:
        self._peers = peers
        self._saved = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Ask for a save once the minute is over, or when asked to stop."""
        due = time.monotonic() - self._saved >= SECONDS_BETWEEN_SAVES
        # Clocks and signals differ between processes, and all must save at the same step.
        if self._peers.any((due and self._peers.leads) or asked() is not None):
            control.should_save = True
        return control

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the next minute; or leave."""
        self._saved = time.monotonic()
        numbers = [number for number in self._peers.all(asked()) if number is not None]
        if numbers:
            raise Stopped(numbers[0], saved_at(state))


class AtTheStart(TrainerCallback):
    """Does something once Trainer has found its place, before the first step."""

    def __init__(self, what: Callable[[], None]) -> None:
        self._what = what

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Do it."""
        self._what()
