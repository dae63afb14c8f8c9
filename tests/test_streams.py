"""Rows from files and pipes: what each format says, in order, and where it is wrong."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable, Iterator

import pyarrow
import pyarrow.parquet
import pytest

from dkd_cli.errors import DataError, RecipeError
from dkd_cli.reading import text_streams
from dkd_cli.reading.streams import FORMATS, Columns, TextRow, read_examples, windows
from dkd_cli.reading.text_streams import is_live

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
        ("lines", b"good\n\x8d\n", "in:2", "0x8d"),
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
    monkeypatch.setattr(text_streams, "LONGEST_LINE", 100)
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


# --- what is recognised ----------------------------------------------------------------------------------


def piped(content: bytes, columns: Columns = ONE, format: str | None = None) -> tuple[list[str], list[str]]:
    """Texts and notes of what comes through a pipe."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as end:
        end.write(content)
    notes: list[str] = []
    with os.fdopen(reading, "rb") as stream:
        assert is_live(stream)
        return [one.text for one in read_examples(stream, "in", format, columns, note=notes.append)], notes


def filed(content: bytes, columns: Columns = ONE, format: str | None = None) -> tuple[list[str], list[str]]:
    """Likewise of a file, which can be read twice."""
    notes: list[str] = []
    found = read_examples(io.BytesIO(content), "in", format, columns, note=notes.append)
    return [one.text for one in found], notes


BODY = Columns("body", None)


@pytest.mark.parametrize("read", [piped, filed])
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b'id,queue,body\n0,A,one\n1,B,"two, too"\n', ["one", "two, too"]),
        (b"id;queue;body\n0;A;one, too\n", ["one, too"]),
        (b"sep=;\nid;body\n0;one\n", ["one"]),
        (b"body\tid\none\t0\n", ["one"]),
        (b" id , body \n0,one\n", ["one"]),
        (b"body\none\ntwo\n", ["one", "two"]),
        (b'{"body": "one", "id": 1}\n{"body": "two"}\n', ["one", "two"]),
        (b"one\nbody\n", ["one", "body"]),
        (b"my body, it hurts\n", ["my body, it hurts"]),
        (b"\n{not json\n", ["", "{not json"]),
        (gzip.compress(b"id,body\n0,one\n", mtime=0), ["one"]),
        ("id,body\n0,café\n".encode("utf-16"), ["café"]),
        ("id,body\n0,café\n".encode("utf-8-sig"), ["café"]),
    ],
)
def test_a_header_is_known_when_it_is_seen(
    read: Callable[..., tuple[list[str], list[str]]], content: bytes, found: list[str]
) -> None:
    assert read(content, BODY) == (found, [])


@pytest.mark.parametrize("read", [piped, filed])
def test_what_reads_like_another_header_is_said(read: Callable[..., tuple[list[str], list[str]]]) -> None:
    found, notes = read(b"id,queue,subject\n0,A,one\n", BODY)
    assert found == ["id,queue,subject", "0,A,one"]
    assert notes == [
        "in: the first line reads like a header (id, queue, subject) and was classified as a text; name the "
        "column of the texts with --text"
    ]
    assert read(b"Hello, you\n", BODY)[1] == []
    named = Columns("subject", None, named=True)
    assert read(b"id,queue,subject\n0,A,one\n", named) == (["one"], [])
    with pytest.raises(
        DataError, match=r"^in:1: there is no column 'subject'; name one of id, queue with --text"
    ):
        read(b"id,queue\n0,A\n", named)
    assert read(b"body\none\n", BODY, "lines") == (["body", "one"], []), "who says lines gets lines"


@pytest.mark.parametrize("read", [piped, filed])
def test_western_windows_texts_are_read_and_noted(read: Callable[..., tuple[list[str], list[str]]]) -> None:
    found, notes = read("body\nplain\ncafé\n“Zoë”\n".encode("cp1252"), BODY)
    assert found == ["plain", "café", "“Zoë”"]
    assert notes == ["in: not UTF-8, read as cp1252; --encoding names another encoding"]


@pytest.mark.parametrize("read", [piped, filed])
def test_other_encodings_are_named_or_refused(read: Callable[..., tuple[list[str], list[str]]]) -> None:
    content = "добрый день\n".encode("cp1251")
    with pytest.raises(DataError, match=r"^in:1: byte 0 .* is not UTF-8; .* with --encoding"):
        read(content, BODY)
    found = read_examples(io.BytesIO(content), "in", None, BODY, encoding="cp1251")
    assert [one.text for one in found] == ["добрый день"]
    for encoding in ("klingon", "hex", "utf-16-le"):
        with pytest.raises(RecipeError, match=r"^--encoding: "):
            list(read_examples(io.BytesIO(content), "in", None, BODY, encoding=encoding))


def test_quotes_of_a_tsv_file_are_told_by_the_whole_file() -> None:
    assert filed(b'text\n"he said ""yes"""\nplain\n', ONE, "tsv")[0] == ['he said "yes"', "plain"]
    assert filed(b'text\n"he said ""yes"""\n5" disks\n', ONE, "tsv")[0] == ['"he said ""yes"""', '5" disks']


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (gzip.compress(b"text\n" + 999 * b"a b c\n", mtime=0)[:-9], "in: not a whole gzip file"),
        (b"PK\x03\x04", "in: is a zip archive or an Excel workbook"),
        ("text\nab\n".encode("utf-16")[:-1], "in:2: is not utf-16"),
    ],
)
def test_damage(content: bytes, line: str) -> None:
    with pytest.raises(DataError) as caught:
        filed(content, ONE, "csv")
    assert str(caught.value).startswith(line)


def test_columns_are_kept() -> None:
    columns = Columns("text", None, ("id", "when"))
    found = list(read_examples(io.BytesIO(b"when,text,id\nnow,a,7\n"), "in", "csv", columns))
    assert found == [TextRow("a", None, {"id": "7", "when": "now"})]
    rows = b'{"text": "a", "id": 7, "when": {"day": 1}}\n{"text": "b", "id": 8}\n'
    found = list(read_examples(io.BytesIO(rows), "in", "jsonl", columns))
    assert [one.kept for one in found] == [{"id": 7, "when": {"day": 1}}, {"id": 8, "when": None}]
    inside = Columns("t.x", None, ("t.id",))
    found = list(read_examples(io.BytesIO(b'{"t": {"x": "a", "id": 1}}\n'), "in", "jsonl", inside))
    assert found == [TextRow("a", None, {"t.id": 1})]
    for format, content in (("csv", b"text,id\na,1\n"), ("jsonl", b'{"text": "a", "id": 1}\n')):
        with pytest.raises(
            DataError, match=r"^in:1: there is no column 'when'; name one of text, id with --keep"
        ):
            list(read_examples(io.BytesIO(content), "in", format, columns))
    with pytest.raises(DataError, match="lines have no columns to keep"):
        list(read_examples(io.BytesIO(b"a\n"), "in", "lines", columns))


def test_formats_that_are_read_whole() -> None:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", "b"], "id": [1, 2]}), buffer)
    columns = Columns("text", None, ("id",))
    contents = {"parquet": buffer.getvalue(), "json": b'[{"text": "a", "id": 1}, {"text": "b", "id": 2}]'}
    for format, content in contents.items():
        found = list(read_examples(io.BytesIO(content), "in", format, columns))
        assert found == [TextRow("a", None, {"id": 1}), TextRow("b", None, {"id": 2})]
        with pytest.raises(DataError, match=r"^in: there is no column 'x'; name one of: text, id"):
            list(read_examples(io.BytesIO(content), "in", format, Columns("x", None)))
    with pytest.raises(DataError, match=r"^in:1: the text is None"):
        list(read_examples(io.BytesIO(b'[{"id": 1, "text": null}]'), "in", "json", columns))
    assert sorted(FORMATS) == ["csv", "json", "jsonl", "lines", "parquet", "tsv", "xlsx"]


def test_wide_lines_may_be_left_unread_when_their_file_is_closed() -> None:
    stream = io.BufferedReader(io.BytesIO("one\ntwo\n".encode("utf-16")))
    lines = text_streams.text_lines(stream, "in", None, lambda _: None)
    assert next(lines) == (1, "one\n")
    stream.close()
    lines.close()  # type: ignore[attr-defined]
