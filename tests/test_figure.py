"""docs/strategies.svg shows the figures of docs/results.md, and drawing it again gives the same picture."""

from __future__ import annotations

import re

from tools.figure import PICTURE, RESULTS, Row, picture, read_rows

TABLE = """Text.

| strategy | accuracy | over `none` |
|---|---|---|
| teacher, 6 layers | 0.708 | |
| `none` | 0.647 ± 0.025 | |
| random, r = 0.5 | 0.693 ± 0.014 | +4.7 |

| strategy | accuracy |
|---|---|
| another | 0.1 |
"""


def shown(svg: str) -> list[str]:
    """The words and numbers in the picture, in their order."""
    return re.findall(r">([^<>\n]+)</text>", svg)


def test_the_first_table_is_read() -> None:
    assert read_rows(TABLE) == [
        Row("teacher", 0.708, 0.0),
        Row("none", 0.647, 0.025),
        Row("random", 0.693, 0.014),
    ]


def test_the_same_page_gives_the_same_bytes() -> None:
    first = picture(TABLE)
    assert first == picture(TABLE)
    assert {"0.647", "0.693", "teacher, 6 layers: 0.708"} <= set(shown(first))


def test_the_committed_picture_shows_the_page_as_it_is() -> None:
    page = RESULTS.read_text(encoding="utf-8")
    assert shown(PICTURE.read_text(encoding="utf-8")) == shown(picture(page))
