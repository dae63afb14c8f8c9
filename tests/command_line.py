"""Running the command line inside a test."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from dkd_cli.cli import run


@dataclass(frozen=True)
class Said:
    """What a command left behind on the screen."""

    code: int
    out: str
    err: str


def dkd(*words: str | Path) -> int:
    """Run the command line in this process; its exit code."""
    with pytest.raises(SystemExit) as caught:
        run([str(word) for word in words])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def heard(*words: str | Path) -> Said:
    """Likewise, with what it said."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = dkd(*words)
    return Said(code, out.getvalue(), err.getvalue())


def serious(err: str) -> str:
    """Stderr without warnings that a model learnt nothing, as one of two updates may have."""
    lines = err.splitlines(keepends=True)
    return "".join(
        line for line in lines if " learnt nothing: " not in line and " no better than " not in line
    )


def refused(code: int, *words: str | Path, beside: Path | None = None) -> list[str]:
    """The errors of a command that must end with this code, each in the house's form, from their place on.

    `beside`: a folder in which every file must stay as it is; new ones may come.
    """
    before = {} if beside is None else contents(beside)
    said = heard(*words)
    lines = said.err.splitlines()
    assert said.code == code, said
    assert lines
    assert all(re.fullmatch(r"dkd: error: \S.*: .+; .+", line) for line in lines), lines
    assert beside is None or before.items() <= contents(beside).items(), "a file was lost or changed"
    return [line.removeprefix("dkd: error: ") for line in lines]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes, hidden ones too."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
