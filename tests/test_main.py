"""How the process ends: as Python ends, or, among several, without taking the interpreter apart."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ENDING = """
import atexit, sys
from dkd_cli.__main__ import main

class Late:
    def __del__(self):
        print("taken apart")

late = Late()
atexit.register(print, "tidied up")
sys.argv = ["dkd", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize(("processes", "said"), [(1, ["tidied up", "taken apart"]), (2, ["tidied up"])])
@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["no-such-command"], 2)])
def test_how_it_ends(processes: int, said: list[str], words: list[str], code: int) -> None:
    environment = os.environ | {"WORLD_SIZE": str(processes)}
    command = [sys.executable, "-c", ENDING, *words]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended.stderr
    assert [line for line in ended.stdout.splitlines() if line in ("tidied up", "taken apart")] == said
