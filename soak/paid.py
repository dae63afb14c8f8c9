"""The trial on paid answers: whatever asks is killed several times, and must neither lose nor overspend.

The child asks a stand-in on the loopback about texts, as `dkd label` does in each round, with the same record
of answers and the same budget. The stand-in counts what it answered, and so what would be billed.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.endpoint import Stand, served
from dkd_cli.labelling.answers import AnswerStore, text_key
from dkd_cli.labelling.asking import AskingTally, Desk, ask
from dkd_cli.labelling.budget import Budget, Tariff
from dkd_cli.labelling.endpoint import Endpoint, Question
from dkd_cli.labelling.prompts import Prompt
from dkd_cli.recipe.asking import Asking
from dkd_cli.recipe.schema import Teacher
from soak.bench import Broken, Place, dice

TEXTS, BUDGET, CONCURRENCY = 400, 300, 8
CLASSES = {"good": "", "bad": ""}
RUN = "soak"
FAULTS = {"429": 0.03, "500": 0.03, "half": 0.02, "json": 0.02, "class": 0.03}
SECONDS = 120.0


def killed(place: Place, number: int) -> None:
    """SIGKILL at one to four moments; then it ends by itself, within the budget, with every answer once."""
    roll = dice("paid", number)
    folder = place.folder / "answers"
    faults = FAULTS if number % 2 else {}
    with stand_in(faults, number) as (url, stand):
        kills = 0
        for _ in range(roll.randint(1, 4)):
            kills += killed_at_a_moment(folder, url, stand, roll)
        before = stand.asked.total()
        ended = subprocess.run(
            command(folder, url), timeout=SECONDS, capture_output=True, text=True, check=False
        )
        if ended.returncode:
            raise Broken(f"ended with {ended.returncode}: {ended.stderr[-300:]}")
        if stand.asked.total() > BUDGET:
            raise Broken(f"{stand.asked.total()} requests answered, {BUDGET} allowed")
        check(folder, stand, kills, bool(faults))
        again = subprocess.run(command(folder, url), timeout=SECONDS, capture_output=True, check=False)
        if again.returncode or stand.asked.total() < before:
            raise Broken("a finished labelling does not end when it is run again")


def killed_at_a_moment(folder: Path, url: str, stand: Stand, roll: random.Random) -> int:
    """Start it, and kill it when it has asked about some more texts; 1 if it was still at work."""
    until = stand.asked.total() + roll.randint(1, 80)
    process = subprocess.Popen(command(folder, url), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begun = time.monotonic()
    while stand.asked.total() < until and process.poll() is None:
        if time.monotonic() - begun > SECONDS:
            process.kill()
            raise Broken(f"asked nothing for {SECONDS:.0f} s")
        time.sleep(0.001)
    process.kill()
    return int(process.wait() < 0)


def check(folder: Path, stand: Stand, kills: int, faulty: bool) -> None:
    """Compare the record with what the stand-in answered."""
    with closing(AnswerStore(folder, {}, _damaged)) as store:
        ledger = store.ledger
        spent = ledger.spending[RUN]
    if stand.asked.total() > spent.made:
        raise Broken(f"{stand.asked.total()} requests answered, {spent.made} on record")
    if spent.made > BUDGET:
        raise Broken(f"{spent.made} requests on record, {BUDGET} allowed")
    if not faulty:
        again = stand.asked.total() - len(stand.asked)
        if again > kills * CONCURRENCY:
            raise Broken(f"{again} texts asked again after {kills} kills")
        lost = len(stand.asked) - len(ledger.answers)
        if lost > kills * CONCURRENCY:
            raise Broken(f"{lost} answers lost in {kills} kills")


def _damaged(message: str) -> None:
    raise Broken(message)


@contextmanager
def stand_in(faults: dict[str, float], seed: int) -> Iterator[tuple[str, Stand]]:
    """The server in a thread: its base URL, and its counts."""
    stand = Stand(
        lambda text: {"good": 0.8, "bad": 0.2}, latency=0.01, faults=faults, draws=random.Random(seed)
    )
    with served(stand) as url:
        yield url, stand


def command(folder: Path, url: str) -> list[str]:
    """What is killed."""
    return [sys.executable, "-m", "soak.paid", str(folder), url]


def main(folder: Path, url: str) -> None:
    """The child: ask about all texts, as far as the budget goes."""
    prompt, asking = Prompt(CLASSES), Asking(concurrency=CONCURRENCY, timeout=10.0)
    questions = [
        Question(text_key(text, None), text, None, tuple(CLASSES))
        for text in (f"text number {index}" for index in range(TEXTS))
    ]
    with closing(AnswerStore(folder, {}, print)) as store:
        stop = threading.Event()
        teacher = Teacher(endpoint=url, model="stand-in", asking=asking)
        before = store.ledger.spending.get(RUN)
        budget = Budget(requests=BUDGET, made=0 if before is None else before.made)
        with closing(Endpoint(teacher, prompt, "teachers.llm", None, stop)) as endpoint:
            desk = Desk(endpoint, store, budget, Tariff(0.0, 0.0), prompt, asking, RUN, stop)
            ask(desk, questions, AskingTally(), lambda count, spent: None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
