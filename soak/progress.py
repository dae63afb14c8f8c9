"""How far a soak has come: written whole after every trial, so that a killed soak goes on where it was."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from dkd_cli.files import write_json


class Progress:
    """For each promise the trials that were made, and what became of them; several threads may add to it.

    Args:
        path: its file.
        fresh: forget what stands there.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self._path = path
        self._adding = threading.Lock()
        self._done: dict[str, dict[str, str | None]] = {}
        if path.exists() and not fresh:
            self._done = json.loads(path.read_text(encoding="utf-8"))

    def made(self, promise: str, number: int) -> bool:
        """Whether a trial was made."""
        return str(number) in self._done.get(promise, {})

    def add(self, promise: str, number: int, broken: str | None) -> None:
        """Note a trial, and what was broken, if anything."""
        with self._adding:
            self._done.setdefault(promise, {})[str(number)] = broken
            write_json(self._path, self._done)

    def tried(self, promise: str) -> int:
        """How many were made."""
        return len(self._done.get(promise, {}))

    def broken(self, promise: str) -> dict[int, str]:
        """What was broken, by the number of the trial."""
        return {int(at): why for at, why in self._done.get(promise, {}).items() if why is not None}
