"""Narrow feed-forward layers: ordinary models, equal to the old ones where nothing goes, else close."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from encoders import save_encoder
from small import encoded, split, task_data
from transformers import AutoModelForSequenceClassification

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator
from dkd_cli.engine.models.feed_forward import (
    activation_moments,
    find_parts,
    keep_neurons,
    most_important,
    narrow,
)
from dkd_cli.engine.models.inference import predict_logits
from dkd_cli.engine.models.models import LoadedModel, Model
from dkd_cli.engine.models.students import build_classifier
from dkd_cli.errors import ModelError

KEY = "student.ffn"
Encoder = Callable[[str], Path]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folders: dict[str, Path] = {}

    def build(family: str) -> Path:
        if family not in folders:
            folders[family] = save_encoder(tmp_path_factory.mktemp(family), family)
        return folders[family]

    return build


def student(folder: Path) -> tuple[LoadedModel, EncodedSplit, PaddingCollator]:
    built = build_classifier(str(folder), task_data(), layers=3, seed=1, key="student")
    return built, *encoded(folder, split("train", 0, 48))


def logits(model: Model, texts: EncodedSplit, collator: PaddingCollator) -> torch.Tensor:
    model.eval()
    return predict_logits(model, texts, collator, batch_size=16, precision="fp32")


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "deberta-v3", "mpnet"])
def test_a_narrow_student_is_saved_as_an_ordinary_model(
    encoder: Encoder, family: str, tmp_path: Path
) -> None:
    built, texts, collator = student(encoder(family))
    kept = narrow(built.model, texts, collator, 16, KEY)
    assert 0 < kept < 1
    built.model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert logits(again, texts, collator).equal(logits(built.model, texts, collator))
    widths = {(part.up.out_features, part.down.in_features) for part in find_parts(again, KEY)[0]}
    assert widths == {(16, 16)}


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_neurons_that_say_nothing_go_first_and_are_not_missed(encoder: Encoder, family: str) -> None:
    built, texts, collator = student(encoder(family))
    for part in find_parts(built.model, KEY)[0]:
        with torch.no_grad():
            part.down.weight[:, ::2] = 0
    before = logits(built.model, texts, collator)
    assert narrow(built.model, texts, collator, 24, KEY) == pytest.approx(1)
    torch.testing.assert_close(logits(built.model, texts, collator), before, rtol=1e-4, atol=1e-5)


def test_neurons_that_repeat_others_are_made_up_for(encoder: Encoder) -> None:
    built, texts, collator = student(encoder("bert"))
    for part in find_parts(built.model, KEY)[0]:
        with torch.no_grad():
            part.up.weight[24:], part.up.bias[24:] = part.up.weight[:24], part.up.bias[:24]
    assert narrow(built.model, texts, collator, 24, KEY) > 0.95


def test_fitted_weights_keep_more_than_the_old_ones(encoder: Encoder) -> None:
    built, texts, collator = student(encoder("bert"))
    parts, _ = find_parts(built.model, KEY)
    moments = activation_moments(built.model, parts, texts, collator)[0]
    covariance, old = moments.covariance(), parts[0].down.weight.detach().double()
    neurons = most_important(covariance, old, 16)
    gone = old.clone()
    gone[:, neurons] = 0
    unfitted = 1 - float((gone @ covariance * gone).sum() / (old @ covariance * old).sum())
    kept = keep_neurons(parts[0], neurons, covariance, moments.first / moments.tokens)
    assert kept > unfitted
    lowest = torch.arange(16)
    assert kept > _kept_with(lowest, covariance, old)


def _kept_with(neurons: torch.Tensor, covariance: torch.Tensor, old: torch.Tensor) -> float:
    gap = old.clone()
    gap[:, neurons] -= torch.linalg.lstsq(covariance[neurons][:, neurons], covariance[neurons] @ old.T)[0].T
    return 1 - float((gap @ covariance * gap).sum() / (old @ covariance * old).sum())


def test_padding_counts_for_nothing(encoder: Encoder) -> None:
    built, texts, collator = student(encoder("bert"))
    parts, _ = find_parts(built.model, KEY)
    moments = activation_moments(built.model, parts, texts, collator)
    assert {one.tokens for one in moments} == {int(texts.lengths.sum())}


def test_the_full_width_changes_nothing(encoder: Encoder) -> None:
    built, texts, collator = student(encoder("bert"))
    before = logits(built.model, texts, collator)
    assert narrow(built.model, texts, collator, 48, KEY) == 1
    assert logits(built.model, texts, collator).equal(before)


def test_the_same_texts_give_the_same_bits(encoder: Encoder) -> None:
    found = []
    for _ in range(2):
        built, texts, collator = student(encoder("bert"))
        narrow(built.model, texts, collator, 16, KEY)
        found.append(logits(built.model, texts, collator))
    assert found[0].equal(found[1])


def test_a_wider_layer_is_refused(encoder: Encoder) -> None:
    built, texts, collator = student(encoder("bert"))
    with pytest.raises(ModelError, match="64 neurons of feed-forward layers that have 48"):
        narrow(built.model, texts, collator, 64, KEY)


@pytest.mark.parametrize("family", ["modernbert", "albert"])
def test_other_architectures_are_refused(encoder: Encoder, family: str) -> None:
    folder = encoder(family)
    built = build_classifier(str(folder), task_data(), seed=1, key="student")
    texts, collator = encoded(folder, split("train", 0, 8))
    with pytest.raises(ModelError, match="no feed-forward part of two plain linear maps"):
        narrow(built.model, texts, collator, 16, KEY)
