"""`dkd cascade` and `dkd predict --else`: thresholds that are kept, a file to follow, refusals."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Said, heard
from conftest import TinyRecipe, tiny_rows
from small import LABELS, save_classifier
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from dkd_cli.evaluation.cascade_file import NAME, read_cascade
from dkd_cli.manifests import seal

TEXTS = [text for text, _ in tiny_rows()[:40]]
ENOUGH = ("--agreement", "0.8", "--confidence", "0.9")
"""Few validation rows can show this much."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, build_encoder: Callable[[int], Path]) -> Path:
    """Three alike but for noise in their heads; `large` has its outputs in the other order."""
    folder = tmp_path_factory.mktemp("cascade")
    for place, name in enumerate(("small", "middle", "large")):
        save_classifier(folder / name, build_encoder(1), LABELS)
        model = AutoModelForSequenceClassification.from_pretrained(folder / name)
        head, random = model.classifier, torch.Generator().manual_seed(place)
        tokenizer = AutoTokenizer.from_pretrained(folder / name)
        batch = tokenizer([text for text, _ in tiny_rows()], padding=True, return_tensors="pt")
        with torch.no_grad():
            # So large, and about the mean, that a random encoder's outputs tell texts apart.
            head.weight += 0.3 * torch.randn(head.weight.shape, generator=random)
            head.weight *= 1000
            head.bias.copy_(-(model.eval().bert(**batch).pooler_output @ head.weight.T).mean(0))
            if name == "large":
                head.weight.copy_(head.weight.flip(0))
                head.bias.copy_(head.bias.flip(0))
                model.config.id2label = dict(enumerate(reversed(LABELS)))
        model.save_pretrained(folder / name)
        (folder / name / "calibration.json").write_text('{"temperature": 1.0}', encoding="utf-8")
        seal(folder / name)
    return folder


@pytest.fixture
def models(made: Path, tmp_path: Path) -> Path:
    """A copy of them to write into."""
    return shutil.copytree(made, tmp_path / "models")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return path


def chosen(tiny_recipe: TinyRecipe, models: Path, *names: str, words: tuple[str, ...] = ENOUGH) -> Said:
    recipe = tiny_recipe({"data": {"validation_share": 0.5}})
    return heard("cascade", *(models / name for name in names), "--recipe", recipe, *words)


def rows(*words: str | Path) -> list[dict[str, Any]]:
    said = heard("predict", *words, "--quiet")
    assert said.code == 0, said
    return list(csv.DictReader(io.StringIO(said.out)))


@pytest.mark.parametrize("names", [("small", "large"), ("small", "middle", "large")])
def test_each_text_is_answered_by_the_first_model_that_is_sure(
    tiny_recipe: TinyRecipe, models: Path, texts: Path, names: tuple[str, ...]
) -> None:
    said = chosen(tiny_recipe, models, *names)
    assert said.code == 0, said
    path = models / "small" / NAME
    assert f"{path}: uncertainty up to" in said.out
    cascade = read_cascade(path)
    assert cascade.max_uncertainty is not None
    others = [word for name in names[1:] for word in ("--else", models / name)]
    found = rows(models / "small", *others, texts, "--all-probabilities")
    alone = {name: rows(models / name, texts, "--all-probabilities") for name in names}
    asked = set()
    for place, row in enumerate(found):
        name = Path(row["answered_by"]).name
        asked.add(name)
        assert row["label"] == alone[name][place]["label"]
        assert name == names[-1] or float(row["uncertainty"]) <= cascade.max_uncertainty
        assert float(row["p(positive)"]) == pytest.approx(float(alone[name][place]["p(positive)"]), abs=0.05)
    assert len(asked) > 1
    assert rows(path, texts) == rows(models / "small", *others, texts)


def test_the_file_says_all_that_another_program_needs(tiny_recipe: TinyRecipe, models: Path) -> None:
    assert chosen(tiny_recipe, models, "small", "large").code == 0
    content = json.loads((models / "small" / NAME).read_text(encoding="utf-8"))
    assert [step["model"] for step in content["steps"]] == [".", "../large"]
    assert content["labels"] == list(LABELS)
    assert (content["measure"], content["wanted"], content["confidence"]) == ("agreement", 0.8, 0.9)
    assert content["bound"] >= 0.8
    validation = content["validation"]
    assert sum(validation["answered"]) == pytest.approx(1)
    assert validation["agreement"] >= content["bound"]


def test_shares_are_told_beside_the_answers(tiny_recipe: TinyRecipe, models: Path, texts: Path) -> None:
    chosen(tiny_recipe, models, "small", "large")
    said = heard("predict", models / "small", "--else", models / "large", texts)
    assert said.err.startswith("answered by ")
    assert "answered by" not in heard("predict", models / "small", texts).out


def test_a_loss_is_counted_by_labels_and_other_splits_are_measured(
    tiny_recipe: TinyRecipe, models: Path, tmp_path: Path
) -> None:
    output = tmp_path / "other.json"
    words = ("--loss", "0.2", "--confidence", "0.9", "--split", "test", "--output", str(output))
    said = chosen(tiny_recipe, models, "small", "large", words=words)
    assert said.code == 0, said
    assert "test" in said.out
    assert f"next: dkd predict {output}" in said.out
    assert read_cascade(output).bound <= 0.2


@pytest.mark.parametrize(
    ("words", "line", "code"),
    [
        (("--agreement", "0.999"), "is too small: ", 3),
        (("--agreement", "0.9", "--loss", "0.1"), "--loss: contradicts --agreement", 2),
        (("--split", "elsewhere", *ENOUGH), "has no split 'elsewhere'", 3),
    ],
)
def test_what_cannot_be_chosen_is_refused(
    tiny_recipe: TinyRecipe, models: Path, words: tuple[str, ...], line: str, code: int
) -> None:
    said = chosen(tiny_recipe, models, "small", "large", words=words)
    assert said.code == code
    assert line in said.err


def test_a_cascade_that_does_not_fit_is_refused(tiny_recipe: TinyRecipe, models: Path, texts: Path) -> None:
    chosen(tiny_recipe, models, "small", "large")
    words = (models / "small", "--else", models / "large", texts)
    path = models / "small" / NAME
    kept = path.read_text(encoding="utf-8")
    seal(models / "large", but=("README.md",))
    manifest = models / "large" / "dkd-manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    said = heard("predict", *words)
    assert said.code == 4
    assert f"is not what {path} was chosen for; remove" in said.err
    for damaged in (kept[: len(kept) // 2], kept.replace('"schema": 1', '"schema": 99'), "[]"):
        path.write_text(damaged, encoding="utf-8")
        said = heard("predict", *words)
        assert said.code == 3
        assert str(path) in said.err


def test_one_that_was_not_chosen_is_chosen_at_once_or_refused(models: Path, texts: Path) -> None:
    """Nothing says which data these models are for."""
    said = heard("predict", models / "small", "--else", models / "large", texts)
    assert said.code == 2
    assert "give --recipe NAME or FILE to `dkd cascade`" in said.err
