"""Compares ways of choosing texts for a paid teacher: table and picture from what `benchmarks.budget` wrote.

    python -m benchmarks.budget_report clinc.jsonl sst5.jsonl --picture budget.svg

Gains over `random` have the intervals and p values of `dkd compare`, paired by seed and by test text.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.budget import BUDGETS, unpacked
from dkd_cli.evaluation.significance import RESAMPLES, Difference, paired_difference
from dkd_cli.report.drawing import drawing_style
from dkd_cli.report.palette import INK, RULE

CONTROL = "random"
Answers = NDArray[np.float64]
"""[budgets, seeds, texts]: 1 where the chooser is right."""


def read(path: Path) -> tuple[str, dict[str, Answers]]:
    """Read the task's name and, by way, what each of the common seeds got right."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found: dict[str, dict[int, Any]] = defaultdict(dict)
    for one in lines:
        found[one["way"]][one["seed"]] = [unpacked(text, one["texts"]) for text in one["right"]]
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in found.values())))
    if len(seeds) < 2:
        raise SystemExit(
            f"{path}: an interval takes two seeds that all ways have, and there are {len(seeds)}"
        )
    ways = {}
    for way, by_seed in found.items():
        ways[way] = np.stack([by_seed[seed] for seed in seeds], axis=1).astype(float)
    return lines[0]["task"], ways


def gain(ours: Answers, theirs: Answers) -> Difference:
    """Compare two ways at one budget, each [seeds, texts], by the mean over both."""
    generator = np.random.default_rng(0)
    texts = ours.shape[1]
    # A resample is drawn as how often each text is in it.
    counts = generator.multinomial(texts, np.full(texts, 1 / texts), size=RESAMPLES) / texts
    return paired_difference(ours.mean(axis=1), theirs.mean(axis=1), counts @ ours.T, counts @ theirs.T)


def answers_needed(accuracy: Sequence[float], wanted: float) -> float | None:
    """The number of answers that reach an accuracy, interpolated in its logarithm; None: more than the last.

    >>> answers_needed([0.5, 0.7], 0.6), answers_needed([0.5, 0.7], 0.8)
    (282.842712474619, None)
    """
    for index, value in enumerate(accuracy):
        if value >= wanted:
            if index == 0:
                return float(BUDGETS[0])
            before = accuracy[index - 1]
            share = (wanted - before) / (value - before)
            low, high = math.log(BUDGETS[index - 1]), math.log(BUDGETS[index])
            return math.exp(low + share * (high - low))
    return None


def rows(task: str, ways: Mapping[str, Answers]) -> list[list[str]]:
    """A row of the table for each budget and way but the control."""
    found = []
    control = ways[CONTROL]
    for index in range(len(control)):
        for way, answers in ways.items():
            if way == CONTROL:
                continue
            one = gain(answers[index], control[index])
            needed = answers_needed(answers.mean(axis=(1, 2)).tolist(), float(control[index].mean()))
            found.append(
                [
                    task,
                    f"{BUDGETS[index]:,}",
                    _mean(control[index]),
                    way,
                    _mean(answers[index]),
                    f"{100 * one.gain:+.1f} ({100 * one.low:+.1f} to {100 * one.high:+.1f})",
                    "<0.001" if one.p < 0.001 else f"{one.p:.2g}",
                    "more" if needed is None else f"{needed / BUDGETS[index]:.0%}",
                ]
            )
    return found


def _mean(answers: Answers) -> str:
    scores = answers.mean(axis=1).tolist()
    return f"{statistics.fmean(scores):.3f} ± {statistics.stdev(scores):.3f}"


def draw(tasks: Mapping[str, Mapping[str, Answers]], path: Path) -> None:
    """Draw the curves: a panel for each task, a line for each way, mean and standard deviation over seeds."""
    with drawing_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(3.2 * len(tasks), 2.8), layout="constrained")
        panels = figure.subplots(1, len(tasks), squeeze=False)[0]
        for panel, (task, ways) in zip(panels, tasks.items(), strict=True):
            for way, answers in ways.items():
                scores = answers.mean(axis=2)
                budgets = BUDGETS[: len(scores)]
                panel.errorbar(
                    budgets, scores.mean(axis=1), yerr=scores.std(axis=1, ddof=1), label=way, capsize=2
                )
            panel.set_xscale("log", base=2)
            panel.set_xticks(BUDGETS, [f"{budget:,}" for budget in BUDGETS], fontsize=6)
            panel.set_title(task)
            panel.set_xlabel("answers")
        panels[0].set_ylabel("accuracy")
        panels[0].legend(fontsize=6)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    # On white: an image of a page cannot take the page's colours.
    coloured = drawn.getvalue().replace(INK, "#1f2328").replace(RULE, "#c9d1d9")
    path.write_text(coloured, encoding="utf-8")


def main(typed: Sequence[str] | None = None) -> None:
    """Print the table as Markdown; draw the picture where one is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget_report", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--picture", type=Path, help="an .svg file")
    given = parser.parse_args(typed)
    tasks = dict(map(read, given.files))
    head = [
        "task",
        "answers",
        CONTROL,
        "way",
        "accuracy",
        "gain",
        "p",
        f"answers for the accuracy of {CONTROL}",
    ]
    lines = [head, ["---"] * len(head), *(row for task, ways in tasks.items() for row in rows(task, ways))]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))
    if given.picture is not None:
        draw(tasks, given.picture)


if __name__ == "__main__":
    main()
