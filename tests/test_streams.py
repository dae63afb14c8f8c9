"""Rows from files and pipes: what each format says, in order, and where it is wrong."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

import pytest

from dkd_cli.data import streams
from dkd_cli.data.streams import FORMATS, Columns, TextRow, is_live, read_examples, windows
from dkd_cli.errors import DataError

ONE = Columns("text", None)
TWO = Columns("a", "b")


def texts(content: str | bytes, format: str, columns: Columns = ONE) -> list[str]:
    raw = content.encode() if isinstance(content, str) else content
    return [example.text for example in read_examples(io.BytesIO(raw), "in", format, columns)]


@pytest.mark.parametrize(
    ("format", "content", "found"),
    [
        ("lines", "one\r\n\n NA \nlast", ["one", "", " NA ", "last"]),
        ("lines", "\ufeffone\n", ["one"]),
        ("csv", 'id,text\n1,"a, ""b""\nc"\n\n2,007\n', ['a, "b"\nc', "007"]),
        ("tsv", 'text\tid\n"quoted\t1\n', ['"quoted']),
        ("jsonl", '{"text": "a\\nb", "n": 1}\n\n{"text": ""}\n', ["a\nb", ""]),
    ],
)
def test_text_stays_text(format: str, content: str, found: list[str]) -> None:
    assert texts(content, format) == found


@pytest.mark.parametrize(
    ("format", "content"),
    [("csv", "a,b\nx,y\n"), ("tsv", "b\ta\ny\tx\n"), ("jsonl", '{"a": "x", "b": "y"}\n')],
)
def test_pairs(format: str, content: str) -> None:
    assert list(read_examples(io.BytesIO(content.encode()), "in", format, TWO)) == [TextRow("x", "y")]


@pytest.mark.parametrize(
    ("format", "content", "place", "told"),
    [
        ("lines", "", "in", "there are no texts"),
        ("csv", "text\n", "in", "there are no texts"),
        ("lines", b"good\n\xff\n", "in:2", "0xff"),
        ("lines", b"good\nb\0d\n", "in:2", "NUL"),
        ("csv", "body,id\nx,1\n", "in:1", "name one of body, id with --text"),
        ("csv", "text,text\nx,1\n", "in:1", "appears twice"),
        ("csv", "text,id\nx,1\ny,2,3\n", "in:3", "3 columns where the header has 2"),
        ("csv", 'text,id\nx,1\n"y,2\nz,3\n', "in:3", "never closed"),
        ("jsonl", '{"text": "a"}\n{"text": "b"\n', "in:2", "one whole object per line"),
        ("jsonl", "[1]\n", "in:1", "not an object"),
        ("jsonl", '{"text": 7}\n', "in:1", "the text is 7"),
        ("jsonl", '{"body": "a"}\n', "in:1", "name one of body with --text"),
        ("jsonl", '{"text": "a"}\n{"text": "\\ud800"}\n', "in:2", "holds half a character"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    format: str, content: str | bytes, place: str, told: str
) -> None:
    with pytest.raises(DataError) as caught:
        texts(content, format)
    assert caught.value.place == place
    assert told in str(caught.value)


def test_lines_hold_no_pairs() -> None:
    with pytest.raises(DataError, match="columns a and b"):
        texts("one\n", "lines", TWO)


def test_an_endless_line_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LONGEST_LINE", 100)
    with pytest.raises(DataError, match="more than 100 bytes"):
        texts("a\n" + 101 * "b", "lines")


def examples(count: int) -> Iterator[TextRow]:
    return (TextRow(str(number), None) for number in range(count))


@pytest.mark.parametrize("live", [False, True])
def test_windows_keep_the_order_and_lose_nothing(live: bool) -> None:
    found = list(windows(examples(25), 10, live=live))
    assert [one.text for window in found for one in window] == [str(number) for number in range(25)]
    assert max(map(len, found)) <= 10
    assert live or list(map(len, found)) == [10, 10, 5]


@pytest.mark.parametrize("live", [False, True])
def test_rows_before_a_wrong_one_are_answered(live: bool) -> None:
    def broken() -> Iterator[TextRow]:
        yield from examples(3)
        raise DataError("in:4", "wrong", "correct it")

    found: list[str] = []
    with pytest.raises(DataError, match="in:4"):  # noqa: PT012 - what came before it counts
        for window in windows(broken(), 10, live=live):
            found += [one.text for one in window]
    assert found == ["0", "1", "2"]


def test_a_live_stream_is_not_waited_for() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb") as end:
        assert is_live(stream)
        groups = windows(read_examples(stream, "in", "lines", ONE), 10, live=True)
        end.write(b"first\n")
        end.flush()
        assert [one.text for one in next(groups)] == ["first"]
        end.write(b"second\n")
        end.close()
        assert [one.text for one in next(groups)] == ["second"]
        assert list(groups) == []
    assert sorted(FORMATS) == ["csv", "jsonl", "lines", "tsv"]
