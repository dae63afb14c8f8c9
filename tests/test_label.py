"""`dkd label` against a stand-in: rounds, resuming after SIGKILL, sharing, secrets, distillation."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import dkd, heard, refused
from conftest import TinyRecipe
from stand_in import KEY, asking_recipe, standing

from benchmarks.endpoint import Stand
from dkd_cli.labelling.answers import answers_root


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DKD_TEST_KEY", KEY)


@pytest.fixture
def asking(tiny_recipe: TinyRecipe) -> Iterator[tuple[Path, Stand]]:
    """A recipe and the server that it asks."""
    with standing(key=KEY) as (url, stand):
        yield asking_recipe(tiny_recipe, url), stand


def state(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "checkpoints" / "tiny" / "labels-llm" / "summary.json").read_text()))


DKD = (sys.executable, "-m", "dkd_cli")
WORDS = ("--rounds", "3", "--audit", "8", "--keep-going")


def test_a_labelling_ends_in_a_file_that_a_student_learns_from(
    asking: tuple[Path, Stand], tmp_path: Path
) -> None:
    recipe, stand = asking
    said = heard("label", recipe, "--budget", "40", *WORDS)
    assert said.code == 0, said.err
    assert "round 3" in said.out
    assert stand.asked.total() == len(stand.asked) == 40
    lines = (tmp_path / "checkpoints" / "tiny" / "labels-llm.jsonl").read_text().splitlines()
    assert len(lines) == 40
    assert set(json.loads(lines[0])["probabilities"]) == {"negative", "positive"}
    assert state(tmp_path)["requests"] == 40
    said = heard("distill", recipe, "--strategy", "static")
    assert said.code == 0, said.err
    assert "32 of 77 texts are answered" in said.out

    # Next to the student its teacher, with its price; and `none` learns the teacher's classes.
    top = tmp_path / "checkpoints" / "tiny"
    said = heard("compare", recipe, "--strategy", "static", "--seeds", "2")
    assert said.code == 0, said.err
    assert "the predictions of teachers.llm stand for them" in said.out
    assert "price of 1,000 texts" in said.out
    said = heard("evaluate", top, "--no-timing")
    assert said.code == 0, said.err
    assert "other texts or labels" not in said.err
    assert "llm (stand-in)" in said.out
    assert "Its teacher llm (stand-in), accuracy " in said.out
    (figures,) = json.loads((top / "evaluation.json").read_text())["evaluations"][0]["paid"]
    assert (figures["requests"], figures["audited"]) == (40, 8)
    assert "price of 1,000 texts" in (top / "report.html").read_text()

    # More answers are another teacher: the student that learnt from fewer is refused, and what is typed next
    # makes it again.
    plan = heard("label", recipe, "--budget", "50", *WORDS, "--dry-run").out
    assert "paid for before        40, spent " in plan
    assert "more rounds            10" in plan
    said = heard("label", recipe, "--budget", "50", *WORDS)
    assert said.out.splitlines()[-1] == f"next: dkd distill {recipe} --fresh"
    assert stand.asked.total() == len(stand.asked) == 50
    assert refused(5, "distill", recipe, "--strategy", "static")
    assert dkd("distill", recipe, "--strategy", "static", "--fresh") == 0
    assert (
        heard("label", recipe, "--budget", "50", *WORDS).out.splitlines()[-1] == f"next: dkd distill {recipe}"
    )


def test_typed_again_it_asks_nothing_and_shares_with_other_recipes(
    asking: tuple[Path, Stand], tmp_path: Path
) -> None:
    recipe, stand = asking
    assert dkd("label", recipe, "--budget", "30", *WORDS) == 0
    before = (tmp_path / "checkpoints" / "tiny" / "labels-llm.jsonl").read_bytes()
    assert dkd("label", recipe, "--budget", "30", *WORDS) == 0
    assert (tmp_path / "checkpoints" / "tiny" / "labels-llm.jsonl").read_bytes() == before
    assert stand.asked.total() == 30
    assert dkd("label", recipe, "--budget", "30", *WORDS, "--set", "name=other") == 0
    assert stand.asked.total() == len(stand.asked)


def test_a_dry_run_shows_prompt_and_price_and_sends_nothing(
    asking: tuple[Path, Stand], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, stand = asking
    monkeypatch.delenv("DKD_TEST_KEY")
    said = heard("label", recipe, "--budget", "40", "--dry-run")
    assert said.code == 0
    assert "A = negative" in said.out
    assert "cost" in said.out
    assert not stand.asked
    assert not answers_root().exists()


def test_the_key_is_written_nowhere(asking: tuple[Path, Stand], tmp_path: Path) -> None:
    recipe, stand = asking
    said = heard("label", recipe, "--budget", "20", *WORDS)
    wrong = heard("label", recipe, "--budget", "30", *WORDS, "--debug", "--set", "teachers.llm.model=other")
    stand.key = "another"
    denied = heard(
        "label", recipe, "--budget", "30", "--fresh", "--debug", "--set", "teachers.llm.model=third"
    )
    assert denied.code == 5
    assert "401" in denied.err
    for out in (said, wrong, denied):
        assert KEY not in out.out + out.err
    places = [tmp_path, answers_root(), Path(os.environ["DKD_CACHE"])]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_kill_loses_what_was_in_flight_and_nothing_else(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    with standing(latency=0.05) as (url, stand):
        recipe = asking_recipe(tiny_recipe, url, concurrency=4)
        words = ["label", str(recipe), "--budget", "44", *WORDS]
        process = subprocess.Popen([*DKD, *words], stdout=subprocess.DEVNULL)
        while stand.asked.total() < 15 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert heard(*words).code == 0
        again = stand.asked.total() - len(stand.asked)
        assert again <= 4
        assert stand.asked.total() <= state(tmp_path)["requests"] <= 44
        lines = (tmp_path / "checkpoints" / "tiny" / "labels-llm.jsonl").read_text().splitlines()
        assert len(lines) == len(stand.asked) >= 40


def test_a_signal_ends_it_with_what_was_in_flight_on_disk(tiny_recipe: TinyRecipe) -> None:
    with standing(latency=0.05) as (url, stand):
        recipe = asking_recipe(tiny_recipe, url, concurrency=4)
        words = ["label", str(recipe), "--budget", "60", *WORDS]
        process = subprocess.Popen(
            [*DKD, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        while stand.asked.total() < 10 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        said = process.communicate()[1]
        assert process.returncode == 143
        assert "answers on disk; rerun the same command to resume" in said
        assert heard(*words).code == 0
        assert stand.asked.total() == len(stand.asked) == 60


def test_what_is_wrong_is_said_before_anything_is_asked(asking: tuple[Path, Stand]) -> None:
    recipe, stand = asking
    assert "--budget" in refused(2, "label", recipe)[0]
    assert "is unknown" in refused(2, "label", recipe, "--budget", "9", "--select", "margni")[0]
    assert "none of them is an endpoint" in refused(2, "label", "quickstart", "--budget", "9")[0]
    gone = refused(2, "label", recipe, "--budget", "9", "--set", "teachers.llm.key_env=NO_SUCH_KEY")
    assert "$NO_SUCH_KEY is not set" in gone[0]
    assert not stand.asked


def test_a_student_waits_for_answers(asking: tuple[Path, Stand]) -> None:
    assert "make it with `dkd label" in refused(4, "distill", asking[0], "--strategy", "static")[0]
