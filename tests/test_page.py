"""A page holds what it is given, escaped, and asks nothing of a network."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from dkd_cli.report.page import LEFT, WIDTH, Bar, html_table, html_text, interval_plot, page
from dkd_cli.report.tables import Column

VOID = {"meta", "line", "circle"}
UNKIND = '<script>alert("x")</script> & co'


class Checked(HTMLParser):
    """Collects the text, and fails on a tag that is closed in the wrong order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.said: list[str] = []
        self.feed(source)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def whole() -> str:
    bars = [Bar("a over b", -1.0, 0.5, 2.0, False), Bar(UNKIND, 1.0, 2.0, 3.0, True)]
    table = html_table("t " + UNKIND, ["name", Column("score", 2)], [[UNKIND, 0.126], ["b", None]], [UNKIND])
    return page(UNKIND, ["Worth it.", UNKIND], [table, interval_plot("gains", bars), html_text("r", UNKIND)])


def test_it_is_well_formed_and_escaped() -> None:
    checked = Checked(whole())
    assert "script" not in checked.tags
    text = "".join(checked.said)
    assert text.count(UNKIND) == 8
    assert "0.13" in text
    assert "–" in text


def test_it_needs_no_network() -> None:
    assert not re.search(r"https?:|src=|href=|@import|url\(", whole())


def test_intervals_stand_where_their_values_are() -> None:
    drawn = interval_plot("gains", [Bar("a", -1.0, 1.0, 3.0, False)])
    numbers = {name: float(value) for name, value in re.findall(r'\b(x1|x2|cx)="([\d.]+)" ', drawn)}
    ends = re.search(r'</text><line x1="([\d.]+)" x2="([\d.]+)"', drawn)
    assert ends is not None
    assert [float(end) for end in ends.groups()] == [LEFT, LEFT + WIDTH]
    assert numbers["cx"] == LEFT + WIDTH / 2


@pytest.mark.parametrize("bars", [[], [Bar("a", 0.0, 0.0, 0.0, False)]])
def test_nothing_and_zero_can_be_drawn(bars: list[Bar]) -> None:
    assert interval_plot("gains", bars).count("<circle") == len(bars)
