"""A page holds what it is given, escaped, and asks nothing of a network."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from dkd_cli.report.page import (
    Code,
    DisagreementBlock,
    Folded,
    Picture,
    Prose,
    Section,
    TableBlock,
    Tiles,
    html_page,
)
from dkd_cli.report.tables import Column

VOID = {"meta", "br", "path", "use", "image", "rect"}
UNKIND = '<script>alert("x")</script> & co'
REQUESTS = re.compile(r"""(?:src|href)\s*=\s*["'](?!#|data:)|@import|url\((?!#)""")


class Checked(HTMLParser):
    """Collects the text and the tags, and fails on a tag that is closed in the wrong order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.said: list[str] = []
        self.ids: list[str] = []
        self.feed(source)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def whole() -> str:
    table = TableBlock(["name", Column(UNKIND, 2)], [[UNKIND, 0.126], ["b", None]], [UNKIND], marked=[0])
    blocks = [
        Prose(UNKIND),
        Tiles([(UNKIND, UNKIND)]),
        table,
        Picture("<svg></svg>", UNKIND),
        Code(UNKIND),
        DisagreementBlock(UNKIND, [(UNKIND, UNKIND)]),
        Folded(UNKIND, [table]),
    ]
    return html_page(
        UNKIND,
        ["Worth it.", UNKIND],
        [Section("one", UNKIND, blocks, UNKIND)],
        machine={"dkd": "1.0", "taken": "today", UNKIND: UNKIND, "gpu": None},
        made=[Prose(UNKIND)],
        figures=UNKIND,
    )


def test_it_is_well_formed_and_escaped() -> None:
    checked = Checked(whole())
    assert "script" not in checked.tags
    assert "svg" in checked.tags, "pictures are not escaped"
    assert "".join(checked.said).count(UNKIND) == 25
    assert "0.13" in checked.said
    assert "–" in checked.said
    assert "gpu" not in checked.said, "what this machine has not"


def test_it_needs_no_network() -> None:
    assert not REQUESTS.search(whole())
    assert "default-src 'none'" in whole()


def test_columns_of_numbers_are_told_from_words() -> None:
    table = TableBlock(["word", Column("number", 1, " %")], [["a", 1.25], ["b", None]])
    assert table.head == [("word", False), ("number", True)]
    assert table.body == [["a", "1.2 %"], ["b", "–"]]
