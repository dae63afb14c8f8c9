"""What the shell proposes, through the same door as the shell: environment variables in, lines out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import heard

from dkd_cli.cli import completion


def test_recipes_are_bundled_names_and_files(workdir: Path) -> None:
    (workdir / "quick.yaml").touch()
    (workdir / "quick.csv").touch()
    (workdir / "quicker").mkdir()
    assert completion.recipes("quick") == ["quickstart", "quick.yaml", "quicker/"]
    assert completion.bundled("glue-m") == ["glue-mnli", "glue-mrpc"]


def test_strategies_join() -> None:
    assert completion.strategies("dynamic-t") == ["dynamic-teacher"]
    assert completion.strategies("dynamic-data,dynamic-") == [
        "dynamic-data,dynamic-teacher",
        "dynamic-data,dynamic-objective",
    ]


def test_keys_are_those_of_the_schema() -> None:
    assert completion.keys("train.e") == ["train.epochs=", "train.eval_batch_size="]
    assert "strategy.objective.kd_loss=" in completion.keys("strategy.objective.")
    assert "teachers.large.layers=" in completion.keys("teachers.")


def test_models_are_found_below_checkpoints(workdir: Path) -> None:
    for name in ("student-a", "student-b", ".student-c"):
        folder = workdir / "checkpoints" / "mine" / name
        folder.mkdir(parents=True)
        (folder / "config.json").touch()
    found = ["checkpoints/mine/student-a", "checkpoints/mine/student-b"]
    assert completion.models("")[:2] == found
    assert completion.models("checkpoints/mine/student-b") == [found[1], f"{found[1]}/"]
    assert completion.models("nowhere/at/all") == []


@pytest.mark.parametrize(
    ("line", "proposed"),
    [
        ("dkd dist", "distill"),
        ("dkd recipes show quick", "quickstart"),
        ("dkd distill --strategy dynamic-o", "dynamic-objective"),
        ("dkd distill quickstart --set train.see", "train.seed="),
    ],
)
def test_through_bashs_door(line: str, proposed: str) -> None:
    words = line.split(" ")
    settings = {"_DKD_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    said = subprocess.run(
        [sys.executable, "-c", "import sys; from dkd_cli.cli import run; sys.argv[0] = 'dkd'; run()"],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (said.stdout.split(), said.stderr) == ([proposed], "")


def test_help_groups_the_commands() -> None:
    lines = heard("--help").out.splitlines()
    headings = [line for line in lines if line in ("Train:", "Understand:", "Deploy:", "Housekeeping:")]
    assert headings == ["Train:", "Understand:", "Deploy:", "Housekeeping:"]
    places = {
        line.split()[0]: place for place, line in enumerate(lines) if line.startswith("  ") and line.split()
    }
    assert lines.index("Deploy:") < places["push"] < lines.index("Housekeeping:")
    assert lines.index("Train:") < places["distill"] < lines.index("Understand:")
