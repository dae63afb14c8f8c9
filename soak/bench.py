"""What all trials share: the server, the setting, and for each subject the run that nothing disturbed."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soak.orders import Fault
from soak.results import difference, result
from soak.setting import SUBJECTS, Setting, make_setting
from soak.trials import Child, Ended, Server


class Broken(Exception):
    """A promise did not hold; says in what way."""


@dataclass(frozen=True)
class Reference:
    """An uninterrupted run."""

    ended: Ended
    result: Mapping[str, Any]

    @property
    def steps(self) -> int:
        """Its updates."""
        return self.ended.counts["training"]


@dataclass(frozen=True)
class Place:
    """The folder of one trial: a cache and an output of its own, as the command sees them."""

    bench: Bench
    folder: Path

    @property
    def output(self) -> Path:
        """Where runs go."""
        return self.folder / "out"

    @property
    def cache(self) -> Path:
        """The teachers' answers."""
        return self.folder / "cache"

    def start(self, subject: str, *, fault: Fault | None = None, save_always: bool = True) -> Child:
        """Start the command that trains a subject."""
        return self.run(self.bench.setting.words(subject, self.output), fault=fault, save_always=save_always)

    def run(self, words: Sequence[str], *, fault: Fault | None = None, save_always: bool = False) -> Child:
        """Start any command."""
        variables = {"DKD_CACHE": str(self.cache)}
        return self.bench.server.start(words, self.folder, variables, save_always=save_always, fault=fault)


class Bench:
    """Made once for all trials; a trial may run in any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.setting: Setting = make_setting(folder / "setting")
        (folder / "orders").mkdir()
        self.server = Server(folder / "orders")
        self._references: dict[str, Reference] = {}
        self._made: set[str] = set()
        self._making = threading.RLock()
        made = self.server.start(
            ("train-teacher", str(self.setting.teachers_recipe), "--quiet"), self.setting.folder, {}
        ).wait()
        _require(made, 0, "the teachers were not made")

    def place(self, name: str) -> Place:
        """An empty place."""
        folder = self.folder / "trials" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return Place(self, folder)

    def reference(self, subject: str) -> Reference:
        """The undisturbed run of a subject, made when it is first asked for."""
        with self.making(f"reference-{subject}") as (place, new):
            if new:
                ended = place.start(subject).wait()
                _require(ended, 0, f"{subject} does not even run undisturbed")
                self._references[subject] = Reference(ended, result(place.output))
            return self._references[subject]

    def same(self, output: Path, subject: str) -> None:
        """What was made in `output` is what the undisturbed run makes.

        Raises:
            Broken: where it is not.
        """
        differs = difference(self.reference(subject).result, result(output))
        if differs is not None:
            raise Broken(differs)

    def finish(self, place: Place, subject: str, *, begun: Sequence[int] = ()) -> Ended:
        """Give the same command again: it must end as if nothing had happened.

        Args:
            place: where it was interrupted.
            subject: what was trained.
            begun: the updates that each run begun there before had begun; none: not to be counted.

        Raises:
            Broken: where it does not.
        """
        ended = place.start(subject).wait()
        _require(ended, 0, "the same command again")
        self.same(place.output, subject)
        expected = self.reference(subject)
        for before, after in zip(expected.ended.trained, ended.trained, strict=False):
            # Dice that are not thrown any more may lie anywhere.
            loose = {"random state"} if ended.counts["training"] == 0 else set()
            parted = [name for name in before.keys() - loose if before[name] != after[name]]
            if parted:
                raise Broken(f"{' and '.join(parted)} differ at the end of the training")
        if begun:
            lost = sum(begun) + ended.counts["training"] - expected.steps
            if lost > len(begun):
                raise Broken(f"{lost} updates were made twice, with a checkpoint after each")
        return ended

    @contextmanager
    def making(self, name: str) -> Iterator[tuple[Place, bool]]:
        """A place that several trials copy, and whether it is new; one of them makes it, the others wait."""
        with self._making:
            new = name not in self._made
            yield self.place(name) if new else Place(self, self.folder / "trials" / name), new
            self._made.add(name)

    def close(self) -> None:
        """End the server."""
        self.server.close()


def _require(ended: Ended, status: int, what: str) -> None:
    if ended.status != status:
        raise Broken(f"{what}: ended with {ended.status}, not {status}: {ended.last_lines}")


def dice(promise: str, number: int) -> random.Random:
    """The same for the same trial, whenever it is run."""
    return random.Random(f"{promise} {number}")


def in_turn(number: int) -> str:
    """A subject for the n-th trial."""
    subjects = list(SUBJECTS)
    return subjects[number % len(subjects)]
