"""The soak's promises, a few trials each: real processes, really killed, starved, damaged and signalled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from damage import flip

from dkd_cli.report.terminal import Terminal
from soak.__main__ import arguments, main, trials
from soak.bench import Bench, Broken, Place
from soak.progress import Progress
from soak.promises import PROMISES, Promise
from soak.results import difference
from soak.running import attempt, run_trials
from soak.table import rows, show

TRIALS = {
    "killed": 4,
    "disk-full": 4,
    "damaged": 6,
    "finished": 6,
    "signalled": 5,
    "shared-cache": 1,
    "paid": 2,
    "shrunk": 1,
}
FOREVER = float("inf")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("soak"))
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIALS)
def test_what_is_promised_holds(bench: Bench, name: str, tmp_path: Path) -> None:
    [promise] = [promise for promise in PROMISES if promise.name == name]
    found = {number: attempt(bench.place, promise, number, tmp_path) for number in range(TRIALS[name])}
    assert {number: why for number, why in found.items() if why is not None} == {}


@pytest.mark.slow
def test_a_run_reaches_all_that_a_fault_can_strike_at(bench: Bench) -> None:
    """A phase that is never counted would be left out of the trials without a word."""
    counts = bench.reference("data-random").ended.counts
    assert [name for name, count in counts.items() if count == 0] == []


@pytest.mark.slow
def test_a_run_that_is_not_what_it_should_be_is_noticed(bench: Bench) -> None:
    """The judge is judged: one bit of the weights, and one figure of the log."""
    place = bench.place("judge")
    assert place.start("none").wait().status == 0
    [weights] = place.output.glob("*/*/model.safetensors")
    flip(weights, -1)
    with pytest.raises(Broken, match="weights differ"):
        bench.same(place.output, "none")
    one = {"student": {"history": [{"loss": 0.5}, {"loss": 0.25}]}}
    other = {"student": {"history": [{"loss": 0.5}, {"loss": 0.26}]}}
    assert difference(one, one) is None
    assert "line 1" in (difference(one, other) or "")
    assert difference(one, {}) is not None


@pytest.mark.parametrize(
    ("words", "found"), [((), 100), (("--share", "0.1"), 10), (("--trials", "7"), 7), (("--trial", "3"), 1)]
)
def test_trials_are_a_share_or_a_number(words: tuple[str, ...], found: int) -> None:
    assert trials(100, arguments(words)) == found


def fails_at_three(place: Place, number: int) -> None:
    if number == 3:
        raise Broken("three")


def test_a_soak_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made: list[int] = []

    def place(name: str) -> Place:
        (tmp_path / name).mkdir()
        return Place(cast(Bench, None), tmp_path / name)

    def trial(place: Place, number: int) -> None:
        made.append(number)
        fails_at_three(place, number)

    promise = Promise("numbers", "all are fine", 6, trial)
    path = tmp_path / "progress.json"
    for numbers in (range(4), range(6)):
        progress = Progress(path)
        left = [number for number in numbers if not progress.made("numbers", number)]
        run_trials(
            place,
            promise,
            left,
            progress,
            jobs=2,
            deadline=FOREVER,
            kept=tmp_path / "broken",
        )
    assert sorted(made) == list(range(6))
    assert [path.name for path in (tmp_path / "broken").iterdir()] == ["numbers-3"]
    found = rows([promise], {"numbers": 6}, Progress(path))
    assert (found[0].tried, found[0].held, found[0].kept) == (6, 5, False)
    show(Terminal(), found)
    assert "numbers 3: three" in capsys.readouterr().out


def test_no_trial_is_begun_when_the_time_is_over(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "progress.json")
    promise = Promise("numbers", "all are fine", 6, fails_at_three)
    run_trials(pytest.fail, promise, range(6), progress, jobs=1, deadline=0.0, kept=tmp_path)
    assert progress.tried("numbers") == 0
    assert not rows([promise], {"numbers": 6}, progress)[0].kept


def test_a_name_that_no_promise_has_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no promise has kiled in its name"):
        main(["--only", "kiled", "--folder", str(tmp_path)])


def test_help_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "--minutes" in capsys.readouterr().out
