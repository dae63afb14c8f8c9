"""Output folders, hardware and cache: bad inputs 43 to 54, through the command line.

Checkpoints that are half-written (47), memory that runs out (50) and another world size (51) are tested
beside what deals with them.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Said, contents, heard, refused, serious
from conftest import TinyRecipe
from filelock import FileLock
from safetensors.torch import load_file
from small import LABELS, save_classifier

from dkd_cli.engine.cache.entries import cache_root
from dkd_cli.engine.cache.shards import MAGIC, PREFIX, SCHEMA
from dkd_cli.engine.runs import disk_space

NONE = ("--strategy", "none")
STUDENT = "checkpoints/tiny/student-none-seed1"


@pytest.fixture
def recipe(tiny_recipe: TinyRecipe) -> Path:
    return tiny_recipe()


@pytest.fixture
def student(recipe: Path) -> Path:
    """Where the student without a teacher goes, made already."""
    assert heard("distill", recipe, *NONE).code == 0
    return recipe.parent / STUDENT


# Output --------------------------------------------------------------------------------------------------


def test_a_folder_with_another_experiment(recipe: Path, student: Path) -> None:
    for fresh in ((), ("--fresh",)):
        assert refused(
            5, "distill", recipe, *NONE, "--set", "train.learning_rate=1e-3", *fresh, beside=student
        ) == [
            f"{student}: holds another experiment: train.learning_rate is 0.003 there and 0.001 here; give "
            "this one another name (--set name=...) or --output-dir, or remove the folder"
        ]


def test_a_folder_that_dkd_did_not_make(recipe: Path) -> None:
    folder = recipe.parent / STUDENT
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work")
    assert refused(5, "distill", recipe, *NONE, "--fresh", beside=folder) == [
        f"{folder}: holds files that dkd did not write; choose another name or --output-dir"
    ]


def test_a_run_that_is_complete(recipe: Path, student: Path) -> None:
    before = contents(student)
    said = heard("distill", recipe, *NONE)
    assert (said.code, serious(said.err)) == (0, "")
    assert f"{student} is complete; --fresh starts over" in said.out.splitlines()
    assert contents(student) == before


def test_a_dry_run_tells_what_is_there(recipe: Path, student: Path) -> None:
    shown = heard("distill", recipe, *NONE, "--dry-run").out
    assert f"would write {student} (finished)\n" in shown
    changed = heard("distill", recipe, *NONE, "--dry-run", "--set", "train.learning_rate=1e-5").out
    assert f"would write {student} (refused: holds another experiment: train.learning_rate is " in changed
    fresh = heard("distill", recipe, *NONE, "--dry-run", "--seed", "7").out
    assert fresh.endswith("student-none-seed7\n")
    working = student.with_name(".student-none-seed8")
    (working / "begun").mkdir(parents=True)
    (working / "checkpoint-1").mkdir()
    (working / "begun" / "recipe.yaml").write_text((student / "recipe.yaml").read_text())
    begun = heard("distill", recipe, *NONE, "--dry-run", "--seed", "8").out
    assert "student-none-seed8 (refused: holds another experiment: train.seed is 1 there and 8 here" in begun


def test_teachers_that_are_all_made_elsewhere(tiny_recipe: TinyRecipe) -> None:
    theirs = {"checkpoint": "theirs", "layers": None}
    file = tiny_recipe({"teachers": {"small": theirs, "large": theirs}}, "b.yaml")
    said = heard("train-teacher", file)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "all teachers of the recipe are made elsewhere: nothing to train",
        f"next: dkd distill {file}",
    ]
    assert heard("train-teacher", file, "--dry-run").out.endswith("\nnothing to train\n")
    assert refused(2, "train-teacher", file, "--teacher", "large")[0].startswith("teachers.large: is made")


def test_a_folder_locked_by_a_live_process(recipe: Path) -> None:
    folder = recipe.parent / STUDENT
    working = folder.with_name(f".{folder.name}")
    working.mkdir(parents=True)
    holder = (
        "import sys, filelock\n"
        "with filelock.FileLock(sys.argv[1]):\n"
        "    print(flush=True)\n"
        "    sys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(working / "lock")], stdin=pipe, stdout=pipe
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        line = f"{folder}: another process is at work on it; wait for it, or stop it"
        assert refused(5, "distill", recipe, *NONE, beside=recipe.parent) == [line]
        several = heard("distill", recipe, *NONE, "--seed", "1,2")
        assert (several.code, several.err.count("another process")) == (5, 1), "said once, at the end"
        assert f"{folder.name} is left to the other process that is at work on it" in several.out
        assert folder.with_name(folder.name.replace("seed1", "seed2")).is_dir()
        process.communicate()
    assert heard("distill", recipe, *NONE).code == 0, "a dead process holds nothing"


def test_a_folder_that_cannot_be_written(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (line,) = refused(5, "distill", recipe, *NONE, "--output-dir", tmp_path / "file", beside=tmp_path)
    assert line == (
        f"{tmp_path}/file/tiny/student-none-seed1: cannot be written (Not a directory); choose another "
        "--output-dir"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_folder_that_is_read_only(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o500)
    (line,) = refused(5, "distill", recipe, *NONE, "--output-dir", tmp_path / "shut")
    assert line.endswith(": cannot be written (Permission denied); choose another --output-dir")


def test_too_little_free_disk(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before the first update; what is needed is what the run would come to, and some."""
    usage = disk_space.shutil.disk_usage(recipe.parent)
    with monkeypatch.context() as patch:
        patch.setattr(disk_space.shutil, "disk_usage", lambda folder: usage._replace(free=10_000))
        (line,) = refused(5, "distill", recipe, *NONE, beside=recipe.parent)
    working = recipe.parent / STUDENT.replace("student-", ".student-")
    found = re.fullmatch(
        re.escape(str(working))
        + r": ([\d.]+) MB are needed for checkpoints and the model, but only 10 KB are "
        r"free; free some space, or choose another --output-dir",
        line,
    )
    assert found is not None, line
    assert not list(working.glob("checkpoint-*"))
    assert heard("distill", recipe, *NONE).code == 0
    model = (recipe.parent / STUDENT / "model.safetensors").stat().st_size
    assert float(found[1]) * 1e6 == pytest.approx(3 * 4 * model + model, rel=0.3)


# Hardware ------------------------------------------------------------------------------------------------


def test_a_number_format_that_the_machine_lacks(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert refused(5, "distill", recipe, *NONE, "--set", "train.precision=fp16", beside=recipe.parent) == [
        "train.precision: fp16 needs a GPU and there is none; choose auto, fp32 or bf16"
    ]


# Cache ---------------------------------------------------------------------------------------------------


@pytest.fixture
def taught(tiny_recipe: TinyRecipe, tmp_path: Path, tiny_encoder: Path) -> Path:
    teacher = save_classifier(tmp_path / "large", tiny_encoder, LABELS)
    return tiny_recipe({"teachers": {"large": {"checkpoint": str(teacher)}}})


def distilled(recipe: Path, output: str) -> tuple[Said, dict[str, list[float]]]:
    """One run in a folder of its own, and its weights."""
    folder = recipe.parent / output
    said = heard("distill", recipe, "--output-dir", folder)
    assert said.code == 0, said
    (weights,) = folder.glob("tiny/student-*/model.safetensors")
    return said, {name: weight.flatten().tolist() for name, weight in load_file(weights).items()}


def the_shard() -> Path:
    (shard,) = logit_shards()
    return shard


def logit_shards() -> list[Path]:
    """The shards of teachers' logits; tokens are kept beside them."""
    root = cache_root()
    assert root is not None
    kept = {path.parent for path in root.glob("*/entry.json") if '"kept": "logits"' in path.read_text()}
    return [path for folder in kept for path in folder.glob("*.shard")]


@pytest.mark.parametrize(
    ("changed", "why"),
    [("content", "does not match its checksum"), ("schema", f"has schema 9, not {SCHEMA}")],
)
def test_a_cache_entry_that_cannot_be_believed(taught: Path, changed: str, why: str) -> None:
    _, expected = distilled(taught, "first")
    shard = the_shard()
    content = bytearray(shard.read_bytes())
    if changed == "content":
        content[-9] ^= 1
    else:
        struct.pack_into("<I", content, len(MAGIC), 9)
        assert PREFIX.unpack(content[: PREFIX.size])[1] == 9
    shard.write_bytes(content)
    said, found = distilled(taught, "second")
    assert serious(said.err) == (
        f"dkd: warning: the cache's {shard} {why}; it is removed, and its rows are computed again\n"
    )
    assert found == expected


def test_another_teacher_has_an_entry_of_its_own(taught: Path, tmp_path: Path, tiny_encoder: Path) -> None:
    distilled(taught, "first")
    first = the_shard()
    save_classifier(tmp_path / "large", tiny_encoder, LABELS, seed=7)
    said, _ = distilled(taught, "second")
    assert (serious(said.err), first.exists(), len({path.parent for path in logit_shards()})) == ("", True, 2)


def test_a_lock_left_by_a_dead_process(taught: Path) -> None:
    distilled(taught, "first")
    entry = the_shard().parent
    for lock in (entry / "12345-dead.lock", entry / "merge", entry.parent / "lock"):
        with FileLock(lock):
            pass
        lock.touch()
    said, _ = distilled(taught, "second")
    assert serious(said.err) == ""
    assert not (entry / "12345-dead.lock").exists()
