"""A file is old or new, never half, whatever interrupts the writing."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dkd_cli.files import CellWriter, replacing, write_json, write_text


def test_text_is_written_as_utf_8_into_folders_made_on_the_way(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "naïve.txt"
    write_text(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()


def test_json_is_readable_text(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"name": "größer", "share": 0.5, "none": None})
    text = path.read_text(encoding="utf-8")
    assert "größer" in text
    assert text.endswith("}\n")
    assert json.loads(text) == {"name": "größer", "share": 0.5, "none": None}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_json_is_refused_and_the_old_file_stays(tmp_path: Path, value: float) -> None:
    path = tmp_path / "value.json"
    write_json(path, 1)
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"loss": value})
    assert json.loads(path.read_text()) == 1


def write_half(path: Path) -> None:
    path.write_text("ne")
    raise RuntimeError


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "a surrogate is no text: \ud800")
    with pytest.raises(RuntimeError), replacing(path) as staged:
        write_half(staged)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_is_readable_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    with replacing(path) as staged:
        staged.write_text("new")
        assert path.read_text() == "old"
        assert staged.parent == path.parent, "a rename is atomic within one file system only"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_writing_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "file"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(IsADirectoryError):
        write_text(folder, "text")
    assert list(tmp_path.iterdir()) == [folder]


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from dkd_cli.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as staged:\n"
        "    staged.write_text('ne')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = str(Path(__file__).resolve().parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], env={**os.environ, "PYTHONPATH": root}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_cells_with_any_line_break_are_read_back_as_they_were() -> None:
    rows = [["label", "note"], ["0\r0", "a\nb"], ['"\r\n"', "\t,"], ["", "\r"]]
    for delimiter in (",", "\t"):
        written = io.StringIO(newline="")
        CellWriter(written, delimiter).rows(rows)
        assert list(csv.reader(io.StringIO(written.getvalue(), newline=""), delimiter=delimiter)) == rows
        assert written.getvalue().startswith(f"label{delimiter}note\n")
