"""Tiny random encoders of every family that is tested, each with a tokenizer of the family's own kind.

Knows nothing of heads or tasks: what is saved is a bare encoder, as pretraining leaves one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from conftest import tiny_rows, word_pieces
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import AutoModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

LAYERS = 4
POSITIONS = 64

BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
FAIRSEQ = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


def _trained(model: Any, before: Any, trainer: Any) -> tuple[Tokenizer, Any]:
    """A tokenizer that has read the tiny texts, and the model inside it as plain data."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = before
    tokenizer.train_from_iterator((text for text, _ in tiny_rows()), trainer)
    return tokenizer, json.loads(tokenizer.to_str())["model"]


def _word_pieces(kind: type[Any], special: tuple[str, ...]) -> PreTrainedTokenizerBase:
    return _checked(kind(vocab=word_pieces(special), model_max_length=POSITIONS))


def _bytes(special: tuple[str, ...]) -> tuple[Tokenizer, Any]:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    return _trained(models.BPE(), pre_tokenizers.ByteLevel(add_prefix_space=False), trainer)


def _byte_pairs() -> PreTrainedTokenizerBase:
    _, model = _bytes(FAIRSEQ)
    merges = [tuple(pair) for pair in model["merges"]]
    return _checked(transformers.RobertaTokenizer(vocab=model["vocab"], merges=merges))


def _plain_byte_pairs() -> PreTrainedTokenizerBase:
    """ModernBERT has no class of its own: its tokenizer file says everything."""
    tokenizer, _ = _bytes(BERT)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **dict(zip(names, BERT, strict=True)))
    fast.model_input_names = ["input_ids", "attention_mask"]
    return _checked(fast)


def _unigrams(kind: type[Any], special: tuple[str, ...], unknown: str) -> PreTrainedTokenizerBase:
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=list(special), unk_token=unknown, show_progress=False
    )
    _, model = _trained(models.Unigram(), pre_tokenizers.Metaspace(), trainer)
    return _checked(kind(vocab=[(piece, score) for piece, score in model["vocab"]]))


def _checked(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A tokenizer that knows no words would make every test of it a test of nothing."""
    ids = tokenizer("the film is delightful")["input_ids"]
    assert len(ids) > 5
    assert tokenizer.unk_token_id not in ids[1:4]
    return tokenizer


@dataclass(frozen=True)
class Family:
    """How one architecture is built; `layers` is the place of its list of layers inside the encoder."""

    config: Callable[..., Any]
    tokenizer: Callable[[], PreTrainedTokenizerBase]
    layers: str | None
    settings: dict[str, Any]


COMMON = {"hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 48}
OFFSET = {"max_position_embeddings": POSITIONS + 2, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}

FAMILIES: dict[str, Family] = {
    "bert": Family(
        transformers.BertConfig,
        lambda: _word_pieces(transformers.BertTokenizer, BERT),
        "encoder.layer",
        COMMON | {"max_position_embeddings": POSITIONS},
    ),
    "roberta": Family(
        transformers.RobertaConfig, _byte_pairs, "encoder.layer", COMMON | OFFSET | {"type_vocab_size": 1}
    ),
    "distilbert": Family(
        transformers.DistilBertConfig,
        lambda: _word_pieces(transformers.DistilBertTokenizer, BERT),
        "transformer.layer",
        {"dim": 32, "n_layers": LAYERS, "n_heads": 2, "hidden_dim": 48}
        | {"max_position_embeddings": POSITIONS},
    ),
    "electra": Family(
        transformers.ElectraConfig,
        lambda: _word_pieces(transformers.BertTokenizer, BERT),
        "encoder.layer",
        COMMON | {"max_position_embeddings": POSITIONS, "embedding_size": 16},
    ),
    "deberta-v3": Family(
        transformers.DebertaV2Config,
        lambda: _unigrams(
            transformers.DebertaV2Tokenizer, ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"), "[UNK]"
        ),
        "encoder.layer",
        COMMON
        | {"max_position_embeddings": POSITIONS, "position_biased_input": False, "type_vocab_size": 0}
        | {"relative_attention": True, "position_buckets": 16, "norm_rel_ebd": "layer_norm"}
        | {"share_att_key": True, "pos_att_type": "p2c|c2p", "pooler_hidden_size": 32},
    ),
    "deberta-v2": Family(
        transformers.DebertaV2Config,
        lambda: _unigrams(
            transformers.DebertaV2Tokenizer, ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"), "[UNK]"
        ),
        "encoder.layer",
        COMMON
        | {"max_position_embeddings": POSITIONS, "type_vocab_size": 2, "pooler_hidden_size": 32}
        | {"conv_kernel_size": 3, "conv_act": "gelu", "relative_attention": True, "pos_att_type": ["p2c"]},
    ),
    "modernbert": Family(
        transformers.ModernBertConfig,
        _plain_byte_pairs,
        "layers",
        COMMON
        | {"max_position_embeddings": POSITIONS, "local_attention": 8, "pad_token_id": 0}
        | {"bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3},
    ),
    "albert": Family(
        transformers.AlbertConfig,
        lambda: _unigrams(
            transformers.AlbertTokenizer, ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"), "<unk>"
        ),
        None,
        COMMON
        | {"max_position_embeddings": POSITIONS, "embedding_size": 16, "num_hidden_groups": 1}
        | {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0},
    ),
    "xlm-roberta": Family(
        transformers.XLMRobertaConfig,
        lambda: _unigrams(transformers.XLMRobertaTokenizer, FAIRSEQ, "<unk>"),
        "encoder.layer",
        COMMON | OFFSET | {"type_vocab_size": 1},
    ),
    "mpnet": Family(
        transformers.MPNetConfig,
        lambda: _word_pieces(transformers.MPNetTokenizer, ("<s>", "<pad>", "</s>", "[UNK]", "<mask>")),
        "encoder.layer",
        COMMON | OFFSET,
    ),
}


def save_encoder(folder: Path, name: str, **changes: Any) -> Path:
    """Save a random encoder of a family, 32 wide and 4 layers deep, with its tokenizer.

    Every weight is drawn: nothing is left at the 0 or 1 that would hide a layer in the wrong place.
    """
    family = FAMILIES[name]
    tokenizer = family.tokenizer()
    config = family.config(**(family.settings | {"vocab_size": len(tokenizer)} | changes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModel.from_config(config)
        for path, weight in model.named_parameters():
            scale = weight.dim() == 1 and path.endswith("weight")  # of a norm
            torch.nn.init.normal_(weight, mean=1.0 if scale else 0.0, std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
