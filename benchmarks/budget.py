"""What a labelling budget buys: the rounds of `dkd label`, simulated with a teacher that is looked up.

The selection, the chooser and its training are the command's own; only the endpoint is replaced, by logits of
a fine-tuned classifier on the whole pool, computed once. The score is the chooser's accuracy on test labels
after each round. A line of JSON for each way of choosing and seed; those that are there are not repeated.
`benchmarks.budget_report` compares the ways.

    python -m benchmarks.budget checkpoints/clinc/teacher-large recipe.yaml --output clinc.jsonl
"""

from __future__ import annotations

import argparse
import base64
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dkd_cli.data.examples import Split
from dkd_cli.data.sources import load_task_data
from dkd_cli.labelling.chooser import Bags, Vectors, train
from dkd_cli.labelling.rounds import Policy, Rows, choose_round
from dkd_cli.recipe.loader import load_recipe

Right = NDArray[np.bool_]
"""[texts]: which of them are classified as their labels say."""
BUDGETS = (200, 400, 800, 1600, 3200, 6400)


WAYS = {
    "random": Policy("random"),
    "margin": Policy("margin"),
    "entropy": Policy("entropy"),
    "margin, first round random": Policy("margin", diverse=False),
    "margin, nothing random": Policy("margin", explore=0.0),
    "margin, finer rounds": Policy("margin"),
}
ROUNDS = {"margin, finer rounds": 2}
"""Rounds to a doubling, where it is not one: what `--growth 1.41` of `dkd label` does."""


def stops(each: int) -> list[int]:
    """Answers after each round, with so many rounds to a doubling.

    >>> stops(1), stops(2)[:4]
    ([200, 400, 800, 1600, 3200, 6400], [200, 283, 400, 566])
    """
    return [round(BUDGETS[0] * 2 ** (index / each)) for index in range(each * (len(BUDGETS) - 1) + 1)]


def teacher_answers(checkpoint: str, split: Split, names: Sequence[str], path: Path) -> Tensor:
    """Probabilities of the teacher for every text of the pool, [N, C] in the task's order; computed once."""
    if path.exists():
        return torch.from_numpy(np.load(path))
    from dkd_cli.engine.deploy.load import load_predictor

    predictor = load_predictor(checkpoint)
    order = sorted(range(len(split)), key=lambda row: len(split.texts[row]))
    assert predictor.labels is not None
    columns = [predictor.labels.index(name) for name in names]
    found = np.zeros((len(split), len(names)), dtype=np.float32)
    for start in range(0, len(order), 64):
        rows = order[start : start + 64]
        found[rows] = predictor.logits([split.texts[row] for row in rows], None)[0][:, columns]
    shares = torch.from_numpy(found).softmax(dim=1)
    np.save(path, shares.numpy())
    return shares


def labels_as_answers(split: Split, classes: int) -> Tensor:
    """A teacher that is always right, [N, C]."""
    assert split.labels is not None
    return torch.nn.functional.one_hot(torch.tensor(split.labels).long(), classes).float()


def simulate(
    way: Policy,
    vectors: Vectors,
    pool: Split,
    bags: Bags,
    answers: Tensor,
    test: tuple[Bags, Tensor],
    seed: int,
    each: int = 1,
) -> list[Right]:
    """Return which test texts the chooser gets right after each budget of `BUDGETS`."""
    asked: list[int] = []
    curve: list[Right] = []
    chooser = None
    for index, budget in enumerate(stops(each)):
        if budget > len(pool):
            break
        free: Rows = np.setdiff1d(np.arange(len(pool)), asked)
        count, drawn = budget - len(asked), 1000 * seed + index
        _, rows = choose_round(way, chooser, vectors, bags, pool.texts, free, asked, count, drawn)
        asked += rows.tolist()
        chosen = torch.tensor(sorted(asked))
        chooser = train(vectors, bags.take(chosen), answers[chosen], seed)
        if budget in BUDGETS:
            said = torch.cat(list(chooser.logits(test[0]))).argmax(dim=1)
            curve.append((said == test[1]).numpy())
    return curve


def packed(right: Right) -> str:
    """Write booleans as text, eight in a byte.

    >>> packed(np.array([True] * 8)), unpacked("/w==", 8).all()
    ('/w==', np.True_)
    """
    return base64.b64encode(np.packbits(right).tobytes()).decode()


def unpacked(text: str, count: int) -> Right:
    """Read what `packed` wrote."""
    bits = np.frombuffer(base64.b64decode(text), dtype=np.uint8)
    return np.unpackbits(bits, count=count).astype(bool)


def main() -> None:
    """Run what is missing in the output file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget", description=__doc__)
    parser.add_argument(
        "checkpoint",
        help="the fine-tuned classifier that plays the paid teacher, or `labels` for the pool's own",
    )
    parser.add_argument("recipe", help="its data: the training split is the pool")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    recipe = load_recipe(given.recipe)
    data = load_task_data(recipe.data)
    pool, test = data.splits["train"], data.splits["test"]
    assert test.labels is not None
    assert data.label_names is not None
    vectors = Vectors.load(recipe.model)
    bags = vectors.bags(pool.texts, None, recipe.data.max_length)
    judged = vectors.bags(test.texts, None, recipe.data.max_length), torch.tensor(test.labels)
    if given.checkpoint == "labels":
        answers = labels_as_answers(pool, len(data.label_names))
    else:
        answers = teacher_answers(given.checkpoint, pool, data.label_names, given.output.with_suffix(".npy"))
    lines = given.output.read_text(encoding="utf-8").splitlines() if given.output.exists() else []
    known = {(one["way"], one["seed"]) for one in map(json.loads, lines)}
    for seed in range(1, given.seeds + 1):
        for name in given.ways:
            if (name, seed) in known:
                continue
            started = time.process_time()
            each = ROUNDS.get(name, 1)
            curve = simulate(WAYS[name], vectors, pool, bags, answers, judged, seed, each)
            record: dict[str, Any] = {"task": recipe.name, "way": name, "seed": seed}
            record["accuracy"] = [float(right.mean()) for right in curve]
            record["right"] = [packed(right) for right in curve]
            record["texts"] = len(test)
            record["seconds"] = round(time.process_time() - started, 1)
            with given.output.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(record) + "\n")
            del record["right"]
            print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
