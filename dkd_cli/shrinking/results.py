"""Results of `dkd shrink` as a table, a picture, sentences and plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dkd_cli.data.metric_names import LOWER_IS_BETTER, merit
from dkd_cli.evaluation.figures import machine
from dkd_cli.evaluation.keeping import Kept
from dkd_cli.evaluation.pareto import pareto_front
from dkd_cli.evaluation.text_latency import TextLatency
from dkd_cli.report.drawing import label_points, svg
from dkd_cli.report.palette import INK, STRATEGY_COLOURS, TEACHER
from dkd_cli.report.tables import Column
from dkd_cli.report.terminal import duration
from dkd_cli.shrinking.climb import Measured, ShrinkTarget

CHOSEN = "#c86f00"

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class TeacherFacts:
    """The teacher that the rungs are compared with."""

    source: str
    latency: TextLatency
    size_mb: float


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """The outcome of a climb."""

    name: str
    """The recipe's."""
    wanted: ShrinkTarget
    teacher: TeacherFacts
    rungs: Sequence[Measured]
    failed: Sequence[str]
    """Names of the rungs that failed."""
    chosen: Measured | None
    test: Kept | None
    """The chosen one on test rows."""
    folder: Path | None
    """Where the chosen one is ready."""


def ladder_rows(found: Shrunk) -> tuple[list[Column | str], list[list[object]], list[str]]:
    """Columns, a row for each rung and one for the teacher, and notes."""
    scored = [one.kept for one in found.rungs if one.kept is not None]
    metric = scored[0].metric if scored else "score"
    wanted = found.wanted
    columns: list[Column | str] = [
        "student",
        Column(metric, 4),
        Column("keeps", 1, " %"),
        Column("at least", 1, " %"),
        Column("confidence", 1, " %"),
        Column("latency", 3, " ms"),
        Column("size", 2, " MB"),
        "as",
        "",
    ]
    rows: list[list[object]] = [
        [
            one.rung.name,
            one.kept.student if one.kept else None,
            100 * one.kept.share if one.kept else None,
            100 * one.kept.low if one.kept else None,
            100 * one.kept.confidence if one.kept else None,
            one.latency.median_ms,
            one.size_mb,
            f"{one.export[0]} {one.export[1] or 'fp32'}",
            "chosen" if one is found.chosen else None,
        ]
        for one in found.rungs
    ]
    theirs = scored[0].teacher if scored else None
    rows.append(
        [
            "teacher",
            theirs,
            None,
            None,
            None,
            found.teacher.latency.median_ms,
            found.teacher.size_mb,
            "torch",
            None,
        ]
    )
    count = scored[0].rows if scored else 0
    notes = [
        f"on {count} validation rows; at least: all rungs together with {wanted.confidence:.0%} confidence;",
        f"confidence: that it keeps {wanted.keep:.1%} (paired bootstrap over rows, not over seeds, corrected",
        "for the number of rungs)",
        "latency: one text, tokenisation included, on one thread, median; size: of the whole folder",
    ]
    return columns, rows, notes


def sentences(found: Shrunk) -> list[str]:
    """The answer, and how it held on test rows."""
    wanted = found.wanted
    if found.chosen is None:
        lines = [f"no student keeps {wanted.keep:.1%} of the teacher with {wanted.confidence:.0%} confidence"]
        limits = [
            text
            for text, limit in (
                (f"{wanted.latency_ms:g} ms" if wanted.latency_ms else "", wanted.latency_ms),
                (f"{wanted.size_mb:g} MB" if wanted.size_mb else "", wanted.size_mb),
            )
            if limit
        ]
        if limits:
            lines[0] += f" within {' and '.join(limits)}"
        best = max((one for one in found.rungs if one.kept), key=lambda one: _merit(one.kept), default=None)
        if best is not None and best.kept is not None:
            lines.append(
                f"the best, {best.rung.name}, keeps {best.kept.share:.1%}, at least {best.kept.low:.1%} with "
                f"that confidence on {best.kept.rows} rows; ask for less, or give more validation rows"
            )
        return lines
    kept, chosen = found.chosen.kept, found.chosen
    assert kept is not None
    speed = found.teacher.latency.median_ms / chosen.latency.median_ms
    size = found.teacher.size_mb / chosen.size_mb
    lines = [
        f"{chosen.rung.name}: keeps {kept.share:.1%} of the teacher's {kept.metric} on validation "
        f"({kept.student:.4f} of {kept.teacher:.4f}), at least {kept.low:.1%} with {wanted.confidence:.0%} "
        f"confidence; {speed:.0f} times faster, {size:.0f} times smaller"
    ]
    if found.test is not None:
        test = found.test
        held = "as asked" if test.share >= wanted.keep else f"less than the {wanted.keep:.1%} asked for"
        lines.append(
            f"on {test.rows} test rows, used for nothing else: {test.share:.1%} ({test.student:.4f} of "
            f"{test.teacher:.4f}), {held}"
        )
    return lines


def ladder_picture(found: Shrunk) -> str:
    """Quality against latency, as SVG; filled points are on the Pareto front of quality, latency and size."""
    shown = [one for one in found.rungs if one.kept is not None]
    fronts = pareto_front([[-_merit(one.kept), one.latency.median_ms, one.size_mb] for one in shown])

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        points = []
        for one, front in zip(shown, fronts, strict=True):
            assert one.kept is not None
            mark = CHOSEN if one is found.chosen else STRATEGY_COLOURS["static"]
            place = math.log10(one.latency.median_ms), one.kept.student
            axes.scatter(
                *place, s=60, color=mark if front else "none", edgecolor=mark, linewidth=1.8, zorder=3
            )
            label = f"{one.rung.name}, {one.size_mb:.1f} MB{', chosen' if one is found.chosen else ''}"
            points.append((*place, label, mark))
        if shown and shown[0].kept is not None:
            metric, theirs = shown[0].kept.metric, shown[0].kept.teacher
            place = math.log10(found.teacher.latency.median_ms), theirs
            axes.scatter(*place, s=60, color=TEACHER, zorder=3)
            points.append((*place, f"teacher, {found.teacher.size_mb:.0f} MB", TEACHER))
            lower = metric in LOWER_IS_BETTER
            line = theirs / found.wanted.keep if lower else theirs * found.wanted.keep
            axes.axhline(line, color=INK, linewidth=0.9, linestyle=":")
            axes.set_ylabel(metric)
            if lower:
                axes.invert_yaxis()
        axes.set_xlabel("latency of one text, ms (tokenisation included, one thread)")
        axes.margins(0.1, 0.2)
        low, high = axes.get_xlim()
        high += 0.3 * (high - low)
        decades = range(math.floor(low), math.ceil(high) + 1)
        ticks = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
        ticks = [tick for tick in ticks if low <= math.log10(tick) <= high]
        axes.set_xticks([math.log10(tick) for tick in ticks], [f"{tick:g}" for tick in ticks])
        axes.set_xlim(low, high)
        label_points(axes, points)

    return svg(draw, width=9.2, height=4.6, label=f"{found.name}: quality against latency of each student")


def shrink_figures(found: Shrunk) -> dict[str, Any]:
    """Everything as plain values, for `shrink.json`."""
    return {
        "machine": machine(),
        "recipe": found.name,
        "wanted": asdict(found.wanted),
        "teacher": {
            "source": found.teacher.source,
            "latency": asdict(found.teacher.latency),
            "size_mb": found.teacher.size_mb,
        },
        "rungs": [_rung(one) for one in found.rungs],
        "failed": list(found.failed),
        "chosen": None if found.chosen is None else found.chosen.rung.name,
        "test": None if found.test is None else asdict(found.test),
        "folder": None if found.folder is None else str(found.folder),
    }


def _rung(one: Measured) -> Mapping[str, Any]:
    return {
        "name": one.rung.name,
        "student": dict(one.rung.student),
        "checkpoint": str(one.folder.parent / one.run.name),
        "export": str(one.folder),
        "format": one.export[0],
        "quantization": one.export[1],
        "validation": None if one.kept is None else asdict(one.kept),
        "latency": asdict(one.latency),
        "size_mb": one.size_mb,
        "trained_in": duration(one.run.seconds),
    }


def _merit(kept: Kept | None) -> float:
    return float("-inf") if kept is None else merit(kept.metric, kept.student)
