"""Starting children by way of the server, and what became of them."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from soak.child import blank_counters, read_counters
from soak.orders import Fault, Order
from soak.server import LONGEST

SECONDS = 120.0
"""A trial that takes longer hangs."""
ALONE = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
}
"""What the server is started with: one thread, no hub, no accelerator."""


@dataclass(frozen=True)
class Ended:
    """What became of a child."""

    status: int
    """Its exit code, or minus the signal that ended it."""
    output: str
    counts: Mapping[str, int]
    trace: Sequence[str]
    """The operations on files, in order; empty where it was killed."""
    trained: Sequence[Mapping[str, str]]
    """Digests of the state at the end of each training, by name."""
    seconds: float

    @property
    def last_lines(self) -> str:
        """For a report."""
        return " | ".join(self.output.strip().splitlines()[-3:])[-600:]


class Hangs(Exception):
    """A child was still at work after `SECONDS`; it was killed."""


class Child:
    """A process at work."""

    def __init__(self, server: Server, number: int, order: Order, pipe: int) -> None:
        self._server, self._order, self._pipe = server, order, pipe
        self.number = number
        self._started = time.monotonic()
        self._output = b""

    def send(self, what: int) -> None:
        """Send it a signal. It is not reaped before `wait`, so that the number is its own."""
        os.kill(self.number, what)

    def works(self, seconds: float) -> bool:
        """Whether it is still at work after so many seconds; takes what it prints meanwhile."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            ready, _, _ = select.select([self._pipe], [], [], max(0.0, left))
            if not ready:
                return True
            part = os.read(self._pipe, 2**16)
            if not part:
                return False
            self._output += part

    def wait(self, seconds: float = SECONDS) -> Ended:
        """What became of it.

        Raises:
            Hangs: if it is still at work then.
        """
        hangs = self.works(max(0.0, seconds - (time.monotonic() - self._started)))
        if hangs:
            self.send(signal.SIGKILL)
        status = self._server.reap(self.number)
        os.close(self._pipe)
        output = self._output.decode("utf-8", "replace")
        if hangs:
            raise Hangs(f"still at work after {seconds:.0f} s: {output[-300:]}")
        report = Path(self._order.report)
        told: dict[str, Any] = {"trace": (), "trained": ()}
        if report.exists():  # not where it was killed
            told = json.loads(report.read_text(encoding="utf-8"))
        return Ended(
            status,
            output,
            read_counters(Path(self._order.counters)),
            told["trace"],
            told["trained"],
            time.monotonic() - self._started,
        )


class Server:
    """The process that forks; may be asked from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asking = threading.Lock()
        self._names = itertools.count(1)
        # Whole messages, and an end that is told from both sides.
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "soak.server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **ALONE},
                # A Ctrl-C is for the soak, which then ends the server.
                start_new_session=True,
            )
        self._hear()

    def start(
        self,
        words: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        *,
        save_always: bool = False,
        fault: Fault | None = None,
    ) -> Child:
        """Start `dkd` with these words in a folder of its own."""
        base = self._folder / f"order-{next(self._names)}"
        counters = base.with_suffix(".counters")
        blank_counters(counters)
        order = Order(
            words=tuple(words),
            folder=str(folder),
            variables=dict(variables),
            counters=str(counters),
            report=str(base.with_suffix(".json")),
            save_always=save_always,
            fault=fault,
        )
        ours, theirs = os.pipe()
        try:
            number = self._ask(asdict(order), theirs)["child"]
        finally:
            # Only the child's copy is left: when it ends, so does what it prints.
            os.close(theirs)
        return Child(self, number, order, ours)

    def reap(self, number: int) -> int:
        """The exit code of a child that has ended, or is about to; minus the signal that ended it."""
        return int(self._ask({"reap": number})["status"])

    def close(self) -> None:
        """End it, and whatever it has started."""
        self._control.close()
        self._process.wait()

    def _ask(self, question: Mapping[str, Any], *pipes: int) -> dict[str, Any]:
        with self._asking:
            socket.send_fds(self._control, [json.dumps(question).encode()], pipes)
            return self._hear()

    def _hear(self) -> dict[str, Any]:
        heard = self._control.recv(LONGEST)
        if not heard:
            raise RuntimeError("the server has ended")
        answer: dict[str, Any] = json.loads(heard)
        return answer
