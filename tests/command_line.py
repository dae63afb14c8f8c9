"""Running the command line inside a test."""

from __future__ import annotations

import contextlib
import io
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
