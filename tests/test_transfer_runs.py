"""Runs with a transfer set: what they count, what their control sees, and that they resume bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from command_line import heard
from conftest import tiny_rows, tiny_settings
from processes import killed_after
from safetensors.torch import load_file

TRANSFER = [" ".join(reversed(text.split())) + " again" for text, _ in tiny_rows()][:40]


def log_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "training.json").read_text())
    return found


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, tiny_csv: Path) -> Path:
    """A recipe with 40 transfer texts, and its teachers, which tests have by their path."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "more.txt").write_text("\n".join(TRANSFER))
    settings = tiny_settings(tiny_encoder, tiny_csv, folder / "checkpoints")
    settings["data"]["transfer"] = str(folder / "more.txt")
    recipe = folder / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    assert heard("train-teacher", recipe).code == 0
    for name in ("small", "large"):
        made = folder / "checkpoints" / "tiny" / f"teacher-{name}"
        settings["teachers"][name] = {"checkpoint": str(made)}
    recipe.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return recipe


def distil(recipe: Path, output: Path, *words: str) -> Path:
    """The folder of the students of `dkd distill`, which must succeed."""
    said = heard("distill", recipe, "--output-dir", output, *words)
    assert said.code == 0, said
    return output / "tiny"


def test_a_mixture_is_counted_and_its_controls_see_labelled_rows_for_as_many_updates(
    mixed: Path, tmp_path: Path
) -> None:
    folder = distil(mixed, tmp_path / "a", "--strategy", "static", "--strategy", "none")
    alone = distil(mixed, tmp_path / "b", "--set", "strategy.transfer=false")
    static, none = (log_of(folder / f"student-{name}-seed1") for name in ("static", "none"))
    control = log_of(alone / "student-static-seed1")
    labelled = none["rows"]["labelled"]
    assert static["rows"] == {"labelled": labelled, "unlabelled": 40}
    assert none["rows"] == control["rows"] == {"labelled": labelled, "unlabelled": 0}
    assert static["steps"] == none["steps"] == control["steps"] == -(-(labelled + 40) // 8)
    assert static["examples"] == labelled + 40
    assert none["examples"] == control["examples"] == 8 * static["steps"], "in whole batches"
    validations = [sum("eval_loss" in line for line in log["history"]) for log in (static, none, control)]
    assert validations == [1, 2, 2], "many passes over a few rows overfit, and earlier weights may be better"
    assert static["teacher_queries"] == {"large": labelled + 40}
    assert control["teacher_queries"] == {"large": 0}
    assert control["teacher_hits"] == {"large": labelled}
    assert "40 transfer" in (folder / "student-static-seed1" / "README.md").read_text()
    teacher = mixed.parent / "checkpoints" / "tiny" / "teacher-large"
    assert log_of(teacher)["rows"] == {"labelled": labelled, "unlabelled": 0}
    assert "transfer: []" in (teacher / "recipe.yaml").read_text()


def test_a_comparison_has_a_control_of_the_transfer_set(mixed: Path, tmp_path: Path) -> None:
    said = heard("compare", mixed, "--output-dir", tmp_path, "--seeds", "2", "--strategy", "static")
    assert said.code == 0, said
    figures = json.loads((tmp_path / "tiny" / "comparison.json").read_text())
    found = {one["strategy"]: one for one in figures["strategies"]}
    assert list(found) == ["none", "static", "labelled"]
    assert found["labelled"]["control"]
    assert set(found["static"]["against"]) == {"none", "labelled"}
    assert set(found["labelled"]["against"]) == {"none"}
    assert figures["transfer_rows"] == 40
    assert "static distillation on the labelled rows alone (labelled)" in " ".join(figures["verdict"])
    assert not list((tmp_path / "tiny").glob("*max_passes*")), "the passes are few anyway"


def test_fine_tuning_may_end_after_fewer_passes_and_stands_in_a_comparison_as_it_did_best(
    mixed: Path, tmp_path: Path
) -> None:
    longer = ("--set", "train.epochs=7")
    said = heard("compare", mixed, "--output-dir", tmp_path, "--seeds", "1", "--strategy", "static", *longer)
    assert said.code == 0, said
    assert "the labelled rows at most 10 times, or for as many updates" in said.out
    figures = json.loads((tmp_path / "tiny" / "comparison.json").read_text())
    none, static, labelled = figures["strategies"]
    for one in (none, labelled):
        tried = {one["settings"].get("strategy.max_passes"): one["validation"] for one in one["tried"]}
        assert set(tried) == {None, 10}
        assert one["validation"] == max(tried.values())
    assert len(static["tried"]) == 1
    few, many = (log_of(tmp_path / "tiny" / f"student-none{n}-seed1") for n in ("-max_passes=10", ""))
    assert few["steps"] == -(-10 * few["rows"]["labelled"] // 8) < many["steps"]


@pytest.mark.parametrize(
    "strategy", ["dynamic-teacher,dynamic-objective", "dynamic-data", "dynamic-data selected", "label-loss"]
)
def test_every_axis_works_on_the_mixture(mixed: Path, tmp_path: Path, strategy: str) -> None:
    name = strategy.split()[0] if strategy != "label-loss" else "dynamic-data"
    score = "label-loss-r" if strategy == "label-loss" else "margin"
    backward = "selected" if "selected" in strategy else "all"
    words = [f"--set=strategy.data.score={score}", f"--set=strategy.data.backward={backward}"]
    folder = distil(mixed, tmp_path, "--strategy", name, *words) / f"student-{name.replace(',', '_')}-seed1"
    log = log_of(folder)
    assert log["rows"]["unlabelled"] == 40
    assert all(line[term] == line[term] for line in log["history"] for term in line)


def test_a_teacher_from_a_file_may_leave_texts_out_but_not_all(mixed: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    rows = [{"text": text, "label": label} for text, label in tiny_rows()]
    answers.write_text("\n".join(map(json.dumps, rows)))
    words = ["--set", f"teachers={{llm: {{probabilities: {answers}}}}}", "--output-dir", str(tmp_path)]
    said = heard("distill", mixed, *words)
    assert said.code == 3
    assert "40" in said.err
    # Texts that it leaves out wait; a labelled text's own label takes the place of its answer.
    rows = rows[1:] + [{"text": text, "label": "positive"} for text in TRANSFER[:30]]
    answers.write_text("\n".join(map(json.dumps, rows)))
    said = heard("distill", mixed, *words)
    assert said.code == 0, said
    assert "30 of 40 texts are answered, the others wait" in said.out
    assert log_of(tmp_path / "tiny" / "student-static-seed1")["rows"]["unlabelled"] == 30


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "transfer"), [("dynamic-data", "true"), ("static", "false")], ids=["mixture", "control"]
)
def test_a_killed_run_resumes_to_the_same_bits(
    strategy: str, transfer: str, mixed: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    made = {}
    for name in ("whole", "killed"):
        monkeypatch.setenv("DKD_CACHE", str(tmp_path / f"cache-{name}"))
        words = (
            "--set",
            "train.epochs=3",
            "--set",
            f"strategy.transfer={transfer}",
            "--strategy",
            strategy,
            "--output-dir",
            str(tmp_path / name),
        )
        folder = tmp_path / name / "tiny" / f"student-{strategy}-seed1"
        working = folder.with_name("." + folder.name)
        if name == "killed":
            killed_after(lambda place=working: any(place.glob("checkpoint*")), "distill", mixed, *words)
            assert not folder.exists()
        assert heard("distill", mixed, *words).code == 0
        made[name] = load_file(folder / "model.safetensors")
    assert all(torch.equal(made["whole"][key], made["killed"][key]) for key in made["whole"])
