"""Words that carry tags through the commands: train, distil, evaluate, predict, and what others read."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml
from command_line import heard
from encoders import save_encoder
from small import save_classifier
from tagged import sentences, tiny_sentences, write_conll
from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer, pipeline

from dkd_cli import api
from dkd_cli.data.kinds import KINDS
from dkd_cli.data.sources import load_task_data
from dkd_cli.engine.machine.processes import Processes
from dkd_cli.errors import ModelError, RecipeError
from dkd_cli.pipeline.workshop import Workshop
from dkd_cli.recipe.loader import load_recipe
from dkd_cli.report.terminal import Terminal

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

    tagged = tmp_path / "tags.tsv"
    said = heard("evaluate", str(student), "--no-timing", "--split", "test", "--predictions", str(tagged))
    assert said.code == 0, said.err
    test = load_task_data(load_recipe(str(recipe)).data).splits["test"]
    lines = list(csv.DictReader(tagged.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
    assert [len(line["prediction"].split()) for line in lines] == [len(text.split()) for text in test.texts]

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


def test_teacher_and_student_with_different_tokenizers_meet_at_words(recipe: Path, tmp_path: Path) -> None:
    other = save_encoder(tmp_path / "roberta", "roberta")
    words = [f"teachers={{large: {{model: {other}}}}}", "train.max_steps=4", "name=met"]
    words += ["strategy.objective.hidden_weight=0", "train.class_weights=balanced"]
    api.train_teacher(str(recipe), overrides=words)
    run = api.distill(str(recipe), strategies=["dynamic-data"], overrides=words)[0]
    log = json.loads((tmp_path / "checkpoints" / "met" / run.name / "training.json").read_text("utf-8"))
    assert log["teacher_queries"]["large"] > 0
    assert all(0 < line["kd"] < 10 for line in log["history"] if "kd" in line)


def save_tagger(folder: Path, encoder: Path, names: Sequence[str]) -> Path:
    """A random tagger, as another tool saves one."""
    named = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    AutoModelForTokenClassification.from_pretrained(encoder, **named).save_pretrained(folder)
    AutoTokenizer.from_pretrained(encoder).save_pretrained(folder)
    return folder


def test_a_tagger_made_elsewhere_teaches_and_one_of_texts_does_not(
    recipe: Path, tmp_path: Path, tiny_encoder: Path
) -> None:
    names = ("I-GOOD", "O", "B-BAD", "B-GOOD", "I-BAD")
    short = ["--strategy", "dynamic-data", "--set", "train.max_steps=3"]
    pooled = ["--set", "strategy.data.backward=selected", "--set", "strategy.data.ratio=0.5"]
    tagger = save_tagger(tmp_path / "tagger", tiny_encoder, names)
    change = f"teachers={{large: {{checkpoint: {tagger}}}}}"
    said = heard("distill", str(recipe), *short, *pooled, "--set", change)
    assert said.code == 0, said.err
    of_texts = save_classifier(tmp_path / "texts", tiny_encoder, names)
    change = f"teachers={{large: {{checkpoint: {of_texts}}}}}"
    said = heard("distill", str(recipe), *short, "--set", change, "--set", "name=other")
    assert said.code == 4
    assert "gives one answer for a text, and the task is a tag for each word" in said.err
    other = save_tagger(tmp_path / "other", tiny_encoder, ("O", "B-PER", "I-PER", "B-LOC", "I-LOC"))
    change = f"teachers={{large: {{checkpoint: {other}}}}}"
    said = heard("distill", str(recipe), *short, "--set", change, "--set", "name=third")
    assert said.code == 4
    assert "knows ['O', 'B-PER'" in said.err


@pytest.mark.parametrize("names", [("LABEL_0", "LABEL_1", "LABEL_2"), ("O", "S-PER", "B-PER"), ("NOUN", "O")])
def test_predictions_by_other_tags_are_refused(
    tmp_path: Path, tiny_encoder: Path, names: Sequence[str]
) -> None:
    tagger = save_tagger(tmp_path / "tagger", tiny_encoder, names)
    said = heard("predict", str(tagger), "a good film")
    assert said.code == 4
    assert not said.out
    wrong = next(one for one in names if one not in ("O", "B-PER"))
    assert f"tags words with {wrong!r}, which is no IOB2 tag; name its outputs" in said.err
    with pytest.raises(ModelError, match="is no IOB2 tag"):
        api.predict(tagger, ["a good film"])


def test_several_processes_share_no_tagged_words(recipe: Path) -> None:
    workshop = Workshop(Terminal(quiet=True), cached=False, peers=Processes(0, 2))
    with pytest.raises(RecipeError, match="start dkd without torchrun"):
        workshop.data(load_recipe(str(recipe)))


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


def test_shrink_refuses_words(recipe: Path) -> None:
    said = heard("shrink", str(recipe), "--dry-run")
    assert said.code == 2
    assert not said.out
    assert "`dkd shrink` does not take it" in said.err


def test_an_export_and_a_selection(recipe: Path, tmp_path: Path) -> None:
    api.train_teacher(str(recipe), overrides=["train.epochs=2"], teachers=["large"])
    teacher = tmp_path / "checkpoints" / "tiny" / "teacher-large"
    made = heard("export", str(teacher), "--recipe", str(recipe))
    assert made.code == 0, made.err
    assert "--recipe is not read" in made.err
    export = teacher.with_name("teacher-large-onnx")
    texts = [" ".join(words) for words, _ in tiny_sentences()[:6]] + ["  ", "(lovely music)."]
    rows = api.predict(teacher, texts)
    assert any(row["entities"] for row in rows)
    for own, theirs in zip(rows, api.predict(export, texts), strict=True):
        assert [(e["start"], e["end"]) for e in own["entities"]] == [
            (e["start"], e["end"]) for e in theirs["entities"]
        ]
        assert own["uncertainty"] == pytest.approx(theirs["uncertainty"], abs=1e-3)
    contest = api.evaluate(teacher.parent, timing=False)["evaluations"][0]
    first, second = (model["metrics"]["entity_f1"] for model in contest["models"])
    assert first == second
    said = heard("evaluate", str(teacher), "--recipe", str(recipe), "--no-timing")
    assert said.code == 0
    assert "--recipe is not read" in said.err
    said = heard("cascade", str(export), str(teacher))
    assert said.code == 2
    assert "`dkd cascade` does not take it" in said.err

    chosen = tmp_path / "chosen.jsonl"
    words = ["--model", str(teacher), "--score", "entropy", "--count", "9", "--output", str(chosen)]
    said = heard("select-data", str(recipe), *words)
    assert said.code == 0, said.err
    lines = [json.loads(line) for line in chosen.read_text(encoding="utf-8").splitlines()]
    known = {tuple(words): tags for words, tags in tiny_sentences()}
    assert len(lines) == 9
    assert all(known[tuple(line["tokens"])] == line["ner_tags"] for line in lines)


@pytest.mark.slow
def test_a_pretrained_encoder_learns_names_from_few_sentences(
    pretrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = sentences(60)
    write_conll(tmp_path / "train.conll", made[:40])
    write_conll(tmp_path / "dev.conll", made[40:])
    recipe = {
        "name": "names",
        "model": pretrained,
        "data": {"train": "train.conll", "validation": "dev.conll", "kind": "tokens", "max_length": 32},
        "teachers": {"large": {"layers": 3}},
        "student": {"layers": 2},
        "train": {"epochs": 5, "batch_size": 8, "learning_rate": 3e-4, "precision": "fp32"},
    }
    (tmp_path / "names.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    assert api.train_teacher("names.yaml")[0].validation["entity_f1"] > 0.8
    student = api.distill("names.yaml", strategies=["dynamic-data,dynamic-objective"])[0]
    assert student.validation["entity_f1"] > 0.6
    said = heard("export", f"checkpoints/names/{student.name}", "--quantize", "int8", "--max-loss", "5")
    assert said.code == 0, said.err
    row = api.predict(f"checkpoints/names/{student.name}-onnx-int8", ["Grace Hopper flew to Paris."])[0]
    assert {"PER", "LOC"} <= {one["label"] for one in row["entities"]}


def test_a_file_of_tagged_words_is_no_input_and_no_draft(recipe: Path, tmp_path: Path) -> None:
    source = tmp_path / "tiny.conll"
    said = heard("predict", "absent", str(source))
    assert said.code == 2
    assert "holds tagged words, not texts to predict" in said.err
    said = heard("init", str(source), "--output", str(tmp_path / "drafted.yaml"))
    assert said.code == 3
    assert "write one with data.kind: tokens" in said.err
