"""Colours of strategies, the same in every picture and distinguishable without red and green.

Based on Okabe and Ito's palette, darkened so that text is readable on white and on near-black.
"""

from __future__ import annotations

INK, RULE = "#010203", "#010204"
"""Placeholders for the page's own text and line colours, so that one picture works in light and dark mode."""

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
