"""The report as a real browser shows it: offline, silent, in light, dark and narrow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser import Shot, browser, shown
from report_samples import evaluation

from dkd_cli.report.evaluation_report import evaluation_report
from dkd_cli.report.palette import STRATEGY_COLOURS

PAPER = 718
"""Pixels that a printer has for a line of A4."""
WHOLE = 9000
"""Pixels; more than the report is high in a wide window."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    browser()
    folder = tmp_path_factory.mktemp("report")
    path = folder / "report.html"
    path.write_text(evaluation_report(evaluation(folder / "models")), encoding="utf-8")
    return path


def inked(shot: Shot) -> np.ndarray:
    """The rows of pixels in which anything stands out from the background."""
    paper = shot.pixels[2, 2].astype(np.int16)
    return (np.abs(shot.pixels.astype(np.int16) - paper) > 40).any(axis=(1, 2))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_whole_report_is_drawn_and_asks_for_nothing(report: Path, dark: bool) -> None:
    shot = shown(report, height=WHOLE, dark=dark)
    assert shot.pixels.shape == (WHOLE, 1280, 3)
    assert shot.console == []
    assert shot.requests == []
    assert (shot.pixels[2, 2].max() < 64) == dark
    height = int(np.flatnonzero(inked(shot)).max())
    assert 3500 < height < WHOLE - 50, "all of it, down to its foot"
    # Each strategy has curves, points and labels in its own colour.
    for colour in STRATEGY_COLOURS.values():
        assert shot.near(colour) > 200, colour
    assert shot.near("#0d57a1", 40) > 5000, "the dark field of the confusion"


def test_nothing_is_wider_than_a_phone(report: Path) -> None:
    shot = shown(report, width=500, height=2000)
    assert shot.pixels.shape == (2000, 500, 3)
    margin = shot.pixels[:, -12:].astype(int)
    assert np.abs(margin - shot.pixels[2, 2]).max() < 40, "wide tables and pictures scroll inside the page"
    assert shot.console == []


def test_on_paper_it_is_light_and_nothing_is_cut_off(tmp_path: Path) -> None:
    figures = evaluation(tmp_path / "models", 1)
    for model in figures["evaluations"][0]["models"]:
        model["format"] = f"onnx {model['seed']}"
        if model["role"] == "teacher":
            model["model"] += "_with_a_name_that_can_be_broken_nowhere" * 2
    page = evaluation_report(figures)
    assert page.count("@media print") == 1
    path = tmp_path / "printed.html"
    printed = page.replace("@media print", "@media all").replace("<main", f'<main style="width: {PAPER}px"')
    path.write_text(printed, encoding="utf-8")
    shot = shown(path, width=PAPER + 40, height=2000, dark=True)
    assert shot.pixels[2, 2].min() == 255
    assert shot.pixels[:, PAPER + 20 :].min() == 255
    assert shot.near("#000000") > 2000


def test_the_browser_tells_of_requests_and_errors(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<img src="http://192.0.2.1/x.png"><script>console.error("heard")</script>', encoding="utf-8"
    )
    shot = shown(page, width=400, height=300)
    assert shot.requests == ["http://192.0.2.1/x.png"]
    assert any("heard" in line for line in shot.console)
