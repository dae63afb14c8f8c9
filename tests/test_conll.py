"""CoNLL files: columns, sentences, and lines that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from dkd_cli.errors import DataError, Problems
from dkd_cli.reading.conll import tagged_words
from dkd_cli.reading.readers import read_table


def test_four_columns_documents_and_empty_lines(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- -X- O\n\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n \n# NN O O\n"
    (tmp_path / "a.CONLL").write_text(text, encoding="utf-8")
    table = read_table(tmp_path / "a.CONLL", "a.CONLL", "ner_tags")
    assert table.columns["tokens"] == [["EU", "rejects"], ["#"]]
    assert table.columns["column2"] == [["NNP", "VBZ"], ["NN"]]
    assert table.columns["ner_tags"] == [["B-ORG", "O"], ["O"]]
    assert [table.where(row) for row in range(2)] == ["a.CONLL:4", "a.CONLL:8"]


def test_tabs_separate_where_there_are_any() -> None:
    table = tagged_words("New York\tB-LOC\r\nis\tO\r\n", "a.bio")
    assert table.columns["tokens"] == [["New York", "is"]]


def test_only_line_breaks_end_a_line_and_only_spaces_a_word() -> None:
    table = tagged_words("10\u00a0000 O\na\u2028b\x85c\x0cd O\r\rAda  B-PER \n", "a.conll")
    assert table.columns["tokens"] == [["10\u00a0000", "a\u2028b\x85c\x0cd"], ["Ada"]]
    assert table.lines == [1, 4]


def test_a_document_ends_a_sentence() -> None:
    table = tagged_words("Ada B-PER\n-DOCSTART- O\nGrace B-PER\n", "a.conll")
    assert table.columns["tokens"] == [["Ada"], ["Grace"]]


def test_lines_of_other_widths_are_named() -> None:
    with pytest.raises(Problems) as caught:
        tagged_words("Ada B-PER\nmet\nGrace B-PER X\n", "a.conll")
    assert [str(one) for one in caught.value.errors] == [
        "a.conll:2: 1 column where 2 are expected; write a word and its tag, and an empty line after each "
        "sentence",
        "a.conll:3: 3 columns where 2 are expected; write a word and its tag, and an empty line after each "
        "sentence",
    ]


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.bio").write_text("\n\n", encoding="utf-8")
    with pytest.raises(DataError, match="the file is empty"):
        read_table(tmp_path / "a.bio", "a.bio", "ner_tags")
