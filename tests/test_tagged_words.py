"""Words that carry tags through the commands: train, distil, evaluate, predict, and what others read."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import heard
from tagged import tiny_sentences, write_conll
from transformers import AutoConfig, pipeline

from dkd_cli import api
from dkd_cli.data.kinds import KINDS

Write = Callable[..., Path]
DYNAMIC = "dynamic-teacher,dynamic-data,dynamic-objective"


@pytest.fixture
def recipe(tiny_recipe: Write, tmp_path: Path) -> Path:
    data = {"source": str(write_conll(tmp_path / "tiny.conll", tiny_sentences())), "kind": "tokens"}
    return tiny_recipe({"data": data, "train": {"epochs": 4, "learning_rate": 1e-2}})


def test_from_a_recipe_to_predictions(recipe: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "tiny"
    api.train_teacher(str(recipe))
    api.distill(str(recipe), strategies=["static", DYNAMIC])
    figures = api.evaluate(folder, timing=False)
    contest = figures["evaluations"][0]
    assert contest["baseline"]["name"] == "always O"
    assert contest["baseline"]["metrics"]["entity_f1"] == 0
    for model in contest["models"]:
        assert set(model["metrics"]) == set(KINDS["tokens"].always)
        assert model["cascade"] is None
    own = next(model for model in contest["models"] if model["model"] == "student-static-seed1")
    assert own["metrics"]["entity_f1"] > 0.5
    assert own["agreement"] > 0.8
    assert [one["label"] for one in own["per_class"]] == ["O", "B-BAD", "I-BAD", "B-GOOD", "I-GOOD"]
    for said in own["disagreements"]:
        assert len(said["student"]) == len(said["teacher"]) == len(said["label"])

    student = folder / "student-static-seed1"
    assert AutoConfig.from_pretrained(student).architectures == ["BertForTokenClassification"]
    assert 'pipeline("token-classification"' in (student / "README.md").read_text(encoding="utf-8")
    texts = [" ".join(words) for words, _ in tiny_sentences()[:4]]
    rows = api.predict(student, texts)
    spoken = pipeline("token-classification", model=str(student), aggregation_strategy="first")
    for text, row in zip(texts, rows, strict=True):
        theirs = [(one["entity_group"], one["start"], one["end"]) for one in spoken(text)]
        assert [(one["label"], one["start"], one["end"]) for one in row["entities"]] == theirs
        assert 0 < row["uncertainty"] < 1
    assert any(row["entities"] for row in rows)

    source = tmp_path / "in.txt"
    source.write_text(f"({texts[0].replace(' ', '  ')}).\n", encoding="utf-8")
    table = heard("predict", str(student), str(source))
    assert table.code == 0, table.err
    cells = next(csv.DictReader(table.out.splitlines()))
    line = json.loads(heard("predict", str(student), str(source), "--json").out)
    text = source.read_text(encoding="utf-8")
    for one in line["entities"]:
        assert text[one["start"] : one["end"]] == one["text"]
    assert cells["labels"] == "|".join(one["label"] for one in line["entities"])
    assert cells["spans"] == "|".join(f"{one['start']}-{one['end']}" for one in line["entities"])


def test_cached_logits_of_words_are_found_again(recipe: Path, tmp_path: Path) -> None:
    short = ["train.max_steps=4"]
    api.train_teacher(str(recipe), overrides=short)
    folder = tmp_path / "checkpoints" / "tiny" / "student-static-seed1"
    found = []
    for fresh in (False, True):
        api.distill(str(recipe), strategies=["static"], overrides=short, fresh=fresh)
        log = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        found.append((log, (folder / "model.safetensors").read_bytes()))
    (cold, first), (warm, second) = found
    assert cold["teacher_queries"]["large"] == warm["teacher_hits"]["large"] > 0
    assert warm["teacher_queries"]["large"] == 0
    assert first == second


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("student.family=static", "each word needs an output of its own"),
        ("data.augment.copies=1", "replaces words"),
        ("teachers.large.probabilities=a.jsonl", "each word needs its own"),
        ("data.text_pair=other", "is a second text"),
        ("data.unlabelled=true", "leaves out the tags"),
    ],
)
def test_what_means_nothing_for_words_is_refused_before_data_are_read(
    recipe: Path, key: str, problem: str
) -> None:
    said = heard("distill", str(recipe), "--set", key, "--set", "data.source=absent.conll")
    assert said.code == 2
    assert problem in said.err


@pytest.mark.parametrize("command", ["shrink", "select-data"])
def test_commands_of_whole_texts_refuse_words(recipe: Path, command: str) -> None:
    words = ["--model", "absent", "--score", "entropy", "--ratio", "0.5"] if command == "select-data" else []
    said = heard(command, str(recipe), *words)
    assert said.code == 2, said.err
    assert f"`dkd {command}` does not take it" in said.err
