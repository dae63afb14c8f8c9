"""The report of an evaluation: every figure has its place, every text is escaped, and it stays small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report_samples import UNKIND, evaluation
from test_page import REQUESTS, Checked

from dkd_cli.report.evaluation_report import evaluation_report

SECTIONS = ["Models", "Classes", "Calibration", "Cascade", "Where they differ", "Speed and cost", "Training"]
PICTURES = (
    *("against speed", "reliability", "F1 of each", "confusion", "cascade", "latency by length"),
    *("training curves", "uncertainty over", "teacher shares"),
)
MOST_BYTES = 3_000_000


def headings(page: str) -> list[str]:
    return [title for title in [*SECTIONS, "How it was made"] if f"<h2>{title}</h2>" in page]


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return evaluation(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def page(figures: Any) -> str:
    return evaluation_report(figures)


def test_every_section_and_picture_is_there(page: str) -> None:
    assert headings(page) == [*SECTIONS, "How it was made"]
    for shown in PICTURES:
        assert shown in page
    assert page.count("<svg ") == len(PICTURES)
    assert len(page.encode()) < MOST_BYTES / 4


def test_texts_of_the_data_are_escaped_and_nothing_is_fetched(page: str) -> None:
    checked = Checked(page)
    assert "script" not in checked.tags
    assert UNKIND in "".join(checked.said)
    assert not REQUESTS.search(page)


def test_it_is_made_of_the_json_alone(figures: Any, page: str) -> None:
    assert evaluation_report(json.loads(json.dumps(figures, allow_nan=False))) == page


@pytest.mark.parametrize(
    ("classes", "students", "timed", "absent"),
    [
        (1, 7, True, {"Classes", "Calibration", "Cascade"}),
        (3, 7, False, {"Speed and cost"}),
        (3, 0, True, {"Cascade", "Where they differ"}),
    ],
    ids=["numbers", "untimed", "no students"],
)
def test_what_there_is_not_is_left_out(
    tmp_path: Path, classes: int, students: int, timed: bool, absent: set[str]
) -> None:
    page = evaluation_report(evaluation(tmp_path, classes, students=students, timed=timed))
    assert set(SECTIONS) - set(headings(page)) == absent
    Checked(page)


def test_many_classes_stay_small(tmp_path: Path) -> None:
    page = evaluation_report(evaluation(tmp_path, 150))
    assert len(page.encode()) < MOST_BYTES / 2
    assert "All 150 classes" in page


def test_several_tasks_are_parts_of_one_page(tmp_path: Path, figures: Any) -> None:
    both = [*figures["evaluations"], *evaluation(tmp_path, 1, students=1)["evaluations"]]
    page = evaluation_report(figures | {"evaluations": both})
    assert page.count('class="part"') == 2
    checked = Checked(page)
    anchors = [name for name in checked.ids if name.endswith("models")]
    assert anchors == ["1-models", "2-models"]
