"""Lets a model and its tokenizer agree on padding and special tokens: a text is read the same in any batch.

Padding on the right leaves the positions of a text as they are when it stands alone. Decoders that classify
by the last token find it by the padding token of their configuration. Knows nothing of texts.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dkd_cli.errors import ModelError

READS_THE_NEXT = ("mobilebert",)
"""Architectures that join a token's vector with the next one's: after the last there is 0, or padding."""
READS_THE_END = ("xlnet",)
"""Architectures whose head reads the batch's last place, and whose positions are relative: padded left."""


def agree_on_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str, key: str) -> None:
    """Set side and token of a tokenizer, and a padding token that the model's configuration lacks.

    An encoder-decoder's tokenizer from now on reads special tokens that a text spells as ordinary text.

    Raises:
        ModelError: where neither names a padding token, or the model's is no special token of the tokenizer.
    """
    tokenizer.padding_side = "left" if model.config.model_type in READS_THE_END else "right"
    if model.config.is_encoder_decoder:
        # Their heads look for the end token, of which each text has to have as many as any other.
        tokenizer.split_special_tokens = True
    config = model.config.get_text_config()
    wanted = getattr(config, "pad_token_id", None)
    if wanted is None or wanted < 0:
        if tokenizer.pad_token_id is None:
            raise ModelError(
                key,
                f"{name!r} has no padding token, neither in its configuration nor in its tokenizer",
                "set pad_token_id in config.json and pad_token in tokenizer_config.json",
            )
        config.pad_token_id = tokenizer.pad_token_id
        return
    if model.config.model_type in READS_THE_NEXT:
        with torch.no_grad():
            model.get_input_embeddings().weight[wanted] = 0
    if tokenizer.pad_token_id == wanted:
        return
    token = tokenizer.convert_ids_to_tokens(wanted)
    if token not in tokenizer.all_special_tokens:
        # An attention mask hides whatever stands there; a tokenizer without a token has nothing to put.
        if tokenizer.pad_token_id is not None and not looks_for_padding(model):
            return
        raise ModelError(
            key,
            f"the configuration of {name!r} pads with token {wanted}, "
            f"its tokenizer with {tokenizer.pad_token_id}",
            "set pad_token_id in config.json to the tokenizer's",
        )
    tokenizer.pad_token = token


def looks_for_padding(model: PreTrainedModel) -> bool:
    """Return whether a head finds the text's end by its tokens, and not by the attention mask."""
    return bool(model.config.is_encoder_decoder) or getattr(model, "score", None) is not None
