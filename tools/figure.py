"""Draws docs/strategies.svg from the first table of docs/results.md: `make figure`.

Knows the table's columns and nothing about how its figures were measured.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dkd_cli.files import write_text
from dkd_cli.report.drawing import drawing_style
from dkd_cli.report.palette import INK, RULE, STRATEGY_COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results.md"
PICTURE = ROOT / "docs" / "strategies.svg"
TEXT, LINE = "#1f2328", "#c9d1d9"
"""On white: an image of a page cannot take the page's colours."""
LABELS = {
    "none": "fine-tuning alone (none)",
    "random": "random selection (control)",
}


@dataclass(frozen=True)
class Row:
    """A strategy's mean accuracy over seeds and its standard deviation; the teacher has none."""

    strategy: str
    accuracy: float
    deviation: float


def read_rows(page: str) -> list[Row]:
    """The rows of the page's first table with an accuracy, in their order."""
    table = page[page.index("| strategy | accuracy |") :].split("\n\n", 1)[0]
    rows = []
    for line in table.splitlines()[2:]:
        name, accuracy = (cell.strip() for cell in line.split("|")[1:3])
        mean, _, deviation = accuracy.partition(" ± ")
        rows.append(Row(name.split(",")[0].strip("`"), float(mean), float(deviation or 0)))
    return rows


def draw(figure: Figure, rows: list[Row]) -> None:
    """One dot for each strategy, mean ± standard deviation, and a line where the teacher is."""
    axes = figure.add_subplot()
    teacher, *students = rows
    places = range(len(students) - 1, -1, -1)
    for place, row in zip(places, students, strict=True):
        colour = STRATEGY_COLOURS.get(row.strategy, STRATEGY_COLOURS["none"])
        low, high = row.accuracy - row.deviation, row.accuracy + row.deviation
        axes.plot([low, high], [place, place], color=colour, alpha=0.55, linewidth=3)
        axes.plot([row.accuracy], [place], "o", color=colour, markersize=8)
        axes.annotate(
            f"{row.accuracy:.3f}",
            (row.accuracy, place),
            (0, 8),
            textcoords="offset points",
            ha="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    axes.axvline(teacher.accuracy, color=INK, linestyle="--", linewidth=1)
    axes.annotate(
        f"teacher, 6 layers: {teacher.accuracy:.3f}",
        (teacher.accuracy, len(students) - 0.35),
        (-6, 0),
        textcoords="offset points",
        ha="right",
    )
    axes.set_yticks(places, [LABELS.get(row.strategy, row.strategy) for row in students])
    axes.set_ylim(-0.6, len(students) - 0.05)
    axes.set_xlabel(
        "accuracy of 3-layer students on 3,000 test tweets, mean ± standard deviation of six seeds"
    )
    axes.grid(axis="y", visible=False)


def picture(page: str) -> str:
    """The SVG file for this text of docs/results.md; the same text gives the same bytes."""
    rows = read_rows(page)
    with drawing_style():
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        matplotlib.rcParams["font.sans-serif"] = ["DejaVu Sans", "Helvetica", "Arial"]
        figure = Figure(figsize=(8.2, 0.9 + 0.42 * len(rows)), layout="constrained", facecolor="white")
        FigureCanvasSVG(figure)
        draw(figure, rows)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue().replace(INK, TEXT).replace(RULE, LINE)
    return "".join(
        line.rstrip() + "\n"
        for line in re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S).splitlines()
    )


def main() -> None:
    """Write the picture in place of the one that is there."""
    write_text(PICTURE, picture(RESULTS.read_text(encoding="utf-8")))
    print(PICTURE.relative_to(ROOT))


if __name__ == "__main__":
    main()
