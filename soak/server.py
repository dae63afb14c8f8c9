"""A process that has imported everything once, and forks a child for each trial: `python -m soak.server`.

It reads orders from a socket, each with the pipe that the child prints to, and answers with the child's
number or, asked for it, with how the child ended. It has computed nothing, so that a child starts like a
process of its own. Needs Linux.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
from typing import Any

from soak.child import become
from soak.orders import Fault, Order

LONGEST = 2**16
"""No order has more bytes."""
MODULES = (
    "transformers.trainer",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.bert.modeling_bert",
    "datasets",
    "pyarrow.parquet",
    "sklearn.metrics",
    "scipy.stats",
    "yaml",
    "rich.progress",
    "rich.table",
    "dkd_cli.cli.app",
    "dkd_cli.commands.distill",
    "dkd_cli.commands.evaluate",
    "dkd_cli.commands.recipes",
    "dkd_cli.commands.select_data",
    "dkd_cli.commands.train_teacher",
    "dkd_cli.recipe.overrides",
)


def serve(control: socket.socket) -> None:
    """Import, then answer until nobody asks any more; children that still live end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from dkd_cli.report.noise import quiet_libraries

    quiet_libraries()
    for module in MODULES:
        importlib.import_module(module)
    living: set[int] = set()
    # What is there now stays shared with every child.
    gc.collect()
    gc.freeze()
    answer(control, {"ready": os.getpid()})
    while True:
        question, pipes, _, _ = socket.recv_fds(control, LONGEST, 1)
        if not question:
            break
        asked = json.loads(question)
        if "reap" in asked:
            _, status = os.waitpid(asked["reap"], 0)
            living.discard(asked["reap"])
            answer(control, {"status": os.waitstatus_to_exitcode(status)})
            continue
        fault = asked.pop("fault")
        order = Order(**asked, fault=Fault(**fault) if fault else None)
        child = os.fork()
        if child == 0:
            control.close()
            become(order, *pipes)
        for pipe in pipes:
            os.close(pipe)
        living.add(child)
        answer(control, {"child": child})
    for child in living:
        os.kill(child, signal.SIGKILL)


def answer(control: socket.socket, value: dict[str, Any]) -> None:
    """Send one message."""
    control.send(json.dumps(value).encode())


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
