"""One colour for each strategy, the same in every picture; told apart also without red or green.

After Okabe and Ito's palette, darkened to be read as text on white and on near-black.
"""

from __future__ import annotations

INK, RULE = "#010203", "#010204"
"""Of text and of lines: stand-ins for the page's own colours, so that one picture serves light and dark."""

STRATEGY_COLOURS = {
    "none": "#7a7a7a",
    "static": "#0f79c4",
    "dynamic-teacher": "#c86f00",
    "dynamic-data": "#008f6b",
    "dynamic-objective": "#c0579a",
}
JOINED = "#7b68d9"
TEACHER = INK
OTHER = "#8c7a4f"


def colour_of(role: str, strategy: str | None) -> str:
    """The colour of a model."""
    if role == "teacher":
        return TEACHER
    if strategy is None:
        return OTHER
    return STRATEGY_COLOURS.get(strategy, JOINED)
