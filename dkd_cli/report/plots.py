"""Plots of an evaluation from its figures as plain values; each function returns SVG.

Knows the keys of `evaluation.json`, but not the layout of a page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dkd_cli.data.metric_names import LOWER_IS_BETTER
from dkd_cli.report.drawing import label_points, svg
from dkd_cli.report.palette import INK, RULE, STRATEGY_COLOURS, TEACHER, colour_of
from dkd_cli.report.printable import printable
from dkd_cli.wording import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Model = Mapping[str, Any]
Convert = Callable[[Any], Any]
MOST_LABELS = 16
MOST_CLASSES = 24
FEW_CLASSES = 12
LONGEST_LABEL = 28


def short(text: str, most: int = LONGEST_LABEL) -> str:
    """Format a label on one line, shortened in the middle, without control characters."""
    text = printable(" ".join(text.split()), "utf-8")
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-(most - most // 2 - 1) :]}"


def name_of(model: Model) -> str:
    """A model's label without the part that all students share."""
    return short(str(model["model"]).removeprefix("student-"))


def model_colour(model: Model) -> str:
    """Its strategy's."""
    return colour_of(model["role"], model["strategy"])


def trade_off(models: Sequence[Model], metric: str) -> str:
    """Plot quality against latency (or size, if nothing was timed); filled points are on the Pareto front.

    Every model has a score and a size.
    """
    timed = all(model["speed"] for model in models)

    def place(model: Model) -> float:
        return float(model["speed"]["median_ms"] if timed else model["weights_mb"])

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        largest = max(model["weights_mb"] for model in models)
        for model in models:
            colour = model_colour(model)
            axes.scatter(
                place(model),
                model["metrics"][metric],
                s=30 + 190 * model["weights_mb"] / largest,
                color=colour if model["pareto"] else "none",
                edgecolor=colour,
                linewidth=1.8,
                alpha=0.9,
                zorder=3,
            )
        axes.set_xlabel("latency of one example, ms (median)" if timed else "weights on disk, MB")
        axes.set_ylabel(metric)
        if metric in LOWER_IS_BETTER:
            axes.invert_yaxis()
        axes.margins(0.12, 0.15)
        left, right = axes.get_xlim()
        axes.set_xlim(min(left, 0.0), right + 0.35 * (right - min(left, 0.0)))
        labelled = sorted(models, key=lambda model: not model["pareto"])[:MOST_LABELS]
        label_points(
            axes,
            [
                (place(model), model["metrics"][metric], name_of(model), model_colour(model))
                for model in labelled
            ],
        )

    return svg(draw, width=9.2, height=4.6, label=f"{metric} against speed and size of each model")


def reliability(model: Model) -> str:
    """Reliability diagram: accuracy against confidence before and after temperature scaling, with row
    counts."""
    calibration = model["calibration"]

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        above.plot([0, 1], [0, 1], color=RULE, linewidth=1.2, zorder=1)
        colour = model_colour(model)
        for key, style, name in (("before", "--", "as trained"), ("after", "-", "calibrated")):
            bins = [one for one in calibration[key]["bins"] if one["rows"]]
            above.plot(
                [one["confidence"] for one in bins],
                [one["accuracy"] for one in bins],
                style,
                marker="o",
                markersize=4,
                color=colour,
                alpha=1.0 if key == "after" else 0.55,
                label=f"{name}: ECE {calibration[key]['ece']:.3f}",
            )
        above.set_ylabel("share right")
        above.set_ylim(0, 1.02)
        above.legend(frameon=False, loc="upper left")
        bins = calibration["after"]["bins"]
        width = bins[0]["high"] - bins[0]["low"]
        below.bar(
            [one["low"] + width / 2 for one in bins],
            [one["rows"] for one in bins],
            width=0.9 * width,
            color=colour,
            alpha=0.6,
        )
        below.set_ylabel("rows")
        below.set_xlabel("probability of the predicted class")
        below.set_xlim(0, 1)

    return svg(draw, width=6.2, height=5.0, label=f"reliability diagram of {model['model']}")


def class_bars(model: Model, teacher: Model | None) -> str:
    """Plot F1 of each class, student over teacher; those that changed most if there are many."""
    rows = list(model["per_class"])
    if len(rows) > MOST_CLASSES:
        rows.sort(key=lambda row: -abs(row["change"]["f1"] if row["change"] else 0.0))
        rows = rows[:MOST_CLASSES]
    theirs = {row["label"]: row["f1"] for row in teacher["per_class"]} if teacher else {}

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        places = list(range(len(rows)))[::-1]
        half = 0.36 if theirs else 0.0
        bars = [(model_colour(model), [row["f1"] for row in rows], half / 2, name_of(model))]
        if theirs and teacher:
            bars.append((TEACHER, [theirs[row["label"]] for row in rows], -half / 2, name_of(teacher)))
        for colour, values, shift, name in bars:
            faded = 0.5 if colour == TEACHER else 1.0
            drawn = axes.barh(
                [p + shift for p in places], values, height=half or 0.6, color=colour, alpha=faded, label=name
            )
            axes.bar_label(drawn, fmt="%.2f", padding=3, fontsize=8.5, color=INK)
        axes.set_yticks(places, [short(f"{row['label']}", 24) + f"  ({row['support']})" for row in rows])
        axes.set_xlim(0, 1.08)
        axes.set_xlabel("F1 (rows with this label in brackets)")
        axes.grid(axis="y", visible=False)
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)

    height = 1.3 + (0.52 if theirs else 0.32) * len(rows)
    return svg(draw, width=8.2, height=height, label=f"F1 of each class of {model['model']}")


def confusion(model: Model, labels: Sequence[str]) -> str:
    """Confusion matrix: true class (row) against predicted class (column), as shares of the row."""
    counts = model["confusion"]
    few = len(labels) <= FEW_CLASSES

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        shares = [[count / max(sum(row), 1) for count in row] for row in counts]
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal", interpolation="nearest")
        axes.grid(visible=False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        if not few:
            return
        names = [short(label, 16) for label in labels]
        axes.set_xticks(range(len(names)), names, rotation=30 if len(names) > 4 else 0, ha="center")
        axes.set_yticks(range(len(names)), names)
        for i, row in enumerate(counts):
            for j, count in enumerate(row):
                dark = shares[i][j] > 0.55
                text = f"{count}\n{100 * shares[i][j]:.0f} %" if len(names) <= 6 else f"{count}"
                ink = "#ffffff" if dark else "#1c1e21"
                axes.text(j, i, text, ha="center", va="center", color=ink, size=8.5)

    side = 2.4 + 0.85 * min(len(labels), 6) if few else 6.5
    return svg(draw, width=side + 0.8, height=side, label=f"confusion of {model['model']}")


def cascade(model: Model, teacher: Model, metric: str) -> str:
    """Plot quality against the share that the teacher predicts, with the expected latency above."""
    found = model["cascade"]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        curve = [point for point in found["curve"] if point["quality"] is not None]
        student, told = found["student"], found["teacher"]
        axes.axhline(told["quality"], color=TEACHER, linewidth=1.2, linestyle="--")
        axes.annotate(
            f"{name_of(teacher)} alone",
            (0.99, told["quality"]),
            xycoords=("axes fraction", "data"),
            xytext=(0, -3),
            textcoords="offset points",
            ha="right",
            va="top",
            color=TEACHER,
            fontsize=8.5,
        )
        axes.plot([0, 100], [student["quality"], told["quality"]], color=INK, linewidth=0.9, linestyle=":")
        axes.plot(
            [100 * point["deferred"] for point in curve],
            [point["quality"] for point in curve],
            marker="o",
            markersize=4,
            color=model_colour(model),
        )
        chosen = found["chosen"]
        axes.scatter(
            [100 * chosen["deferred"]], [chosen["quality"]], s=110, facecolor="none", edgecolor=INK, zorder=4
        )
        axes.annotate(
            f"chosen on {found['chosen_on']}: {100 * chosen['deferred']:.0f} % deferred",
            (100 * chosen["deferred"], chosen["quality"]),
            xytext=(9, 9),
            textcoords="offset points",
            fontsize=8.5,
        )
        axes.set_xlabel("share of examples that the teacher answers, %")
        axes.set_ylabel(metric)
        axes.margins(y=0.2)
        own, theirs = student["latency_ms"], told["latency_ms"]
        if own is not None and theirs is not None:
            above = axes.secondary_xaxis("top", functions=_latencies(own, theirs))
            above.set_xlabel("expected latency of one example, ms")

    return svg(draw, width=7.6, height=4.5, label=f"cascade of {model['model']} and {teacher['model']}")


def _latencies(own: float, theirs: float) -> tuple[Convert, Convert]:
    """Functions from the deferred share, in %, to the latency, and back."""
    return lambda share: own + share / 100 * theirs, lambda latency: (latency - own) / theirs * 100


def latency_by_length(models: Sequence[Model]) -> str:
    """Plot median latency by tokens, a line for each shape of model; dashed for one thread."""
    shapes: dict[str, Model] = {}
    for model in models:
        if model["latency_by_length"]:
            shapes.setdefault(repr(model["latency_by_length"]), model)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        every = [cell for model in shapes.values() for cell in model["latency_by_length"]]
        threads = sorted({cell["threads"] for cell in every})
        ends = []
        for model in list(shapes.values())[:MOST_LABELS]:
            own = model["latency_by_length"]
            alike = sum(other["latency_by_length"] == own for other in models)
            colour = TEACHER if model["role"] == "teacher" else STRATEGY_COLOURS["static"]
            for count in threads:
                cells = [cell for cell in own if cell["threads"] == count]
                axes.plot(
                    [cell["tokens"] for cell in cells],
                    [cell["median_ms"] for cell in cells],
                    "--" if count < max(threads) else "-",
                    marker="o",
                    markersize=4,
                    color=colour,
                )
                last = cells[-1]
                more = f" and {alike - 1} like it" if alike > 1 else ""
                text = f"{name_of(model)}{more}, {counted(count, 'thread')}"
                ends.append((last["tokens"], last["median_ms"], text, colour))
        ticks = sorted({cell["tokens"] for cell in every})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlim(ticks[0] * 0.9, ticks[-1] * (ticks[-1] / ticks[0]) ** 0.9 if len(ticks) > 1 else None)
        axes.set_xlabel("tokens")
        axes.set_ylabel("latency of one example, ms")
        label_points(axes, ends)

    return svg(draw, width=9.2, height=4.4, label="latency by length of text")
