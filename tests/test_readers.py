"""The strict readers: text stays text, and a damaged file is refused on the right line."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dkd_cli.errors import DataError, Problems, RecipeError
from dkd_cli.reading.readers import read_table
from dkd_cli.reading.tables import Table


def read(tmp_path: Path, name: str, content: str | bytes, encoding: str | None = None) -> Table:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, name, "label", encoding)


def problems(tmp_path: Path, name: str, content: str | bytes) -> list[str]:
    with pytest.raises((DataError, Problems)) as caught:
        read(tmp_path, name, content)
    assert isinstance(caught.value, DataError | Problems)
    assert caught.value.exit_code == 3
    return str(caught.value).splitlines()


LOOKS_LIKE_SOMETHING_ELSE = ["NA", "None", "null", "007", "1e5", "nan", "True", " padded ", "2024-01-01"]


@pytest.mark.parametrize(
    ("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t"), ("a.jsonl", None), ("a.json", None)]
)
def test_text_stays_text(tmp_path: Path, name: str, delimiter: str | None) -> None:
    if delimiter:
        rows = [f"{text}{delimiter}x" for text in LOOKS_LIKE_SOMETHING_ELSE]
        content = "\n".join([f"text{delimiter}label", *rows]) + "\n"
    else:
        objects = [json.dumps({"text": text, "label": "x"}) for text in LOOKS_LIKE_SOMETHING_ELSE]
        content = "\n".join(objects) if name.endswith("l") else f"[{', '.join(objects)}]"
    assert list(read(tmp_path, name, content).columns["text"]) == LOOKS_LIKE_SOMETHING_ELSE


@pytest.mark.parametrize(
    ("name", "content", "place", "words"),
    [
        ("a.csv", "", "a.csv", "empty"),
        ("a.csv", " \n\n", "a.csv", "empty"),
        ("a.csv", "text,label\n", "a.csv", "no rows"),
        ("a.jsonl", "\n", "a.jsonl", "empty"),
        ("a.json", "[]", "a.json", "no rows"),
        ("a.csv", "text,text\na,b\n", "a.csv:1", "'text' appears twice"),
        ("a.csv", b"text,label\nfine,1\ncaf\x8e,0\n", "a.csv:3", r"byte 21 \(0x8e\) is not utf-8"),
        ("a.csv", b"\xff\xfet\0e\0x", "a.csv:1", "is not utf-16"),
        ("a.csv", "text,label\ngood,1\n".encode("utf-16-le"), "a.csv:1", "set data.encoding: utf-16-le"),
        ("a.csv", "text,label\ngood,1\n".encode("utf-16-be"), "a.csv:1", "set data.encoding: utf-16-be"),
        (
            "a.csv.gz",
            gzip.compress(b"text,label\ngood,1\n", mtime=0)[:-4],
            "a.csv.gz",
            "not a whole gzip file",
        ),
        ("a.csv", b"PK\x03\x04 and more", "a.csv", "name a workbook .xlsx"),
        ("a.csv", "text,label\na,1\nb\0,0\n", "a.csv:3", "NUL"),
        ("a.csv", "text,label\na,1\nb,c,0\n", "a.csv:3", "3 columns where the header has 2"),
        ("a.csv", "text,label\na\nb,0\n", "a.csv:2", "1 columns"),
        ("a.tsv", "text\tlabel\na b\t1\nb\tc\t0\n", "a.tsv:3", "3 columns"),
        ("a.csv", 'text,label\na,1\n"open,0\nb,1\n', "a.csv:3", "never closed"),
        ("a.csv", 'text,label\na,1\n"he" said,0\nb,1\n', "a.csv:3", "cannot be read"),
        ("a.csv", 'text,label\na,1\n"open,0\nb,1\nclosed",0\nc,1\n', "a.csv:3", "swallows the rows"),
        ("a.csv", 'label,text\n1,a\n0,"open\n1,b\n0,closed"\n1,c\n', "a.csv:3", "swallows the rows"),
        ("a.csv", 'id,text,label\n7,a,1\n8,"open,0\n9,closed",1\n3,c,0\n', "a.csv:3", "swallows the rows"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "lab', "a.jsonl:2", "cut off"),
        ("a.jsonl", '{"text": "a", "label": 1}\n["b", 2]\n', "a.jsonl:2", "not an object"),
        ("a.jsonl", '{"text": "a", "text": "b"}\n', "a.jsonl:1", "key appears twice"),
        ("a.json", '[{"text": "a", "label": 1},\n {"text": "b", ', "a.json:2", "cut off"),
        ("a.json", '[{"text": "a", "label": 1}\n {"text": "b"}]', "a.json:1", "comma"),
        ("a.json", '[{"text": "a", "label": 1},\n]', "a.json:2", "not JSON"),
        ("a.parquet", b"PAR1 nonsense", "a.parquet", "not a parquet file"),
        ("a.xls", b"", "a.xls", "'.xls' is not a known format; use .csv, .*, .bio, also gzipped"),
        ("a.xlsx", b"PK nonsense", "a.xlsx", "not an Excel workbook"),
    ],
)
def test_refuses(tmp_path: Path, name: str, content: str | bytes, place: str, words: str) -> None:
    import re

    (line,) = problems(tmp_path, name, content)
    assert line.startswith(f"{place}: "), line
    assert re.search(words, line), line


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^gone\.csv: there is no such file"):
        read_table(tmp_path / "gone.csv", "gone.csv", "label")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path / "folder.csv", "folder.csv", "label")


def test_at_most_five_problems_together(tmp_path: Path) -> None:
    lines = problems(tmp_path, "a.csv", "text,label\n" + "too,many,fields\n" * 9)
    assert [line.split(": ")[0] for line in lines] == [f"a.csv:{number}" for number in range(2, 7)]


def test_encoding(tmp_path: Path) -> None:
    content = "text,label\ncafé,1\n"
    assert read(tmp_path, "a.csv", content.encode("latin-1"), "latin-1").columns["text"] == ("café",)
    utf8 = read(tmp_path, "a.csv", content.encode(), "latin-1")
    assert utf8.columns["text"] == ("café",), "a file that is UTF-8 is read as such"
    assert list(read(tmp_path, "a.csv", b"\xef\xbb\xbf" + content.encode()).columns) == ["text", "label"]
    with pytest.raises(RecipeError, match=r"^data\.encoding: 'klingon'"):
        read(tmp_path, "a.csv", content.encode("latin-1"), "klingon")


@pytest.mark.parametrize("name", ["a.csv.gz", "A.CSV.GZ", "a.csv"])
def test_gzip_is_recognised(tmp_path: Path, name: str) -> None:
    """Also where the suffix does not say so."""
    table = read(tmp_path, name, gzip.compress(b"text,label\nNA,1\n", mtime=0))
    assert (table.columns["text"], table.where(0)) == (("NA",), f"{name}:2")


def test_gzipped_formats(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", "b"]}), buffer)
    content = {
        "a.tsv.gz": b"text\na\nb\n",
        "a.json.gz": b'[{"text": "a"}, {"text": "b"}]',
        "a.jsonl.gz": b'{"text": "a"}\n{"text": "b"}\n',
        "a.parquet.gz": buffer.getvalue(),
    }
    for name, plain in content.items():
        assert list(read(tmp_path, name, gzip.compress(plain, mtime=0)).columns["text"]) == ["a", "b"], name


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_byte_order_marks_are_recognised(tmp_path: Path, encoding: str) -> None:
    table = read(tmp_path, "a.csv", "text;label\ncafé — naïve;1\n".encode(encoding))
    assert table.columns["text"] == ("café — naïve",)


def test_western_windows_files_are_recognised_and_noted(tmp_path: Path) -> None:
    table = read(tmp_path, "a.csv", "text,label\ncafé “Zoë” 5 €,1\n".encode("cp1252"))
    assert table.columns["text"] == ("café “Zoë” 5 €",)
    assert table.notes == ("a.csv: not UTF-8, read as cp1252; data.encoding names another encoding",)


def test_a_declared_encoding_is_taken_where_utf8_would_give_nuls(tmp_path: Path) -> None:
    content = "text,label\ngood,1\n".encode("utf-16-le")
    assert read(tmp_path, "a.csv", content, "utf-16-le").columns["text"] == ("good",)


def test_objects_need_not_have_the_same_keys(tmp_path: Path) -> None:
    table = read(tmp_path, "a.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": 0, "id": 7}\n')
    assert list(table.columns) == ["text", "label", "id"]
    assert table.columns["id"] == [None, 7]


def test_how_a_file_is_separated_is_noted_where_its_suffix_says_otherwise(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", "text,label\na,1\n").notes == ()
    assert read(tmp_path, "a.csv", "text;label\na;1\n").notes == ("a.csv: read as separated by semicolons",)
    assert read(tmp_path, "a.tsv", 'text\tlabel\n"a ""b"""\t1\n').notes == (
        "a.tsv: quotes around its texts are not part of them",
    )


def test_columns_without_a_name_are_left_out(tmp_path: Path) -> None:
    """As pandas writes its index, and Excel columns that once held something."""
    table = read(tmp_path, "a.csv", ",text,label,,\n0,a,1,,\n1,b,0,,\n")
    assert dict(table.columns) == {"text": ("a", "b"), "label": ("1", "0")}


def test_the_lines_count_from_the_top_of_the_file(tmp_path: Path) -> None:
    table = read(tmp_path, "a.csv", "sep=;\ntext;label\na;1\nb;0\n")
    assert [table.where(row) for row in range(2)] == ["a.csv:3", "a.csv:4"]
    assert problems(tmp_path, "a.csv", "sep=;\ntext;text\na;1\n")[0].startswith("a.csv:2: the column 'text'")


def test_lines_are_those_of_an_editor(tmp_path: Path) -> None:
    content = 'text,label\r\n"two\nlines",1\r\n\r\n"a carriage\rreturn",0\r\nlast,1\r\n'
    table = read(tmp_path, "a.csv", content)
    assert table.columns["text"] == ("two\nlines", "a carriage\rreturn", "last")
    assert table.lines == [2, 5, 6]
    assert table.where(1) == "a.csv:5"


def test_old_mac_lines(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", "text,label\ra,1\rb,0\r").columns["text"] == ("a", "b")


def test_tab_separated_files_are_unquoted(tmp_path: Path) -> None:
    table = read(tmp_path, "a.tsv", 'text\tlabel\r\n"open\t1\r\nclosed"\t0\r\n')
    assert table.columns["text"] == ('"open', 'closed"')


def test_huge_field(tmp_path: Path) -> None:
    huge = "x" * 300_000
    assert read(tmp_path, "a.csv", f"text,label\n{huge},1\n").columns["text"] == (huge,)


def test_rows_of_an_array_know_their_lines(tmp_path: Path) -> None:
    table = read(tmp_path, "a.json", '[\n{"text": "a",\n "label": 1},\n{"text": "b", "label": 0}\n]\n')
    assert table.lines == [2, 4]


def test_parquet_keeps_types_and_class_names(tmp_path: Path) -> None:
    features = {
        "label": {"names": ["bad", "good"], "_type": "ClassLabel"},
        "text": {"dtype": "string", "_type": "Value"},
    }
    schema = pyarrow.schema(
        [("text", pyarrow.string()), ("label", pyarrow.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    table = pyarrow.table({"text": ["NA", "007"], "label": [1, 0]}, schema=schema)
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    found = read_table(tmp_path / "a.parquet", "a.parquet", "label")
    assert found.columns == {"text": ["NA", "007"], "label": [1, 0]}
    assert found.class_names == {"label": ("bad", "good")}
    assert found.where(1) == "a.parquet row 2"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1), min_size=1
    )
)
def test_what_csv_writes_is_read_back(tmp_path: Path, texts: list[str]) -> None:
    path = tmp_path / "round.csv"
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["text", "label"])
        writer.writerows([text, "some label"] for text in texts)
    assert list(read_table(path, "round.csv", "label").columns["text"]) == texts
