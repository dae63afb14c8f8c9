"""Two processes do what one does with the same batch; one that is killed, or fails, is no harm to the run."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest
import torch
import yaml
from command_line import Said, heard
from conftest import tiny_rows
from processes import in_processes
from safetensors.torch import load_file
from small import LABELS, save_classifier
from steps import ALL_PLANS, CLASSES, LAYERS, Oracle, student_of

from dkd_cli.engine.machine.processes import ALONE, Processes, Share
from dkd_cli.engine.method.distillation import distillation_step
from dkd_cli.engine.runs.checkpoints import claim
from dkd_cli.engine.runs.snapshots import Snapshot
from dkd_cli.engine.training.fit import refuse_another_run
from dkd_cli.engine.training.job import Job
from dkd_cli.errors import SystemProblem
from dkd_cli.recipe.schema import Data, Recipe, Teacher

SECONDS = 240
BACKWARD = ("--sweep", "strategy.data.backward=[all,selected]")
DROPOUT = ("--sweep", "train.dropout=[0.0,0.1]")
ONE_POINT = ("--set", "strategy.data.backward=all", "--set", "train.dropout=0.1")
HALVED = ("--set", "train.batch_size=6", "--output-dir")
COMPARES_ROWS = "static dist"
"""Its loss has a term that is over the rows at hand, in each process over its own."""


# One step ------------------------------------------------------------------------------------------------


def stepped(peers: Processes) -> dict[str, dict[str, Any]]:
    """One step of each plan on 8 rows; of three processes the second has none of them."""
    parts = [range(8)] if peers.count == 1 else [range(3), range(0), range(3, 8)]
    rows = torch.tensor(list(parts[peers.rank]), dtype=torch.long)
    found = {}
    for number, (name, plan) in enumerate(ALL_PLANS.items()):
        torch.manual_seed(number + 1000 * peers.rank)
        oracle = Oracle()
        student = replace(student_of(rows, oracle), share=Share.of(peers, len(rows)))
        loss = distillation_step(plan, student, rows % CLASSES, rows, oracle, LAYERS)
        loss.total.backward()
        gradients = [tensor.grad for tensor in (student.logits, *student.hidden_states)]
        found[name] = {
            "total": loss.total.detach(),
            "terms": dict(loss.terms),
            "gradients": [gradient for gradient in gradients if gradient is not None],
            "asked": oracle.asked,
        }
    return found


@pytest.fixture(scope="module")
def shared_steps() -> list[dict[str, dict[str, Any]]]:
    return in_processes(3, stepped)


@pytest.fixture(scope="module")
def whole_steps() -> dict[str, dict[str, Any]]:
    return stepped(ALONE)


@pytest.mark.parametrize("name", [name for name in ALL_PLANS if name != COMPARES_ROWS])
def test_a_shared_step_is_the_step(
    name: str, shared_steps: list[dict[str, dict[str, Any]]], whole_steps: dict[str, dict[str, Any]]
) -> None:
    """The same rows are asked for, whatever lots are drawn; DDP's mean of the gradients is the gradient."""
    shares, whole = [found[name] for found in shared_steps], whole_steps[name]
    for teacher, rows in whole["asked"].items():
        assert sorted(row for share in shares for row in share["asked"][teacher]) == sorted(rows)
    torch.testing.assert_close(torch.stack([share["total"] for share in shares]).mean(), whole["total"])
    assert [list(share["terms"]) for share in shares] == [list(whole["terms"])] * 3
    for term, value in whole["terms"].items():
        torch.testing.assert_close(torch.stack([share["terms"][term] for share in shares]).mean(), value)
    for place, expected in enumerate(whole["gradients"]):
        mean = [share["gradients"][place] / 3 for share in shares if place < len(share["gradients"])]
        torch.testing.assert_close(torch.cat(mean), expected, msg=f"gradient {place}")


# Whole runs ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Runs:
    """The same recipe by one process, and by two with half the batch each."""

    recipe: Path
    one: Path
    two: Path
    said: str


def torchrun(*words: str | Path, restarts: int = 0) -> list[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [f"--max-restarts={restarts}", "-m", "dkd_cli", *map(str, words)]
    return [sys.executable, *launcher, *command]


def begun(command: list[str], **variables: str) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def write(path: Path, rows: list[tuple[str, str]]) -> str:
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([("text", "label"), *rows])
    return str(path)


def settings(folder: Path, encoder: Path) -> dict[str, Any]:
    """61 rows in batches of 12, the last one of a single row, and 23 rows to validate on."""
    rows = tiny_rows()
    exact = {"precision": "fp32", "dropout": 0.0, "log_every": 1}
    teachers = [save_classifier(folder / name, encoder, LABELS, seed) for seed, name in enumerate(LAYERS)]
    return {
        "name": "tiny",
        "output_dir": str(folder / "one"),
        "model": str(encoder),
        "data": {
            "train": write(folder / "train.csv", rows[:61]),
            "validation": write(folder / "validation.csv", rows[61:84]),
            "max_length": 16,
        },
        "teachers": {teacher.name: {"checkpoint": str(teacher)} for teacher in teachers},
        # Cut from a teacher, its head included: no two uncertainties are so near that rounding orders them.
        "student": {"model": "teacher", "layers": 2},
        "strategy": {
            "name": "dynamic-teacher,dynamic-data,dynamic-objective",
            "teacher": {"mode": "hard"},
        },
        "train": {"epochs": 4, "batch_size": 12, "eval_batch_size": 7, "learning_rate": 1e-3} | exact,
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Runs:
    folder = tmp_path_factory.mktemp("distributed")
    recipe = folder / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(settings(folder, tiny_encoder), sort_keys=False), encoding="utf-8")
    alone = heard("distill", recipe, *BACKWARD, "--sweep", "train.dropout=[0.0]")
    assert alone.code == 0, alone
    command = torchrun("distill", recipe, *BACKWARD, *DROPOUT, *HALVED, folder / "two")
    together = begun(command, DKD_CACHE=str(folder / "cache"))
    said, _ = together.communicate(timeout=SECONDS)
    assert together.returncode == 0, said
    return Runs(recipe, folder / "one" / "tiny", folder / "two" / "tiny", said)


def log(student: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((student / "training.json").read_text(encoding="utf-8"))
    return found


def figures(line: Mapping[str, float]) -> dict[str, float]:
    """What does not depend on the clock, nor on the row that stands in for none."""
    skipped = ("runtime", "per_second", "total_flos")
    return {name: value for name, value in line.items() if not name.endswith(skipped)}


@pytest.mark.slow
def test_two_processes_are_one_with_the_whole_batch(runs: Runs) -> None:
    """Loss, terms and metrics of each step; shares and counts tell that the same rows were chosen."""
    students = sorted(folder.name for folder in runs.one.glob("student-*"))
    assert len(students) == 2
    assert {path.name for path in runs.one.iterdir()} < {path.name for path in runs.two.iterdir()}
    for name in students:
        one, two = log(runs.one / name), log(runs.two / name)
        assert (one["processes"], two["processes"]) == (1, 2)
        for key in ("best_step", "steps", "examples", "backward_rows"):
            assert one[key] == two[key], (name, key)
        assert len(one["history"]) == len(two["history"])
        for expected, found in zip(one["history"], two["history"], strict=True):
            # Sums are rounded in another order, and steps build on it; another row would be far more.
            assert figures(found) == pytest.approx(figures(expected), rel=1e-4, abs=1e-5), (
                name,
                expected["step"],
            )
            for metric in ("eval_accuracy", "eval_macro_f1"):
                assert found.get(metric) == expected.get(metric)


@pytest.mark.slow
def test_the_teachers_passes_are_shared_out(runs: Runs) -> None:
    """No text is computed twice, in whichever process and run it is asked for again."""
    students = [log(folder) for folder in runs.two.glob("student-*")]
    for teacher in LAYERS:
        assert 0 < sum(student["teacher_queries"][teacher] for student in students) <= 61


@pytest.mark.slow
def test_one_of_them_speaks(runs: Runs) -> None:
    for foreign in ("Traceback", "[transformers]", "Warning"):
        assert foreign not in runs.said
    for line in ("1 of 4: student-", "students in ", "next: dkd evaluate"):
        assert runs.said.count(line) == 1, line


@pytest.mark.slow
def test_a_killed_process_and_its_restart_end_with_the_same_weights(runs: Runs, tmp_path: Path) -> None:
    """With dropout, which each process draws for itself. Bit for bit, against a run that nobody killed."""
    (expected,) = runs.two.glob("student-*backward=all,dropout=0.1*/model.safetensors")
    command = torchrun("distill", runs.recipe, *ONE_POINT, *HALVED, tmp_path, restarts=1)
    killed = begun(command, DKD_CACHE=str(tmp_path / "cache"))
    deadline = time.monotonic() + SECONDS
    while not any(tmp_path.glob("tiny/.student-*/checkpoint-*")):
        assert killed.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    children = psutil.Process(killed.pid).children()
    next(child for child in children if child.environ()["RANK"] == "1").send_signal(signal.SIGKILL)
    said, _ = killed.communicate(timeout=SECONDS)
    assert killed.returncode == 0, said
    # torchrun tells of one process alone: the killed one or, if that was quicker to end, the one that lost it
    assert re.search(r"failed \(exitcode: (-9|5)\)", said), said
    (found,) = tmp_path.rglob("student-*/model.safetensors")
    wanted, weights = load_file(expected), load_file(found)
    assert wanted.keys() == weights.keys()
    for name, weight in wanted.items():
        assert torch.equal(weights[name], weight), name
    histories = [log(path.parent)["history"] for path in (expected, found)]
    assert [figures(line) for line in histories[0][:-1]] == [figures(line) for line in histories[1][:-1]]


@pytest.mark.parametrize(("begun_by", "now"), [(2, 1), (1, 2)])
def test_another_number_of_processes_is_refused(tmp_path: Path, begun_by: int, now: int) -> None:
    """It would make other batches of the same recipe."""
    (tmp_path / "progress.json").write_text(json.dumps({"processes": [{}] * begun_by, "data": "as before"}))
    train = SimpleNamespace(digest="as before")

    def job(processes: int) -> Job:
        return cast("Job", SimpleNamespace(peers=Processes(0, processes), working=tmp_path, train=train))

    with pytest.raises(SystemProblem, match=f"was begun by {begun_by} process.*, not by {now}; go on with"):
        refuse_another_run(job(now), Snapshot(tmp_path))
    refuse_another_run(job(begun_by), Snapshot(tmp_path))


# The command line ----------------------------------------------------------------------------------------


@pytest.fixture
def second_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun starts the second of two."""
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("second_process")
def test_evaluation_is_the_work_of_one_process(tmp_path: Path) -> None:
    assert heard("evaluate", tmp_path / "nothing") == Said(0, "", "")


@pytest.mark.usefixtures("second_process")
def test_what_all_find_wrong_one_says(tmp_path: Path) -> None:
    assert heard("distill", tmp_path / "missing.yaml") == Said(2, "", "")


@pytest.mark.parametrize("wanted", ["FSDP", "DEEPSPEED"])
def test_ways_to_train_that_are_unknown_are_refused(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{wanted}", "true")
    said = heard("train-teacher")
    assert said.code == 5
    assert "dkd: error: accelerate: requests" in said.err


def test_the_others_change_nothing_on_the_way(tmp_path: Path) -> None:
    """A folder that is another experiment's is one process's finding, and all of them end with it."""
    assert in_processes(2, lambda peers: refused(peers, tmp_path)) == [[5, True], [5, True]]


def refused(peers: Processes, folder: Path) -> list[Any]:
    final = folder / "tiny"
    if peers.leads:
        final.mkdir()
    recipe = Recipe(name="tiny", model="unused", data=Data(source="x"), teachers={"large": Teacher()})
    with (
        pytest.raises(SystemProblem) as caught,
        peers.led(claim(final, recipe, "teacher", "large", fresh=False, warn=pytest.fail)),
    ):
        pass
    return [caught.value.exit_code, caught.value.everywhere]
