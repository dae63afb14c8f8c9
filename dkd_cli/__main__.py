"""`python -m dkd_cli`: the same as `dkd`."""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn

from dkd_cli import launch


def main() -> None:
    """Run the command line, and end the process with its code."""
    from dkd_cli.cli import run

    try:
        run()
    except SystemExit as end:
        if launch.processes() == 1:
            raise
        _leave(end.code)


def _leave(code: str | int | None) -> NoReturn:
    """End without taking the interpreter apart, as multiprocessing ends what it has forked.

    Threads that exchanged tensors with other processes may still hold some; on finding the interpreter gone
    they abort, and torchrun takes the whole run, which was done, for failed.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else code is not None)


if __name__ == "__main__":
    main()
