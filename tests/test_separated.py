"""Separators and quoting are recognised; a file with an error in it keeps its dialect and gets its line."""

from __future__ import annotations

import csv
import io

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dkd_cli.reading.separated import Dialect, encloses, recognise, records

COMMA, TABS = Dialect(","), Dialect("\t", quoted=False)


def lines(content: str) -> io.StringIO:
    return io.StringIO(content, newline="\n")


def rows(content: str, usual: str = ",") -> list[list[str]]:
    dialect = recognise(lines(content), usual)
    return [record for _, record in records(lines(content), "a", dialect)]


@pytest.mark.parametrize(
    ("content", "dialect"),
    [
        ("text,label\na;b,x\n", COMMA),
        ("text;label\na, b;x\n", Dialect(";")),
        ("text|label\na|x\n", Dialect("|")),
        ('id;text;label\n7;"a; ""b""\nc, d";x\n', Dialect(";")),
        ("text\tlabel\na, b\tx\n", TABS),
        ("sep=;\ntext;label\na;x\n", Dialect(";", skipped=1)),
        ("SEP=,\r\ntext,label\r\na,x\r\n", Dialect(",", skipped=1)),
        ("sep=\t\ntext\tlabel\na\tx\n", Dialect("\t", quoted=False, skipped=1)),
        ('id, text, label\n1, "a, b", x\n', Dialect(",", spaced=True)),
        ('text, label\n"a, b", x\n', COMMA),
        ("\ntext;label\na;x\n", Dialect(";")),
        # one column
        ("text\na; b\n", COMMA),
        ("text; tweets\na\nb\n", COMMA),
        # an error somewhere is no other dialect
        ("text,label\na,b;c,x\nd,y\n", COMMA),
        ("text;label\na;x\nb;c;y\nd;z\n", Dialect(";")),
        ('text,label\na,x\n"open,y\n', COMMA),
        # the header has a comma, the rows tell
        ("text;label, if known\na;x\nb;y\n", Dialect(";")),
        ("", COMMA),
    ],
)
def test_dialects(content: str, dialect: Dialect) -> None:
    assert recognise(lines(content), ",") == dialect


def test_a_quote_that_the_sample_cuts_off_does_not_hide_the_separator() -> None:
    long = "\n".join(f"line {number}" for number in range(100))
    assert recognise(lines(f'text;label\na;x\n"{long}";y\n'), ",") == Dialect(";")


def test_spaces_around_names_are_dropped_and_those_in_texts_stay() -> None:
    assert rows(" text , label\n a b ,x\n") == [["text", "label"], [" a b ", "x"]]


GLUE = [
    'text\tlabel\n"quoted" at the start\t1\n',
    'text\tlabel\n"all of it"\t1\n',
    'text\tlabel\n5" disks\t1\n',
    'text\tlabel\n"open\t1\nclosed"\t0\n',
    'text\tlabel\n"doubled "" inside"\t1\nit\'s 5" long\t0\n',
    "text\tlabel\nno quote\t1\n",
]


@pytest.mark.parametrize("content", GLUE)
def test_quotes_of_glue_belong_to_the_texts(content: str) -> None:
    assert not encloses(lines(content), "\t")
    assert rows(content, "\t") == [line.split("\t") for line in content.splitlines()]


ENCLOSED = [
    ('text\tlabel\n"he said ""yes"" twice"\t1\nno quote\t0\n', 'he said "yes" twice'),
    ('text\tlabel\n"a\ttab"\t1\n', "a\ttab"),
    ('text\tlabel\n"two\nlines"\t1\none\t0\n', "two\nlines"),
    ('"text"\t"label"\n"as R writes it"\t1\n', "as R writes it"),
]


@pytest.mark.parametrize(("content", "text"), ENCLOSED)
def test_quotes_of_pandas_and_r_enclose(content: str, text: str) -> None:
    assert encloses(lines(content), "\t")
    assert rows(content, "\t")[1][0] == text


CELL = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), max_size=8)


@settings(max_examples=100, deadline=None)
@given(
    texts=st.lists(st.one_of(CELL, st.sampled_from(['"', '""', '"a"', "a\tb", "a\nb"])), min_size=1),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    separator=st.sampled_from([",", ";", "\t"]),
)
def test_what_pandas_writes_is_read_back(texts: list[str], quoting: int, separator: str) -> None:
    frame = pandas.DataFrame({"text": texts, "label": range(len(texts))})
    content = frame.to_csv(sep=separator, index=False, quoting=quoting, lineterminator="\n")
    ambiguous = separator == "\t" and any("\n" in text and "\t" in text for text in texts)
    if not ambiguous:  # a line inside a text that is a whole row by itself: as GLUE's would be
        assert [row[0] for row in rows(content, separator)[1:]] == texts
