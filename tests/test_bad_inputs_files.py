"""Files as other programs write them, and labels that are rare, missing or no classes: what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from command_line import refused
from conftest import TinyRecipe

GOOD = "text,label\ngood one,1\nbad one,0\n"

# (the case, the file, what is in it, the rest of the recipe's data section, the line)
BAD: list[tuple[str, str, str | bytes, Mapping[str, Any], str]] = [
    ("empty", "a.csv", "", {}, "a.csv: the file is empty; name one that has rows"),
    (
        "no label in an object",
        "a.jsonl",
        '{"text": "x", "label": 1}\n{"text": "y"}\n',
        {},
        "a.jsonl:2: the label is missing; add it, remove the row, or set data.missing_labels: transfer or "
        "drop",
    ),
    (
        "no text in an object",
        "a.jsonl",
        '{"text": "x", "label": 1}\n{"label": 1}\n',
        {},
        "a.jsonl:2: 'text' is missing; write it as a string, or remove the row",
    ),
    (
        "nothing inside an object",
        "a.jsonl",
        '{"ticket": {"body": "x", "queue": "a"}}\n',
        {"text": "ticket.subject", "label": "ticket.queue"},
        "a.jsonl: there is no column 'ticket.subject'; name one of: ticket.body, ticket.queue",
    ),
    (
        "a name in another case",
        "a.csv",
        "Text,label\nx,1\n",
        {},
        "a.csv: there is no column 'text'; did you mean 'Text'?",
    ),
    (
        "half an archive",
        "a.csv.gz",
        b"\x1f\x8b\x08\x00",
        {},
        "a.csv.gz: not a whole gzip file (Compressed file ended before the end-of-stream marker was "
        "reached); compress it again; it may be cut off",
    ),
    (
        "a workbook by another name",
        "a.csv",
        b"PK\x03\x04",
        {},
        "a.csv: is a zip archive or an Excel workbook, not text; name a workbook .xlsx, or unpack the "
        "archive",
    ),
    (
        "no workbook",
        "a.xlsx",
        "text,label",
        {},
        "a.xlsx: not an Excel workbook (File is not a zip file); save it again as .xlsx",
    ),
    (
        "semicolons, one too many",
        "a.csv",
        "text;label\na, b;1\nc;d;0\ne;1\n",
        {},
        "a.csv:3: 3 columns where the header has 2; put texts that contain semicolons or line breaks in "
        "quotes",
    ),
    (
        "an identifier for a label",
        "a.csv",
        "text,label\n" + "".join(f"text {i},ticket-{i}\n" for i in range(400)),
        {},
        "a.csv: 400 rows, 400 classes: is this the right column?; name the column of the classes in "
        "data.label, or these classes in data.labels",
    ),
    (
        "numbers for classes",
        "a.csv",
        "text,label\n" + "".join(f"text {i},{i / 7:.3f}\n" for i in range(400)),
        {},
        "a.csv: 400 rows, 400 classes: is this the right column?; set data.kind to regression if the labels "
        "are numbers, or name another column in data.label",
    ),
    (
        "no label at all to drop",
        "a.csv",
        "text,label\nx,\ny,\n",
        {"missing_labels": "drop"},
        "a.csv: no row has a label in 'label'; correct data.label, or set data.unlabelled: true",
    ),
    (
        "no label at all",
        "a.csv",
        "text,label\nx,\ny,\n",
        {},
        "a.csv: no row has a label; correct data.label, or set data.unlabelled: true",
    ),
    (
        "fewer examples than classes",
        "a.csv",
        "text,label\n" + "".join(f"text {i} of {i * i},{'abc'[i % 3]}\n" for i in range(60)),
        {"max_train": 2},
        "data.max_train: 2 examples cannot hold 3 classes; raise it, or leave it out",
    ),
]


@pytest.mark.parametrize(
    ("name", "content", "data", "line"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_bad_files(
    name: str,
    content: str | bytes,
    data: Mapping[str, Any],
    line: str,
    tiny_recipe: TinyRecipe,
    workdir: Path,
) -> None:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    recipe = tiny_recipe({"data": {"source": name} | dict(data)})
    code = 2 if line.startswith("data.") else 3
    assert refused(code, "distill", recipe, "--strategy", "none", beside=workdir) == [line]


def test_at_most_five_lines_of_a_kind(tiny_recipe: TinyRecipe, workdir: Path) -> None:
    missing = "".join(f"text {i},{'ab'[i % 2] if i > 90 else ''}\n" for i in range(100))
    Path("a.csv").write_text("text,label\n" + missing)
    lines = refused(3, "distill", tiny_recipe({"data": {"source": "a.csv"}}), "--strategy", "none")
    assert [line.split(": ")[0] for line in lines] == [f"a.csv:{row}" for row in range(2, 7)]
    assert lines[-1].startswith("a.csv:6: the label is missing, and so in 86 more rows; add it,")
    Path("good.csv").write_text(GOOD)
    Path("v.csv").write_text("text,label\n" + "".join(f"text {i},{i}\n" for i in range(200)))
    own = {"source": None, "train": "good.csv", "validation": "v.csv"}
    assert len(refused(3, "distill", tiny_recipe({"data": own}), "--strategy", "none")) == 5
    own["labels"] = [str(i) for i in range(200)]
    assert len(refused(3, "distill", tiny_recipe({"data": own}), "--strategy", "none")) == 5
