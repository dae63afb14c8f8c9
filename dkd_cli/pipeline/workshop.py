"""What `train-teacher` and `distill` share: from a recipe to encoded splits, from a model to its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator
from dkd_cli.data.examples import TaskData
from dkd_cli.data.sources import load_task_data
from dkd_cli.engine.cache.entries import open_cache
from dkd_cli.engine.cache.tokens import encode_once, tokenizer_digest
from dkd_cli.engine.machine.precision import Compute, decide
from dkd_cli.engine.machine.processes import ALONE, Processes
from dkd_cli.engine.models.models import LoadedModel, Tokenizer, depth, locate_model
from dkd_cli.engine.runs.checkpoints import Run, publish, read_run
from dkd_cli.engine.teachers.alignment import Projection
from dkd_cli.engine.teachers.bank import TeacherBank
from dkd_cli.engine.training.counts import examples_seen
from dkd_cli.engine.training.fit import fit
from dkd_cli.engine.training.job import Job, Metrics, Step
from dkd_cli.engine.training.pool import Pool
from dkd_cli.engine.training.trackers import check_trackers
from dkd_cli.errors import RecipeError, collect, raise_all
from dkd_cli.evaluation.metrics import task_metrics
from dkd_cli.files import write_text
from dkd_cli.recipe.schema import Data, Recipe, Train
from dkd_cli.report.model_card import model_card
from dkd_cli.report.terminal import Terminal

TRUNCATED_SHARE_WORTH_A_WARNING = 0.05


@dataclass(frozen=True)
class Splits:
    """The training and validation splits in one model's tokens."""

    train: EncodedSplit
    validation: EncodedSplit
    collator: PaddingCollator


@dataclass(frozen=True)
class Judge:
    """How the validation split is scored, and which score picks the best checkpoint."""

    metrics: Metrics
    metric: str


class Workshop:
    """Loads each data section once, tokenises it once and says each thing once, however many runs there are.

    Args:
        terminal: for all that is said.
        cached: whether the cache on disk is read and written, if the environment has one.
        peers: the processes that make each run together.
    """

    def __init__(self, terminal: Terminal, *, cached: bool = True, peers: Processes = ALONE) -> None:
        self.terminal = terminal
        self.peers = peers
        self.cache = open_cache(terminal.warn) if cached else None
        self._data: dict[Data, TaskData] = {}
        self._encoded: dict[tuple[Data, str], tuple[EncodedSplit, EncodedSplit]] = {}
        self._said: set[str] = set()

    def data(self, recipe: Recipe) -> TaskData:
        """The recipe's texts and labels."""
        if recipe.data not in self._data:
            loaded = self._data[recipe.data] = load_task_data(recipe.data)
            sizes = ", ".join(f"{len(split)} {name}" for name, split in loaded.splits.items())
            self.terminal.say(f"data: {recipe.data.source or recipe.data.train}: {sizes}")
            for note in loaded.notes:
                self.terminal.say(f"  {note}")
        return self._data[recipe.data]

    def check(self, recipe: Recipe, train: Train, models: Mapping[str, str]) -> None:
        """All that can be wrong with data, machine and model folders, at once, before a model is loaded.

        Args:
            recipe: names the data.
            train: names precision and trackers.
            models: by the recipe's key.
        """
        folders = [partial(locate_model, name, key) for key, name in models.items()]
        raise_all(collect([partial(self.data, recipe), partial(self.compute, train), *folders]))

    def compute(self, train: Train) -> Compute:
        """The device and precision, said in a line; refuses a tracker that is not installed."""
        check_trackers(train.report_to)
        compute = decide(train.precision)
        self._once(self.terminal.say, f"compute: {compute}")
        return compute

    def close(self) -> None:
        """Let go of the cache, when all runs are over."""
        if self.cache is not None:
            self.cache.close()

    def splits(self, recipe: Recipe, tokenizer: Tokenizer) -> Splits:
        """Both splits, tokenised; warns where many texts are cut."""
        length = recipe.data.max_length
        whose = Path(tokenizer.name_or_path).name
        train, validation = self._tokens(recipe, tokenizer)
        for split in (train, validation):
            if split.truncated > TRUNCATED_SHARE_WORTH_A_WARNING * len(split):
                share = f"{split.truncated / len(split):.0%} of {split.split.name} is cut at {length} tokens"
                # Teachers mostly read as the student does: one line is enough for all of them.
                self._once(
                    self.terminal.warn,
                    f"{share} by the tokenizer of {whose}; raise data.max_length",
                    about=share,
                )
        return Splits(train, validation, PaddingCollator(tokenizer))

    def _tokens(self, recipe: Recipe, tokenizer: Tokenizer) -> tuple[EncodedSplit, EncodedSplit]:
        splits = self.data(recipe).splits

        def made(name: str) -> EncodedSplit:
            return encode_once(splits[name], tokenizer, recipe.data.max_length, self.cache)

        digest = tokenizer_digest(tokenizer)
        if digest is None:
            return made("train"), made("validation")
        # Teachers mostly read as the student does: then one copy serves both.
        if (recipe.data, digest) not in self._encoded:
            self._encoded[recipe.data, digest] = made("train"), made("validation")
        return self._encoded[recipe.data, digest]

    def _once(self, tell: Callable[[str], None], message: str, about: str | None = None) -> None:
        if (about or message) not in self._said:
            self._said.add(about or message)
            tell(message)


def judge_by_labels(train: Train, data: TaskData) -> Judge:
    """The task's own metrics, against the labels of the validation split.

    Raises:
        RecipeError: for a metric that the task does not have.
    """
    return Judge(lambda logits, labels: task_metrics(data.task, logits, labels), best_metric(train, data))


def best_metric(train: Train, data: TaskData) -> str:
    """The metric that picks the best checkpoint.

    Raises:
        RecipeError: for one that the task does not have.
    """
    if train.metric is None:
        return data.task.metrics[0]
    known = known_metrics(data)
    if train.metric not in known:
        raise RecipeError(
            "train.metric", f"{train.metric!r} is not measured on this task", f"choose {', '.join(known)}"
        )
    return train.metric


def known_metrics(data: TaskData) -> list[str]:
    """The names of all metrics of a task."""
    classes = 1 if data.label_names is None else len(data.label_names)
    labels = np.arange(4.0) if classes == 1 else np.arange(classes)
    logits = labels[:, None] if classes == 1 else np.eye(classes)
    return list(task_metrics(data.task, logits, labels))


def make_or_find(
    workshop: Workshop,
    final: Path,
    claiming: AbstractContextManager[Path | None],
    prepare: Callable[[], Callable[..., Run]],
) -> Run:
    """Make a run in its folder, or find it there complete.

    Args:
        workshop: gives the terminal and the processes.
        final: the run's own folder.
        claiming: `checkpoints.claim` of that folder.
        prepare: reads and builds all that the training wants but the folders, and gives what trains.
    """
    with workshop.peers.led(claiming) as working:
        if working is None:
            workshop.terminal.say(f"{final} is complete; --fresh starts over")
            run = read_run(final)
            assert run is not None
            return run
        train = workshop.peers.together(prepare)
        return train(working=working, final=final)


def train_and_publish(
    workshop: Workshop,
    run: Run,
    built: LoadedModel,
    splits: Splits,
    step: Step,
    *,
    base: str,
    judge: Judge,
    settings: Train,
    compute: Compute,
    needs_hidden_states: bool,
    projections: Mapping[str, Projection],
    pool: Pool | None,
    working: Path,
    final: Path,
    teachers: TeacherBank,
) -> Run:
    """Fine-tune or distil one model, put it in its folder, and return the run with its results.

    Args:
        workshop: gives the terminal and the processes.
        run: all but the results.
        built: the untrained model.
        splits: in the model's own tokens.
        step: the loss of a batch.
        base: what the model was cut from, for its card.
        judge: scores the validation split.
        settings: the schedule.
        compute: device and precision.
        needs_hidden_states: whether `step` reads the student's layers.
        projections: those that `step` uses, trained with the model.
        pool: each training batch is chosen from so many, or None.
        working: the claimed folder.
        final: the run's own folder.
        teachers: those that `step` asks; their answers are kept, their queries and hits logged.
    """
    peers = workshop.peers
    seen = examples_seen(settings, len(splits.train), pool, peers.count)
    with workshop.terminal.progress(final.name, seen) as advance, teachers.kept():
        fitted = fit(
            Job(
                model=built.model,
                train=splits.train,
                validation=splits.validation,
                collator=splits.collator,
                step=step,
                needs_hidden_states=needs_hidden_states,
                projections=projections,
                pool=pool,
                settings=settings,
                compute=compute,
                metrics=judge.metrics,
                metric=judge.metric,
                working=working,
                advance=advance,
                peers=peers,
                warn=workshop.terminal.warn,
                before_save=teachers.flush,
            )
        )

    def save_weights(folder: Path) -> None:
        built.model.save_pretrained(folder)
        # How the last texts were cut stays in it, unless the cache had all tokens: no part of the model.
        backend = getattr(built.tokenizer, "backend_tokenizer", None)
        if backend is not None:
            backend.no_truncation()
            backend.no_padding()
        built.tokenizer.save_pretrained(folder)
        card = model_card(
            done,
            workshop.data(run.recipe),
            base=base,
            layers=depth(built.model),
            parameters=sum(weight.numel() for weight in built.model.parameters()),
        )
        write_text(folder / "README.md", card)

    done = replace(run, validation=fitted.validation, seconds=fitted.seconds)
    queries, hits = teachers.tally(peers)
    log = {
        "best_step": fitted.best_step,
        "steps": fitted.steps,
        "examples": fitted.work.examples,
        "backward_rows": fitted.work.backward,
        "processes": peers.count,
        "compute": str(compute),
        "teacher_queries": queries,
        "teacher_hits": hits,
        "history": fitted.history,
    }
    peers.decide(lambda: publish(working, final, done, save_weights, log))
    return peers.decide(lambda: done)
