"""Building a student: which layers it has, what it keeps of its source, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from encoders import save_encoder
from small import LABELS, encoded, save_classifier, task_data
from torch import Tensor
from transformers import AutoModel, AutoModelForSequenceClassification

from dkd_cli.engine.models.inference import model_inputs
from dkd_cli.engine.models.layers import layer_pairs
from dkd_cli.engine.models.models import LoadedModel, Model, depth, head_parameters, load_classifier
from dkd_cli.engine.models.students import build_classifier, pick_layers
from dkd_cli.errors import ModelError

TAKES = ("first", "last", "even", "1, 3", "random")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    return save_classifier(tmp_path_factory.mktemp("classifier"), tiny_encoder, LABELS)


def build(source: Path | str, take: str = "first", layers: int | None = 2, **settings: Any) -> LoadedModel:
    count = layers if take in ("first", "last", "even", "random") else None
    given: dict[str, Any] = {"data": task_data(), "seed": 1, "key": "student"} | settings
    return build_classifier(str(source), layers=count, take=take, **given)


def logits(model: Model, folder: Path) -> Tensor:
    tokens, collator = encoded(folder, task_data().splits["validation"])
    batch = collator([tokens[row] for row in range(len(tokens))])
    with torch.no_grad():
        found: Tensor = model.eval()(**model_inputs(model, batch, torch.device("cpu"))).logits
    return found


def weights(model: Model) -> dict[str, Tensor]:
    found: dict[str, Tensor] = model.state_dict()
    return found


def different(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    assert set(one) == set(other)
    return [name for name in one if not torch.equal(one[name], other[name])]


def refused(call: Callable[[], Any]) -> str:
    """The one line that a call is refused with."""
    with pytest.raises(ModelError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    return line


# Which layers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("take", "layers", "available", "picked"),
    [
        ("first", 3, 12, (1, 2, 3)),
        ("first", None, 3, (1, 2, 3)),
        ("last", 3, 12, (10, 11, 12)),
        ("last", 12, 12, tuple(range(1, 13))),
        ("even", 3, 6, (2, 4, 6)),
        ("even", 6, 12, (2, 4, 6, 8, 10, 12)),
        ("even", 3, 4, (1, 3, 4)),
        ("even", 1, 12, (12,)),
        ("1, 3, 6", None, 6, (1, 3, 6)),
        ("1, 3, 6", 3, 12, (1, 3, 6)),
        ("random", 3, 12, (1, 2, 3)),
    ],
)
def test_which_layers(take: str, layers: int | None, available: int, picked: tuple[int, ...]) -> None:
    assert pick_layers(take, layers, available, "student") == picked


@pytest.mark.parametrize("available", range(1, 25))
def test_evenly_spread_layers_are_those_that_the_layer_map_aligns(available: int) -> None:
    for layers in range(1, available + 1):
        picked = pick_layers("even", layers, available, "student")
        assert list(picked) == [teacher for _, teacher in layer_pairs("uniform", layers, available)][1:]
        assert len(set(picked)) == layers
        assert list(picked) == sorted(picked)
        assert picked[-1] == available


@pytest.mark.parametrize("take", ["first", "last", "even", "random"])
def test_more_layers_than_there_are(tiny_encoder: Path, take: str) -> None:
    line = refused(lambda: build(tiny_encoder, take, 5))
    assert line == "student.layers: 5 layers of a model that has 4; ask for 1 to 4"


def test_a_layer_that_is_not_there(tiny_encoder: Path) -> None:
    line = refused(lambda: build(tiny_encoder, "1, 5"))
    assert line == "student.take: names layer 5 of a model that has 4; use 1 to 4"


# What a student is made of ------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2, 3, 4, None])
def test_a_student_is_the_first_layers_of_the_encoder(tiny_encoder: Path, layers: int | None) -> None:
    student = build(tiny_encoder, "first", layers).model
    source = AutoModel.from_pretrained(tiny_encoder).state_dict()
    own = student.bert.state_dict()
    kept = layers or 4
    assert depth(student) == kept
    assert set(own) == {
        name for name in source if "layer." not in name or int(name.split("layer.")[1].split(".")[0]) < kept
    }
    assert all(torch.equal(weight, source[name]) for name, weight in own.items())


@pytest.mark.parametrize(("take", "picked"), [("last", (3, 4)), ("even", (2, 4)), ("1, 3", (1, 3))])
def test_other_layers_are_those_of_the_encoder(
    tiny_encoder: Path, take: str, picked: tuple[int, ...]
) -> None:
    student = build(tiny_encoder, take)
    source = AutoModel.from_pretrained(tiny_encoder)
    assert depth(student.model) == len(student.model.bert.encoder.layer) == 2
    for layer, pick in zip(student.model.bert.encoder.layer, picked, strict=True):
        assert different(layer.state_dict(), source.encoder.layer[pick - 1].state_dict()) == []
    for part in ("embeddings", "pooler"):
        assert (
            different(getattr(student.model.bert, part).state_dict(), getattr(source, part).state_dict())
            == []
        )
    assert student.notes == ()


def test_random_layers_keep_the_embeddings_alone(tiny_encoder: Path) -> None:
    built, again, other = (build(tiny_encoder, "random", seed=seed) for seed in (1, 1, 2))
    source = AutoModel.from_pretrained(tiny_encoder)
    first = build(tiny_encoder).model
    assert different(weights(built.model), weights(again.model)) == []
    matrices = {name for name, weight in weights(built.model).items() if weight.dim() == 2}
    drawn = {name for name in matrices if "embeddings" not in name}
    assert drawn == {
        name for name in different(weights(built.model), weights(other.model)) if name in matrices
    }
    assert drawn - {"classifier.weight"} == set(different(weights(built.model), weights(first))) & matrices
    assert different(built.model.bert.embeddings.state_dict(), source.embeddings.state_dict()) == []
    assert built.notes == (
        "student: 2 layers drawn at random, only the embeddings are pretrained: expect to train much longer",
    )


@pytest.mark.parametrize("take", TAKES)
def test_the_saved_student_is_the_same_network(tiny_encoder: Path, tmp_path: Path, take: str) -> None:
    built = build(tiny_encoder, take)
    built.model.save_pretrained(tmp_path)
    built.tokenizer.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(logits(again, tmp_path), logits(built.model, tiny_encoder))
    assert again.config.num_hidden_layers == 2
    assert again.config.id2label == {0: "negative", 1: "positive"}
    assert again.config.label2id == {"negative": 0, "positive": 1}
    loaded = load_classifier(str(tmp_path), task_data())
    assert torch.equal(logits(loaded.model, tmp_path), logits(built.model, tiny_encoder))


def test_pretrained_layers(pretrained: str) -> None:
    """MiniLM, 6 layers: every second one of them."""
    student = build(pretrained, "even", 3)
    source = build(pretrained, "first", None).model
    for layer, pick in zip(student.model.bert.encoder.layer, (2, 4, 6), strict=True):
        assert different(layer.state_dict(), source.bert.encoder.layer[pick - 1].state_dict()) == []
    assert different(student.model.bert.embeddings.state_dict(), source.bert.embeddings.state_dict()) == []
    assert torch.equal(student.model.classifier.weight, source.classifier.weight)


# The head -----------------------------------------------------------------------------------------------


def test_the_seed_decides_the_head_and_nothing_else(tiny_encoder: Path) -> None:
    first, again, other = (weights(build(tiny_encoder, seed=seed).model) for seed in (1, 1, 2))
    assert different(first, again) == []
    assert different(first, other) == ["classifier.weight"]


@pytest.mark.parametrize("take", TAKES)
def test_the_same_seed_draws_the_same_head(tiny_encoder: Path, take: str) -> None:
    head = build(tiny_encoder, take).model.classifier.state_dict()
    assert different(head, build(tiny_encoder).model.classifier.state_dict()) == []


@pytest.mark.parametrize("take", TAKES)
def test_a_trained_head_that_fits_is_kept(classifier: Path, take: str) -> None:
    """Not over random layers: it was trained on what other layers make of a text."""
    student = build(classifier, take, seed=9).model
    trained = AutoModelForSequenceClassification.from_pretrained(classifier)
    kept = [
        name
        for name in head_parameters(student)
        if torch.equal(weights(student)[name], weights(trained)[name])
    ]
    zero = ["bert.pooler.dense.bias"]  # zero in the source, and drawn as zero
    assert kept == (zero if take == "random" else head_parameters(student))


def test_a_trained_head_in_another_order_is_refused(classifier: Path) -> None:
    backwards = task_data(tuple(reversed(LABELS)))
    line = refused(lambda: build(classifier, data=backwards))
    assert line.startswith("student: ")
    assert f"another order: {', '.join(LABELS)}" in line


@pytest.mark.parametrize("take", TAKES)
def test_a_head_of_another_size_is_drawn_anew(classifier: Path, take: str) -> None:
    student = build(classifier, take, data=task_data(("a", "b", "c"))).model
    assert student.classifier.weight.shape[0] == 3
    assert list(student.config.id2label.values()) == ["a", "b", "c"]


def test_a_task_of_numbers_gets_one_output(tiny_encoder: Path) -> None:
    model = build(tiny_encoder, data=task_data(None)).model
    assert (model.config.num_labels, model.config.problem_type) == (1, "regression")
    assert model.classifier.weight.shape[0] == 1


# Sources that will not do -------------------------------------------------------------------------------


def edited(source: Path, folder: Path, **changes: Any) -> Path:
    shutil.copytree(source, folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def test_an_encoder_that_lacks_a_layer(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = edited(tiny_encoder, tmp_path / "deeper", num_hidden_layers=6)
    line = refused(lambda: build(folder, "first", None))
    assert "lacks weights of the encoder (bert.encoder.layer.4." in line
    assert "lacks weights of the encoder (bert.encoder.layer." in refused(lambda: build(folder, "last", 2))


def test_an_encoder_of_other_shapes_than_it_says(tiny_encoder: Path, tmp_path: Path) -> None:
    """Drawing what does not fit would train a network that is random in places."""
    folder = edited(tiny_encoder, tmp_path / "wider", intermediate_size=80)
    assert "lacks weights of the encoder (bert.encoder.layer.0.int" in refused(lambda: build(folder))


@pytest.mark.parametrize("take", ["last", "even", "1, 3", "random"])
def test_shared_layers_can_only_be_fewer(tmp_path: Path, take: str) -> None:
    folder = save_encoder(tmp_path, "albert")
    assert depth(build(folder).model) == 2
    line = refused(lambda: build(folder, take))
    assert line.startswith("student.take: ")
    assert "does not keep its layers apart" in line


def test_layers_shared_in_groups_cannot_be_cut(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path, "albert", num_hidden_groups=2)
    assert depth(build(folder, "first", None).model) == 4
    assert "shares weights within 2 groups of layers" in refused(lambda: build(folder))
