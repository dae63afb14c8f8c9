"""`dkd cache`, and what the cache does to whole runs: nothing but save time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import dkd
from conftest import TinyRecipe
from small import LABELS, save_classifier

from dkd_cli.engine.cache import rows
from dkd_cli.engine.cache.entries import cache_root
from dkd_cli.engine.runs.disk_space import size
from dkd_cli.files import write_json


@pytest.fixture
def recipe(tiny_recipe: TinyRecipe, tmp_path: Path, tiny_encoder: Path) -> Path:
    """Three epochs with a teacher made elsewhere."""
    teacher = save_classifier(tmp_path / "large", tiny_encoder, LABELS)
    return tiny_recipe({"train": {"epochs": 3}, "teachers": {"large": {"checkpoint": str(teacher)}}})


def distilled(recipe: Path, output: str, *words: str) -> dict[str, Any]:
    """The log of one run in a folder of its own."""
    folder = recipe.parent / output
    assert dkd("distill", str(recipe), "--output-dir", str(folder), "--quiet", *words) == 0
    [log] = folder.glob("tiny/student-*/training.json")
    found: dict[str, Any] = json.loads(log.read_text())
    return found


def losses(log: dict[str, Any]) -> list[dict[str, float]]:
    """All figures of the log but the times."""
    timed = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "train_runtime")
    return [
        {name: value for name, value in line.items() if name not in timed and "_per_second" not in name}
        for line in log["history"]
    ]


@pytest.mark.parametrize(
    ("strategy", "precision"),
    [
        ("static", "fp32"),
        ("dynamic-objective", "fp32"),
        ("dynamic-objective", "bf16"),
        ("dynamic-data", "fp32"),
    ],
)
def test_cold_and_warm_runs_have_the_same_losses(recipe: Path, strategy: str, precision: str) -> None:
    words = ("--strategy", strategy, "--set", f"train.precision={precision}")
    cold, warm = distilled(recipe, "cold", *words), distilled(recipe, "warm", *words)
    assert losses(warm) == losses(cold)
    asked = cold["teacher_queries"]["large"]
    assert (cold["teacher_hits"], warm["teacher_queries"]) == ({"large": 0}, {"large": 0})
    assert warm["teacher_hits"] == {"large": asked} != {"large": 0}


@pytest.mark.parametrize(
    ("strategy", "epochs"), [("static", 3), ("dynamic-data", 3), ("dynamic-objective", 1)]
)
@pytest.mark.parametrize("how", ["option", "environment"])
def test_so_has_a_run_without_the_cache(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, epochs: int, how: str
) -> None:
    words = ("--strategy", strategy, "--set", f"train.epochs={epochs}")
    cold = distilled(recipe, "cold", *words)
    root = cache_root()
    assert root is not None
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    if how == "environment":
        monkeypatch.setenv("DKD_CACHE", "off")
    bare = distilled(recipe, "bare", *words, *(["--no-cache"] if how == "option" else []))
    assert losses(bare) == losses(cold)
    assert bare["teacher_queries"] == cold["teacher_queries"]
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_hidden_states_computed_again_are_the_same_bits(recipe: Path) -> None:
    words = ("--strategy", "dynamic-objective")
    cold, bare = distilled(recipe, "cold", *words), distilled(recipe, "bare", *words, "--no-cache")
    assert bare["teacher_queries"]["large"] > cold["teacher_queries"]["large"]
    assert losses(bare) == losses(cold)


def test_another_seed_finds_the_answers(recipe: Path) -> None:
    distilled(recipe, "first", "--strategy", "dynamic-objective")
    warm = distilled(recipe, "warm", "--strategy", "dynamic-objective", "--seed", "2")
    cold = distilled(recipe, "cold", "--strategy", "dynamic-objective", "--seed", "2", "--no-cache")
    assert warm["teacher_queries"] == {"large": 0}
    assert losses(warm) == losses(cold)


def test_info_and_clear(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = cache_root()
    assert dkd("cache", "info") == 0
    assert capsys.readouterr().out == f"0 entries, 0 B of 20 GB in {root}\n"
    assert dkd("cache", "clear") == 0
    assert capsys.readouterr().out == f"0 B removed from {root}\n"
    rows = distilled(recipe, "one", "--strategy", "dynamic-objective")["teacher_queries"]["large"]
    distilled(recipe, "two", "--strategy", "static")
    capsys.readouterr()
    assert dkd("cache", "info", "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["folder"], figures["limit"]) == (str(root), 20 * 10**9)
    assert figures["size"] == sum(entry["size"] for entry in figures["entries"]) > 0
    found = {entry["kept"]: entry for entry in figures["entries"]}
    assert {name: (entry["rows"], entry["hits"]) for name, entry in found.items()} == {
        "logits": (rows, rows),
        "hidden states": (rows, 0),
        "tokens": (found["tokens"]["rows"], found["tokens"]["rows"]),
    }
    assert found["tokens"]["rows"] > rows, "validation texts are read too"
    assert found["hidden states"]["layers"] == [0, 2, 4]
    assert found["logits"]["teacher"] == str((recipe.parent / "large").resolve())
    assert dkd("cache", "info") == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("hidden states 0, 2, 4", "fp32", "3 entries", "of 20 GB"))

    assert dkd("cache", "clear", "--older-than", "1") == 0
    assert capsys.readouterr().out.startswith("0 B removed")
    write_json(Path(found["logits"]["folder"]) / "use.json", {"hits": 0, "last_used": time.time() - 90_000})
    assert dkd("cache", "clear", "--older-than", "1") == 0
    assert "removed logits of" in capsys.readouterr().out
    assert dkd("cache", "clear") == 0
    assert "removed hidden states 0, 2, 4 of" in capsys.readouterr().out
    assert root is not None
    assert not list(root.rglob("*.shard"))


def test_info_and_clear_of_what_cannot_be_described(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = cache_root()
    assert root is not None
    distilled(recipe, "one", "--strategy", "static")
    for path in root.rglob("entry.json"):
        path.write_text("{}")
    capsys.readouterr()
    assert dkd("cache", "info") == 0
    assert "?" in capsys.readouterr().out
    assert dkd("cache", "clear") == 0
    assert "removed ? of ?" in capsys.readouterr().out
    assert not list(root.rglob("*.shard"))


def test_off_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DKD_CACHE", "off")
    assert dkd("cache", "info") == dkd("cache", "clear") == 0
    assert capsys.readouterr().out == "the cache is off (DKD_CACHE=off)\n" * 2
    assert dkd("cache", "info", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"folder": None, "entries": []}


def test_a_run_goes_on_where_the_cache_cannot_be_written(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("DKD_CACHE", str(tmp_path / "file" / "cache"))
    assert distilled(recipe, "out", "--strategy", "dynamic-objective")["teacher_queries"]["large"] > 0
    assert capsys.readouterr().err.count("warning: the cache") == 1


def test_a_disk_that_fills_up_costs_no_run(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--strategy", "dynamic-objective", "--set", "train.epochs=1")
    cold = distilled(recipe, "cold", *words, "--no-cache")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rows, "write_shard", full)
    capsys.readouterr()
    assert losses(distilled(recipe, "full", *words)) == losses(cold)
    warned = [line for line in capsys.readouterr().err.splitlines() if "the cache" in line]
    assert len(warned) == 1
    assert "No space left on device" in warned[0]


def test_a_wrong_limit_is_an_error(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DKD_CACHE_LIMIT", "much")
    assert dkd("cache", "info") == dkd("distill", str(recipe)) == 2


def test_info_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom dkd_cli.cli import run\n"
        "try: run(['cache', 'info'])\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (999, "999 B"), (1234, "1.23 KB"), (20 * 10**9, "20 GB")]
)
def test_sizes_are_readable(count: int, shown: str) -> None:
    assert size(count) == shown
