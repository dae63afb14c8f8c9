"""`python -m soak`: try what is promised, print a table, write JSON; exits with 1 where one did not hold."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

FOLDER = Path(".soak")


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, metavar="N", help="stop after so many")
    parser.add_argument(
        "--share", type=float, default=1.0, metavar="X", help="make this share of the trials, such as 0.1"
    )
    parser.add_argument(
        "--trials", type=int, metavar="N", help="make so many trials of each promise, in place of a share"
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="keep to what has this in its name; repeatable"
    )
    parser.add_argument("--trial", type=int, metavar="N", help="make this trial alone, again if it was made")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="trials at once")
    parser.add_argument("--fresh", action="store_true", help="forget the trials that were made before")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for progress, results and what broke")
    return parser.parse_args(words)


def trials(usual: int, asked: argparse.Namespace) -> int:
    """Number of trials of a promise that usually gets `usual` of them."""
    if asked.trial is not None:
        return 1
    return math.ceil(usual * asked.share) if asked.trials is None else int(asked.trials)


def main(words: Sequence[str] | None = None) -> int:
    """Try what is asked for."""
    asked = arguments(words)
    deadline = time.monotonic() + asked.minutes * 60
    os.environ["HF_HUB_OFFLINE"] = "1"

    from dkd_cli.files import write_json
    from dkd_cli.report.noise import quiet_libraries
    from dkd_cli.report.terminal import Terminal, duration
    from soak.bench import Bench
    from soak.progress import Progress
    from soak.promises import PROMISES
    from soak.running import run_trials
    from soak.table import rows, show

    quiet_libraries()
    terminal = Terminal()
    chosen = [p for p in PROMISES if asked.only is None or any(part in p.name for part in asked.only)]
    if not chosen:
        raise SystemExit(f"no promise has {' or '.join(asked.only)} in its name")
    planned = {p.name: trials(p.trials, asked) for p in chosen}
    progress = Progress(asked.folder / "progress.json", fresh=asked.fresh)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="dkd-soak-", ignore_cleanup_errors=True) as folder:
        bench = Bench(Path(folder))
        try:
            for promise in chosen:
                numbers = [n for n in range(planned[promise.name]) if not progress.made(promise.name, n)]
                begun = time.monotonic()
                run_trials(
                    bench.place,
                    promise,
                    numbers if asked.trial is None else [asked.trial],
                    progress,
                    jobs=asked.jobs,
                    deadline=deadline,
                    kept=asked.folder / "broken",
                )
                broken, tried = len(progress.broken(promise.name)), progress.tried(promise.name)
                # Trials of an earlier run count too, and there may be more of them than were asked for now.
                planned[promise.name] = max(planned[promise.name], tried)
                terminal.say(
                    f"{promise.name}: {tried} of {planned[promise.name]} tried, "
                    f"{broken} broken; {duration(time.monotonic() - begun)}"
                )
        finally:
            bench.close()
    found = rows(chosen, planned, progress)
    show(terminal, found)
    write_json(asked.folder / "results.json", [asdict(row) | {"kept": row.kept} for row in found])
    return 0 if all(row.kept for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
