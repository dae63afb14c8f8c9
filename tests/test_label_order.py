"""A teacher that names its classes in another order is the same teacher."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest
import torch
from conftest import TinyRecipe, tiny_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from small import save_classifier, task_data
from torch import Tensor
from transformers import AutoModelForSequenceClassification, BertConfig

from dkd_cli.cli import run
from dkd_cli.engine.models.label_order import label_order, match_names

CLASSES = ("bad", "fair", "good")
ORDER = (2, 0, 1)  # a cycle: taking it for its inverse would show


def permuted(folder: Path, teacher: Path, names: tuple[str, ...]) -> Path:
    """The teacher with the rows of its head in ORDER, calling its outputs `names`."""
    model = AutoModelForSequenceClassification.from_pretrained(teacher)
    with torch.no_grad():
        for weight in (model.classifier.weight, model.classifier.bias):
            weight.copy_(weight[list(ORDER)].clone())
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: place for place, name in enumerate(names)}
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((teacher / name).read_bytes())
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The tiny texts in three classes."""
    path = tmp_path / "three.csv"
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["text", "label"])
        writer.writerows((text, CLASSES[row % 3]) for row, (text, _) in enumerate(tiny_rows()))
    return path


def student(recipe: TinyRecipe, data: Path, teacher: Path, name: str) -> dict[str, Tensor]:
    """The weights of a student that this teacher made in one epoch."""
    file = recipe(
        {"name": name, "data": {"source": str(data)}, "teachers": {"large": {"checkpoint": str(teacher)}}},
        f"{name}.yaml",
    )
    with pytest.raises(SystemExit) as ended:
        run(["distill", str(file), "--strategy", "dynamic-data,dynamic-objective", "--quiet"])
    assert ended.value.code == 0
    (weights,) = (file.parent / "checkpoints" / name).glob("student-*/model.safetensors")
    return load_file(weights)


def test_the_order_of_a_teachers_classes_does_not_matter(
    tmp_path: Path, tiny_encoder: Path, tiny_recipe: TinyRecipe, data: Path
) -> None:
    teacher = save_classifier(tmp_path / "teacher", tiny_encoder, CLASSES)
    reordered = tuple(CLASSES[place] for place in ORDER)
    honest = permuted(tmp_path / "permuted", teacher, reordered)
    lying = permuted(tmp_path / "lying", teacher, CLASSES)
    students = {path.name: student(tiny_recipe, data, path, path.name) for path in (teacher, honest, lying)}
    expected = students["teacher"]
    assert [
        name for name, weight in expected.items() if not torch.equal(students["permuted"][name], weight)
    ] == []
    assert not torch.equal(students["lying"]["classifier.weight"], expected["classifier.weight"])


@settings(deadline=None)
@given(st.lists(st.text(min_size=1), min_size=2, unique=True), st.randoms(use_true_random=False))
def test_equal_names_match_whatever_they_are(names: list[str], chance: random.Random) -> None:
    own = chance.sample(names, len(names))
    found = match_names(own, names)
    assert found is not None
    assert [own[place] for place in found] == names


@pytest.mark.parametrize(
    ("own", "wanted", "expected"),
    [
        (("US", "us", "Us"), ("us", "Us", "US"), [1, 2, 0]),
        (("Stra\xdfe", "STRASSE"), ("STRASSE", "Stra\xdfe"), [1, 0]),
        (("NEGATIVE", "Positive"), ("positive", "negative"), [1, 0]),
        (("US", "us"), ("Us", "us"), None),
        (("a", "a"), ("a", "b"), None),
        (("a", "b"), ("a", "a"), None),
    ],
)
def test_case_counts_only_where_it_tells_names_apart(
    own: tuple[str, ...], wanted: tuple[str, ...], expected: list[int] | None
) -> None:
    assert match_names(own, wanted) == expected


def test_classes_that_are_called_as_nameless_outputs_are() -> None:
    names = tuple(f"LABEL_{number}" for number in range(3))
    nameless = BertConfig(num_labels=3)
    assert label_order(nameless, task_data(names[::-1]), None, "theirs", "model") == [2, 1, 0]
