"""A run that is killed goes on where it stopped, with a real SIGKILL on a real process."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TinyRecipe

SECONDS_TO_FIRST_CHECKPOINT = 120


def dkd(*words: str) -> list[str]:
    return [sys.executable, "-m", "dkd_cli", *words]


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_killed_distillation_ends_with_the_same_weights(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    teacher = tmp_path / "teachers"
    recipe = str(tiny_recipe({"train": {"epochs": 2}}))
    subprocess.run(dkd("train-teacher", recipe, "--output-dir", str(teacher)), check=True)
    made = teacher / "tiny" / "teacher-large"
    recipe = str(tiny_recipe({"train": {"epochs": 8}, "teachers": {"large": {"checkpoint": str(made)}}}))
    strategy = ("--strategy", "dynamic-data", "--set", "strategy.data.score=random")

    subprocess.run(dkd("distill", recipe, *strategy, "--output-dir", str(whole)), check=True)

    begun = subprocess.Popen(dkd("distill", recipe, *strategy, "--output-dir", str(cut)))
    working = cut / "tiny" / ".student-dynamic-data-seed1"
    deadline = time.monotonic() + SECONDS_TO_FIRST_CHECKPOINT
    while not any(working.glob("checkpoint-*/trainer_state.json")):
        assert begun.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(begun.pid, signal.SIGKILL)
    assert begun.wait() == -signal.SIGKILL
    student = cut / "tiny" / "student-dynamic-data-seed1"
    assert not student.exists()

    subprocess.run(dkd("distill", recipe, *strategy, "--output-dir", str(cut)), check=True)
    assert weights(student) == weights(whole / "tiny" / "student-dynamic-data-seed1")
    assert not working.exists()
