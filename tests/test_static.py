"""Static students: what they compute, in torch and in NumPy, and how they are built, saved and taught."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import LABELS, task_data
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from dkd_cli.engine.models.models import Model, depth, head_parameters, load_trained
from dkd_cli.engine.models.static import StaticConfig, StaticForSequenceClassification
from dkd_cli.engine.models.static_arrays import read_static
from dkd_cli.engine.models.students import build_student
from dkd_cli.errors import ModelError
from dkd_cli.recipe.schema import Data, Recipe, Train
from dkd_cli.recipe.student_section import Student

PAD, CLS, SEP = 0, 1, 2
WIDTHS: Sequence[tuple[int, ...]] = ((), (3,), (1, 3, 4))


def classifier(convolutions: Sequence[int] = (3,), **settings: Any) -> StaticForSequenceClassification:
    """A random static classifier of 40 tokens, 8 dimensions and 3 classes, with large weights."""
    config = StaticConfig(
        vocab_size=40,
        hidden_size=8,
        convolutions=convolutions,
        filters=5,
        num_labels=3,
        pad_token_id=PAD,
        cls_token_id=CLS,
        sep_token_id=SEP,
        **settings,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = StaticForSequenceClassification(config).eval()
        for weight in model.parameters():
            torch.nn.init.normal_(weight)
    return model


def recipe(seed: int = 1, **student: Any) -> Recipe:
    return Recipe(name="unit", model="-", data=Data(), student=Student(**student), train=Train(seed=seed))


def rows(count: int = 5) -> list[list[int]]:
    """Texts of one to eight tokens between special tokens."""
    numbers = np.random.default_rng(0)
    return [[CLS, *numbers.integers(3, 40, 1 + (3 * row) % 8).tolist(), SEP] for row in range(count)]


def padded(texts: Sequence[Sequence[int]], side: str = "right") -> dict[str, Tensor]:
    longest = max(map(len, texts))
    ids = torch.full((len(texts), longest), PAD)
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        where = slice(len(text)) if side == "right" else slice(longest - len(text), None)
        ids[row, where] = torch.tensor(text)
        mask[row, where] = 1
    return {"input_ids": ids, "attention_mask": mask}


@torch.no_grad()
def logits(model: Model, texts: Sequence[Sequence[int]], side: str = "right") -> Tensor:
    found: Tensor = model(**padded(texts, side)).logits
    return found


# What is computed ---------------------------------------------------------------------------------------


def test_a_bag_is_the_weighted_mean_of_its_tokens_without_special_ones() -> None:
    model = classifier(())
    table = model.static.table.weight.detach()
    mean = (table[7, :-1] * table[7, -1] + table[9, :-1] * table[9, -1]) / 2
    assert torch.allclose(logits(model, [[CLS, 7, 9, SEP]])[0], model.classifier(mean), atol=1e-5)
    assert torch.equal(logits(model, [[CLS, 7, 9, SEP]]), logits(model, [[CLS, 9, 7, SEP]]))


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("convolutions", WIDTHS)
def test_a_text_without_tokens_has_features_of_0(
    convolutions: Sequence[int], normalised: bool, tmp_path: Path
) -> None:
    model = classifier(convolutions, normalised=normalised)
    model.save_pretrained(tmp_path)
    read = read_static(tmp_path)
    assert read is not None
    texts = [rows()[1], [], rows()[3]]
    found = read[0].logits([np.array(text, dtype=np.int64) for text in texts])
    assert np.allclose(found, logits(model, texts), atol=1e-5)
    assert np.allclose(found[1], model.classifier.bias.detach())


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_a_convolution_is_torchs_own_with_zeros_around_the_text(width: int) -> None:
    model = classifier((width,))
    (own,) = model.static.convolutions
    text = rows()[3]
    vectors = model.static.table(torch.tensor([text]))[..., :-1]
    reference = torch.nn.Conv1d(8, 5, width, padding="same")
    reference.weight.data = own.linear.weight.data.unflatten(0, (width, 5)).permute(1, 2, 0)
    reference.bias.data = own.bias.data
    expected = reference(vectors.transpose(1, 2)).relu().amax(dim=-1)
    features, _ = model.static(**padded([text]))
    assert torch.allclose(features[:, 8:], expected, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("widths", WIDTHS)
def test_padding_changes_nothing(widths: tuple[int, ...], side: str) -> None:
    model, texts = classifier(widths), rows()
    alone = torch.cat([logits(model, [text]) for text in texts])
    assert torch.allclose(logits(model, texts, side), alone, atol=1e-5)


@pytest.mark.parametrize("widths", WIDTHS)
def test_normalised_features_have_no_length(widths: tuple[int, ...]) -> None:
    """Mean and maxima each: another scale of the vectors or of the filters changes no logit."""
    model, texts = classifier(widths, normalised=True), rows()
    before = logits(model, texts)
    with torch.no_grad():
        model.static.table.weight[:, -1] *= 7
        for each in model.static.convolutions:
            each.linear.weight *= 3
            each.bias *= 3
    assert torch.allclose(logits(model, texts), before, atol=1e-2)
    plain = classifier(widths)
    assert not torch.allclose(logits(plain, texts), before, atol=1e-2)


def test_autocast_leaves_it_in_float32() -> None:
    model, batch = classifier(), padded(rows())
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        under = model(**batch).logits
    assert torch.equal(under, logits(model, rows()))


def test_hidden_states_are_the_vectors_with_the_pooled_text_first() -> None:
    model, batch = classifier(), padded(rows())
    output = model(**batch, output_hidden_states=True)
    (states,) = output.hidden_states
    features, vectors = model.static(**batch)
    assert torch.equal(states[:, 0], features[:, :8])
    assert torch.equal(states[:, 1:], vectors[:, 1:])
    assert model(**batch).hidden_states is None


# Saved and read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("head_size", [0, 6])
@pytest.mark.parametrize("widths", WIDTHS)
def test_numpy_gives_what_torch_gives(
    tmp_path: Path, widths: tuple[int, ...], head_size: int, normalised: bool
) -> None:
    model, texts = classifier(widths, head_size=head_size, normalised=normalised), rows(12)
    model.save_pretrained(tmp_path)
    read = read_static(tmp_path)
    assert read is not None
    arrays, facts = read
    assert (facts.labels, facts.max_length) == (("LABEL_0", "LABEL_1", "LABEL_2"), None)
    found = arrays.logits([np.array(text) for text in texts])
    assert found.dtype == np.float32
    assert np.allclose(found, logits(model, texts).numpy(), atol=1e-4)
    assert np.allclose(found[3], arrays.logits([np.array(texts[3])])[0], atol=1e-5)


def test_transformers_loads_what_it_saved(tmp_path: Path) -> None:
    model = classifier()
    model.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(logits(again, rows()), logits(model, rows()))
    assert again.config.special_ids == [PAD, CLS, SEP]


def test_other_models_are_none_and_damaged_ones_are_named(tmp_path: Path, tiny_encoder: Path) -> None:
    assert read_static(tiny_encoder) is None
    assert read_static(tmp_path / "nowhere") is None
    classifier().save_pretrained(tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:100])
    with pytest.raises(ModelError, match="damaged"):
        read_static(tmp_path)


# Built ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def build(tiny_encoder: Path) -> Callable[..., Model]:
    def built(seed: int = 1, **settings: Any) -> Model:
        return build_student(str(tiny_encoder), task_data(), recipe(seed, family="static", **settings)).model

    return built


def test_a_static_student_has_no_layers_and_the_tasks_labels(build: Callable[..., Model]) -> None:
    model = build(convolutions=(1, 3), filters=7)
    assert isinstance(model, StaticForSequenceClassification)
    assert depth(model) == 0
    assert [model.config.id2label[index] for index in range(2)] == list(LABELS)
    assert model.classifier.in_features == 32 + 2 * 7
    assert head_parameters(model) == ["classifier.weight", "classifier.bias"]


@pytest.mark.parametrize(("widths", "normalised"), [((), False), ((3,), True)])
def test_a_head_beside_convolutions_reads_normalised_features(
    build: Callable[..., Model], widths: tuple[int, ...], normalised: bool
) -> None:
    assert build(convolutions=widths).config.normalised is normalised


def test_the_seed_draws_the_head_and_not_the_vectors(build: Callable[..., Model]) -> None:
    one, other, same = (build(seed).state_dict() for seed in (1, 2, 1))
    assert torch.equal(one["static.table.weight"], other["static.table.weight"])
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])
    assert all(torch.equal(one[name], same[name]) for name in one)


def test_layers_are_those_that_make_the_vectors(build: Callable[..., Model]) -> None:
    few, all_of_them = (build(layers=count).state_dict()["static.table.weight"] for count in (1, 4))
    assert not torch.allclose(few, all_of_them, atol=0.1)


def test_vectors_are_centred_scaled_and_projected_where_asked(build: Callable[..., Model]) -> None:
    table = build(dimensions=5).state_dict()["static.table.weight"]
    assert table.shape[1] == 5 + 1
    assert torch.allclose(table[:, :-1].mean(dim=0), torch.zeros(5), atol=1e-4)
    assert table[:, :-1].square().mean().item() == pytest.approx(1.0, abs=1e-4)
    assert table[:, -1].unique().tolist() == [1.0]
    with pytest.raises(ModelError, match=r"student\.dimensions.*33.*32"):
        build(dimensions=33)


def test_a_static_student_is_no_source_of_students(tmp_path: Path, build: Callable[..., Model]) -> None:
    build().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="static student"):
        build_student(str(tmp_path), task_data(), recipe(layers=1))


def test_a_trained_one_loads_as_a_teacher_does(
    tmp_path: Path, tiny_encoder: Path, build: Callable[..., Model]
) -> None:
    from transformers import AutoTokenizer

    build().save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path)
    assert not load_trained(str(tmp_path)).model.training
