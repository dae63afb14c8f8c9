"""`dkd predict` reads what training reads: files, texts on the command line, columns that stay beside."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import pandas
import pytest
from command_line import Said, heard
from conftest import tiny_rows
from exported import export_both

from dkd_cli.errors import RecipeError
from dkd_cli.pipeline.text_sources import Source, opened
from dkd_cli.reading.streams import Columns, TextRow

TEXTS = [f'{" ".join(text.split()[:4])}; "no"\n{number}' for number, (text, _) in enumerate(tiny_rows()[:12])]


@pytest.fixture(scope="module")
def model(
    tmp_path_factory: pytest.TempPathFactory, build_encoder: Callable[[int], Path], tiny_csv: Path
) -> Path:
    """An export, which answers soonest; do not write into it."""
    student = export_both(tmp_path_factory.mktemp("models"), build_encoder(1), tiny_csv)
    return student.parent / "student-onnx"


def answers(said: Said) -> list[dict[str, str]]:
    assert (said.code, said.err) == (0, ""), said
    return list(csv.DictReader(io.StringIO(said.out)))


def test_every_format_that_training_reads_gives_the_same_answers(model: Path, workdir: Path) -> None:
    frame = pandas.DataFrame({"id": range(len(TEXTS)), "text": TEXTS})
    frame.to_csv("a.csv", index=False)
    frame.to_csv("b.csv", index=False, sep=";")
    frame.to_csv("c.tsv", index=False, sep="\t")
    frame.to_csv("d.csv.gz", index=False)
    frame.to_csv("e.csv", index=False, encoding="utf-16")
    frame.to_excel("f.xlsx", index=False)
    frame.to_parquet("g.parquet")
    frame.to_json("h.json", orient="records")
    frame.to_json("i.jsonl", orient="records", lines=True)
    frame.rename(columns=" {} ".format).to_csv("j.csv", index=False)
    datasets.Dataset.from_pandas(frame).save_to_disk("saved")
    Path("k.txt").write_bytes(Path("a.csv").read_bytes())
    outputs = {name: heard("predict", model, name).out for name in ("a.csv", "saved")}
    outputs |= {path.name: heard("predict", model, path.name).out for path in Path().glob("?.*")}
    assert len(outputs) == 12
    assert len(answers(heard("predict", model, "a.csv"))) == len(TEXTS)
    assert {name for name, out in outputs.items() if out != outputs["a.csv"]} == set()


def test_texts_on_the_command_line(model: Path, workdir: Path) -> None:
    (one,) = answers(heard("predict", model, "a lovely film"))
    both = answers(heard("predict", model, "a lovely film", "what a dull story", "--with-text"))
    assert [row["text"] for row in both] == ["a lovely film", "what a dull story"]
    assert {name: both[0][name] for name in one} == one
    said = heard("predict", model, "lovely")
    assert (said.code, len(said.out.splitlines())) == (0, 2)
    assert said.err == "dkd: warning: no file is called 'lovely', so it was classified as a text\n"
    pair = answers(heard("predict", model, "a film", "a story", "--text-pair", "second", "--with-text"))
    assert [(row["text"], row["second"]) for row in pair] == [("a film", "a story")]


def test_a_header_on_stdin_is_no_text(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"id,queue,text\n0,A,a lovely film\n1,B,what a dull story\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert len(answers(heard("predict", model))) == 2


def test_columns_stay_beside_the_answers(model: Path, workdir: Path) -> None:
    Path("a.csv").write_text("ticket_id,label,text\n0007,A,a lovely film\n0008,B,a story\n")
    words = ["--keep", "ticket_id", "--keep", "label", "--with-text"]
    found = answers(heard("predict", model, "a.csv", *words))
    assert list(found[0])[:4] == ["ticket_id", "input_label", "text", "label"]
    assert [(row["ticket_id"], row["input_label"], row["text"]) for row in found] == [
        ("0007", "A", "a lovely film"),
        ("0008", "B", "a story"),
    ]
    Path("a.jsonl").write_text('{"text": "a film", "meta": {"id": 7}, "tags": ["x"]}\n')
    (row,) = answers(heard("predict", model, "a.jsonl", "--keep", "meta", "--keep", "tags"))
    assert (row["meta"], row["tags"]) == ('{"id": 7}', '["x"]')
    words = ["predict", model, "a.jsonl", "--keep", "meta", "--keep", "meta.id", "--json"]
    assert json.loads(heard(*words).out)["meta"] == {"id": 7}
    assert json.loads(heard(*words).out)["meta.id"] == 7
    Path("old.txt").write_bytes("text\ncafé добрый\n".encode("cp1251", "replace"))
    assert len(answers(heard("predict", model, "old.txt", "--encoding", "cp1251"))) == 1


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["gone.csv"], 3, "gone.csv: cannot be read (No such file or directory); check the path"),
        (["in/gone"], 2, "in/gone: 'no suffix' is not one of .txt, .csv, "),
        (["."], 2, ".: 'no suffix' is not one of .txt"),
        (["a.csv", "b.csv"], 2, "a.csv: is one of several inputs; give one file, or texts alone"),
        (["a text", "a.csv"], 2, "a.csv: is one of several inputs; give one file, or texts alone"),
        (["a text", "--keep", "id"], 2, "--keep: names a column, and texts have none; leave it out"),
        (
            ["a text", "--text-pair", "b"],
            2,
            "dkd predict: this model reads pairs of texts, and there are 1; give both texts of each pair",
        ),
        (["a.csv", "--keep", "id"], 3, "a.csv:1: there is no column 'id'; name one of text with --keep"),
        (["a.csv", "--encoding", "klingon"], 2, "--encoding: 'klingon' is no encoding of lines; use a name"),
        (["a.csv.gz"], 3, "a.csv.gz: not a whole gzip file (Compressed file ended"),
        (["a.xlsx"], 3, "a.xlsx: not an Excel workbook (File is not a zip file); save it again"),
        (["b.csv"], 3, "b.csv: is a zip archive or an Excel workbook, not text; name a workbook .xlsx"),
    ],
)
def test_what_is_wrong_has_one_line(
    words: list[str], code: int, line: str, model: Path, workdir: Path
) -> None:
    Path("a.csv").write_text("text\na film\n")
    Path("b.csv").write_bytes(b"PK\x03\x04")
    Path("a.csv.gz").write_bytes(gzip.compress(b"text\na film\n", mtime=0)[:-6])
    Path("a.xlsx").write_bytes(b"PK")
    said = heard("predict", model, *words)
    assert said.code == code, said
    (found,) = said.err.splitlines()
    assert found.startswith(f"dkd: error: {line}"), found


def test_an_empty_text_is_no_folder() -> None:
    with opened(Source(inputs=("a film", "")), print) as there:
        found = list(there.examples(Columns("text", None), print))
    assert found == [TextRow("a film", None), TextRow("", None)]


def test_a_text_as_long_as_no_path_can_be() -> None:
    text = "a film " * 1000
    with opened(Source(inputs=(text,)), lambda said: None) as there:
        assert list(there.examples(Columns("text", None), lambda said: None)) == [TextRow(text, None)]
    # a word with a suffix is meant as a file
    with (
        pytest.raises(RecipeError, match=r"^a\.odt: '\.odt' is not one of"),
        opened(Source(inputs=("a.odt",)), print),
    ):
        pass
