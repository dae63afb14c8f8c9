"""Report sections on the quality of models, as blocks of `page`.

Knows the keys of `evaluation.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dkd_cli.data.kinds import KINDS
from dkd_cli.report import plots
from dkd_cli.report.headline import tiles
from dkd_cli.report.page import MOST_ROWS, Block, DisagreementBlock, Folded, Picture, Prose, TableBlock, Tiles
from dkd_cli.report.plots import Model
from dkd_cli.report.tables import Column

SCORES = ("ece", "nll", "brier")

Contest = Mapping[str, Any]


def models_blocks(contest: Contest, best: Model | None) -> list[Block]:
    """The comparison of all models."""
    models, metric = contest["models"][:MOST_ROWS], contest["main_metric"]
    names = list(models[0]["metrics"])
    percent = (
        Column("agreement", 1, " %") if KINDS[contest["kind"]].agreement_is_share else Column("agreement", 4)
    )
    formats = len({model["format"] for model in models}) > 1
    columns: list[Column | str] = [
        *("model", *(["format"] if formats else []), "strategy", "seed"),
        *(Column(name, 4) for name in names),
        Column("retention", 1, " %"),
        Column("latency", 2, " ms"),
        Column("speed-up", 2, "×"),
        Column("throughput", 0, "/s"),
        Column("parameters", 1, " M"),
        Column("size", 1, " MB"),
        percent,
        Column("KL", 3),
        "Pareto",
    ]
    rows = [_model_row(model, contest["kind"], formats) for model in models]
    if contest["baseline"]:
        rows.append(
            [
                contest["baseline"]["name"],
                *[None] * (3 if formats else 2),
                *contest["baseline"]["metrics"].values(),
                *[None] * 9,
            ]
        )
    notes = [
        "retention, agreement, KL (nats) and speed-up: against the model's own teacher; retention of "
        f"{metric}; Pareto: no other model is at least as good, as small on disk and as fast.",
    ]
    if contest["positive"]:
        notes.append(f"{contest['positive']}.")
    if len(contest["models"]) > MOST_ROWS:
        notes.append(f"The first {MOST_ROWS} of {len(contest['models'])} models.")
    marked = [place for place, model in enumerate(models) if model is best]
    blocks: list[Block] = [Tiles(tiles(contest))] if tiles(contest) else []
    blocks.append(TableBlock(columns, rows, notes, marked))
    placed = [model for model in models if None not in (model["metrics"][metric], model["weights_mb"])]
    if placed:
        caption = (
            "Up is better, left is cheaper; the area is the size on disk; filled points are on the "
            "Pareto front of quality, size and speed."
        )
        blocks.append(Picture(plots.trade_off(placed, metric), caption))
    if contest["seeds"]:
        seeds = [
            [one["strategy"], one["recipe"], len(one["seeds"]), one["mean"], one["sd"]]
            for one in contest["seeds"]
        ]
        over_seeds: list[Column | str] = [
            "strategy",
            "recipe",
            "seeds",
            Column(f"mean {metric}", 4),
            Column("± sd", 4),
        ]
        blocks.append(TableBlock(over_seeds, seeds))
    return blocks


def _model_row(model: Model, kind: str, formats: bool) -> list[object]:
    speed, agreement = model["speed"], model["agreement"]
    if agreement is not None and KINDS[kind].agreement_is_share:
        agreement *= 100
    return [
        model["model"],
        *([model["format"]] if formats else []),
        model["strategy"] or model["role"],
        model["seed"],
        *model["metrics"].values(),
        None if model["retention"] is None else 100 * model["retention"],
        speed["median_ms"] if speed else None,
        model["latency_speedup"],
        speed["examples_per_second"] if speed else None,
        model["parameters"] / 1e6,
        model["weights_mb"],
        agreement,
        model["kl_nats"],
        "yes" if model["pareto"] else "no",
    ]


def class_blocks(model: Model, teacher: Model | None, labels: Sequence[str] | None) -> list[Block]:
    """Classes of the best student next to its teacher's."""
    if not model["per_class"] or labels is None:
        return []
    rows = [
        [
            row["label"],
            row["support"],
            row["precision"],
            row["recall"],
            row["f1"],
            *(row["change"][name] if row["change"] else None for name in ("precision", "recall", "f1")),
        ]
        for row in model["per_class"]
    ]
    columns: list[Column | str] = ["class", "rows"]
    columns += [
        Column(f"{change}{name}", 3) for change in ("", "Δ ") for name in ("precision", "recall", "F1")
    ]
    table = TableBlock(columns, rows, ["Δ: less the teacher's, in the same units."])
    beside = f" beside {teacher['model']}" if teacher else ""
    blocks: list[Block] = [
        Picture(plots.class_bars(model, teacher), f"F1 of each class of {model['model']}{beside}."),
        table if len(rows) <= plots.MOST_CLASSES else Folded(f"All {len(rows)} classes", [table]),
    ]
    if model["confusion"]:
        shown = (
            f"Confusion of {model['model']}: rows are true classes, columns predicted ones; the shade is the"
            " share of the row."
        )
        blocks.append(Picture(plots.confusion(model, labels), shown))
    if model.get("by_label"):
        keys = ("label", "threshold", "ece", "calibrated_ece")
        of_labels = [[one[key] for key in keys] for one in model["by_label"]]
        heads: list[Column | str] = [
            "label",
            Column("threshold", 3),
            Column("ECE", 4),
            Column("ECE, calibrated", 4),
        ]
        note = "A label is predicted where its calibrated probability is above its threshold."
        about = TableBlock(heads, of_labels, [note])
        blocks.append(Folded("Threshold and calibration of each label", [about]))
    return blocks


def calibration_blocks(models: Sequence[Model], model: Model, split: str) -> list[Block]:
    """Calibration of the probabilities."""
    known = [one for one in models if one["calibration"]]
    if not known or not model["calibration"]:
        return []
    fitted = model["calibration"]["fitted"]
    rows = [
        [
            one["model"],
            one["calibration"]["fitted"]["temperature"],
            *(one["calibration"][when][name] for name in SCORES for when in ("before", "after")),
        ]
        for one in known[:MOST_ROWS]
    ]
    names = [f"{name}{when}" for name in ("ECE", "NLL", "Brier") for when in ("", ", calibrated")]
    bins = len(model["calibration"]["after"]["bins"])
    same = (
        " The same rows are shown here, so the figures are optimistic."
        if fitted["fitted_on"] == split
        else ""
    )
    return [
        Prose(
            f"Dividing the logits of {model['model']} by {fitted['temperature']:.3f} fits its probabilities"
            f" best to {fitted['rows']} rows of {fitted['fitted_on']}.{same} No prediction changes; the"
            " temperature is kept as calibration.json beside each model."
        ),
        Picture(
            plots.reliability(model),
            "On the line, of 100 answers given with probability 0.8, 80 are right. Below: how many rows there"
            " are, calibrated.",
        ),
        TableBlock(
            ["model", Column("temperature", 3), *(Column(name, 4) for name in names)],
            rows,
            [f"ECE: expected calibration error, {bins} equal bins; NLL in nats; lower is better."],
        ),
    ]


def cascade_blocks(
    models: Sequence[Model], model: Model, teacher: Model | None, metric: str, split: str
) -> list[Block]:
    """Cascade of student and teacher."""
    if not model["cascade"] or teacher is None:
        return []
    rows = []
    for one in models[:MOST_ROWS]:
        if found := one["cascade"]:
            chosen, slow = found["chosen"], found["teacher"]["latency_ms"]
            faster = slow / chosen["latency_ms"] if slow and chosen["latency_ms"] else None
            rows.append(
                [
                    one["model"],
                    chosen["threshold"],
                    100 * chosen["deferred"],
                    chosen["quality"],
                    found["student"]["quality"],
                    found["teacher"]["quality"],
                    chosen["latency_ms"],
                    faster,
                ]
            )
    columns: list[Column | str] = [
        "student",
        Column("threshold", 4),
        Column("deferred", 1, " %"),
        Column(metric, 4),
        Column("student alone", 4),
        Column("teacher alone", 4),
        Column("expected latency", 2, " ms"),
        Column("speed-up", 2, "×"),
    ]
    where = model["cascade"]["chosen_on"]
    note = (
        f"threshold: of the calibrated uncertainty, chosen on {where}: there it defers the fewest rows"
        f" and keeps the teacher's {metric};"
        + (" reported on the same rows." if where == split else f" all figures are of {split}.")
    )
    return [
        Prose(
            f"{model['model']} predicts where its uncertainty is at most a threshold; the rest goes to "
            f"{teacher['model']}, which costs the latency of both."
        ),
        Picture(
            plots.cascade(model, teacher, metric),
            "From the student alone (left) to the teacher alone (right). Dotted: about what the same share,"
            " deferred at random, would give.",
        ),
        TableBlock(columns, rows, [note]),
    ]


def difference_blocks(model: Model, labels: Sequence[str] | None, kind: str) -> list[Block]:
    """The most confident disagreements, in full."""

    def said(value: Any) -> str:
        if value is None:
            return "unknown"
        shown = KINDS[kind].shown(value, None if labels is None else tuple(labels))
        return shown if isinstance(shown, str) else f"{shown:.3f}"

    def sure(value: Any, probability: float | None) -> str:
        return said(value) + (f" ({100 * probability:.0f} %)" if probability is not None else "")

    examples: list[Block] = [
        DisagreementBlock(
            one["text"],
            [
                ("label", said(one["label"])),
                ("student", sure(one["student"], one["student_probability"])),
                ("teacher", sure(one["teacher"], one["teacher_probability"])),
            ],
        )
        for one in model["disagreements"]
    ]
    if not examples:
        return []
    how = "the texts on which both are most certain" if labels else "the texts on which they differ most"
    lead = Prose(f"{model['model']} and {model['teacher']} disagree; these are {how}.")
    head, rest = examples[:4], examples[4:]
    return [lead, *head, *([Folded(f"{len(rest)} more", rest)] if rest else [])]
