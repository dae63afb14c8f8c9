"""`dkd`, ended where the first training step begins: prints the machine's clock and leaves."""

from __future__ import annotations

import os
import sys
import time

from dkd_cli.cli import run
from dkd_cli.engine.training.trainer import DistillationTrainer


def leave(*args: object, **settings: object) -> None:
    """In place of the loss."""
    print(time.monotonic(), flush=True)
    os._exit(0)


if __name__ == "__main__":
    DistillationTrainer.compute_loss = leave  # type: ignore[method-assign]
    run(sys.argv[1:])
