"""Pictures stand inside a page: in its colours, with text as text, the same each time."""

from __future__ import annotations

import subprocess
import sys
import warnings
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkd_cli.report.drawing import label_points, spread, svg
from dkd_cli.report.interval_plot import Interval, interval_plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(figure: Figure) -> None:
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#0f79c4")
    axes.set_title("<b>$10 & 漢字")
    label_points(axes, [(0.5, 0.5, "first", "#0f79c4"), (0.5, 0.5, "second", "#0f79c4")])


def test_a_picture_takes_the_pages_colours_and_keeps_text() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a glyph that matplotlib's fonts lack is no news to the user
        picture = svg(draw, width=4, height=3, label='a "label" <b>')
    assert picture.startswith('<svg role="img" aria-label="a &#34;label&#34; &lt;b&gt;"')
    assert picture.endswith("</svg>")
    assert "&lt;b&gt;$10 &amp; 漢字" in picture
    assert "currentColor" in picture.replace("currentcolor", "currentColor")
    assert "#010203" not in picture
    assert "<metadata" not in picture
    assert picture == svg(draw, width=4, height=3, label='a "label" <b>')


def test_two_pictures_share_no_id_that_means_two_things() -> None:
    first = svg(draw, width=4, height=3, label="a")
    assert ' id="figure' not in first
    assert ' id="axes' not in first


@given(places=st.lists(st.floats(-100, 100), max_size=12), gap=st.floats(0.1, 10))
def test_labels_are_spread_in_their_order(places: list[float], gap: float) -> None:
    moved = spread(places, gap)
    ranked = sorted(range(len(places)), key=lambda i: (places[i], i))
    for one, following in pairwise(ranked):
        assert moved[following] - moved[one] >= gap - 1e-6
    assert sum(moved) == pytest.approx(sum(places), abs=1e-6), "no drift to one side"


def test_labels_that_do_not_meet_stay_where_they_are() -> None:
    assert spread([3.0, 1.0, 9.0], 1.0) == [3.0, 1.0, 9.0]


def test_matplotlib_comes_with_the_first_picture() -> None:
    script = (
        "import sys; from dkd_cli.report import evaluation_report, page; print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("labels", [["a over b"], ["a", "<script>x</script>", "c"]])
def test_intervals_have_a_line_each(labels: list[str]) -> None:
    picture = interval_plot([Interval(label, -1.0, 0.5, 2.0, True) for label in labels], "points")
    assert picture.count("#0f79c4") >= 2 * len(labels)
    assert "<script" not in picture
