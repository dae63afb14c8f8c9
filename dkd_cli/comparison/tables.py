"""Tables of a comparison for the terminal, and its HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dkd_cli.comparison.results import Result
from dkd_cli.comparison.runs import Plan
from dkd_cli.evaluation.figures import machine
from dkd_cli.evaluation.significance import RESAMPLES
from dkd_cli.evaluation.verdict import clear, p_value
from dkd_cli.recipe.loader import dump_recipe
from dkd_cli.report.interval_plot import Interval, interval_plot
from dkd_cli.report.page import Code, Folded, Picture, Prose, Section, html_page
from dkd_cli.report.page import Table as PageTable
from dkd_cli.report.tables import Column


class Table(NamedTuple):
    """A table for `Terminal.table`."""

    title: str
    columns: Sequence[Column | str]
    rows: Sequence[Sequence[object]]
    notes: Sequence[str]


def score_table(plan: Plan, result: Result, metric: str) -> Table:
    """Scores and costs of each strategy; `metric` is the one that selected settings."""
    main = plan.data.task.metrics[0].replace("_", " ")
    columns: list[Column | str] = [
        *("strategy", "seeds", "settings"),
        Column(f"validation {metric.replace('_', ' ')}", 4),
        Column(main, 4),
        Column("± sd", 4),
        Column("texts queried", 0),
        Column("rows trained on", 0),
        Column("time", 0, " s"),
    ]
    rows: list[list[object]] = []
    if result.teacher is not None:
        rows.append(["teacher", None, None, None, result.teacher, *[None] * 4])
    for one in result.rows:
        standing, cost = one.standing, one.cost
        settings = ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in one.settings.items())
        scores = [standing.chosen_by, standing.mean, standing.sd]
        costs = [cost.teacher_rows, cost.backward_rows, cost.seconds]
        rows.append([standing.name, len(standing.scores), settings or None, *scores, *costs])
    if not any(one.settings for one in result.rows):
        columns, rows = [*columns[:2], *columns[3:]], [[*row[:2], *row[3:]] for row in rows]
    title = f"{plan.data.task.name}: {len(plan.reported)} examples of {plan.reported.name}"
    return Table(title, columns, rows, result.notes)


def gain_table(plan: Plan, result: Result) -> Table:
    """All tested differences."""
    rows = [
        [
            one.standing.name,
            other,
            100 * difference.gain,
            f"{100 * difference.low:+.2f} to {100 * difference.high:+.2f}",
            p_value(difference.p).removeprefix("p ").removeprefix("= "),
            p_value(difference.holm).removeprefix("p ").removeprefix("= "),
        ]
        for one in result.rows
        for other, difference in one.standing.against.items()
    ]
    return Table(
        f"gains in {plan.data.task.metrics[0].replace('_', ' ')}, in points",
        ["strategy", "over", Column("gain", 2), "95 % interval", "p", "p (Holm)"],
        rows,
        [
            f"paired by seed and example: {RESAMPLES} resamples of the examples, and the variance between "
            "seeds (Student's t); p (Holm) is corrected for the strategies compared with the same one"
        ],
    )


def comparison_page(plan: Plan, result: Result, metric: str) -> str:
    """The page with verdict, intervals, tables, recipe and machine."""
    intervals = [
        Interval(
            f"{one.standing.name} over {other}",
            100 * difference.low,
            100 * difference.gain,
            100 * difference.high,
            clear(difference),
        )
        for one in result.rows
        for other, difference in one.standing.against.items()
    ]
    scores, gains = score_table(plan, result, metric), gain_table(plan, result)
    drawn = Picture(
        interval_plot(intervals, gains.title),
        "Gains and their 95 % intervals; strong where p (Holm) is below 0.05.",
    )
    sections = [
        Section("gains", "Gains", [*([drawn] if intervals else []), PageTable(*gains[1:])]),
        Section("strategies", scores.title, [PageTable(*scores[1:])]),
    ]
    return html_page(
        f"{plan.base.name}: is distillation worth it?",
        result.verdict,
        sections,
        machine=machine(),
        made=[*map(Prose, plan.notes), Folded("The recipe, resolved", [Code(dump_recipe(plan.base))])],
        figures="comparison.json",
    )
