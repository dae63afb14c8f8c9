"""A text is read the same alone and beside others, whatever model and tokenizer say of padding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from architectures import save_architecture
from conftest import tiny_rows
from small import CPU, LABELS, encoded, split, task_data
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from dkd_cli.data.encoding import PaddingCollator, encode
from dkd_cli.data.examples import Split
from dkd_cli.engine.cache.entries import Cache
from dkd_cli.engine.models.inference import model_inputs
from dkd_cli.engine.models.models import load_classifier, load_trained
from dkd_cli.engine.models.students import build_classifier
from dkd_cli.engine.teachers.bank import Cached, FrozenTeacher, TeacherBank
from dkd_cli.errors import ModelError


def decoder(folder: Path, encoder: Path, pad: int | None, **tokenizer: str) -> Path:
    """A random GPT-2 with absolute positions; `pad` is what its configuration says."""
    words = AutoTokenizer.from_pretrained(encoder)
    config = transformers.GPT2Config(
        vocab_size=len(words),
        n_positions=64,
        n_embd=32,
        n_layer=1,
        n_head=2,
        id2label=dict(enumerate(LABELS)),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.GPT2ForSequenceClassification(config)
    model.config.pad_token_id = pad
    model.save_pretrained(folder)
    special = {"unk_token": "[UNK]", "bos_token": "[CLS]", "eos_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=words._tokenizer, **special, **tokenizer).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pad", [0, None, 3])
def test_a_text_alone_and_beside_others(
    tmp_path: Path, tiny_encoder: Path, side: str, pad: int | None
) -> None:
    loaded = load_trained(str(decoder(tmp_path, tiny_encoder, pad, pad_token="[PAD]", padding_side=side)))
    texts = [" ".join(text.split()[: 1 + row]) for row, (text, _) in enumerate(tiny_rows()[:6])]
    encoded = encode(Split("texts", texts, None, None, texts), loaded.tokenizer, 16)
    collator = PaddingCollator(loaded.tokenizer)

    def logits(rows: list[int]) -> torch.Tensor:
        found: torch.Tensor = loaded.model(
            **model_inputs(loaded.model, collator([encoded[row] for row in rows]), CPU.device)
        ).logits
        return found

    together, alone = logits(list(range(6))), torch.cat([logits([row]) for row in range(6)])
    assert alone.std(dim=0).min() > 1e-3, "logits that do not depend on the text would equal any others"
    assert torch.allclose(together, alone, atol=1e-6)


def test_no_padding_token_anywhere_is_one_line(tmp_path: Path, tiny_encoder: Path) -> None:
    with pytest.raises(ModelError, match="has no padding token, neither in its configuration"):
        load_trained(str(decoder(tmp_path, tiny_encoder, None)))


def test_a_padding_token_that_is_a_word_is_one_line(tmp_path: Path, tiny_encoder: Path) -> None:
    folder = decoder(tmp_path, tiny_encoder, 40, pad_token="[PAD]")
    with pytest.raises(ModelError, match="pads with token 40, its tokenizer with 0"):
        load_trained(str(folder))


def test_several_labels_at_once_are_refused(tmp_path: Path, tiny_encoder: Path) -> None:
    folder = decoder(tmp_path, tiny_encoder, 0, pad_token="[PAD]")
    config = transformers.AutoConfig.from_pretrained(folder)
    config.problem_type = "multi_label_classification"
    config.save_pretrained(folder)
    with pytest.raises(ModelError, match="gives several labels at once"):
        load_classifier(str(folder), task_data(), labels=LABELS)


@pytest.mark.parametrize(("name", "told"), [("bert", False), ("gpt2", True)])
def test_answers_of_heads_that_look_for_padding_are_told_apart_by_it(
    name: str, told: bool, tmp_path: Path
) -> None:
    """GPT-2's head reads the token before the padding; BERT's never sees any."""
    source = save_architecture(tmp_path / "model", name)
    model = build_classifier(str(source), task_data(), seed=1, key="teachers.a").model
    tokens, collator = encoded(source, split("train", 0, 8))
    cached = Cached(Cache(tmp_path / "cache", 10**9, pytest.fail), name, {"weights": "the same"})
    for padding in (0, 4):
        collator.padding["input_ids"] = padding
        teacher = FrozenTeacher(model, tokens, collator, cached=cached)
        bank = TeacherBank({"a": teacher}, CPU)
        bank.logits("a", torch.arange(8))
        bank.flush()
    assert bank.queries["a"] == (8 if told else 0)
