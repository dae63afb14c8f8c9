"""Report sections on the cost of models in use and in training, as blocks of `page`.

Knows the keys of `evaluation.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dkd_cli.report import plots, prices, training_plots
from dkd_cli.report.page import MOST_ROWS, Block, Folded, Picture, TableBlock
from dkd_cli.report.plots import Model, name_of
from dkd_cli.report.tables import Column


def price_blocks(contest: Mapping[str, Any]) -> list[Block]:
    """Price of a prediction, where a paid teacher taught."""
    if not (paid := contest.get("paid")):
        return []
    return [
        TableBlock(prices.COLUMNS, prices.price_rows(paid, prices.scored_students(contest)), prices.NOTES)
    ]


def speed_blocks(models: Sequence[Model]) -> list[Block]:
    """Cost of a prediction; models of one shape share a row."""
    timed = [model for model in models if model["speed"]]
    if not timed:
        return []
    shapes: dict[str, list[Model]] = {}
    for model in timed:
        shapes.setdefault(repr((model["speed"], model["cost"])), []).append(model)
    groups = list(shapes.values())[:MOST_ROWS]
    cost_rows = []
    for group in groups:
        cost = group[0]["cost"] or dict.fromkeys(("flops", "weights_bytes", "peak_bytes"))
        cost_rows.append(
            [
                _group_name(group),
                (group[0]["text_latency"] or {}).get("median_ms"),
                group[0]["parameters"] / 1e6,
                group[0]["layers"],
                None if cost["flops"] is None else cost["flops"] / 1e9,
                None if cost["weights_bytes"] is None else cost["weights_bytes"] / 1e6,
                None if cost["peak_bytes"] is None else cost["peak_bytes"] / 1e6,
                group[0]["compute"],
            ]
        )
    notes = ["latency: forward passes alone, without tokenising; from a text: with it, on one thread."]
    if counted := next((model["cost"] for model in timed if model["cost"]), None):
        rows, tokens = counted["batch"]
        notes.append(
            f"operations: of matrix products, two a multiply-add, for {counted['tokens']} tokens; peak:"
            f" weights and live intermediate results for a batch of {rows} × {tokens} tokens, in 32 bits."
        )
    lengths = [
        [_group_name(group), cell["tokens"], cell["threads"], cell["median_ms"], cell["p95_ms"], cell["runs"]]
        for group in groups
        for cell in group[0]["latency_by_length"]
    ]
    batches = [
        [_group_name(group), cell["batch_size"], cell["tokens"], cell["examples_per_second"], cell["runs"]]
        for group in groups
        for cell in group[0]["throughput_by_batch_size"]
    ]
    milliseconds = Column("p50", 2, " ms"), Column("p95", 2, " ms")
    return [
        Picture(plots.latency_by_length(timed), "Latency of single examples (median); dashed: one thread."),
        TableBlock(
            [
                "model",
                Column("from a text", 3, " ms"),
                Column("parameters", 1, " M"),
                "layers",
                Column("operations", 2, " G"),
                Column("weights", 1, " MB"),
                Column("peak", 1, " MB"),
                "computed on",
            ],
            cost_rows,
            notes,
        ),
        Folded(
            "Latency by length and threads, throughput by batch size",
            [
                TableBlock(["model", "tokens", "threads", *milliseconds, "runs"], lengths),
                TableBlock(["model", "batch", "tokens", Column("throughput", 0, "/s"), "runs"], batches),
            ],
        ),
    ]


def _group_name(group: Sequence[Model]) -> str:
    more = f" and {len(group) - 1} like it" if len(group) > 1 else ""
    return f"{name_of(group[0])}{more}"


def training_blocks(models: Sequence[Model], metric: str) -> list[Block]:
    """Training curves of the students."""
    students = training_plots.trained(models)
    pictures = [
        (training_plots.loss_curves(students, metric), "Each term of the loss over the steps of training."),
        (
            training_plots.uncertainty_curves(students),
            "The students' uncertainty (0 certain, 1 uniform), batch mean, and the weights derived from it.",
        ),
        (
            training_plots.share_curves(students),
            "The batch share of each teacher, and the selected share; constant 100 % is omitted.",
        ),
    ]
    blocks: list[Block] = [Picture(drawn, caption) for drawn, caption in pictures if drawn]
    rows = [
        [
            model["model"],
            model["training"].get("steps"),
            model["training"].get("examples"),
            sum((model["training"].get("teacher_queries") or {}).values()),
            model["training_seconds"],
        ]
        for model in models[:MOST_ROWS]
        if model["training"]
    ]
    if rows:
        columns: list[Column | str] = [
            "model",
            "steps",
            "examples",
            "teacher queries",
            Column("training", 0, " s"),
        ]
        blocks.append(
            TableBlock(columns, rows, ["teacher queries: rows that a teacher had to compute in this run."])
        )
    return blocks
