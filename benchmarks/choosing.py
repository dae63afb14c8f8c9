"""Choosing 1,000 of many texts by the static student of `dkd label`: seconds and peak memory of one round.

    python -m benchmarks.choosing --rows 1000000

The texts are tweets of the quickstart, and others made of their halves. OMP_NUM_THREADS sets the threads.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from dkd_cli.data.sources import load_task_data
from dkd_cli.labelling.chooser import Vectors, train
from dkd_cli.labelling.rounds import next_round
from dkd_cli.recipe.loader import load_recipe
from dkd_cli.report.noise import quiet_libraries

COUNT, ANSWERED = 1000, 1600


def many_texts(texts: Sequence[str], rows: int, seed: int = 0) -> list[str]:
    """Return `rows` different texts: the given ones, then the first half of each with the end of another one.

    >>> many_texts(["a b c d", "e f g h"], 3)
    ['a b c d', 'e f g h', 'a b c d 1']
    """
    drawn, found = random.Random(seed), list(texts[:rows])
    for row in range(len(found), rows):
        copy, place = divmod(row, len(texts))
        words, other = texts[place].split(), drawn.choice(texts).split()
        found.append(" ".join([*words[: max(2, len(words) // 2)], *other[len(other) // 2 :], str(copy)]))
    return found


def choosing(
    texts: Sequence[str],
    labels: Sequence[int],
    source: str,
    rows: int,
    count: int,
    say: Callable[[str], None],
) -> dict[str, float]:
    """Seconds of each part of a round, and the peak memory of the process in 10⁶ bytes.

    Args:
        texts: given ones, with their labels.
        labels: class ids; those of some texts are the answers so far.
        source: the encoder whose token vectors the student starts from.
        rows: of the pool.
        count: how many are chosen.
        say: for a line on each part.
    """
    pool = many_texts(texts, rows)
    seconds: dict[str, float] = {}

    def timed(name: str, started: float) -> None:
        seconds[name] = time.perf_counter() - started
        say(f"{name}: {seconds[name]:.1f} s")

    started = time.perf_counter()
    vectors = Vectors.load(source)
    bags = vectors.bags(pool, None, 64)
    timed("tokenise", started)
    # A file may have one class after the other.
    asked = sorted(random.Random(1).sample(range(min(rows, len(texts))), min(ANSWERED, len(texts) // 2)))
    targets = torch.eye(max(labels) + 1)[torch.tensor([labels[row] for row in asked])]
    started = time.perf_counter()
    chooser = train(vectors, bags.take(torch.tensor(asked)), targets, 1)
    timed("train", started)
    free = np.setdiff1d(np.arange(rows), asked)
    started = time.perf_counter()
    chosen = next_round(chooser, bags, pool, free, asked, select="margin", explore=0.1, count=count, seed=1)
    timed("choose", started)
    assert len(set(chosen.tolist())) == count
    seconds["all"] = sum(seconds.values())
    return seconds | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.choosing", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    asked = parser.parse_args(words)
    quiet_libraries()
    recipe = load_recipe("quickstart", ["data.max_train=null"])
    train_split = load_task_data(recipe.data).splits["train"]
    found = choosing(
        train_split.texts, list(train_split.labels or ()), recipe.model, asked.rows, COUNT, print
    )
    print(f"{COUNT:,} of {asked.rows:,} texts: {found['all']:.0f} s, peak {found['peak_mb']:.0f} MB")


if __name__ == "__main__":
    main()
