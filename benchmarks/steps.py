"""What a step takes: ours through `dkd distill`'s own path, the naive way, and the matrix products alone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks import naive
from benchmarks.clock import Contestant, Enough, Stopwatch, wait
from benchmarks.setting import Setting, telling_seed
from dkd_cli.data.encoding import length_grouped_order
from dkd_cli.engine.cache.entries import Cache, cache_limit
from dkd_cli.engine.machine.precision import decide
from dkd_cli.engine.models.models import load_config, load_tokenizer, locate_model
from dkd_cli.pipeline.loaded_teachers import LoadedTeachers
from dkd_cli.pipeline.planned import plan_student
from dkd_cli.pipeline.student import one_student
from dkd_cli.pipeline.workshop import Splits, Workshop
from dkd_cli.recipe.schema import Recipe

RATIO = 0.1
PUBLISHED = {"strategy__data__score": "margin", "strategy__data__ratio": 0.5}


@dataclass(frozen=True)
class Texts:
    """One data set in the student's tokens, loaded once, and how many steps are timed on it."""

    task: str
    workshop: Workshop
    clock: Stopwatch
    splits: Splits
    steps: int
    seed: int

    def rows(self, batch_size: int) -> list[list[int]]:
        """The rows of the timed batches."""
        order = length_grouped_order(self.splits.train.lengths, batch_size, self.seed, 0)
        return [order[i * batch_size : (i + 1) * batch_size] for i in range(1, self.steps + 1)]


def open_texts(setting: Setting, task: str, steps: int) -> Texts:
    """Load and tokenise a data set, and choose the batches."""
    clock = Stopwatch(setting.device)
    workshop = Workshop(clock)
    recipe = setting.load(f"{task}-texts", task, "none")
    splits = workshop.splits(recipe, load_tokenizer(setting.model, "--model"))
    return Texts(task, workshop, clock, splits, steps, telling_seed(splits.train, setting.batch_size, steps))


class Ours:
    """One strategy by `commands.distill.one_student`, as users run it, but ended when its steps are timed."""

    def __init__(
        self,
        setting: Setting,
        texts: Texts,
        recipe: Recipe,
        steps: int,
        cache: Path | None,
        cold: bool = False,
    ) -> None:
        self._batch_size = setting.batch_size
        self._texts, self._student, self._steps = texts, plan_student(recipe), steps
        self._cache, self._cold = cache, cold
        self._shelf: LoadedTeachers | None = None
        self._opened: Cache | None = None

    def prepare(self) -> None:
        """Fill the cache; then forget the teachers, so that the timed runs read their answers from it."""
        self.run()
        self._shelf = None

    def run(self) -> float:
        """Milliseconds for each `batch_size` examples seen."""
        if self._cold and self._cache is not None:
            shutil.rmtree(self._cache, ignore_errors=True)
            self._shelf = None
        workshop, clock = self._texts.workshop, self._texts.clock
        if self._shelf is None:
            self._shelf = LoadedTeachers(workshop, [self._student])
            self._opened = None if self._cache is None else Cache(self._cache, cache_limit(), clock.warn)
        workshop.cache = self._opened
        clock.time(self._steps)
        try:
            one_student(workshop, self._shelf, self._student, fresh=True)
        except Enough:
            return 1000 * clock.seconds * self._batch_size / clock.rows
        raise AssertionError(f"the run was over before {self._steps} steps were timed")


def contestants(setting: Setting, wanted: Callable[[str], bool], steps: int, pools: int) -> list[Contestant]:
    """All whose names are wanted; a data set is loaded only where one needs it."""
    found: list[Contestant] = []
    for task, names in NAMES.items():
        chosen = [name for name in names if wanted(f"{task}/{name}")]
        if chosen:
            makers = _makers(setting, open_texts(setting, task, steps), pools)
            found += [makers[name](f"{task}/{name}") for name in chosen if name in makers]
    return found


def _makers(setting: Setting, texts: Texts, pools: int) -> Mapping[str, Callable[[str], Contestant]]:
    """By the contestant's name within a data set."""
    large, both = [setting.teachers[setting.single]], list(setting.teachers.values())
    plain = partial(_naive, setting, texts)
    ours = partial(_ours, setting, texts)
    return {
        "plain": partial(plain, "fine-tuning in fp32, padded to the full length", [], naive.fine_tuning),
        "naive-data": partial(plain, "naive: KD on half of each batch", large, naive.data),
        "naive-objective": partial(plain, "naive: KD and hidden states", large, naive.objective),
        "naive-two-teachers": partial(plain, "naive: two teachers", both, naive.two_teachers),
        "bare": partial(ours, "ours, no teacher", "none", {}),
        "bare-dropout-0": partial(ours, "ours, no teacher, dropout 0", "none", {"train__dropout": 0.0}),
        "bare-compiled": partial(ours, "ours, no teacher, compiled", "none", {"train__compile": True}),
        "bare-frozen": partial(
            ours, "ours, no teacher, token table frozen", "none", {"train__freeze": "embeddings"}
        ),
        "static-warm": partial(ours, "ours, one teacher", "static", {}),
        "two-teachers-warm": partial(ours, "ours, two teachers on every row", "dynamic-teacher", {}),
        "two-teachers-cold": partial(
            ours, "likewise, nothing in the cache", "dynamic-teacher", {}, cache="cold"
        ),
        "objective-warm": partial(ours, "ours, KD and hidden states", "dynamic-objective", {}),
        "objective-no-store": partial(
            ours, "likewise, without a cache", "dynamic-objective", {}, cache="off"
        ),
        "data-warm": partial(ours, "ours, KD on half of each batch", "dynamic-data", PUBLISHED),
        "data-selected-warm": partial(_selected, setting, texts, pools),
    } | {
        f"products-{name}": partial(_product, setting, texts, dtype)
        for name, dtype in {"fp32": torch.float32, decide("auto").name: decide("auto").dtype}.items()
    }


def _naive(
    setting: Setting, texts: Texts, what: str, teachers: Sequence[str], loss: naive.Loss, name: str
) -> Contestant:
    made: list[naive.Naive] = []
    batches: list[naive.Batch] = []

    def prepare() -> None:
        tokenizer, split = load_tokenizer(setting.model, "--model"), texts.splits.train.split
        assert split.labels is not None
        source, classes = locate_model(setting.model, "--model"), len(set(split.labels))
        made.append(naive.make(source, setting.student_layers, classes, teachers, loss, setting.device))
        for rows in texts.rows(setting.batch_size):
            pairs = None if split.text_pairs is None else [split.text_pairs[row] for row in rows]
            labels = [int(split.labels[row]) for row in rows]
            chosen = [split.texts[row] for row in rows]
            batches.append(naive.padded(tokenizer, chosen, pairs, labels, setting.max_length, setting.device))
        made[0].step(batches[0])

    def run() -> float:
        wait(setting.device)
        started = time.perf_counter()
        for batch in batches:
            made[0].step(batch)
        wait(setting.device)
        return 1000 * (time.perf_counter() - started) / len(batches)

    return Contestant(name, what, prepare, run)


def _ours(
    setting: Setting,
    texts: Texts,
    what: str,
    strategy: str,
    changes: Mapping[str, Any],
    name: str,
    *,
    cache: Literal["warm", "cold", "off"] = "warm",
    steps: int | None = None,
) -> Contestant:
    settings = {"train__seed": texts.seed, **changes}
    plain = name.replace("/", "-")
    recipe = setting.load(plain, texts.task, strategy, **settings)
    folder = None if cache == "off" else setting.folder / f"cache-{plain}"
    one = Ours(setting, texts, recipe, steps or texts.steps, folder, cold=cache == "cold")
    return Contestant(name, what, one.prepare, one.run)


def _selected(setting: Setting, texts: Texts, pools: int, name: str) -> Contestant:
    size = round(setting.batch_size / RATIO)
    changes = {
        "strategy__data__ratio": RATIO,
        "strategy__data__backward": "selected",
        "train__seed": telling_seed(texts.splits.train, size, pools),
    }
    what = "ours, a batch chosen out of ten; a step is one of the ten"
    return _ours(setting, texts, what, "dynamic-data", changes, name, steps=pools)


def _product(setting: Setting, texts: Texts, dtype: torch.dtype, name: str) -> Contestant:
    """The matrix products of a student's step, forward and twice backward; embeddings and head left out."""
    config = load_config(setting.model, "--model")
    hidden, inner, heads = config.hidden_size, config.intermediate_size, config.num_attention_heads
    batch, products = setting.batch_size, []

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=setting.device).to(dtype)

    for rows in texts.rows(batch):
        length = int(texts.splits.train.lengths[rows].max())
        tokens = batch * length
        for m, k, n, times in (
            (tokens, hidden, hidden, 4),
            (tokens, hidden, inner, 1),
            (tokens, inner, hidden, 1),
        ):
            products += [(drawn(m, k), drawn(k, n), drawn(m, n))] * times * setting.student_layers
        many, depth = batch * heads, hidden // heads
        scores = drawn(many, length, depth), drawn(many, depth, length), drawn(many, length, length)
        values = drawn(many, length, length), drawn(many, length, depth), drawn(many, length, depth)
        products += [scores, values] * setting.student_layers

    def run() -> float:
        wait(setting.device)
        started = time.perf_counter()
        for left, right, gradient in products:
            torch.matmul(left, right)
            torch.matmul(gradient, right.mT)
            torch.matmul(left.mT, gradient)
        wait(setting.device)
        return 1000 * (time.perf_counter() - started) / texts.steps

    return Contestant(name, "the matrix products of a student's step alone", lambda: None, run)


NAMES = {
    "rte": (
        "plain",
        "naive-data",
        "naive-objective",
        "naive-two-teachers",
        "bare",
        "bare-dropout-0",
        "bare-frozen",
        "bare-compiled",
        "static-warm",
        "two-teachers-warm",
        "two-teachers-cold",
        "objective-warm",
        "objective-no-store",
        "data-warm",
        "data-selected-warm",
        "products-fp32",
        "products-bf16",
        "products-fp16",
    ),
    "sst2": ("plain", "bare", "bare-dropout-0", "bare-frozen"),
}
"""Which contestants there are on which texts."""
