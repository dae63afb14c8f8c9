"""How many texts, how many labels: learning curves of students, `python -m benchmarks.curves`.

For each number of labels a teacher is trained; students of several sizes learn from it on transfer sets of
several sizes, all for the same number of updates. Every run is an ordinary folder below `--output`: type the
same command again to resume, and add values to extend the curves.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from dkd_cli.cli import run
from dkd_cli.recipe.loader import dump_recipe, load_recipe

Cell = tuple[int, int, int]
"""Labels, layers (0 for the teacher), transfer texts."""


def main(typed: Sequence[str] | None = None) -> None:
    """Make what is missing, then print the table; every score is in `curves.json` in the output folder."""
    chosen = _options().parse_args(typed)
    scores: dict[Cell, list[float]] = {}
    for labels in chosen.labels:
        recipe = _recipe(chosen, labels)
        _dkd("train-teacher", recipe)
        layers = f"student.layers={chosen.layers}"
        words = ["--seed", ",".join(map(str, chosen.seeds)), "--sweep", layers]
        words += ["--set", f"train.max_steps={chosen.updates}"]
        some = [count for count in chosen.transfer if count]
        if some:
            _dkd("distill", recipe, *words, "--sweep", f"data.max_transfer={some}")
        if 0 in chosen.transfer:
            alone = ("--sweep", "strategy.transfer=[false]", "--set", "data.max_transfer=1")
            _dkd("distill", recipe, *words, *alone)
        runs = chosen.output / f"texts-{labels}"
        _dkd("evaluate", runs, "--split", "test", "--no-timing", "--output", runs)
        for cell, score in read_scores(runs / "evaluation.json", labels):
            scores.setdefault(cell, []).append(score)
    listed = [{"labels": a, "layers": b, "transfer": c, "scores": s} for (a, b, c), s in scores.items()]
    (chosen.output / "curves.json").write_text(json.dumps(listed, indent=1), encoding="utf-8")
    sys.stdout.write(table(scores, chosen.transfer))


def read_scores(path: Path, labels: int) -> Iterable[tuple[Cell, float]]:
    """The main metric of each model in an `evaluation.json`."""
    for contest in json.loads(path.read_text(encoding="utf-8"))["evaluations"]:
        for model in contest["models"]:
            settings = yaml.safe_load(model["settings"])
            score = next(iter(model["metrics"].values()))
            if model["role"] == "teacher":
                yield (labels, 0, 0), score
            elif model["role"] == "student":
                count = settings["data"]["max_transfer"] if settings["strategy"]["transfer"] else 0
                yield (labels, settings["student"]["layers"], count), score


def table(scores: dict[Cell, list[float]], transfer: Sequence[int]) -> str:
    """Means over seeds as a Markdown table: a row for each number of labels and layers.

    >>> print(table({(100, 0, 0): [0.6], (100, 1, 0): [0.5, 0.6], (100, 1, 9): [0.7]}, [0, 9]))
    | labels | layers | teacher | 0 transfer texts | 9 |
    |---|---|---|---|---|
    | 100 | 1 | 0.600 | 0.550 | 0.700 |
    <BLANKLINE>
    """
    head = ["labels", "layers", "teacher", *(str(count) for count in transfer)]
    head[3] += " transfer texts"
    lines = [head, ["---"] * len(head)]
    for labels, layers in sorted({(labels, layers) for labels, layers, _ in scores if layers}):
        cells = [scores.get((labels, 0, 0)), *(scores.get((labels, layers, count)) for count in transfer)]
        means = [f"{statistics.fmean(found):.3f}" if found else "" for found in cells]
        lines.append([str(labels), str(layers), *means])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _options() -> argparse.ArgumentParser:
    def numbers(text: str) -> list[int]:
        return [int(one) for one in text.split(",")]

    options = argparse.ArgumentParser(prog="python -m benchmarks.curves")
    options.add_argument(
        "--recipe", default="quickstart", help="its texts are labelled, and the transfer set"
    )
    options.add_argument("--labels", type=numbers, default=[100, 300, 1000, 4000])
    options.add_argument("--transfer", type=numbers, default=[0, 3000, 12000, 30000])
    options.add_argument("--layers", type=numbers, default=[1, 3])
    options.add_argument("--seeds", type=numbers, default=[1, 2, 3])
    options.add_argument("--updates", type=int, default=3000, help="of each student")
    options.add_argument("--output", type=Path, default=Path("curves"))
    return options


def _recipe(chosen: argparse.Namespace, labels: int) -> Path:
    """The recipe with so many labels, and its own texts as the transfer set."""
    tree: dict[str, Any] = yaml.safe_load(dump_recipe(load_recipe(chosen.recipe)))
    tree |= {"name": f"texts-{labels}", "output_dir": str(chosen.output)}
    caps = {"max_train": labels, "max_validation": 1000, "max_test": 3000}
    tree["data"] |= caps | {"transfer": [tree["data"]["source"]]}
    last = list(tree["teachers"])[-1]
    tree["teachers"] = {last: tree["teachers"][last]}
    chosen.output.mkdir(parents=True, exist_ok=True)
    path: Path = chosen.output / f"texts-{labels}.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return path


def _dkd(*words: object) -> None:
    """Run a command in this process; what it prints goes to stderr.

    Raises:
        SystemExit: where it fails, with its exit code.
    """
    with contextlib.redirect_stdout(sys.stderr):
        try:
            run([str(word) for word in words])
        except SystemExit as ended:
            if ended.code:
                raise


if __name__ == "__main__":
    main()
