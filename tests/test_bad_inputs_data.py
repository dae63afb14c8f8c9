"""Data that are refused: bad inputs 17 to 33, through the command line, before any model is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from command_line import heard, refused
from conftest import TinyRecipe, tiny_rows
from data_samples import rows, write_csv

GOOD = "text,label\ngood one,1\nbad one,0\n"
OWN_FILES = {"source": None, "train": "good.csv"}

# (the case, the file, what is in it, the rest of the recipe's data section, the line)
BAD: list[tuple[str, str, str | bytes, Mapping[str, Any], str]] = [
    ("empty", "a.csv", "", {}, "a.csv: the file is empty; name one that has rows"),
    (
        "header only",
        "a.csv",
        "text,label\n",
        {},
        "a.csv: the file has no rows; give it at least two examples of each class",
    ),
    (
        "no rows",
        "a.json",
        "[]",
        {},
        "a.json: the file has no rows; give it at least two examples of each class",
    ),
    (
        "hardly any",
        "a.csv",
        GOOD,
        {},
        "a.csv: 2 examples, too few to cut out a test split; name a file in data.test, or raise "
        "data.test_share",
    ),
    (
        "another format",
        "a.xls",
        "x",
        {},
        "a.xls: '.xls' is not a known format; use .csv, .tsv, .json, .jsonl, .parquet, .xlsx, .conll, "
        ".bio, also gzipped",
    ),
    (
        "text column",
        "a.csv",
        "body,label\nx,1\n",
        {},
        "a.csv: there is no column 'text'; name one of: body, label",
    ),
    (
        "second text",
        "a.csv",
        GOOD,
        {"text_pair": "b"},
        "a.csv: there is no column 'b'; name one of: text, label",
    ),
    (
        "label column",
        "a.csv",
        "text,stars\nx,1\n",
        {},
        "a.csv: there is no column 'label'; name one of: text, stars in data.label, or set "
        "data.unlabelled: true",
    ),
    (
        "encoding",
        "a.csv",
        b"text,label\nfine,1\n\x8d,0\n",
        {},
        "a.csv:3: byte 18 (0x8d) is not utf-8; save the file as UTF-8, or name its encoding in "
        "data.encoding (latin-1 takes any byte)",
    ),
    (
        "NUL",
        "a.csv",
        "text,label\na\0,1\n",
        {},
        "a.csv:2: a NUL character; the file is damaged or not a text file",
    ),
    (
        "half a character",
        "a.jsonl",
        '{"text": "\\ud83d", "label": 1}\n',
        {},
        "a.jsonl:1: holds half a character (a lone surrogate); write both halves, or the character itself",
    ),
    (
        "truncated line",
        "a.jsonl",
        '{"text": "x", "label": 1}\n{"te',
        {},
        "a.jsonl:2: not a JSON object (Unterminated string starting at); write one whole object per line; "
        "the file may have been cut off",
    ),
    (
        "truncated array",
        "a.json",
        '[{"text": "x", "label": 1},\n{"te',
        {},
        "a.json:2: not JSON (Unterminated string starting at); the file may have been cut off",
    ),
    (
        "nested",
        "a.jsonl",
        '{"text": "x", "label": ' + "[" * 900 + "]" * 900 + "}\n",
        {},
        "a.jsonl:1: nested deeper than 50 levels; write plain values",
    ),
    (
        "ragged csv",
        "a.csv",
        GOOD + "one, two,1\n",
        {},
        "a.csv:4: 3 columns where the header has 2; put texts that contain commas or line breaks in quotes",
    ),
    (
        "ragged tsv",
        "a.tsv",
        "text\tlabel\na\tb\t1\n",
        {},
        "a.tsv:2: 3 columns where the header has 2; texts cannot contain tabs or line breaks",
    ),
    (
        "open quote",
        "a.csv",
        GOOD + '"open,1\n',
        {},
        "a.csv:4: the row that begins here cannot be read (unexpected end of data); look for a quote that is "
        'never closed; inside a quoted text a quote is written ""',
    ),
    (
        "rows merged",
        "a.csv",
        GOOD + '"open,1\nshut",0\n',
        {},
        "a.csv:4: a quote that is not closed on this row swallows the rows after it; close it, or write it "
        '"" inside a quoted text; a line break that belongs to the text must not be followed by what looks '
        "like a row",
    ),
    (
        "null",
        "a.jsonl",
        '{"text": null, "label": 1}',
        {},
        "a.jsonl:1: 'text' is missing; write it as a string, or remove the row",
    ),
    (
        "number",
        "a.jsonl",
        '{"text": 7, "label": 1}',
        {},
        "a.jsonl:1: 'text' is 7, not text; write it as a string, or remove the row",
    ),
    (
        "empty texts",
        "a.csv",
        GOOD + ",1\n",
        {},
        "a.csv:4: the text is empty, as 1 of 3 are; check the column's name, or remove these rows",
    ),
    (
        "label missing",
        "a.csv",
        GOOD + "x,\n",
        {},
        "a.csv:4: the label is missing; add it, remove the row, or set data.missing_labels: transfer or drop",
    ),
    (
        "label hidden",
        "v.csv",
        "text,label\nx,-1\n",
        OWN_FILES | {"validation": "v.csv"},
        "v.csv:2: the label is hidden (-1); use a split with labels; if -1 is a class, name it in "
        "data.labels",
    ),
    (
        "out of range",
        "a.csv",
        GOOD + "x,2\n",
        {"labels": ["a", "b"]},
        "a.csv:4: the label 2 is outside 0 to 1; correct it or add its name to data.labels",
    ),
    (
        "another name",
        "a.csv",
        "text,label\nx,goood\n",
        {"labels": ["bad", "good"]},
        "a.csv:2: 'goood' is not one of the classes; did you mean 'good'?",
    ),
    (
        "no number",
        "a.csv",
        GOOD + "x,nan\n",
        {"kind": "regression"},
        "a.csv:4: the label 'nan' is not a finite number; correct it, or set data.kind to classification",
    ),
    (
        "names and ids",
        "a.csv",
        GOOD + "x,maybe\n",
        {},
        "a.csv:4: the label 'maybe' is of another type than those before it: names and ids are mixed; use "
        "one of them throughout, or name all classes in data.labels",
    ),
    (
        "types",
        "a.jsonl",
        '{"text": "x", "label": 1}\n{"text": "y", "label": true}\n',
        {},
        "a.jsonl:2: the label is a boolean where those before it are a number; use one type throughout",
    ),
    (
        "a single class",
        "a.csv",
        "text,label\nx,1\ny,1\n",
        {"validation": "a.csv", "test_share": 0},
        "a.csv: the training split has only the class '1'; train on at least two classes",
    ),
    (
        "unknown class",
        "v.csv",
        "text,label\nx,2\n",
        OWN_FILES | {"validation": "v.csv"},
        "v.csv:2: the training data have no class '2'; add examples of it or remove it",
    ),
    (
        "untaught class",
        "v.csv",
        "text,label\nx,2\n",
        OWN_FILES | {"validation": "v.csv", "labels": ["a", "b", "c"]},
        "v.csv:2: validation has the class 'c', which the training split lacks; add examples of it to the "
        "training split, or remove it",
    ),
]


@pytest.mark.parametrize(
    ("name", "content", "data", "line"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_bad_data(
    name: str,
    content: str | bytes,
    data: Mapping[str, Any],
    line: str,
    tiny_recipe: TinyRecipe,
    workdir: Path,
) -> None:
    Path("good.csv").write_text(GOOD)
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    recipe = tiny_recipe({"data": {"source": name} | dict(data)})
    assert refused(
        2 if line.startswith("data.") else 3, "distill", recipe, "--strategy", "none", beside=workdir
    ) == [line]


def test_a_missing_file(tiny_recipe: TinyRecipe, workdir: Path) -> None:
    recipe = tiny_recipe({"data": {"source": "gone.csv"}})
    assert refused(3, "train-teacher", recipe, "--teacher", "large") == [
        "gone.csv: there is no such file; check the path; it is relative to the working directory"
    ]


def test_a_folder_without_data(tiny_recipe: TinyRecipe, workdir: Path) -> None:
    Path("empty").mkdir()
    (line,) = refused(3, "distill", tiny_recipe({"data": {"source": "./empty"}}), "--strategy", "none")
    assert re.fullmatch(
        r"empty: cannot be loaded: .+; name a file, or a folder with files such as train\.csv", line
    )


def test_a_damaged_parquet_file(tiny_recipe: TinyRecipe, workdir: Path) -> None:
    Path("a.parquet").write_bytes(b"PAR1 nonsense")
    (line,) = refused(3, "distill", tiny_recipe({"data": {"source": "a.parquet"}}), "--strategy", "none")
    assert re.fullmatch(r"a\.parquet: not a parquet file \(.+\); write it again", line)


def test_an_encoding_that_is_none(tiny_recipe: TinyRecipe, workdir: Path) -> None:
    Path("a.csv").write_bytes(b"text,label\n\xff,1\n")
    for name, line in {
        "klingon": "data.encoding: 'klingon' is no text encoding; use a name such as latin-1 or cp1252",
        "hex": "data.encoding: 'hex' is no text encoding; use a name such as latin-1 or cp1252",
    }.items():
        recipe = tiny_recipe({"data": {"source": "a.csv", "encoding": name}})
        assert refused(2, "distill", recipe, "--strategy", "none") == [line]
    recipe = tiny_recipe({"data": {"source": "a.csv", "encoding": "undefined"}})
    assert refused(3, "distill", recipe, "--strategy", "none") == [
        "a.csv: is not 'undefined'; name another encoding in data.encoding"
    ]


def test_problems_of_data_machine_and_models_come_together(tiny_recipe: TinyRecipe, workdir: Path) -> None:
    Path("t.csv").write_text("text,label\na,b,c\n")
    data = {"source": None, "train": "t.csv", "validation": "v.csv"}
    recipe = tiny_recipe({"model": "./nowhere", "data": data, "train": {"precision": "fp16"}})
    lines = refused(3, "distill", recipe, "--strategy", "none")
    assert [line.split(": ")[0] for line in lines] == ["t.csv:2", "v.csv", "train.precision", "student"]


def test_what_is_counted_and_what_stays_text(tiny_recipe: TinyRecipe, workdir: Path) -> None:
    """A run over texts that other readers lose, which says what it dropped and cut."""
    names = {"negative": "no", "positive": "yes"}
    found = [{"text": text, "label": names[label]} for text, label in tiny_rows()]
    odd = [{"text": text, "label": "no"} for text in ("NA", "None", "null", "007")]
    train = write_csv("t.csv", [*found[:80], *odd, found[0], {"text": found[1]["text"], "label": "no"}])
    validation = write_csv("v.csv", [*found[80:], found[2]])
    data = {"source": None, "train": train, "validation": validation, "max_length": 8}
    said = heard("distill", tiny_recipe({"data": data}), "--strategy", "none")
    assert said.code == 0
    for line in (
        "data: t.csv: 85 train, 41 validation",
        "  classes in train: no 45, yes 40",
        "  train: 1 duplicate example dropped, 85 left",
        "  train: 1 text with contradicting labels",
        "  1 training text also in validation: its scores may be too high",
    ):
        assert line in said.out.splitlines(), said.out
    assert re.search(
        r"^dkd: warning: 9\d% of train is cut at 8 tokens by .+; raise data\.max_length$", said.err, re.M
    )
    (config,) = Path(tiny_recipe().parent).glob("checkpoints/tiny/student-*/config.json")
    assert '"0": "no"' in config.read_text()


def test_few_empty_texts_are_dropped_and_counted(tiny_recipe: TinyRecipe, workdir: Path) -> None:
    write_csv("a.csv", [*rows(150), {"text": " ", "label": "no"}])
    said = heard(
        "distill", tiny_recipe({"model": "./nowhere", "data": {"source": "a.csv"}}), "--strategy", "none"
    )
    assert (said.code, "  train: 1 empty text dropped" in said.out.splitlines()) == (4, True)
