"""Skipping all tokens but the first after the last attention: the same logits, and all tokens where asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from encoders import FAMILIES, save_encoder
from small import encoded, split, task_data
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from dkd_cli.engine.models.first_token import AFTER_ATTENTION
from dkd_cli.engine.models.inference import model_inputs
from dkd_cli.engine.models.models import Model
from dkd_cli.engine.models.students import build_classifier

UNCHANGED = {"modernbert", "albert"}
"""ModernBERT adds what came before its attention afterwards, from outside; ALBERT has one layer for all."""

Make = Callable[..., tuple[Model, dict[str, Tensor]]]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A classifier of a family as dkd builds it, and 24 texts of unlike length for it."""
    folders: dict[str, Path] = {}

    def build(family: str, layers: int = 2) -> tuple[Model, dict[str, Tensor]]:
        if family not in folders:
            folders[family] = save_encoder(tmp_path_factory.mktemp(family), family)
        folder = folders[family]
        built = build_classifier(str(folder), task_data(), layers=layers, seed=1, key="student")
        tokens, collator = encoded(folder, split("validation", 48, 72))
        items = collator([tokens[row] for row in range(24)])
        return built.model.eval(), model_inputs(built.model, items, torch.device("cpu"))

    return build


def untouched(model: Model) -> Model:
    """The same weights as transformers runs them."""
    plain = AutoModelForSequenceClassification.from_config(model.config)
    plain.load_state_dict(model.state_dict())
    return plain.eval()


def last_tokens(model: Model, batch: dict[str, Tensor]) -> tuple[int, Tensor]:
    """How many tokens the encoder's last layer gives in a pass, and the logits."""
    seen: list[int] = []
    layers = [module for module in model.base_model.modules() if isinstance(module, torch.nn.ModuleList)]
    deepest = next(one for one in layers if len(one) == model.config.num_hidden_layers)

    def note(module: object, args: object, output: Tensor | tuple[Tensor, ...]) -> None:
        seen.append((output if isinstance(output, Tensor) else output[0]).size(1))

    hook = deepest[-1].register_forward_hook(note)
    with torch.no_grad():
        logits: Tensor = model(**batch).logits
    hook.remove()
    (tokens,) = seen
    return tokens, logits


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_logits_stay(family: str, layers: int, make: Make) -> None:
    model, batch = make(family, layers)
    with torch.no_grad():
        expected = untouched(model)(**batch).logits
        found = model(**batch).logits
    assert expected.std(dim=0).min() > 1e-4, "logits that depend on the text"
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - UNCHANGED))
def test_the_last_layer_gives_one_token(family: str, make: Make) -> None:
    model, batch = make(family)
    assert model.config.model_type in AFTER_ATTENTION
    tokens, logits = last_tokens(model, batch)
    assert tokens == 1
    everywhere, expected = last_tokens(untouched(model), batch)
    assert everywhere == batch["input_ids"].size(1) > 1
    assert logits.shape == expected.shape
    assert last_tokens(model.train(), batch)[0] == 1


def test_in_float32_the_bits_stay(pretrained: str) -> None:
    """A teacher's logits are one entry of the cache, whether or not its hidden states were asked for."""
    built = build_classifier(pretrained, task_data(), layers=6, seed=1, key="a test")
    tokenizer = built.tokenizer
    texts = split("train", 0, 48).texts
    batch = tokenizer(texts, padding="max_length", max_length=16, truncation=True, return_tensors="pt")
    model = built.model.eval()
    with torch.no_grad():
        for rows in (12, 13, 31, 48):
            some = {name: values[:rows] for name, values in batch.items()}
            everything = model(**some, output_hidden_states=True)
            assert everything.hidden_states[-1].size(1) == 16
            assert torch.equal(model(**some).logits, everything.logits)


def test_hidden_states_are_of_all_tokens(make: Make) -> None:
    model, batch = make("bert")
    with torch.no_grad():
        expected = untouched(model)(**batch, output_hidden_states=True).hidden_states
        found = model(**batch, output_hidden_states=True).hidden_states
        model.config.output_hidden_states = True
        by_configuration = model(**batch).hidden_states
    for one, other, third in zip(found, by_configuration, expected, strict=True):
        assert torch.equal(one, third)
        assert torch.equal(other, third)


def test_the_encoder_alone_gives_all_tokens(make: Make) -> None:
    model, batch = make("bert")
    with torch.no_grad():
        model(**batch)
        found = model.base_model(**batch).last_hidden_state
        expected = untouched(model).base_model(**batch).last_hidden_state
    assert torch.equal(found, expected)


def without_dropout(model: Model) -> Model:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model.train()


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - UNCHANGED))
def test_training_has_the_same_gradients(family: str, make: Make) -> None:
    """But for rounding; dropout, which draws fewer random numbers, is left out."""
    model, batch = make(family)
    plain = without_dropout(untouched(model))
    for one in (without_dropout(model), plain):
        one(**batch).logits.square().mean().backward()
    for (name, own), other in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert (own.grad is None) == (other.grad is None), name
        if own.grad is not None:
            torch.testing.assert_close(own.grad, other.grad, rtol=1e-3, atol=1e-6, msg=name)


def test_training_with_hidden_states_is_as_it_was(make: Make) -> None:
    """Bit for bit, the random numbers of dropout included."""
    model, batch = make("bert")
    plain = untouched(model)
    for one in (model, plain):
        one.train()
        torch.manual_seed(3)
        one(**batch, output_hidden_states=True).logits.square().mean().backward()
    for own, other in zip(model.parameters(), plain.parameters(), strict=True):
        assert (own.grad is None) == (other.grad is None)
        if own.grad is not None:
            assert torch.equal(own.grad, other.grad)
