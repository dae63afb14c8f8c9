"""Several labels per text through the commands: train, distil, evaluate, predict, and what others read."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import heard
from conftest import NEUTRAL, tiny_rows
from transformers import AutoConfig, pipeline

from dkd_cli import api
from dkd_cli.data.kinds import KINDS
from dkd_cli.data.label_lists import columns_of
from dkd_cli.data.sources import load_task_data
from dkd_cli.data.tasks import Task
from dkd_cli.engine.models.students import build_student
from dkd_cli.errors import Problems, RecipeError
from dkd_cli.evaluation.metrics import task_metrics
from dkd_cli.evaluation.temperature_file import read_temperature, read_thresholds
from dkd_cli.recipe.loader import dump_recipe, load_recipe, parse_recipe

CALM = set(NEUTRAL.split()[:4])
NAMES = ("calm", "negative", "positive")
Write = Callable[..., Path]


def write_texts(path: Path, single: bool = False) -> Path:
    """The tiny texts; `calm` is a second label of those with some neutral words."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["text", "labels"])
        for text, label in tiny_rows():
            calm = ["calm"] if CALM & set(text.split()) and not single else []
            writer.writerow([text, "|".join([label, *calm])])
    return path


@pytest.fixture
def recipe(tiny_recipe: Write, tmp_path: Path) -> Path:
    data = {"source": str(write_texts(tmp_path / "several.csv")), "kind": "multi-label", "label": "labels"}
    return tiny_recipe({"data": data, "train": {"epochs": 4}})


def test_from_a_recipe_to_predictions(recipe: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "tiny"
    api.train_teacher(str(recipe))
    strategies = ["static", "dynamic-teacher,dynamic-data,dynamic-objective"]
    api.distill(str(recipe), strategies=strategies)
    student = folder / "student-static-seed1"
    thresholds = read_thresholds(student)
    assert set(thresholds) == {"calm", "negative", "positive"}
    figures = api.evaluate(folder, timing=False)
    assert read_thresholds(student) == thresholds  # fitted on the same rows
    contest = figures["evaluations"][0]
    assert contest["baseline"]["name"] == "each label by its frequency"
    own = next(model for model in contest["models"] if model["model"] == "student-static-seed1")
    assert set(own["metrics"]) == set(KINDS["multi-label"].always)
    assert own["metrics"]["micro_f1"] > contest["baseline"]["metrics"]["micro_f1"]
    assert {one["label"]: one["threshold"] for one in own["by_label"]} == pytest.approx(thresholds)
    assert [one["label"] for one in own["per_class"]] == ["calm", "negative", "positive"]
    assert own["cascade"] is not None

    texts = [text for text, _ in tiny_rows()[:9]]
    rows = api.predict(student, texts)
    for row in rows:
        above = {name for name, p in row["probabilities"].items() if p > thresholds[name]}
        assert set(row["labels"]) == above
        assert row["probability"] == [row["probabilities"][name] for name in row["labels"]]
        assert row["probability"] == sorted(row["probability"], reverse=True)
    said = pipeline("text-classification", model=str(student), top_k=None)([texts[0]])[0]
    scores = {one["label"]: one["score"] for one in said}
    logit = {name: np.log(p / (1 - p)) / read_temperature(student) for name, p in scores.items()}
    for name, p in rows[0]["probabilities"].items():
        assert 1 / (1 + np.exp(-logit[name])) == pytest.approx(p, abs=1e-3)
    assert AutoConfig.from_pretrained(student).problem_type == "multi_label_classification"

    (tmp_path / "in.txt").write_text("\n".join(texts), encoding="utf-8")
    table = heard("predict", str(student), str(tmp_path / "in.txt"))
    assert table.code == 0
    cells = list(csv.DictReader(table.out.splitlines()))
    assert [cell["labels"] for cell in cells] == ["|".join(row["labels"]) for row in rows]
    lines = heard("predict", str(student), str(tmp_path / "in.txt"), "--json").out.splitlines()
    assert [json.loads(line)["labels"] for line in lines] == [row["labels"] for row in rows]


def test_a_classifier_of_one_label_teaches_no_several(
    recipe: Path, tmp_path: Path, tiny_encoder: Path
) -> None:
    from small import save_classifier

    teacher = save_classifier(tmp_path / "softmax", tiny_encoder, ("calm", "negative", "positive"))
    overrides = [f"teachers={{large: {{checkpoint: {teacher}}}}}"]
    said = heard("distill", str(recipe), "--strategy", "static", "--set", overrides[0])
    assert said.code == 4
    assert "gives one label per text, and the task has several" in said.err


def test_a_checkpoint_made_elsewhere_and_a_file_teach(
    recipe: Path, tmp_path: Path, tiny_encoder: Path
) -> None:
    from small import save_classifier

    settings: dict[str, Any] = {"problem_type": "multi_label_classification"}
    names = ("positive", "negative", "calm")  # in another order
    teacher = save_classifier(tmp_path / "elsewhere", tiny_encoder, names, **settings)
    said = heard(
        "distill",
        str(recipe),
        "--strategy",
        "static",
        "--set",
        f"teachers={{large: {{checkpoint: {teacher}}}}}",
    )
    assert said.code == 0, said.err
    assert "on validation (thresholds: fitted on these rows); each label by its frequency" in said.out
    rows = [{"text": text, "probabilities": {label: 0.9, "calm": 0.4}} for text, label in tiny_rows()]
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    changes = f"teachers={{llm: {{probabilities: {answers}}}}}"
    assert (
        heard("distill", str(recipe), "--strategy", "static", "--set", changes, "--set", "name=file").code
        == 0
    )
    rows[3]["probabilities"] = [0.5, 0.5]
    answers.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    wrong = heard("distill", str(recipe), "--strategy", "static", "--set", changes, "--set", "name=wrong")
    assert wrong.code == 3
    assert "2 probabilities where there are 3 classes" in wrong.err


def test_with_one_label_per_text_the_metrics_are_those_of_classification() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(4, size=60)
    guesses = np.where(generator.random(60) < 0.6, labels, generator.integers(4, size=60))
    logits = 2.0 * np.eye(4)[guesses] - 1.0  # the guess alone is above its threshold
    one = task_metrics(Task("one"), logits, labels)
    several = task_metrics(Task("several", kind="multi-label"), logits, np.eye(4, dtype=int)[labels])
    assert several["macro_f1"] == pytest.approx(one["macro_f1"])
    assert several["subset_accuracy"] == pytest.approx(one["accuracy"])
    assert several["micro_f1"] == pytest.approx(one["accuracy"])


def test_one_label_per_text_runs_through_the_same_commands(tiny_recipe: Write, tmp_path: Path) -> None:
    source = str(write_texts(tmp_path / "one.csv", single=True))
    data = {"source": source, "kind": "multi-label", "label": "labels"}
    path = tiny_recipe({"data": data, "train": {"epochs": 4}})
    run = api.distill(str(path), strategies=["none"])[0]
    assert run.validation["micro_f1"] > 0.8
    assert torch.isfinite(torch.tensor(run.validation["loss"]))


def test_the_recipe_names_a_column_for_each_label_as_a_list() -> None:
    data = "{source: a.csv, kind: multi-label, label: [toxic, insult]}"
    text = f"name: a\nmodel: m\ndata: {data}\nteachers: {{t: {{}}}}"
    recipe = parse_recipe(text, "a.yaml")
    assert columns_of(recipe.data.label or "") == ["toxic", "insult"]
    assert parse_recipe(dump_recipe(recipe), "again.yaml").data == recipe.data
    with pytest.raises(RecipeError, match="names a class, but `kind` is multi-label"):
        parse_recipe(text.replace("label: [", "positive: toxic, label: ["), "a.yaml")


@pytest.mark.parametrize("family", ["encoder", "static"])
def test_a_new_head_starts_at_the_frequencies_of_the_labels(recipe: Path, family: str) -> None:
    read = load_recipe(str(recipe))
    data = load_task_data(read.data)
    point = replace(read, student=replace(read.student, family=family))
    model = build_student(read.model, data, point).model
    labels = data.splits["train"].labels
    assert labels is not None
    expected = KINDS["multi-label"].constant(labels, data.outputs).logits
    biases = [value for name, value in model.named_parameters() if name.endswith("bias")]
    last = [bias for bias in biases if bias.shape == (data.outputs,)][-1]
    np.testing.assert_allclose(last.detach().numpy(), expected, rtol=1e-6)


def test_an_evaluation_names_the_thresholds_that_no_validation_labels_decide(
    tiny_recipe: Write, tmp_path: Path, tiny_encoder: Path
) -> None:
    from small import save_classifier

    source = write_texts(tmp_path / "several.csv")
    (tmp_path / "texts.jsonl").write_text(
        "".join(json.dumps({"text": f"{text} ."}) + "\n" for text, _ in tiny_rows()[:9]), encoding="utf-8"
    )
    files = {"source": None, "train": str(source), "validation": str(tmp_path / "texts.jsonl")}
    own = {"kind": "multi-label", "label": "labels", "labels": list(NAMES), "unlabelled": True}
    data = {**files, "test": str(source), **own, "near_duplicates": 1}
    recipe = tiny_recipe({"data": data}, "borrowed.yaml")
    settings: dict[str, Any] = {"problem_type": "multi_label_classification"}
    model = save_classifier(tmp_path / "elsewhere", tiny_encoder, NAMES, **settings)
    words = ("evaluate", str(model), "--recipe", str(recipe), "--no-timing", "--output", str(tmp_path))
    said = heard(*words)
    assert said.code == 0, said.err
    told = "thresholds: 0.5 for every label, there being no validation labels to fit them on"
    assert told in " ".join(said.out.split())
    content = {"temperature": 1.0, "thresholds": dict.fromkeys(NAMES, 0.999)}
    (model / "calibration.json").write_text(json.dumps(content), encoding="utf-8")
    again = heard(*words)
    assert again.code == 0, again.err
    assert "there being no validation labels" not in again.out
    figures = json.loads((tmp_path / "evaluation.json").read_text())["evaluations"][0]
    assert figures["models"][0]["metrics"]["micro_f1"] == 0.0  # nothing is above them


def test_labels_of_a_transfer_file_may_not_contradict(recipe: Path, tmp_path: Path) -> None:
    texts = [text for text, _ in tiny_rows()]
    (tmp_path / "more.jsonl").write_text(
        "".join(json.dumps({"text": text, "labels": ["calm"]}) + "\n" for text in texts[:4]),
        encoding="utf-8",
    )
    overrides = [f"data.transfer={tmp_path / 'more.jsonl'}"]
    with pytest.raises(Problems, match="the label 'calm' contradicts the training data, where this text has"):
        load_task_data(load_recipe(str(recipe), overrides).data)
    alike = [{"text": "new words", "labels": ["calm"]}, {"text": texts[0], "labels": []}]
    (tmp_path / "more.jsonl").write_text("".join(json.dumps(row) + "\n" for row in alike), encoding="utf-8")
    transfer = load_task_data(load_recipe(str(recipe), overrides).data).transfer
    assert transfer is not None
    assert transfer.texts == ["new words"]


@pytest.mark.slow
def test_a_comparison_fits_thresholds_for_a_teacher_made_elsewhere(
    recipe: Path, tmp_path: Path, tiny_encoder: Path
) -> None:
    from small import save_classifier

    settings: dict[str, Any] = {"problem_type": "multi_label_classification"}
    teacher = save_classifier(tmp_path / "elsewhere", tiny_encoder, NAMES, **settings)
    words = ("--set", f"teachers={{large: {{checkpoint: {teacher}}}}}", "--set", "train.max_steps=2")
    said = heard("compare", str(recipe), "--seeds", "2", "--strategy", "static", *words)
    assert said.code == 0, said.err
    assert "thresholds of the teacher: fitted on validation" in said.out
