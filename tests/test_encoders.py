"""Every architecture: cut, trained, saved, reloaded, and asked as a teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoders import FAMILIES, LAYERS, POSITIONS, save_encoder
from small import CPU, encoded, schedule, split, task_data
from torch import Tensor
from torch.nn import Identity, ModuleList
from transformers import AutoModel, AutoModelForSequenceClassification

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator, TokenRows, encode
from dkd_cli.data.examples import Split
from dkd_cli.engine.method.distillation import StepLoss, StudentOutput
from dkd_cli.engine.method.losses import cross_entropy
from dkd_cli.engine.models.inference import model_inputs, predict_logits
from dkd_cli.engine.models.models import (
    LoadedModel,
    Model,
    check_fit,
    head_parameters,
    load_classifier,
    load_tokenizer,
    positions,
)
from dkd_cli.engine.models.students import build_classifier
from dkd_cli.engine.training.fit import fit
from dkd_cli.engine.training.job import Job
from dkd_cli.errors import ModelError


@dataclass(frozen=True)
class Encoder:
    """One family's encoder in a folder, and the tiny texts in its tokens."""

    name: str
    folder: Path
    train: EncodedSplit
    validation: EncodedSplit
    collator: PaddingCollator

    def batch(self, model: Model) -> dict[str, Tensor]:
        """What `model` reads of 8 texts of different lengths."""
        items = self.collator([self.validation[row] for row in range(8)])
        return model_inputs(model, items, torch.device("cpu"))

    def layers(self, model: Model) -> ModuleList:
        path = FAMILIES[self.name].layers
        assert path is not None
        found = model.base_model.get_submodule(path)
        assert isinstance(found, ModuleList)
        return found


@pytest.fixture(scope="module", params=FAMILIES)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = save_encoder(tmp_path_factory.mktemp(request.param), request.param)
    train, collator = encoded(folder, split("train", 0, 40))
    validation, _ = encoded(folder, split("validation", 48, 72))
    return Encoder(request.param, folder, train, validation, collator)


def build(encoder: Encoder, **settings: Any) -> LoadedModel:
    return build_classifier(str(encoder.folder), task_data(), seed=1, key="student", **settings)


def save(built: LoadedModel, folder: Path) -> Path:
    built.model.save_pretrained(folder)
    built.tokenizer.save_pretrained(folder)
    return folder


def answers(model: Model, encoder: Encoder) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.eval()(**encoder.batch(model)).logits
    assert (found.std(dim=0) > 1e-4).all(), "logits that do not depend on the text would equal any others"
    return found


def hidden_states(model: Model, encoder: Encoder) -> tuple[Tensor, ...]:
    with torch.no_grad():
        found: tuple[Tensor, ...] = model.eval()(
            **encoder.batch(model), output_hidden_states=True
        ).hidden_states
    return found


def train(encoder: Encoder, model: Model, working: Path, seen: Callable[[StudentOutput], None]) -> int:
    """20 steps on the labels."""

    def step(student: StudentOutput, labels: Tensor | None, rows: Tensor) -> StepLoss:
        seen(student)
        assert labels is not None
        loss = cross_entropy(student.logits, labels).mean()
        return StepLoss(loss, {"ce": loss.detach()})

    return fit(
        Job(
            model=model,
            train=encoder.train,
            validation=encoder.validation,
            collator=encoder.collator,
            step=step,
            needs_hidden_states=True,
            settings=schedule(batch_size=2),
            learning_rate=1e-3,
            compute=CPU,
            metrics=lambda logits, labels: {
                "accuracy": float((logits.argmax(-1) == np.asarray(labels)).mean())
            },
            metric="accuracy",
            working=working,
            advance=lambda count, **fields: None,
        )
    ).steps


def test_trained_saved_and_reloaded(encoder: Encoder, tmp_path: Path) -> None:
    student = build(encoder, layers=2)
    before = {name: weight.clone() for name, weight in student.model.state_dict().items()}
    layers: list[int] = []
    steps = train(encoder, student.model, tmp_path, lambda output: layers.append(len(output.hidden_states)))
    assert (steps, layers) == (20, [3] * 20)
    moved = [name for name, weight in student.model.state_dict().items() if not weight.equal(before[name])]
    assert any(name.startswith(student.model.base_model_prefix) for name in moved)
    folder = save(student, tmp_path / "student")
    again = AutoModelForSequenceClassification.from_pretrained(folder)
    assert again.config.num_hidden_layers == 2
    assert torch.equal(answers(again, encoder), answers(student.model, encoder))


def test_asked_as_a_teacher(encoder: Encoder, tmp_path: Path) -> None:
    built = build(encoder)
    teacher = load_classifier(str(save(built, tmp_path)), task_data())
    found = predict_logits(
        teacher.model, encoder.validation, encoder.collator, batch_size=8, precision="fp32"
    )
    rows = sorted(range(24), key=lambda row: -encoder.validation.lengths[row])[:8]
    batch = encoder.collator([encoder.validation[row] for row in rows])
    with torch.no_grad():
        own = built.model.eval()(**model_inputs(built.model, batch, torch.device("cpu"))).logits
    assert torch.equal(found[rows], own)


def test_hidden_states_are_the_embeddings_and_every_layer(encoder: Encoder) -> None:
    """Entry 0 is what the first layer reads, so that it does not depend on which layers there are."""
    whole, cut = hidden_states(build(encoder).model, encoder), build(encoder, layers=2).model
    states = hidden_states(cut, encoder)
    assert (len(whole), len(states)) == (LAYERS + 1, 3)
    assert {state.shape for state in whole} == {(8, int(encoder.batch(cut)["input_ids"].size(1)), 32)}
    assert torch.equal(states[0], whole[0])
    assert torch.equal(states[1], whole[1])
    assert not torch.equal(states[1], states[0])
    if FAMILIES[encoder.name].layers is not None:
        read: list[Tensor] = []
        hook = encoder.layers(cut)[0].register_forward_pre_hook(
            lambda module, args, kwargs: read.append(args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        )
        answers(cut, encoder)
        hook.remove()
        assert torch.equal(read[0], states[0])


def test_picked_layers_make_the_network_that_they_made(encoder: Encoder, tmp_path: Path) -> None:
    """The same layers put into the source by hand: each keeps what its place gave it, attention included."""
    if FAMILIES[encoder.name].layers is None:
        with pytest.raises(ModelError, match="does not keep its layers apart"):
            build(encoder, take="2, 4")
        return
    student = build(encoder, take="2, 4")
    source = AutoModel.from_pretrained(encoder.folder)
    layers = encoder.layers(source)
    picked = [layers[1], layers[3]]
    if encoder.name == "modernbert":
        picked[0].attn_norm = Identity()
        assert student.notes == ("student: layer 2, as layer 1, loses its attn_norm: none is used there",)
        assert student.model.config.layer_types == ["sliding_attention", "full_attention"]
    else:
        assert student.notes == ()
    parent, _, name = (FAMILIES[encoder.name].layers or "").rpartition(".")
    setattr(source.get_submodule(parent), name, ModuleList(picked))
    source.config.num_hidden_layers = 2
    head = set(head_parameters(student.model))
    own, other = student.model.base_model.state_dict(), source.state_dict()
    prefix = f"{student.model.base_model_prefix}."
    assert [part for part in own if prefix + part not in head and not own[part].equal(other[part])] == []
    expected, found = hidden_states(source, encoder), hidden_states(student.model, encoder)
    assert all(torch.equal(one, two) for one, two in zip(expected, found, strict=True))
    again = AutoModelForSequenceClassification.from_pretrained(save(student, tmp_path))
    assert torch.equal(answers(again, encoder), answers(student.model, encoder))
    first = build(encoder, layers=2).model.state_dict()
    drawn = [
        part
        for part in head
        if "pooler" not in part and not student.model.state_dict()[part].equal(first[part])
    ]
    assert drawn == [], "the seed's head, whatever is taken"


def test_training_the_head_alone_leaves_the_encoder(encoder: Encoder, tmp_path: Path) -> None:
    model = build(encoder, layers=2).model
    head = head_parameters(model)
    assert {name for name in head if "classifier" in name}
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in head)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    states = hidden_states(model, encoder)
    train(encoder, model, tmp_path, lambda output: None)
    moved = {name for name, weight in model.state_dict().items() if not weight.equal(before[name])}
    assert moved == set(head), "all of the head learns, and nothing else"
    assert all(torch.equal(one, two) for one, two in zip(states, hidden_states(model, encoder), strict=True))


def test_the_longest_text_that_fits(encoder: Encoder) -> None:
    """The limit is right to the token: a text of that length runs, and one token more is refused."""
    model = build(encoder, layers=1).model.eval()
    tokenizer = load_tokenizer(str(encoder.folder), "student")
    limit = positions(model)
    assert limit == (None if encoder.name == "deberta-v3" else POSITIONS)

    def of_length(length: int) -> EncodedSplit:
        text = Split("train", ["a " * 200], None, [0], ["one"])
        found = encode(text, tokenizer, length)
        assert found.lengths == [length]
        return found

    def run(tokens: EncodedSplit) -> None:
        with torch.no_grad():
            model(**model_inputs(model, encoder.collator([tokens[0]]), torch.device("cpu")))

    longest, longer = of_length(POSITIONS), of_length(POSITIONS + 1)
    check_fit(model, (longest,), POSITIONS, "student")
    run(longest)
    if limit is None:
        check_fit(model, (longer,), POSITIONS + 1, "student")
        run(longer)
        return
    with pytest.raises(ModelError, match=f"{POSITIONS + 1} tokens, but the model has {POSITIONS} positions"):
        check_fit(model, (longer,), POSITIONS + 1, "student")
    if encoder.name != "modernbert":  # its positions are turns, which do not run out: trained ones do
        with pytest.raises((IndexError, RuntimeError)):
            run(longer)


@pytest.mark.parametrize(
    ("name", "kinds"), [("roberta", 1), ("bert", 2), ("distilbert", None), ("deberta-v3", None)]
)
def test_token_types_that_a_model_cannot_read(name: str, kinds: int | None, tmp_path: Path) -> None:
    """Where they are looked up they must be there; where they are not read they do no harm."""
    folder = save_encoder(tmp_path, name)
    model = build_classifier(str(folder), task_data(), layers=1, seed=1, key="student").model.eval()
    tokens, collator = encoded(folder, split("train", 0, 8))
    types = TokenRows.join([[0] * length for length in tokens.lengths])
    tokens.columns["token_type_ids"] = types
    check_fit(model, (tokens,), 16, "student")
    plain = predict_logits(model, tokens, collator, batch_size=8, precision="fp32")
    types[3][-1] = kinds or 1
    if kinds is None:
        check_fit(model, (tokens,), 16, "student")
        assert torch.equal(predict_logits(model, tokens, collator, batch_size=8, precision="fp32"), plain)
        return
    with pytest.raises(ModelError, match=f"token type {kinds}, but the model tells {kinds} apart"):
        check_fit(model, (tokens,), 16, "student")
    with pytest.raises(IndexError):
        predict_logits(model, tokens, collator, batch_size=8, precision="fp32")
