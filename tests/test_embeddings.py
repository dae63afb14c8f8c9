"""Classifiers with fewer tokens: the same logits, the same padding, an ordinary folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from encoders import save_encoder
from small import split, task_data
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from dkd_cli.data.encoding import PaddingCollator, encode
from dkd_cli.engine.models.embeddings import cut_rows, cut_vocabulary
from dkd_cli.engine.models.inference import predict_logits
from dkd_cli.engine.models.models import LoadedModel
from dkd_cli.engine.models.students import build_classifier
from dkd_cli.errors import ModelError

KEY = "student.vocabulary"
Encoder = Callable[[str], Path]
FAMILIES = [
    "bert",
    "roberta",
    "distilbert",
    "electra",
    "deberta-v3",
    "modernbert",
    "albert",
    "xlm-roberta",
    "mpnet",
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folders: dict[str, Path] = {}

    def build(family: str) -> Path:
        if family not in folders:
            folders[family] = save_encoder(tmp_path_factory.mktemp(family), family)
        return folders[family]

    return build


def built(folder: Path) -> LoadedModel:
    return build_classifier(str(folder), task_data(), layers=2, seed=1, key="student")


def logits(loaded: LoadedModel, start: int = 0, stop: int = 24) -> torch.Tensor:
    loaded.model.eval()
    texts = encode(split("train", start, stop), loaded.tokenizer, 16)
    collator = PaddingCollator(loaded.tokenizer)
    return predict_logits(loaded.model, texts, collator, batch_size=24, precision="fp32")


def cut(loaded: LoadedModel, size: int | None = None) -> LoadedModel:
    return cut_vocabulary(loaded, encode(split("train", 0, 24), loaded.tokenizer, 16), size, KEY)


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_of_kept_tokens_have_the_same_logits(encoder: Encoder, family: str, tmp_path: Path) -> None:
    """Padded ones too, so that the padding's own row and the places counted from it are where they were."""
    expected = logits(built(encoder(family)))
    smaller = cut(built(encoder(family)))
    assert logits(smaller).equal(expected)
    rows = smaller.model.get_input_embeddings().weight.size(0)
    assert rows == smaller.model.config.vocab_size == len(smaller.tokenizer)
    assert rows < len(built(encoder(family)).tokenizer)

    smaller.model.save_pretrained(tmp_path)
    smaller.tokenizer.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    loaded = LoadedModel(again, AutoTokenizer.from_pretrained(tmp_path))
    assert logits(loaded).equal(expected)
    assert logits(loaded, 24, 48).isfinite().all()
    for name in ("pad", "bos", "eos", "cls", "sep", "mask", "unk"):
        number = getattr(again.config, f"{name}_token_id", None)
        if number is not None and f"{name}_token" in loaded.tokenizer.special_tokens_map:
            assert number == getattr(loaded.tokenizer, f"{name}_token_id"), name


def test_a_table_that_is_no_plain_one_is_refused(encoder: Encoder) -> None:
    loaded = built(encoder("bert"))

    class Other(torch.nn.Embedding):
        pass

    loaded.model.set_input_embeddings(Other(300, 32))
    with pytest.raises(ModelError, match=r"the token table \(Other\)"):
        cut_rows(loaded.model, torch.arange(10).numpy(), KEY)
