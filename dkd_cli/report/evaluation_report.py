"""`report.html` of an evaluation: the figures of `evaluation.json` in sections with tables and plots.

Uses only those figures, so that the file can be generated again from them.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from dkd_cli.report.cost_sections import price_blocks, speed_blocks, training_blocks
from dkd_cli.report.headline import contest_headline
from dkd_cli.report.page import Block, Code, Folded, Prose, Section, html_page
from dkd_cli.report.plots import Model
from dkd_cli.report.quality_sections import (
    calibration_blocks,
    cascade_blocks,
    class_blocks,
    difference_blocks,
    models_blocks,
)

Contest = Mapping[str, Any]


def evaluation_report(evaluation: Mapping[str, Any]) -> str:
    """The page, from the value of `evaluation.json`."""
    contests: Sequence[Contest] = evaluation["evaluations"]
    headline: list[str] = []
    sections: list[Section] = []
    for number, contest in enumerate(contests, start=1):
        several = len(contests) > 1
        prefix = f"{number}-" if several else ""
        title = f"{contest['task']}, {contest['split']}" if several else None
        first, *more = contest_headline(contest)
        headline += [f"{title}: {first}" if title else first, *more]
        sections += contest_sections(contest, prefix, title)
    names = ", ".join(dict.fromkeys(str(contest["task"]) for contest in contests))
    return html_page(
        f"Evaluation: {names}",
        headline,
        sections,
        machine=evaluation["machine"],
        made=made(contests),
        figures="evaluation.json",
    )


def contest_sections(contest: Contest, prefix: str, part: str | None) -> list[Section]:
    """The sections of one task and split; empty ones are omitted."""
    models: Sequence[Model] = contest["models"]
    by_name = {model["model"]: model for model in models}
    best = by_name[contest["best_student"]["model"]] if contest["best_student"] else None
    closest = best or models[0]
    teacher = by_name.get(closest["teacher"])
    metric = contest["main_metric"]
    candidates = [
        ("models", "Models", models_blocks(contest, best)),
        ("classes", "Classes", class_blocks(closest, teacher, contest["labels"])),
        ("calibration", "Calibration", calibration_blocks(models, closest, contest["split"])),
        ("cascade", "Cascade", cascade_blocks(models, closest, teacher, metric, contest["split"])),
        ("differences", "Where they differ", difference_blocks(closest, contest["labels"], contest["kind"])),
        ("speed", "Speed and cost", speed_blocks(models)),
        ("prices", "Price", price_blocks(contest)),
        ("training", "Training", training_blocks(models, metric)),
    ]
    filled = [(anchor, title, blocks) for anchor, title, blocks in candidates if blocks]
    return [
        Section(prefix + anchor, title, blocks, part if place == 0 else None)
        for place, (anchor, title, blocks) in enumerate(filled)
    ]


def made(contests: Sequence[Contest]) -> list[Block]:
    """The recipes and commands that reproduce the models."""
    recipes: dict[str, Model] = {}
    for contest in contests:
        best = (contest["best_student"] or {}).get("model")
        for model in sorted(contest["models"], key=lambda model: model["model"] != best):
            recipes.setdefault(str(model["recipe"]), model)
    blocks: list[Block] = []
    for name, model in recipes.items():
        file = shlex.quote(f"{name}.yaml")
        chosen = ""
        if model["role"] == "student":
            chosen = f" --strategy {shlex.quote(model['strategy'] or 'none')} --seed {model['seed']}"
        commands = [f"dkd train-teacher {file}", f"dkd distill {file}{chosen}", "dkd evaluate checkpoints"]
        blocks += [
            Prose(f"Save the recipe below as {name}.yaml; these commands reproduce {model['model']}:"),
            Code("\n".join(commands)),
            Folded(f"The resolved recipe of {model['model']}", [Code(model["settings"])]),
        ]
    return blocks
