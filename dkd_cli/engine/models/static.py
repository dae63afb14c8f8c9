"""Static students: one vector per token, pooled, with convolutions over the vectors; no attention, no layers.

A text costs a look-up per token and a few small matrix products. The model is an ordinary transformers
classifier, so everything that trains, saves or scores those takes it too. Knows nothing of where the vectors
come from, nor of training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from dkd_cli.engine.models.static_arrays import MODEL_TYPE

SPECIAL = ("pad", "unk", "cls", "sep", "mask", "bos", "eos")
"""Tokens that tokenizers name so, `pad_token_id` and so on: no part of a text."""


class StaticConfig(PretrainedConfig):
    """The sizes of a static classifier, and its special tokens (every `*_token_id`), which are not pooled."""

    model_type = MODEL_TYPE

    def __init__(
        self,
        vocab_size: int = 1,
        hidden_size: int = 256,
        convolutions: Sequence[int] = (),
        filters: int = 128,
        head_size: int = 0,
        normalised: bool = False,
        dropout: float = 0.0,
        reads: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            vocab_size: V, rows of the token table.
            hidden_size: D, dimensions of a token vector.
            convolutions: the width of each convolution in tokens; none: pooled vectors alone.
            filters: of each convolution.
            head_size: units of the head's hidden layer; 0: a linear head.
            normalised: whether the mean and the maxima each have mean 0 and variance 1 before the head reads
                them.
            dropout: on what the last layer reads, in training.
            reads: `max_length` in tokens, and the columns `text` and `text_pair` of its training data: so it
                can be deployed without its recipe.
            **kwargs: as in every configuration.
        """
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.convolutions = list(convolutions)
        self.filters = filters
        self.head_size = head_size
        self.normalised = normalised
        self.dropout = dropout
        self.reads = dict(reads or {})
        self.num_hidden_layers = 0
        super().__init__(**kwargs)

    @property
    def special_ids(self) -> list[int]:
        """Token ids that are no part of a text: they count for convolutions, not for the mean."""
        named = (value for name, value in vars(self).items() if name.endswith("_token_id"))
        return sorted({value for value in named if isinstance(value, int)})


class Convolution(torch.nn.Module):
    """Filters over neighbouring token vectors, ReLU, and the maximum over positions (Kim, 2014).

    y_i = max_l ReLU(b_i + Σ_k w_ik · v_{l+k}). One matrix product gives all terms w_ik · v; they are shifted
    and added afterwards, so that no vector is copied.
    """

    def __init__(self, size: int, filters: int, width: int) -> None:
        super().__init__()
        self.width, self.filters = width, filters
        self.linear = torch.nn.Linear(size, width * filters, bias=False)
        self.bias = torch.nn.Parameter(torch.zeros(filters))

    def forward(self, vectors: Tensor, real: Tensor) -> Tensor:
        """[B, L, D] vectors, zero where nothing is real, and [B, L, 1] mask -> [B, filters]."""
        length, left = vectors.size(1), (self.width - 1) // 2
        padded = F.pad(vectors, (0, 0, left, self.width - 1 - left))
        total = self.bias
        for shift, part in enumerate(self.linear(padded).split(self.filters, dim=-1)):
            total = total + part[:, shift : shift + length]
        return (F.relu(total) * real).amax(dim=1)


class StaticEncoder(torch.nn.Module):
    """From token ids to the features of a text."""

    def __init__(self, config: StaticConfig) -> None:
        super().__init__()
        self.config = config
        # A token's vector and then its weight in one row: training and cutting rows takes both.
        self.table = torch.nn.Embedding(config.vocab_size, config.hidden_size + 1)
        self.convolutions = torch.nn.ModuleList(
            Convolution(config.hidden_size, config.filters, width) for width in config.convolutions
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pool the weighted mean of the vectors, and the convolutions.

        Args:
            input_ids: [B, L].
            attention_mask: [B, L], nonzero at real positions.

        Returns:
            The features [B, D + filters of all convolutions], and the vectors [B, L, D].
        """
        rows = self.table(input_ids)
        real = (attention_mask != 0).unsqueeze(-1).to(rows.dtype)
        vectors = rows[..., :-1] * real
        special = torch.tensor(self.config.special_ids, dtype=input_ids.dtype, device=input_ids.device)
        counted = real * (input_ids.unsqueeze(-1) != special).all(dim=-1, keepdim=True)
        mean = (vectors * (rows[..., -1:] * counted)).sum(dim=1) / counted.sum(dim=1).clamp(min=1)
        return torch.cat([mean, *(each(vectors, real) for each in self.convolutions)], dim=-1), vectors


class StaticForSequenceClassification(PreTrainedModel):
    """A classifier of pooled token vectors.

    Its `hidden_states` have one entry, the token vectors. There the first position holds the pooled mean
    instead of the first token's vector: what a teacher's head reads of its first token is compared with what
    the student's head reads.
    """

    config_class = StaticConfig
    base_model_prefix = "static"
    main_input_name = "input_ids"
    precision = "fp32"
    """What it computes in, whatever the recipe's `train.precision`."""

    def __init__(self, config: StaticConfig) -> None:
        super().__init__(config)
        self.static = StaticEncoder(config)
        features = config.hidden_size + config.filters * len(config.convolutions)
        self.hidden = torch.nn.Linear(features, config.head_size) if config.head_size else None
        self.dropout = torch.nn.Dropout(config.dropout)
        self.classifier = torch.nn.Linear(config.head_size or features, config.num_labels)
        self.post_init()

    def get_input_embeddings(self) -> torch.nn.Module:
        """The token table, whose last column is the token's weight."""
        return self.static.table

    def set_input_embeddings(self, value: torch.nn.Module) -> None:
        """Replace the token table."""
        self.static.table = value  # type: ignore[assignment]  # a table that trains some rows

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Compute the logits [B, C] of a padded batch [B, L], in float32 also under autocast."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        # Casts of the weights would take longer than what bf16 saves in products as small as these.
        device = input_ids.device.type
        with torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext():
            features, vectors = self.static(input_ids, mask)
            states = None
            if output_hidden_states:
                pooled = features[:, None, : self.config.hidden_size]
                states = (torch.cat([pooled, vectors[:, 1:]], dim=1),)
            if self.config.normalised:
                features = _normalised(features, self.config.hidden_size)
            hidden = features if self.hidden is None else F.relu(self.hidden(features))
            return SequenceClassifierOutput(
                logits=self.classifier(self.dropout(hidden)), hidden_states=states
            )


def _normalised(features: Tensor, size: int) -> Tensor:
    """Layer-normalise the first `size` features, the mean, and the others, the maxima, each by themselves."""
    parts = features.tensor_split([size], dim=-1)
    return torch.cat([F.layer_norm(part, part.shape[-1:]) for part in parts if part.size(-1)], dim=-1)


def static_classifier(config: StaticConfig, vectors: Tensor) -> StaticForSequenceClassification:
    """A classifier with these token vectors, [V, D], and a head drawn by torch's generator.

    The vectors are centred and scaled to 1 a dimension (root mean square): so one learning rate suits those
    of any encoder. Every token weighs 1.
    """
    model = StaticForSequenceClassification(config)
    centred = vectors - vectors.mean(dim=0)
    scaled = centred / centred.square().mean().sqrt().clamp(min=1e-12)
    with torch.no_grad():
        model.static.table.weight.copy_(torch.cat([scaled, torch.ones(len(vectors), 1)], dim=1))
    return model
