"""Scoring a large pool of short texts: `dkd select-data` beside the bare forward pass on the same batches."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch

from benchmarks.clock import Spread, wait
from benchmarks.processes import dkd, watch
from benchmarks.setting import Setting
from dkd_cli.data.encoding import PaddingCollator, encode
from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.sources import load_task_data
from dkd_cli.engine.machine.precision import decide
from dkd_cli.engine.models.inference import model_inputs, predict_logits
from dkd_cli.engine.models.models import LoadedModel, load_classifier

BATCH = 64
ROUND = 10_000
FEW = 10
"""Rows of the validation split, which `select-data` does not look at."""


def select_data(setting: Setting, rows: int, say: Callable[[str], None]) -> dict[str, float]:
    """Rows per second of scoring, of the whole command and of the forward pass; the command's peak (MB)."""
    recipe = setting.load("pool-texts", "sst2", "none")
    data = load_task_data(recipe.data)
    train = data.splits["train"]
    # A file may have one class after the other, and a part of it then has one alone.
    shuffled = train.take(random.Random(0).sample(range(len(train)), len(train)), train.name)
    data = replace(data, splits={**data.splits, "train": shuffled})
    loaded = load_classifier(setting.scorer, data)
    rates: dict[str, list[float]] = {"scoring": [], "forward pass": []}
    size, rounds = min(ROUND, rows), max(1, rows // ROUND)

    def measure(numbers: range) -> None:
        for number in numbers:
            say(f"select-data: {number + 1} of {rounds}")
            split = _part(data, size, number)
            rates["scoring"].append(size / _scoring(setting, loaded, split))
            rates["forward pass"].append(size / _forward(setting, loaded, split))

    few, many = max(2, rows // 10), rows
    # Half of the rounds before the commands and half after: a machine that slows down slows both.
    measure(range(rounds // 2))
    say("select-data: the whole command, twice")
    fewer, more = (_command(setting, data, number) for number in (few, many))
    measure(range(rounds // 2, rounds))
    shares = [one / other for one, other in zip(rates["scoring"], rates["forward pass"], strict=True)]
    found = {name: Spread.of(values).median for name, values in rates.items()}
    found["scoring over forward pass"] = Spread.of(shares).median
    # What starting up takes is in both.
    found["whole command"] = (many - few) / (more[0] - fewer[0])
    found["whole command over forward pass"] = found["whole command"] / found["forward pass"]
    found["peak"] = more[1]
    return found


def pool_texts(texts: list[str], rows: int) -> Iterator[str]:
    """So many different texts: one after the other, then all again, each after the number of the copy."""
    for row in range(rows):
        copy, place = divmod(row, len(texts))
        yield f"{copy} {texts[place]}" if copy else texts[place]


def _part(data: TaskData, size: int, number: int) -> Split:
    """So many of the pool's own texts, other ones for each number; only what reads labels would miss them."""
    train = data.splits["train"]
    texts = list(islice(pool_texts(list(train.texts), (number + 1) * size), number * size, None))
    return Split(train.name, texts, None, None, [str(row) for row in range(size)])


def _scoring(setting: Setting, loaded: LoadedModel, split: Split) -> float:
    """Seconds to tokenise a split and to predict it."""
    started = time.perf_counter()
    encoded = encode(split, loaded.tokenizer, setting.max_length)
    predict_logits(
        loaded.model, encoded, PaddingCollator(loaded.tokenizer), batch_size=BATCH, precision="auto"
    )
    return time.perf_counter() - started


@torch.inference_mode()
def _forward(setting: Setting, loaded: LoadedModel, split: Split) -> float:
    """Seconds of the model alone on the same batches, which were made before."""
    compute, collator = decide("auto"), PaddingCollator(loaded.tokenizer)
    encoded = encode(split, loaded.tokenizer, setting.max_length)
    order = encoded.by_length().tolist()
    chunks = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    batches = [
        model_inputs(loaded.model, collator([encoded[row] for row in rows]), compute.device)
        for rows in chunks
    ]
    wait(setting.device)
    started = time.perf_counter()
    for batch in batches:
        with compute.autocast():
            loaded.model(**batch)
    wait(setting.device)
    return time.perf_counter() - started


def _command(setting: Setting, data: TaskData, rows: int) -> tuple[float, float]:
    """Seconds and peak memory (MB) of `dkd select-data` on so many rows."""
    train, names = data.splits["train"], data.label_names
    assert train.labels is not None
    assert names is not None
    pool, few = setting.folder / f"pool-{rows}.jsonl", setting.folder / "few.jsonl"
    with pool.open("w", encoding="utf-8") as handle, few.open("w", encoding="utf-8") as validation:
        for row, text in enumerate(pool_texts(list(train.texts), rows)):
            label = names[int(train.labels[row % len(train)])]
            line = json.dumps({"text": text, "label": label}) + "\n"
            handle.write(line)
            if row < FEW:
                validation.write(line)
    output = Path(setting.folder / f"selected-{rows}.jsonl")
    section = {
        "data__source": None,
        "data__config": None,
        "data__encoding": None,
        "data__text": "text",
        "data__label": "label",
        "data__labels": list(names),
        "data__train": str(pool),
        "data__validation": str(few),
    }
    recipe = setting.recipe(f"pool-{rows}", "sst2", "none", **section)
    words = dkd(
        "select-data", recipe, "--model", setting.scorer, "--score", "entropy", "--count", max(1, rows // 100)
    )
    seen = watch([*words, "--output", str(output)], {})
    return seen.seconds, seen.peak_mb


def one_pass(setting: Setting, rows: int) -> float:
    """Seconds that each teacher takes once over a training split of so many rows, added up."""
    recipe = setting.load("pass", "rte", "dynamic-teacher", data__max_train=rows, data__max_validation=rows)
    data, seconds = load_task_data(recipe.data), 0.0
    for name, folder in setting.teachers.items():
        loaded = load_classifier(folder, data, key=f"teachers.{name}")
        seconds += _forward(setting, loaded, data.splits["train"])
    return seconds
