"""The recipe's section `student`: every setting of a student, its default and its meaning.

The string under a field is its help, as in `schema`. Imports no torch, reads no file and knows no command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt

from dkd_cli.recipe.value_types import Count, Name, Share


@dataclass(frozen=True, kw_only=True, slots=True)
class Student:
    """The small model: its encoder, size and kind."""

    family: Literal["encoder", "static"] = "encoder"
    """`encoder`: some layers of a pretrained encoder; `static`: a vector per token, made by those layers and
    then trained, pooled and read by convolutions: up to a hundred times faster."""
    model: Name | None = None
    """The pretrained encoder it is cut from, or `teacher` for the (largest) trained teacher;
    null: the recipe's `model`."""
    layers: Count | None = None
    """Keep so many layers; null: all of them. Of a `static` student, those that make its vectors."""
    take: Name = "first"
    """Which layers: the `first` ones, the `last` ones, `even` (spread as in the layer map `uniform`), a list
    such as `1, 3, 6` (1 the lowest), or `random` (initialised at random). The embeddings are always kept."""
    vocabulary: Name | None = None
    """Keep a part of the vocabulary: `used`, the tokens of the training texts, or a number, so many of the
    most frequent ones there. Special tokens and all single characters stay too, so that any other word falls
    into smaller pieces. null: all of it."""
    ffn: Count | None = None
    """Narrow each layer's feed-forward part to so many neurons, those that matter most on the training texts.
    null: as wide as it is."""
    convolutions: tuple[Count, ...] = (3,)
    """`static`: the width in tokens of each convolution over the vectors, such as `[1, 3, 5]`; `[]`: none,
    and word order is lost."""
    filters: Count = 128
    """`static`: of each convolution."""
    dimensions: Count | None = None
    """`static`: of a token vector, by principal components; null: the encoder's width."""
    epochs: Annotated[float, Gt(0)] | None = None
    """null: as in `train`; of a `static` student 10, and 5 with a transfer set."""
    learning_rate: Annotated[float, Gt(0)] | None = None
    """null: as in `train`; of a `static` student 3e-3."""
    batch_size: Count | None = None
    """null: as in `train`; of a `static` student 32."""
    warmup: Share | None = None
    """null: as in `train`; of a `static` student 0.1."""
    freeze: Literal["nothing", "embeddings", "encoder"] | None = None
    """null: as in `train`; of a `static` student `nothing`."""
