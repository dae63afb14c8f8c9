"""Tiny random models of many architectures that transformers loads as sequence classifiers.

All read the same word pieces, with special tokens where each kind of model expects them. Knows nothing of the
tests that are made with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from conftest import word_pieces
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNKNOWN, BEGIN, END, MASK = range(5)
POSITIONS = 64
LAYERS = 2

IDS = {"pad_token_id": PAD, "bos_token_id": BEGIN, "eos_token_id": END}
BERT = IDS | {
    "hidden_size": 16,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": POSITIONS,
}
OFFSET = BERT | {"max_position_embeddings": POSITIONS + PAD + 1}
LLAMA = BERT | {"num_key_value_heads": 1, "head_dim": 8}
BART = IDS | {
    "d_model": 16,
    "encoder_layers": LAYERS,
    "decoder_layers": LAYERS,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": POSITIONS,
    "decoder_start_token_id": END,
    "forced_eos_token_id": END,
}
T5 = IDS | {
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 24,
    "num_layers": LAYERS,
    "num_decoder_layers": LAYERS,
    "num_heads": 2,
    "decoder_start_token_id": PAD,
}
GPT2 = IDS | {"n_embd": 16, "n_layer": LAYERS, "n_head": 2, "n_positions": POSITIONS, "n_inner": 24}

ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertConfig", BERT),
    "roberta": ("RobertaConfig", OFFSET),
    "xlm-roberta": ("XLMRobertaConfig", OFFSET),
    "camembert": ("CamembertConfig", OFFSET),
    "distilbert": (
        "DistilBertConfig",
        {"dim": 16, "n_layers": LAYERS, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": POSITIONS},
    ),
    "albert": ("AlbertConfig", BERT | {"embedding_size": 8}),
    "electra": ("ElectraConfig", BERT | {"embedding_size": 8}),
    "mpnet": ("MPNetConfig", BERT | {"max_position_embeddings": POSITIONS + 2, "pad_token_id": 1}),
    "deberta": (
        "DebertaConfig",
        BERT
        | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}
        | {"type_vocab_size": 0, "pooler_hidden_size": 16},
    ),
    "deberta-v2": (
        "DebertaV2Config",
        BERT
        | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}
        | {"type_vocab_size": 0, "pooler_hidden_size": 16, "position_buckets": 8, "share_att_key": True},
    ),
    "convbert": ("ConvBertConfig", BERT | {"embedding_size": 16, "head_ratio": 1, "conv_kernel_size": 3}),
    "longformer": ("LongformerConfig", OFFSET | {"attention_window": [8, 8]}),
    "big_bird": ("BigBirdConfig", BERT | {"block_size": 4, "num_random_blocks": 1}),
    "funnel": (
        "FunnelConfig",
        {"d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 24}
        | {"block_sizes": [1, 1], "block_repeats": [1, 1], "num_decoder_layers": 1},
    ),
    "modernbert": (
        "ModernBertConfig",
        BERT | {"local_attention": 8, "cls_token_id": BEGIN, "sep_token_id": END},
    ),
    "fnet": ("FNetConfig", BERT),
    "squeezebert": (
        "SqueezeBertConfig",
        BERT
        | {"embedding_size": 16}
        | {f"{part}_groups": 2 for part in ("q", "k", "v", "post_attention", "intermediate", "output")},
    ),
    "mobilebert": (
        "MobileBertConfig",
        BERT | {"embedding_size": 16, "intra_bottleneck_size": 8, "num_feedforward_networks": 1},
    ),
    "nystromformer": ("NystromformerConfig", BERT | {"num_landmarks": 4, "segment_means_seq_len": 8}),
    "canine": (
        "CanineConfig",
        BERT | {"num_hash_buckets": 32, "downsampling_rate": 2, "local_transformer_stride": 8},
    ),
    "xlnet": ("XLNetConfig", IDS | {"d_model": 16, "n_layer": LAYERS, "n_head": 2, "d_inner": 24}),
    "xlm": (
        "XLMConfig",
        {"emb_dim": 16, "n_layers": LAYERS, "n_heads": 2, "max_position_embeddings": POSITIONS}
        | {"pad_index": PAD, "unk_index": UNKNOWN, "bos_index": BEGIN, "eos_index": END, "mask_index": MASK},
    ),
    "reformer": (
        "ReformerConfig",
        {"hidden_size": 16, "num_attention_heads": 2, "attention_head_size": 8, "feed_forward_size": 24}
        | {"attn_layers": ["local", "lsh"], "num_hidden_layers": LAYERS, "num_buckets": 4}
        | {"local_attn_chunk_length": 8, "lsh_attn_chunk_length": 8, "is_decoder": False}
        | {"axial_pos_shape": [8, 8], "axial_pos_embds_dim": [8, 8], "max_position_embeddings": POSITIONS}
        | {"pad_token_id": PAD, "eos_token_id": END},
    ),
}
DECODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2Config", GPT2),
    "gpt_neo": (
        "GPTNeoConfig",
        IDS
        | {"hidden_size": 16, "num_layers": LAYERS, "num_heads": 2, "intermediate_size": 24}
        | {"attention_types": [[["global", "local"], 1]], "window_size": 8}
        | {"max_position_embeddings": POSITIONS},
    ),
    "gpt_neox": ("GPTNeoXConfig", BERT),
    "opt": (
        "OPTConfig",
        BERT | {"ffn_dim": 24, "word_embed_proj_dim": 16, "pad_token_id": PAD},
    ),
    "bloom": ("BloomConfig", IDS | {"hidden_size": 16, "n_layer": LAYERS, "n_head": 2}),
    "llama": ("LlamaConfig", LLAMA),
    "mistral": ("MistralConfig", LLAMA | {"sliding_window": 8}),
    "qwen2": ("Qwen2Config", LLAMA),
    "gemma": ("GemmaConfig", LLAMA),
    "falcon": ("FalconConfig", BERT | {"new_decoder_architecture": False, "alibi": False}),
    "mpt": (
        "MptConfig",
        {"d_model": 16, "n_heads": 2, "n_layers": LAYERS, "max_seq_len": POSITIONS, "expansion_ratio": 2},
    ),
}
PAIRED: dict[str, tuple[str, dict[str, Any]]] = {
    "bart": ("BartConfig", BART),
    "mbart": ("MBartConfig", BART),
    "t5": ("T5Config", T5),
    "mt5": ("MT5Config", T5),
}
ARCHITECTURES = ENCODERS | DECODERS | PAIRED


def save_architecture(folder: Path, name: str) -> Path:
    """Save a random model without a head, as pretraining leaves one, with its tokenizer."""
    kind, settings = ARCHITECTURES[name]
    config = getattr(transformers, kind)(**({"vocab_size": 0} | settings))
    if name == "funnel":
        config.architectures = ["FunnelBaseModel"]  # with or without its decoder: a classifier has none
    special = list(SPECIAL)
    padding = getattr(config, "pad_token_id", PAD)
    if padding == 1:
        special[0], special[1] = special[1], special[0]
    tokenizer = _tokenizer(name, tuple(special))
    attribute = "n_words" if kind == "XLMConfig" else "vocab_size"
    setattr(config, attribute, len(tokenizer))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModel.from_config(config)
        for weight in model.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(name: str, special: tuple[str, ...]) -> PreTrainedTokenizerBase:
    pieces = word_pieces(special)
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if name in ENCODERS:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B [SEP]",
            special_tokens=[("[CLS]", pieces["[CLS]"]), ("[SEP]", pieces["[SEP]"])],
        )
    elif name in PAIRED:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A [SEP]", pair="$A $B [SEP]", special_tokens=[("[SEP]", pieces["[SEP]"])]
        )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="[CLS]",
        eos_token="[SEP]",
        **dict(zip(names, SPECIAL, strict=True)),
    )
    fast.model_input_names = ["input_ids", "attention_mask"]
    return fast
