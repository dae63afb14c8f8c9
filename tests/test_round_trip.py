"""What one command makes the others take, whatever the classes are called."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from command_line import dkd, heard, refused
from conftest import TinyRecipe, tiny_rows
from encoders import save_encoder
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from small import save_classifier
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig

from dkd_cli.commands.predict import csv_lines
from dkd_cli.data.sources import load_task_data
from dkd_cli.engine.models.label_order import label_order, name_outputs
from dkd_cli.engine.models.models import load_config
from dkd_cli.recipe.loader import dump_recipe, load_recipe

NAMES = (
    *("US", "us", "Us", "Stra\xdfe", "STRASSE", "LABEL_0", "LABEL_1", "7", "1", "x"),
    *("a\tb", "two\nlines", 'so "called"', "one, two; three", "null", "yes", "p(x)", "label", "#"),
)


def write_table(path: Path, rows: Sequence[tuple[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([("text", "label"), *rows])
    return path


def even_answers(folder: Path, texts: Sequence[str]) -> Path:
    """Give a classifier the bias with which it gives all of its classes to some text or other."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(list(texts), padding=True, return_tensors="pt")
    with torch.no_grad():
        model.classifier.bias -= model(**tokens).logits.mean(dim=0)
    model.save_pretrained(folder)
    return folder


def test_class_names_that_invite_mistakes(
    tiny_recipe: TinyRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [text for text, _ in tiny_rows()]
    table = write_table(
        tmp_path / "data.csv", [(f"{text} {n}", NAMES[n % len(NAMES)]) for n, text in enumerate(texts * 2)]
    )
    recipe = tiny_recipe({"data": {"source": str(table), "labels": NAMES}, "train": {"max_steps": 1}})
    folder = tmp_path / "checkpoints" / "tiny"
    assert dkd("train-teacher", recipe, "--teacher", "large", "--quiet") == 0
    assert dkd("distill", recipe, "--strategy", "static", "--quiet") == 0
    for model in ("teacher-large", "student-static-seed1"):
        config = json.loads((folder / model / "config.json").read_text())
        assert list(config["id2label"].values()) == list(NAMES)

    # One step teaches nothing, so that the answers come from a head with the spread of a trained one.
    encoder = save_encoder(tmp_path / "encoder", "bert", num_hidden_layers=1)
    own = even_answers(save_classifier(folder / "own", encoder, NAMES), texts)
    said = tmp_path / "said.tsv"
    words = ("--recipe", recipe, "--no-timing", "--predictions", said)
    assert dkd("evaluate", own, *words, "--quiet") == 0
    predicted = [row[1] for row in csv.reader(io.StringIO(said.read_text()), dialect="excel-tab")][1:]
    asked = load_task_data(load_recipe(str(recipe)).data).splits["test"].texts
    assert len(predicted) == len(asked)
    assert len(set(predicted)) > 3

    assert dkd("export", own, "--recipe", recipe, "--max-loss", "100", "--quiet") == 0
    for model in (own, folder / "own-onnx"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(asked).encode())))
        lines = heard("predict", model, "--json").out.splitlines()
        assert [json.loads(line)["label"] for line in lines] == predicted
    assert dkd("evaluate", folder, "--recipe", recipe, "--no-timing", "--quiet") == 0

    assert dkd("select-data", recipe, "--model", own, "--ratio", "0.9", "--quiet") == 0
    (chosen,) = folder.glob("selected-*.jsonl")
    selected = [json.loads(line) for line in chosen.read_text(encoding="utf-8").splitlines()]
    assert {row["label"] for row in selected} == set(NAMES)
    assert all(NAMES[int(row["text"].split()[-1]) % len(NAMES)] == row["label"] for row in selected)
    words = [f"data.train={chosen}", "name=again", f"teachers.large.checkpoint={own}"]
    assert dkd("distill", recipe, *(w for word in words for w in ("--set", word)), "--quiet") == 0


def test_labels_beside_a_teacher_count_in_every_command(
    tiny_recipe: TinyRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A classifier made elsewhere knows LABEL_0 and LABEL_1 alone; its path is written in several ways."""
    monkeypatch.chdir(tmp_path)
    texts = [text for text, _ in tiny_rows()]
    encoder = save_encoder(tmp_path / "encoder", "bert", num_hidden_layers=1)
    theirs = even_answers(save_classifier(tmp_path / "theirs", encoder, None), texts)
    teacher = {"checkpoint": "./theirs", "layers": None, "labels": ["positive", "negative"]}
    recipe = tiny_recipe({"model": str(encoder), "student": {"layers": 1}, "teachers": {"large": teacher}})
    words = ("distill", recipe, "--set", "train.max_steps=1", "--strategy", "static", "--quiet")
    assert dkd(*words) == 0
    assert dkd("evaluate", tmp_path / "checkpoints", "--no-timing", "--quiet") == 0
    (line,) = refused(4, *words, "--set", "student.model=teacher", "--set", "name=cut")
    assert "has the classes in another order: positive, negative" in line

    asked = load_task_data(load_recipe(str(recipe)).data).splits["test"].texts
    model = AutoModelForSequenceClassification.from_pretrained(theirs).eval()
    tokens = AutoTokenizer.from_pretrained(theirs)(list(asked), padding=True, return_tensors="pt")
    expected = [teacher["labels"][place] for place in model(**tokens).logits.argmax(dim=-1).tolist()]
    said = tmp_path / "said.tsv"
    predicting = ("--recipe", recipe, "--no-timing", "--predictions", said, "--quiet")
    assert dkd("evaluate", "theirs", *predicting) == 0
    assert [line.split("\t")[1] for line in said.read_text().splitlines()[1:]] == expected

    for words in (("--score", "kl"), ("--score", "kl", "--model", tmp_path / "theirs")):
        assert dkd("select-data", recipe, *words, "--count", "40", "--quiet") == 0
        chosen = tmp_path / "checkpoints" / "tiny" / "selected-label-loss-40.jsonl"
        assert {json.loads(row)["label"] for row in chosen.read_text().splitlines()} == {
            "negative",
            "positive",
        }
        chosen.unlink()

    assert dkd("export", "theirs", "--recipe", recipe, "--max-loss", "100", "--quiet") == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(asked).encode())))
    lines = heard("predict", "theirs-onnx", "--json").out.splitlines()
    assert [json.loads(line)["label"] for line in lines] == expected


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@example(["0", "0\r0"])
@given(st.lists(names.map(str.strip).filter(bool), min_size=2, max_size=6, unique=True))
def test_a_class_name_is_a_class_name(tiny_recipe: TinyRecipe, tmp_path: Path, classes: list[str]) -> None:
    """Any text: through a file, a recipe, a model's configuration and a table of answers."""
    assume("-1" not in classes)  # the labels that data sets hide
    rows = [(text, classes[row % len(classes)]) for row, (text, _) in enumerate(tiny_rows())]
    table = write_table(tmp_path / "data.csv", rows)
    recipe = load_recipe(str(tiny_recipe({"data": {"source": str(table), "labels": classes}})))
    (tmp_path / "again.yaml").write_text(dump_recipe(recipe), encoding="utf-8", newline="")
    assert load_recipe(str(tmp_path / "again.yaml")) == recipe
    data = load_task_data(recipe.data)
    assert data.label_names == tuple(classes)
    given_label = dict(rows)
    for split in data.splits.values():
        assert split.labels is not None
        named = [classes[int(label)] for label in split.labels]
        assert named == [given_label[text] for text in split.texts]
    config = BertConfig()
    name_outputs(config, classes)
    config.save_pretrained(tmp_path / "model")
    again = load_config(str(tmp_path / "model"), "model", exported=True)
    assert label_order(again, data, None, "model", "model") == list(range(len(classes)))
    written = io.StringIO(newline="")
    csv_lines(iter([[{"label": name, "probability": 1.0} for name in classes]]), written)
    assert [row["label"] for row in csv.DictReader(io.StringIO(written.getvalue(), newline=""))] == classes
