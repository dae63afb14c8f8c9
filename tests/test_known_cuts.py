"""Thresholds of a model of several labels: its own, fitted ones, or 0.5."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dkd_cli.evaluation.known_cuts import HALF, cuts_in, find_cuts

NAMES = ("calm", "loud")
LOGITS = [[3.0, -1.0], [1.0, 2.0], [-1.0, 0.5]]
LABELS = [[1, 0], [0, 1], [0, 1]]


def calibrated(folder: Path, names: tuple[str, ...] = NAMES) -> Path:
    content = {"temperature": 2.0, "thresholds": dict.fromkeys(names, 0.8)}
    (folder / "calibration.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_thresholds_of_the_folder_come_first(tmp_path: Path) -> None:
    found = find_cuts(calibrated(tmp_path), "multi-label", NAMES, LOGITS, LABELS)
    assert found.origin == "those of its calibration.json"
    assert found.cuts == pytest.approx(np.full(2, 2 * np.log(0.8 / 0.2)))
    assert cuts_in(tmp_path, ("calm", "quiet")) is None


@pytest.mark.parametrize("names", [None, ("calm", "quiet")])
def test_without_its_own_they_are_fitted(tmp_path: Path, names: tuple[str, ...] | None) -> None:
    folder = None if names is None else calibrated(tmp_path, names)
    found = find_cuts(folder, "multi-label", NAMES, LOGITS, LABELS)
    assert found.origin == "fitted on validation"
    assert found.cuts is not None
    assert ((np.asarray(LOGITS) > found.cuts) == np.asarray(LABELS)).all()


def test_without_labels_one_half_decides() -> None:
    found = find_cuts(None, "multi-label", NAMES, LOGITS)
    assert (found.cuts, found.origin) == (None, HALF)


def test_one_class_has_no_thresholds(tmp_path: Path) -> None:
    found = find_cuts(calibrated(tmp_path), "classification", NAMES, LOGITS, LABELS)
    assert (found.cuts, found.origin) == (None, None)
