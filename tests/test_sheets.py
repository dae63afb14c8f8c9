"""Excel workbooks: values as they stand, rows by their numbers, and what is wrong with them."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Any

import openpyxl
import pytest

from dkd_cli.errors import DataError
from dkd_cli.reading.sheets import read_workbook
from dkd_cli.reading.tables import Table


def book(**sheets: Sequence[Sequence[Any]]) -> bytes:
    made = openpyxl.Workbook()
    made.remove(made.active)
    for title, rows in sheets.items():
        sheet = made.create_sheet(title)
        for row in rows:
            sheet.append(row)
    buffer = io.BytesIO()
    made.save(buffer)
    return buffer.getvalue()


def read(**sheets: Sequence[Sequence[Any]]) -> Table:
    return read_workbook(book(**sheets), "a.xlsx")


def test_values_stay_what_they_are() -> None:
    table = read(One=[[" text ", "label", None], ["NA", 5.0], [], ["007", 1]])
    assert dict(table.columns) == {"text": ["NA", "007"], "label": [5, 1]}
    assert [table.where(row) for row in range(2)] == ["a.xlsx:2", "a.xlsx:4"]
    assert table.notes == ()


def test_the_first_sheet_with_anything_in_it_is_read_and_the_others_are_named() -> None:
    table = read(Empty=[], Tickets=[["text"], ["a"]], Notes=[["b"]])
    assert dict(table.columns) == {"text": ["a"]}
    assert table.notes == ("a.xlsx: the sheet 'Tickets' is read, 'Notes' not",)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            book(A=[["text", "text"], ["a", "b"]]),
            "a.xlsx:1: the column 'text' appears twice; rename one of them",
        ),
        (book(A=[]), "a.xlsx: the workbook is empty; give it a header and rows"),
        (
            book(A=[["text"]])[:-60],
            "a.xlsx: not an Excel workbook (File is not a zip file); save it again as .xlsx",
        ),
    ],
)
def test_refuses(content: bytes, line: str) -> None:
    with pytest.raises(DataError) as caught:
        read_workbook(content, "a.xlsx")
    assert str(caught.value) == line


def test_without_openpyxl(monkeypatch: pytest.MonkeyPatch) -> None:
    content = book(A=[["text"], ["a"]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DataError) as caught:
        read_workbook(content, "a.xlsx")
    assert str(caught.value) == (
        "a.xlsx: needs openpyxl to be read; pip install 'dkd-cli[excel]', or save it as csv"
    )
