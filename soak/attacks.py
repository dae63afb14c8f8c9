"""The trials on one run: it is killed, starved of disk, signalled or damaged, and must end as if it were not.

Each takes an empty place and its own number, which decides all that is drawn, and raises `Broken` where a
promise did not hold.
"""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Collection, Sequence
from pathlib import Path

from soak.bench import Broken, Place, dice, in_turn
from soak.orders import Fault
from soak.trials import Ended

REACHES = (0, 0, 1, 700, 5_000, 20_000)
"""Bytes of a file after which a disk is full: none, hardly any, in the middle of the longer ones."""
WRITING = frozenset({"open", "serialize_file", "save", "mkdir"})
"""Operations that a full disk stops, or a kill tears."""
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
ERROR = "dkd: error: "


def killed(place: Place, number: int) -> None:
    """SIGKILL, half of the times before some operation on a file, a fifth of the times once more."""
    roll, subject = dice("killed", number), in_turn(number)
    named = (number + number // 10) % 2 == 0
    begun = []
    for _ in range(2 if roll.random() < 0.2 else 1):
        ended = at_a_point(place, subject, roll) if named else at_a_moment(place, subject, roll)
        begun.append(ended.counts["training"])
        if ended.status == 0:
            return  # a resumed run is shorter: the second kill may come too late
    place.bench.finish(place, subject, begun=begun)


def at_a_point(place: Place, subject: str, roll: random.Random) -> Ended:
    """Killed before an operation on a file, or torn in the middle of writing one."""
    trace = place.bench.reference(subject).ended.trace
    torn = roll.random() < 0.3
    reach = roll.choice(REACHES) if torn else 0
    number = point(trace, roll, WRITING if torn else None)
    fault = Fault(kind="torn" if torn else "kill", at="file", number=number, reach=reach)
    ended = place.start(subject, fault=fault).wait()
    if ended.status not in (0, -signal.SIGKILL, -signal.SIGXFSZ):
        raise Broken(f"{fault}: ended with {ended.status}: {ended.last_lines}")
    return ended


def point(trace: Sequence[str], roll: random.Random, kinds: Collection[str] | None = None) -> int:
    """The number of an operation; each kind is as likely, for few of them are syncs of a shard, say."""
    numbers: dict[str, list[int]] = {}
    for number, operation in enumerate(trace, start=1):
        kind, _, path = operation.partition(" ")
        if kinds is None or kind in kinds:
            # Also by where: the cache, a checkpoint, the finished folder, what is around them.
            numbers.setdefault(f"{kind} {place_kind(path)}", []).append(number)
    return roll.choice(numbers[roll.choice(sorted(numbers))])


def place_kind(path: str) -> str:
    """What part of a trial's folder a path is in."""
    return next((part for part in ("cache/", "checkpoint-", "finished") if part in path), "")


def at_a_moment(place: Place, subject: str, roll: random.Random) -> Ended:
    """Killed from outside, at any moment of the time that the run takes undisturbed."""
    child = place.start(subject)
    if child.works(roll.uniform(0, place.bench.reference(subject).ended.seconds)):
        child.send(signal.SIGKILL)
    return child.wait()


def disk_full(place: Place, number: int) -> None:
    """From some operation on, no file grows any more; then there is room again."""
    roll, subject = dice("full", number), in_turn(number)
    trace = place.bench.reference(subject).ended.trace
    fault = Fault(kind="full", at="file", number=point(trace, roll, WRITING), reach=roll.choice(REACHES))
    ended = place.start(subject, fault=fault).wait()
    refused_in_a_line(ended, str(fault), also_fine=True)
    if ended.status == 0:
        # Only what is kept for later could not be written: the run itself is whole.
        place.bench.same(place.output, subject)
        return
    place.bench.finish(place, subject, begun=[ended.counts["training"]])


def signalled(place: Place, number: int) -> None:
    """SIGTERM or SIGINT in some phase: the right exit code, and no checkpoint but the one it makes then."""
    subject = in_turn(number // 2)
    roll = dice("signalled", number)
    expected = place.bench.reference(subject).ended.counts
    phases = [name for name, count in expected.items() if count]
    # So that few trials have all phases, and many every phase of every subject.
    phase = phases[(number // 2 + number // 20) % len(phases)]
    what = (signal.SIGTERM, signal.SIGINT)[number % 2]
    fault = Fault(kind="signal", at=phase, number=roll.randint(1, max(1, expected[phase] // 2)), signal=what)
    ended = place.start(subject, fault=fault, save_always=False).wait()
    if ended.status == 0 and phase not in ("training", "evaluation", "selection"):
        place.bench.same(place.output, subject)  # nothing was left to stop
        return
    if ended.status != CODES[what] or "Traceback" in ended.output:
        raise Broken(f"{fault}: ended with {ended.status}, not {CODES[what]}: {ended.last_lines}")
    place.bench.finish(place, subject, begun=[ended.counts["training"]])


def damaged(place: Place, number: int) -> None:
    """A run was killed; then a bit of one of its files, or of the cache's, turns, or the file is cut."""
    roll, subject = dice("damaged", number), in_turn(number)
    interrupted(place, subject)
    files = sorted(path for path in place.folder.rglob("*") if path.is_file() and path.stat().st_size)
    random.Random(subject).shuffle(files)
    path = files[number // 10 % len(files)]
    what = damage(path, roll)
    told = path.relative_to(place.folder)
    try:
        ended = place.bench.finish(place, subject)
    except Broken as broken:
        raise Broken(f"{told} {what}: {broken}") from broken
    counts = path.suffix == ".shard" or any(part.startswith("checkpoint-") for part in told.parts)
    if counts and "warning" not in ended.output:
        raise Broken(f"{told} {what}: nothing was said")


def interrupted(place: Place, subject: str) -> None:
    """Fill a place with a copy of a run that was killed after two thirds of its updates."""
    bench = place.bench
    with bench.making(f"interrupted-{subject}") as (original, new):
        if new:
            steps = bench.reference(subject).steps
            fault = Fault(kind="kill", at="training", number=steps * 2 // 3)
            ended = original.start(subject, fault=fault).wait()
            if ended.status != -signal.SIGKILL:
                raise Broken(f"{subject} was not killed: {ended.last_lines}")
    shutil.copytree(original.folder, place.folder, symlinks=True, dirs_exist_ok=True)


def damage(path: Path, roll: random.Random) -> str:
    """Turn a bit, or cut a file; what was done, in words."""
    content = bytearray(path.read_bytes())
    if roll.random() < 0.3:
        length = roll.randrange(len(content))
        path.write_bytes(content[:length])
        return f"cut to {length} of {len(content)} bytes"
    at, bit = roll.randrange(len(content)), roll.randrange(8)
    content[at] ^= 1 << bit
    with path.open("r+b") as handle:
        handle.write(content)
    return f"bit {bit} of byte {at} turned"


def finished_damaged(place: Place, number: int) -> None:
    """A teacher that was whole once is damaged: a student that would learn from it is refused."""
    roll = dice("finished", number)
    folder = place.folder / "teacher-large"
    shutil.copytree(place.bench.setting.teacher("large"), folder)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    path = files[number % len(files)]
    what = damage(path, roll)
    words = place.bench.setting.words("static", place.output)
    ended = place.run([*words, "--set", f"teachers.large.checkpoint={folder}"]).wait()
    refused_in_a_line(ended, f"{path.name} {what}")
    if list(place.output.glob("*/student*")):
        raise Broken(f"{path.name} {what}: a student was made of it")


def refused_in_a_line(ended: Ended, what: str, *, also_fine: bool = False) -> None:
    """An error of one line and its exit code, or a warning and none."""
    if "Traceback" in ended.output:
        raise Broken(f"{what}: a traceback: {ended.last_lines}")
    if also_fine and ended.status == 0:
        return
    if ended.status not in (2, 3, 4, 5):
        raise Broken(f"{what}: ended with {ended.status}: {ended.last_lines}")
    if ERROR not in ended.output:
        raise Broken(f"{what}: no error line: {ended.last_lines}")
