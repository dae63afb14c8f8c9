"""calibration.json: written once, read back, refused where it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from dkd_cli.errors import DataError
from dkd_cli.evaluation.temperature_file import NAME, Fit, Temperature, read_temperature, write_temperature

FITTED = Temperature(1.75, "validation", 200, Fit(0.1, 0.9), Fit(0.05, 0.8))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_temperature(tmp_path) == 1.0
    write_temperature(tmp_path, FITTED)
    assert read_temperature(tmp_path) == 1.75
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    before = (tmp_path / NAME).stat()
    write_temperature(tmp_path, FITTED)
    assert (tmp_path / NAME).stat().st_ino == before.st_ino, "left alone where it says the same"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"temperature": 0}', '{"temperature": "x"}', "\x00"])
def test_a_damaged_file_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=NAME):
        read_temperature(tmp_path)
