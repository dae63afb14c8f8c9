"""The recipe that `dkd init` writes: short, commented, with settings that fit the size of the data.

Knows the recipe's keys, and nothing about files or models.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

LENGTHS = (32, 48, 64, 96, 128, 192, 256, 384, 512)
LONGEST = 256
"""Tokens; longer texts are truncated unless the user asks for more: time grows with the length."""
EXAMPLES_SEEN = 6000
"""Examples that a student sees in all, at least: fewer rows are seen more often."""
LARGE = 5000
"""Rows from which on batches are larger."""
IMBALANCED = 5.0
"""The largest class over the smallest one from which on accuracy hides what becomes of the small ones."""
_PLAIN = re.compile(r"[A-Za-z_./][\w./ -]*")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """Facts that a recipe is written from."""

    source: str
    """The file as the user named it."""
    rows: int
    """Rows that are trained on, about."""
    model: str
    model_note: str
    text: str
    text_pair: str | None
    label: str
    label_note: str
    """Describe the labels in a few words."""
    regression: bool
    missing_labels: bool
    max_length: int
    length_note: str
    imbalance: float
    """The largest class over the smallest."""


def recipe_text(draft: Draft) -> str:
    """Write the recipe; fewer than 25 lines."""
    large = draft.rows >= LARGE
    lines: list[tuple[str, str]] = [
        (f"name: {recipe_name(draft.source)}", ""),
        (f"model: {scalar(draft.model)}", draft.model_note),
        ("data:", ""),
        (f"  source: {scalar(draft.source)}", "a tenth is for validation, a tenth for testing"),
        (f"  text: {scalar(draft.text)}", ""),
        *([(f"  text_pair: {scalar(draft.text_pair)}", "")] if draft.text_pair is not None else []),
        (f"  label: {scalar(draft.label)}", draft.label_note),
        *([("  kind: regression", "")] if draft.regression else []),
        *([("  missing_labels: transfer", "the teacher labels those rows")] if draft.missing_labels else []),
        (f"  max_length: {draft.max_length}", draft.length_note),
        ("teachers:", ""),
        ("  large: {}", "all layers of the model"),
        ("student:", ""),
        ("  layers: 3", "its first layers: fewer are smaller and faster"),
        ("train:", ""),
        (f"  epochs: {epochs(draft.rows)}", f"passes over about {draft.rows:,} rows"),
        (f"  batch_size: {32 if large else 16}", ""),
        ("  freeze: embeddings", "faster steps, less memory"),
    ]
    if not draft.regression and draft.imbalance >= IMBALANCED:
        lines.append(("  metric: macro_f1", "accuracy would hide the small classes"))
    head = "# Made by `dkd init`. All keys: docs/recipe-reference.md, or `dkd recipes show quickstart`.\n"
    width = max(len(line) for line, note in lines if note and len(line) <= 40)
    return head + "".join(f"{line:{width}}  # {note}\n" if note else f"{line}\n" for line, note in lines)


def epochs(rows: int) -> int:
    """Passes over so many rows, from 1 to 20.

    >>> [epochs(rows) for rows in (100, 1600, 3000, 50_000)]
    [20, 4, 2, 1]
    """
    return max(1, min(20, math.ceil(EXAMPLES_SEEN / max(1, rows))))


def fitting_length(tokens: int) -> int:
    """The usual length that holds so many tokens, up to `LONGEST`.

    >>> [fitting_length(tokens) for tokens in (9, 33, 130, 9000)]
    [32, 48, 192, 256]
    """
    return next((length for length in LENGTHS if length >= min(tokens, LONGEST)), LONGEST)


def recipe_name(source: str) -> str:
    """A name for the recipe, and for its folder, from that of the file.

    >>> recipe_name("data/My tickets.csv.gz")
    'My-tickets'
    """
    stem = source.rstrip("/").rpartition("/")[2].partition(".")[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-")[:100] or "mine"


def scalar(value: str) -> str:
    """A text as YAML, quoted where it would be something else.

    >>> scalar("body"), scalar("true"), scalar("a: b")
    ('body', '"true"', '"a: b"')
    """
    plain = _PLAIN.fullmatch(value) and value not in ("true", "false", "null") and not value.endswith(" ")
    return value if plain else json.dumps(value, ensure_ascii=False)
