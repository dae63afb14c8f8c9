"""From a recipe to its data, tokens, device and cache: each made once for all runs of a command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator
from dkd_cli.data.examples import TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.data.metric_names import judged
from dkd_cli.data.sources import load_task_data
from dkd_cli.data.summary import label_line
from dkd_cli.engine.cache.entries import open_cache
from dkd_cli.engine.cache.tokens import encode_once, tokenizer_digest
from dkd_cli.engine.machine.precision import Compute, decide
from dkd_cli.engine.machine.processes import ALONE, Processes
from dkd_cli.engine.models.models import Tokenizer, locate_model
from dkd_cli.engine.runs.checkpoints import Run, read_run
from dkd_cli.engine.training.trackers import check_trackers
from dkd_cli.errors import DkdError, Problems, RecipeError, collect, raise_all
from dkd_cli.pipeline.answered import recorded_files, with_answers
from dkd_cli.pipeline.augmentation import augmented
from dkd_cli.recipe.schema import Augment, Data, Recipe, Train
from dkd_cli.report.terminal import Terminal

TRUNCATED_SHARE_WORTH_A_WARNING = 0.05
UNKNOWN_SHARE_WORTH_A_WARNING = 0.05


@dataclass(frozen=True)
class Splits:
    """The training and validation splits in one model's tokens."""

    train: EncodedSplit
    """Rows that teachers teach: the labelled ones, then the transfer set."""
    labelled: EncodedSplit
    """The labelled rows alone; `train` itself where there is no transfer set."""
    validation: EncodedSplit
    collator: PaddingCollator


DataKey = tuple[Data, str | None, tuple[str, ...]]


def data_key(recipe: Recipe) -> DataKey:
    """Everything that decides a recipe's texts: also the augmentation's encoder and an endpoint's answers."""
    encoder = recipe.model if recipe.data.augment.copies else None
    return recipe.data, encoder, tuple(recorded_files(recipe).values())


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
        self._data: dict[DataKey, TaskData] = {}
        self._encoded: dict[tuple[DataKey, str], tuple[EncodedSplit, EncodedSplit, EncodedSplit]] = {}
        self._digests: dict[Data, str] = {}
        self._said: set[str] = set()

    def data(self, recipe: Recipe) -> TaskData:
        """Return the recipe's texts and labels; the first of the task's metrics is the one that decides.

        Raises:
            RecipeError: for a `train.metric` that cannot be measured on them.
        """
        key = data_key(recipe)
        if key not in self._data:
            read = load_task_data(
                recipe.data, lambda train: augmented(train, recipe, self.cache, self.terminal.progress)
            )
            loaded = self._data[key] = with_answers(recipe, read)
            if self.peers.count > 1 and KINDS[loaded.task.kind].by_word:
                problem = f"is {loaded.task.kind}, whose batches are not shared by several processes"
                raise RecipeError("data.kind", problem, "start dkd without torchrun")
            sizes = ", ".join(f"{len(split)} {split.name}" for split in loaded.all_splits())
            # Once: teachers and students of one command read the same files, but for the transfer set.
            self.once(self.terminal.say, f"data: {recipe.data.source or recipe.data.train}: {sizes}")
            self.once(self.terminal.say, f"  {label_line(loaded)}")
            for note in loaded.notes:
                self.once(self.terminal.say, f"  {note}")
        return judged(self._data[key], recipe.train.metric)

    def data_digest(self, recipe: Recipe) -> str | None:
        """A digest of the texts and labels of a run; None if they cannot be read, as `check` will report.

        Augmented copies follow from the texts and are left out: making them takes a model.
        """
        data = recipe.data
        if data not in self._digests:
            try:
                copies = data.augment.copies
                loaded = load_task_data(replace(data, augment=Augment())) if copies else self.data(recipe)
                self._digests[data] = loaded.digest()
            except (DkdError, Problems):
                return None
        return self._digests[data]

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
        """Log device and precision; refuses a tracker that is not installed."""
        check_trackers(train.report_to)
        compute = decide(train.precision)
        self.once(self.terminal.say, f"compute: {compute}")
        return compute

    def close(self) -> None:
        """Let go of the cache, when all runs are over."""
        if self.cache is not None:
            self.cache.close()

    def splits(self, recipe: Recipe, tokenizer: Tokenizer) -> Splits:
        """Both splits, tokenised; warns where many texts are truncated or unknown to the tokenizer."""
        length = recipe.data.max_length
        whose = Path(tokenizer.name_or_path).name
        train, validation, labelled = self._tokens(recipe, tokenizer)
        for split in (train, validation):
            name = split.split.name
            if split.truncated > TRUNCATED_SHARE_WORTH_A_WARNING * len(split):
                share = f"{split.truncated / len(split):.0%} of {name} is cut at {length} tokens"
                # Teachers mostly read as the student does: one line is enough for all of them.
                self.once(
                    self.terminal.warn,
                    f"{share} by the tokenizer of {whose}; raise data.max_length",
                    about=share,
                )
            unknown, texts = split.share_of(tokenizer.unk_token_id)
            if unknown > UNKNOWN_SHARE_WORTH_A_WARNING:
                share = f"{unknown:.0%} of the tokens of {name}, in {texts:.0%} of its texts, are unknown"
                self.once(
                    self.terminal.warn,
                    f"{share} to the tokenizer of {whose} ({tokenizer.unk_token}); choose an encoder for "
                    "their language and script",
                    about=share,
                )
        return Splits(train, labelled, validation, PaddingCollator(tokenizer))

    def found(self, folder: Path) -> Run:
        """A run that is complete; says so."""
        self.terminal.say(f"{folder} is complete; --fresh starts over")
        run = read_run(folder)
        assert run is not None
        return run

    def _tokens(
        self, recipe: Recipe, tokenizer: Tokenizer
    ) -> tuple[EncodedSplit, EncodedSplit, EncodedSplit]:
        """Training rows, validation rows and the labelled training rows."""
        data = self.data(recipe)

        def made() -> tuple[EncodedSplit, EncodedSplit, EncodedSplit]:
            wanted = [data.taught(), data.splits["validation"]]
            if data.transfer is not None:
                wanted.append(data.splits["train"])
            found = [encode_once(one, tokenizer, recipe.data.max_length, self.cache) for one in wanted]
            return found[0], found[1], found[-1] if data.transfer is not None else found[0]

        digest = tokenizer_digest(tokenizer)
        if digest is None:
            return made()
        # Teachers mostly read as the student does: then one copy serves both.
        key = data_key(recipe), digest
        if key not in self._encoded:
            self._encoded[key] = made()
        return self._encoded[key]

    def once(self, tell: Callable[[str], None], message: str, about: str | None = None) -> None:
        """Say something once in a command; `about`: what counts as the same, the message itself if None."""
        if (about or message) not in self._said:
            self._said.add(about or message)
            tell(message)
