"""Tables of a comparison for the terminal, and its HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dkd_cli.comparison.results import ComparisonResult
from dkd_cli.comparison.runs import Comparison
from dkd_cli.data.metric_names import LOWER_IS_BETTER, positive_note
from dkd_cli.evaluation.figures import machine
from dkd_cli.evaluation.significance import RESAMPLES
from dkd_cli.evaluation.verdict import clear, p_value, tells
from dkd_cli.labelling.paid import PaidTeacher, paid_teachers, price_figures
from dkd_cli.recipe.loader import dump_recipe
from dkd_cli.report import prices
from dkd_cli.report.interval_plot import Interval, interval_plot
from dkd_cli.report.page import Code, Folded, Picture, Prose, Section, html_page
from dkd_cli.report.page import TableBlock as PageTable
from dkd_cli.report.tables import Column


class TableParts(NamedTuple):
    """A table as `Terminal.table` takes it."""

    title: str
    columns: Sequence[Column | str]
    rows: Sequence[Sequence[object]]
    notes: Sequence[str]


def score_table(plan: Comparison, result: ComparisonResult, metric: str) -> TableParts:
    """Each strategy's scores and costs; `metric` is the one that chose."""
    main = plan.data.task.metrics[0]
    columns: list[Column | str] = [
        *("strategy", "seeds", "settings"),
        Column(f"validation {metric}", 4),
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
    title += "" if plan.judge is None else f", against the predictions of {plan.judge}"
    positive = positive_note(plan.data, [main, metric])
    return TableParts(title, columns, rows, [*([positive] if positive else []), *result.notes])


def price_table(paid: Sequence[PaidTeacher]) -> TableParts:
    """Paid teachers beside the students: accuracy on the audited texts, and price."""
    rows = prices.price_rows(price_figures(paid), [("students", "see above")])
    return TableParts(prices.TITLE, prices.COLUMNS, rows, prices.NOTES)


def scale_of(metric: str) -> float:
    """100 for metrics reported in points; errors have no upper bound and are reported as they are."""
    return 1.0 if metric in LOWER_IS_BETTER else 100.0


def gain_table(plan: Comparison, result: ComparisonResult) -> TableParts:
    """Each difference that was tested."""
    main = plan.data.task.metrics[0]
    scale = scale_of(main)
    rows = [
        [
            one.standing.name,
            other,
            scale * difference.gain,
            # Adding 0 makes 0 of -0.
            f"{scale * difference.low + 0.0:+.2f} to {scale * difference.high + 0.0:+.2f}"
            if tells(difference, main)
            else "too few seeds",
            p_value(difference.p).removeprefix("p ").removeprefix("= "),
            p_value(difference.holm).removeprefix("p ").removeprefix("= "),
        ]
        for one in result.rows
        for other, difference in one.standing.against.items()
    ]
    return TableParts(
        f"gains in {main}, in points" if scale > 1 else f"gains in {main}: how much less",
        ["strategy", "over", Column("gain", 2), "95 % interval", "p", "p (Holm)"],
        rows,
        [
            f"paired by seed and example: {RESAMPLES} resamples of the examples, and the variance between "
            "seeds (Student's t); p (Holm) is corrected for the strategies compared with the same one"
        ],
    )


def comparison_page(
    plan: Comparison, result: ComparisonResult, metric: str, more: Sequence[TableParts] = ()
) -> str:
    """The verdict, intervals, tables (also those in `more`), the recipe and the machine as one page."""
    scale = scale_of(plan.data.task.metrics[0])
    intervals = [
        Interval(
            f"{one.standing.name} over {other}",
            scale * difference.low,
            scale * difference.gain,
            scale * difference.high,
            clear(difference),
        )
        for one in result.rows
        for other, difference in one.standing.against.items()
        if tells(difference, plan.data.task.metrics[0])
    ]
    scores, gains = score_table(plan, result, metric), gain_table(plan, result)
    drawn = Picture(
        interval_plot(intervals, gains.title),
        "Gains and their 95 % intervals; strong where p (Holm) is below 0.05.",
    )
    sections = [
        Section("gains", "Gains", [*([drawn] if intervals else []), PageTable(*gains[1:])]),
        Section("strategies", scores.title, [PageTable(*scores[1:])]),
        *(Section(f"more-{place}", one.title, [PageTable(*one[1:])]) for place, one in enumerate(more)),
    ]
    if paid := paid_teachers(plan.base):
        prices = price_table(paid)
        sections.append(Section("prices", prices.title, [PageTable(*prices[1:])]))
    return html_page(
        f"{plan.base.name}: is distillation worth it?",
        result.verdict,
        sections,
        machine=machine(),
        made=[*map(Prose, plan.notes), Folded("The recipe, resolved", [Code(dump_recipe(plan.base))])],
        figures="comparison.json",
    )
