"""Plots of the students' training, from the curves in `evaluation.json`.

Each function returns SVG, or None if no student has the data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dkd_cli.report.drawing import label_points, svg
from dkd_cli.report.plots import Model, model_colour, name_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LINES = 12
MOST_SHARES = 4
COLUMNS = 3
TERMS = {
    "loss": "loss, all terms",
    "ce": "cross-entropy with the labels",
    "kd": "distance to the teacher's logits",
    "pt": "distance to its hidden states",
}
WEIGHTS = {
    "uncertainty": "uncertainty",
    "kl-weight": "weight of the logits",
    "pt-weight": "weight of hidden states",
}


def trained(models: Sequence[Model]) -> list[Model]:
    """The students with logs, the first seed of each strategy before further ones."""
    found = [model for model in models if model["role"] == "student" and model["training"]]
    seen: dict[str | None, int] = {}
    ranks = []
    for model in found:
        ranks.append(seen.setdefault(model["strategy"], 0))
        seen[model["strategy"]] += 1
    chosen = sorted(range(len(found)), key=lambda i: ranks[i])[:MOST_LINES]
    return [found[i] for i in sorted(chosen)]


def loss_curves(models: Sequence[Model], metric: str) -> str | None:
    """One panel for each term of the loss, and one for the metric on validation."""
    return _panels(models, {**TERMS, f"eval_{metric}": f"{metric} on validation"}, "training curves")


def uncertainty_curves(models: Sequence[Model]) -> str | None:
    """Plot the students' uncertainty over time, and the weights derived from it."""
    return _panels(models, WEIGHTS, "uncertainty over time")


def share_curves(models: Sequence[Model]) -> str | None:
    """Plot the share of each batch that each teacher teaches, for students with batches that are not all
    taught by one teacher."""
    shares = {
        str(model["model"]): {
            name.removeprefix("share-"): points
            for name, points in _curves(model).items()
            if name.startswith("share-") and any(value < 1 for _, value in points)
        }
        for model in models
    }
    chosen = [model for model in models if shares[str(model["model"])]][:MOST_SHARES]
    if not chosen:
        return None

    def draw(figure: Figure) -> None:
        grid = figure.subplots(1, len(chosen), sharey=True, squeeze=False)[0]
        for axes, model in zip(grid, chosen, strict=True):
            ends = []
            styles = ("-", "--", ":", "-.")
            for style, (name, points) in zip(styles * 3, shares[str(model["model"])].items(), strict=False):
                steps, values = zip(*points, strict=True)
                axes.plot(steps, [100 * value for value in values], style, color=model_colour(model))
                text = "selected" if name == "selected" else f"teacher {name}"
                ends.append((steps[-1], 100 * values[-1], text, model_colour(model)))
            axes.set_title(name_of(model))
            axes.set_ylim(0, 104)
            axes.set_xlim(0, axes.get_xlim()[1] * 1.45)
            axes.set_xlabel("step")
            label_points(axes, ends)
        grid[0].set_ylabel("share of a batch, %")

    return svg(draw, width=max(4.6, 3.3 * len(chosen)), height=3.0, label="teacher shares over time")


def _panels(models: Sequence[Model], names: Mapping[str, str], label: str) -> str | None:
    present = {key: title for key, title in names.items() if any(key in _curves(model) for model in models)}
    if not present:
        return None
    columns = min(COLUMNS, len(present))
    rows = math.ceil(len(present) / columns)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False)
        panels = [axes for row in grid for axes in row]
        handles: dict[str, Any] = {}
        for axes, (key, title) in zip(panels, present.items(), strict=False):
            for model in models:
                points = _curves(model).get(key)
                if points:
                    steps, values = zip(*points, strict=True)
                    few = len(points) <= 5
                    (line,) = axes.plot(
                        steps, values, color=model_colour(model), marker="o" if few else None, markersize=3.5
                    )
                    handles.setdefault(model["strategy"] or "", line)
            axes.set_title(title)
            axes.set_xlabel("step")
        for axes in panels[len(present) :]:
            axes.remove()
        figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=6, frameon=False)

    return svg(draw, width=3.3 * columns, height=0.4 + 2.5 * rows, label=label)


def _curves(model: Model) -> Mapping[str, Sequence[Sequence[float]]]:
    curves: Mapping[str, Sequence[Sequence[float]]] = model["training"]["curves"]
    return curves
