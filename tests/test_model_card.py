"""The model card: metadata that the hub's own reader takes, and a body that any name leaves whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.data.tasks import Task
from dkd_cli.engine.runs.checkpoints import Run
from dkd_cli.recipe.schema import Data, Recipe
from dkd_cli.report.model_card import code, model_card

UNKIND = "a|b `c`\n# <script>alert(1)</script>"


def run(role: Any = "student", **changes: Any) -> Run:
    settings: dict[str, Any] = {
        "role": role,
        "name": "student-static-seed1",
        "strategy": "static" if role == "student" else None,
        "seed": 1,
        "teacher": "/home/somebody/checkpoints/teacher-large" if role == "student" else None,
        "recipe": Recipe(name="r", model="bert-base-uncased", data=Data(source="/home/somebody/tickets.csv")),
        "validation": {"accuracy": 0.75, "macro_f1": 0.5, "loss": 0.7},
        "seconds": 60.0,
    }
    return Run(**(settings | changes))


def data(kind: Any = "classification", names: tuple[str, ...] | None = ("no", "yes")) -> TaskData:
    split = Split("train", ["a"] * 1000, None, None, ["x"] * 1000)
    return TaskData(Task("queues", kind=kind, metrics=KINDS[kind].metrics), names, {"train": split}, ())


def card(of: Run, about: TaskData, base: str = "bert-base-uncased") -> str:
    return model_card(of, about, base=base, layers=3, parameters=17_400_000)


def parsed(text: str) -> ModelCardData:
    return ModelCard(text).data


def test_the_hub_reads_the_metrics() -> None:
    found = parsed(card(run(), data()))
    assert found.base_model == "bert-base-uncased"
    assert found.pipeline_tag == "text-classification"
    assert "knowledge-distillation" in found.tags
    assert found.license is None, "left to whoever shares it"
    assert found.model_name == "student-static-seed1"
    assert found.eval_results is not None
    assert [(r.metric_type, r.metric_value, r.dataset_split) for r in found.eval_results] == [
        ("accuracy", 0.75, "validation"),
        ("f1", 0.5, "validation"),
    ]


def test_folders_of_the_maker_are_not_told() -> None:
    text = card(run(), data(), base="/home/somebody/checkpoints/teacher-large")
    assert "somebody" not in text
    assert "`teacher-large`" in text
    assert "`tickets.csv`" in text
    assert parsed(text).base_model is None


def test_a_package_is_no_hub_id() -> None:
    text = card(run(), data(), base="pkg://some_package/model")
    assert parsed(text).base_model is None
    assert "`pkg://some_package/model`" in text


@pytest.mark.parametrize("name", [UNKIND, "`", "", "x" * 500])
def test_any_name_leaves_tables_and_metadata_whole(name: str) -> None:
    text = card(run(name="model: [", strategy=name), data(names=(name, "yes")))
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["model-index"][0]["name"] == "model: ["
    tables = [line for line in body.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {3}
    assert sum(line.startswith("# ") for line in body.splitlines()) == 1
    assert code(name).count("`") in (0, 2)


def test_numbers_and_runs_without_metrics_have_cards_too() -> None:
    text = card(run(validation={"pearson": 0.9}), data("regression", None))
    (result,) = parsed(text).eval_results or []
    assert (result.metric_type, result.metric_value) == ("pearsonr", 0.9)
    assert "predicts a number" in text
    bare = card(run("teacher", validation={"agreement": 0.9}), data())
    assert parsed(bare).eval_results is None
    assert "## Validation" not in bare
    assert "fine-tuned to be a teacher" in bare


def test_it_names_files_that_a_model_folder_has(tmp_path: Path) -> None:
    text = card(run(), data())
    for name in ("recipe.yaml", "training.json", "calibration.json"):
        assert f"`{name}`" in text
