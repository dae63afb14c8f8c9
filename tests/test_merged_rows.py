"""Rows glued together by a stray quote are told from texts that merely have several lines."""

from __future__ import annotations

import pytest

from dkd_cli.reading.merged_rows import merged_rows

PLAIN = [["fine", "1"], ["good", "0"]]


@pytest.mark.parametrize(
    ("row", "merged"),
    [
        (["abc,1\ndef", "0"], True),
        (["abc,1\r\nghi,0\r\ndef", "0"], True),
        (["Hello, John\nthanks, bye", "1"], False),
        (["Hello, John\nwe met, you and I\nthanks", "1"], False),
        (["one\ntwo\n\nthree", "0"], False),
        (["ends in a number, 1\nbye", "0"], False),
    ],
)
def test_text_before_label(row: list[str], merged: bool) -> None:
    assert list(merged_rows([*PLAIN, row], 1, ",")) == ([2] if merged else [])


@pytest.mark.parametrize(
    ("row", "merged"),
    [(["1", "abc\n0,def"], True), (["1", "abc\nwell, def"], False), (["1", "a, b\nc"], False)],
)
def test_label_before_text(row: list[str], merged: bool) -> None:
    assert list(merged_rows([["0", "fine"], ["1", "good"], row], 0, ",")) == ([2] if merged else [])


@pytest.mark.parametrize(
    ("row", "merged"),
    [
        (["7", "abc,1\n8,def", "0"], True),
        (["7", "abc\nwell, def", "0"], False),
        (["7", "a, b, c\nd, e, f", "0"], False),
    ],
)
def test_text_in_the_middle(row: list[str], merged: bool) -> None:
    assert list(merged_rows([["1", "fine", "1"], ["2", "good", "0"], row], 2, ",")) == ([2] if merged else [])


def test_measurements_count_by_their_shape() -> None:
    plain = [[f"text {i}", f"{i / 100:.2f}"] for i in range(100)]
    assert list(merged_rows([*plain, ["abc,7.77\ndef", "1.00"]], 1, ",")) == [100]
    assert list(merged_rows([*plain, ["I paid 1,000\nthanks", "1.00"]], 1, ",")) == []
