"""A teacher's paid answers on disk: one append-only file for each endpoint, model, prompt and way of asking.

Answers cost money, so this is no cache: nothing here is ever evicted, and `dkd cache clear` leaves it alone.
A line is written and synced before what it records counts: `asked` before a request is sent, `answer` before
the next request of the same slot. So after a kill at any point it is known what was answered and what was in
flight. All recipes that ask the same share the file. Knows nothing about requests, prompts or probabilities.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dkd_cli.errors import SystemProblem
from dkd_cli.files import sync_folder, write_json
from dkd_cli.labelling.replies import Answer

FILE, FACTS, LOCK = "answers.jsonl", "source.json", "lock"
SEAL = ', "crc": '

Record = dict[str, Any]


def answers_root() -> Path:
    """The folder of all answers: $DKD_ANSWERS, else `dkd/answers` in $XDG_DATA_HOME or ~/.local/share."""
    given = os.environ.get("DKD_ANSWERS")
    if given:
        return Path(given).expanduser()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "dkd" / "answers"


def digest(value: Any) -> str:
    """16 hex digits of the SHA-256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def text_key(text: str, pair: str | None) -> str:
    """The address of a text within a file of answers: 32 hex digits of its SHA-256."""
    return hashlib.sha256(json.dumps([text, pair]).encode()).hexdigest()[:32]


@dataclass
class Spending:
    """Answers that one labelling run has paid for."""

    made: int = 0
    """Requests that may have been billed: all that were sent but those refused unbilled."""
    lost: int = 0
    """Of these, requests that were never answered: in flight at a kill, timed out or broken off."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    worst: float = 0.0
    """Upper bound of the cost of requests that were lost, or whose replies named none."""


@dataclass
class Ledger:
    """Lines of a file of answers."""

    answers: dict[str, Answer] = field(default_factory=dict)
    """By text key."""
    unparsed: Counter[str] = field(default_factory=Counter)
    """Replies without a class, by text key."""
    nones: Counter[str] = field(default_factory=Counter)
    """Of these, replies that no class of the shortlist fits."""
    spending: dict[str, Spending] = field(default_factory=dict)
    """By labelling run."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    counted: int = 0
    """Replies that said how many tokens they took, and their sums."""
    _open: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Count one line."""
        key, run = record["key"], record["run"]
        spent = self.spending.setdefault(run, Spending())
        open_requests = self._open.setdefault((run, key), [])
        if record["kind"] == "asked":
            spent.made += 1
            spent.lost += 1
            spent.worst += record["worst"]
            open_requests.append(record["worst"])
            return
        used = record.get("tokens")
        if open_requests:
            spent.lost -= 1
            worst = open_requests.pop()
            spent.worst -= worst if used is not None or record["kind"] == "unbilled" else 0.0
        if record["kind"] == "unbilled":
            spent.made -= 1
            return
        if used is not None:
            spent.prompt_tokens += used[0]
            spent.completion_tokens += used[1]
            self.prompt_tokens += used[0]
            self.completion_tokens += used[1]
            self.counted += 1
        if record["kind"] == "unparsed":
            self.unparsed[key] += 1
            self.nones[key] += bool(record.get("none"))
        elif record["kind"] == "answer":
            self.answers.setdefault(key, Answer(record.get("logprobs"), record.get("votes") or {}))


def read_ledger(folder: Path, warn: Callable[[str], None]) -> Ledger:
    """Read a folder's answers without changing it; an empty ledger where there are none."""
    ledger = Ledger()
    for record in _records(folder / FILE, warn)[0]:
        ledger.take(record)
    return ledger


class AnswerStore:
    """One file of answers, open for writing by this process alone.

    Args:
        folder: its own folder below `answers_root()`.
        facts: what was asked, in words, written beside the answers.
        warn: for damaged lines.

    Raises:
        SystemProblem: another process writes there, or the folder cannot be written.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any], warn: Callable[[str], None]) -> None:
        self.folder = folder
        remedy = "name another folder in $DKD_ANSWERS, or free this one"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / LOCK)
            self._lock.acquire(timeout=0)
        except Timeout:
            problem = "another process is asking the same endpoint with the same prompt"
            raise SystemProblem(str(folder), problem, "wait until it ends; its answers are shared") from None
        except OSError as error:
            raise SystemProblem(str(folder), f"cannot be written ({error.strerror})", remedy) from None
        try:
            if not (folder / FACTS).exists():
                write_json(folder / FACTS, dict(facts))
            records, whole = _records(folder / FILE, warn)
            self.ledger = Ledger()
            for record in records:
                self.ledger.take(record)
            self._handle = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.ftruncate(self._handle, whole)  # a line that a crash left half
            os.fsync(self._handle)
            sync_folder(folder)
        except OSError as error:
            self._lock.release()
            raise SystemProblem(str(folder), f"cannot be written ({error.strerror})", remedy) from None

    def append(self, records: Iterable[Record]) -> None:
        """Write records, sync them, and only then count them."""
        listed = list(records)
        if not listed:
            return
        data = b"".join(map(_line, listed))
        while data:
            data = data[os.write(self._handle, data) :]
        os.fdatasync(self._handle)
        for record in listed:
            self.ledger.take(record)

    def close(self) -> None:
        """Let other processes write."""
        os.close(self._handle)
        self._lock.release()


def _line(record: Record) -> bytes:
    body = json.dumps(record, ensure_ascii=True)
    return f"{body[:-1]}{SEAL}{zlib.crc32(body.encode())}}}\n".encode()


def _records(path: Path, warn: Callable[[str], None]) -> tuple[list[Record], int]:
    """(the undamaged records, the bytes up to the last whole line)."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise SystemProblem(
            str(path), f"cannot be read ({error.strerror})", "check its permissions"
        ) from None
    whole = content.rfind(b"\n") + 1
    records, damaged = [], 0
    for record in map(_record, _lines(content, whole)):
        if record is None:
            damaged += 1
        else:
            records.append(record)
    if damaged:
        warn(f"{path}: {damaged} damaged lines are left aside; what they answered is asked again")
    return records, whole


def _lines(content: bytes, whole: int) -> Iterator[bytes]:
    return iter(content[:whole].splitlines())


def _record(line: bytes) -> Record | None:
    """A line's record; None where its checksum or form is wrong."""
    head, seal, tail = line.rpartition(SEAL.encode())
    body = head + b"}"
    if not seal or tail != f"{zlib.crc32(body)}}}".encode():
        return None
    try:
        record = json.loads(body)
    except ValueError:
        return None
    return record if isinstance(record, dict) and {"kind", "key", "run"} <= record.keys() else None
