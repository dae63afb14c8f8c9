"""`dkd cache`: what is kept of teachers' answers and tokenised texts, and its removal.

Loads no model and no torch.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePath

from dkd_cli.engine.cache.entries import Cache, EntryFacts, open_cache
from dkd_cli.engine.runs.disk_space import size
from dkd_cli.errors import SystemProblem
from dkd_cli.report.terminal import Terminal
from dkd_cli.wording import counted

SECONDS_A_DAY = 86_400.0
UNKNOWN = "?"
"""Of an entry whose description is damaged."""
IS_OFF = "the cache is off (DKD_CACHE=off)"


def show_cache(terminal: Terminal, *, as_json: bool) -> None:
    """Print a table of the entries, or all figures as JSON."""
    cache = open_cache(terminal.warn)
    if cache is None:
        _say_it_is_off(terminal, as_json)
        return
    entries = cache.entries()
    if as_json:
        _print_json(cache, entries)
        return
    rows = [
        [
            _short(_teacher(entry)),
            _kept(entry),
            entry.facts.get("precision") if entry.facts else UNKNOWN,
            str(entry.rows),
            size(entry.size),
            str(entry.hits),
            f"{datetime.fromtimestamp(entry.last_used):%Y-%m-%d %H:%M}",
        ]
        for entry in entries
    ]
    if rows:
        columns = ["of", "kept", "precision", "rows", "size", "hits", "last used"]
        terminal.table("answers of teachers, and tokens", columns, rows)
    terminal.say(
        f"{counted(len(entries), 'entry')}, {total_size(entries)} of {size(cache.limit)} in {cache.root}"
    )


def clear_cache(older_than: float, terminal: Terminal) -> None:
    """Remove the entries that were not used for so many days, and say what went.

    Raises:
        SystemProblem: if the cache cannot be written.
    """
    cache = open_cache(terminal.warn)
    if cache is None:
        terminal.say(IS_OFF)
        return
    try:
        removed, used = cache.clear(time.time() - older_than * SECONDS_A_DAY)
    except OSError as error:
        raise SystemProblem(
            str(cache.root), f"cannot be cleared ({error.strerror})", "see who owns it, or set DKD_CACHE"
        ) from error
    for entry in removed:
        terminal.say(f"removed {_kept(entry)} of {_teacher(entry)}: {entry.rows} rows")
    for entry in used:
        terminal.say(f"left {_kept(entry)} of {_teacher(entry)}: a running command uses it")
    terminal.say(f"{total_size(removed)} removed from {cache.root}")


def total_size(entries: Sequence[EntryFacts]) -> str:
    """The size of all of them together."""
    return size(sum(entry.size for entry in entries))


def _teacher(entry: EntryFacts) -> str:
    return str(entry.facts.get("teacher", UNKNOWN))


def _kept(entry: EntryFacts) -> str:
    if entry.facts.get("kept") != "hidden states":
        return str(entry.facts.get("kept", UNKNOWN))
    layers = ", ".join(map(str, entry.facts["layers"]))
    where = "" if entry.facts["positions"] == "all" else ", first token"
    return f"hidden states {layers}{where}"


def _short(teacher: str) -> str:
    """A folder's last two names: the whole path would fill the line."""
    return str(PurePath(*PurePath(teacher).parts[-2:]))


def _say_it_is_off(terminal: Terminal, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"folder": None, "entries": []}) + "\n")
    else:
        terminal.say(IS_OFF)


def _print_json(cache: Cache, entries: Sequence[EntryFacts]) -> None:
    figures = {
        "folder": str(cache.root),
        "limit": cache.limit,
        "size": sum(entry.size for entry in entries),
        "entries": [
            {
                "folder": str(entry.folder),
                **entry.facts,
                "rows": entry.rows,
                "size": entry.size,
                "hits": entry.hits,
                "last_used": entry.last_used,
            }
            for entry in entries
        ],
    }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
