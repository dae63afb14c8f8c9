"""Fuzzed recipes, command lines and data files: no traceback, no hang, no file changed, errors in form.

    python -m soak.fuzz --examples 20000

What is drawn stands in `inputs`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from dkd_cli.cli import run
from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.probabilities import read_probabilities
from dkd_cli.data.sources import load_task_data
from dkd_cli.errors import DkdError, Problems
from dkd_cli.recipe.loader import parse_recipe
from dkd_cli.recipe.schema import Data
from soak.bench import Broken, Place
from soak.inputs import SYLLABLES, DataFile, answer_files, command_lines, data_files, recipe_files
from soak.watch import Touched, at_most, watched

SECONDS = 5.0
IN_A_TRIAL = 1000
LONGEST_LINE = 1500
ERROR = re.compile(r"dkd: error: \S.*?: .+; .+")
RECIPE = "fuzzed.yaml"

Seen = Counter[str]
"""How often each outcome came: `recipe 0`, `data 3`, ..."""


def check_recipe(content: bytes, words: list[str], folder: Path, seen: Seen) -> None:
    """Run one command over one recipe; it may only say yes, or no with its reasons."""
    (folder / RECIPE).write_bytes(content)
    out, err = io.StringIO(), io.StringIO()
    with (
        untouched(folder),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = exit_code(words)
    seen[f"{words[0]} {code}"] += 1
    lines = err.getvalue().splitlines()
    if code == 0:
        assert not lines, lines
        if "--dry-run" in words and "--quiet" not in words and "--help" not in words:
            shown = out.getvalue().split("\n\nwould write ")[0].split("\n\n")[0]
            parse_recipe(shown, "shown")
    else:
        assert code == 2, (code, lines)
        # Who asks for tracebacks gets them, before the lines.
        told = [line for line in lines if line.startswith("dkd: error: ")] if "--debug" in words else lines
        check_lines(told)


def exit_code(words: list[str]) -> Any:
    """What the command line exits with."""
    try:
        run(words)
    except SystemExit as end:
        return end.code


def check_data(file: DataFile, folder: Path, seen: Seen) -> None:
    """Load one data file; what comes out is whole, or there is an error."""
    loaded: list[TaskData] = []
    code = tried(file, folder, lambda: loaded.append(load_task_data(Data(source=file.name, **file.settings))))
    seen[f"data {code}"] += 1
    for data in loaded:
        check_splits(data)


def check_answers(file: DataFile, folder: Path, seen: Seen) -> None:
    """Read one data file as a teacher's probabilities."""
    split = Split("train", [" ".join(SYLLABLES), "fine"], None, [0, 1], ["0" * 16, "1" * 16])
    classes, key = ("no", "yes"), "teachers.large"
    code = tried(file, folder, lambda: read_probabilities(file.name, split, classes, None, key))
    seen[f"answers {code}"] += 1


def tried(file: DataFile, folder: Path, read: Callable[[], object]) -> int:
    """Write the file and read it; the exit code of what was wrong with it, or 0."""
    (folder / file.name).write_bytes(file.content)
    try:
        with untouched(folder), contextlib.chdir(folder):
            read()
    except (DkdError, Problems) as error:
        errors = error.errors if isinstance(error, Problems) else (error,)
        check_lines([f"dkd: error: {one}" for one in errors])
        return error.exit_code
    return 0


def check_splits(data: TaskData) -> None:
    """Every example has a text that can be written down, an id of its own and a label that is a class."""
    assert list(data.splits)[:2] == ["train", "validation"]
    for split in data.splits.values():
        assert len(split) > 0
        assert len(set(split.example_ids)) == len(split)
        for texts in (split.texts, split.text_pairs or ()):
            "".join(texts).encode()
        if split.labels is not None and data.label_names is not None:
            assert set(split.labels) <= set(range(len(data.label_names)))


def check_lines(lines: list[str]) -> None:
    """One line for each error, in the house's form, and never that of a crash."""
    assert lines
    for line in lines:
        assert ERROR.fullmatch(line), line
        assert not line.startswith("dkd: error: dkd: unexpected "), line
        assert len(line) <= LONGEST_LINE, (len(line), line[:200])


@contextlib.contextmanager
def untouched(folder: Path) -> Any:
    """Nothing inside may write, connect, start a process or take too long."""
    before = state(folder)
    started = time.monotonic()
    with watched() as touched, at_most(SECONDS):
        yield
    assert time.monotonic() - started < SECONDS
    assert touched == Touched(), touched
    assert state(folder) == before


def state(folder: Path) -> list[tuple[str, int, int]]:
    """The files of a folder with their sizes and times."""
    found = [(path, path.stat()) for path in sorted(folder.rglob("*"))]
    return [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in found]


def fuzz(examples: int, number: int) -> Seen:
    """Try so many inputs, half of them recipes and command lines, half data files; raises on failure.

    Args:
        examples: how many.
        number: the seed; the same one draws the same inputs.

    Returns:
        How often each outcome came.
    """
    seen: Seen = Counter()
    load_libraries()
    with tempfile.TemporaryDirectory(prefix="dkd-fuzz-") as name:
        folder = Path(name)

        @given(content=recipe_files(), words=command_lines(RECIPE))
        def recipes(content: bytes, words: list[str]) -> None:
            check_recipe(content, words, emptied(folder), seen)

        @given(file=data_files())
        def data(file: DataFile) -> None:
            check_data(file, emptied(folder), seen)

        @given(file=answer_files())
        def answers(file: DataFile) -> None:
            check_answers(file, emptied(folder), seen)

        half, few = examples // 2, examples // 10
        for prop, share in ((recipes, half), (answers, few), (data, examples - half - few)):
            bounded(prop, share, number)()
    return seen


def emptied(folder: Path) -> Path:
    """The same folder, without its files."""
    for path in folder.iterdir():
        path.unlink()
    return folder


def trial(place: Place, number: int) -> None:
    """A part of a soak, in a process of its own: an alarm and a working folder are a whole process's."""
    command = [sys.executable, "-m", "soak.fuzz", "--examples", str(IN_A_TRIAL), "--seed", str(number)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Broken(f"seed {number}: {done.stderr[-2000:]}")


def load_libraries() -> None:
    """Import what the commands import, which takes seconds and writes files of its own."""
    import datasets  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    assert exit_code(["train-teacher", "--dry-run", "--quiet"]) == 0


def bounded(prop: Callable[..., None], examples: int, number: int) -> Callable[[], None]:
    """The property, tried so often, always on the same inputs; nothing is kept between runs."""
    own = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    return seed(number)(own(prop))


def main() -> None:
    """Run it from the command line and say how often each outcome came."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given_ = parser.parse_args()
    started = time.monotonic()
    seen = fuzz(given_.examples, given_.seed)
    print(f"{sum(seen.values())} inputs in {time.monotonic() - started:.0f} s, seed {given_.seed}")
    for outcome, count in sorted(seen.items()):
        print(f"  {outcome:<20}{count}")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
