"""The recipe's section `strategy`: the three axes and the objective, every setting and its default.

The string under a field is its help, as in `schema`. Imports no torch, reads no file and knows no command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from dkd_cli.recipe.value_types import Count, Name, Score, Share, Weight, renamed


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherAdoption:
    """Axis 1, teacher adoption: used by `dynamic-teacher`."""

    mode: Literal["static", "hard", "soft", "soft-instance"] = "soft-instance"
    """`static`: fixed weights; `hard`: the uncertain half of a batch learns from the small teacher, the
    rest from the large one; `soft`: both, weighted by the batch's mean uncertainty; `soft-instance`: both,
    weighted per example."""
    weights: Mapping[str, Weight] | None = None
    """The weight of each teacher in mode `static`; 0: the teacher is never run; null: 1 each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSelection:
    """Axis 2, data selection: used by `dynamic-data`."""

    score: Score = "entropy"
    """What makes an example worth distilling: the student's `entropy`, `margin` or `confidence` (`lc`),
    `label-loss` (its loss on the gold label, published as `kl`), `label-loss-b` (highest and lowest loss in
    turn), `llkd` (the teacher sure and the student unsure), `random` (the control) or `none` (all of them,
    whatever the ratio); `-r` reverses."""
    ratio: Annotated[float, Gt(0), Le(1)] = 0.5
    """The share of each batch that is distilled; at least one example."""
    keep: Literal["top", "weighted"] = "top"
    """`top`: the highest scores; `weighted`: sampled, high scores more often than low ones, and weighted
    so that the loss is an unbiased estimate of that over everything scored."""
    backward: Literal["all", "selected"] = "all"
    """Rows that train the student. `all`: the whole batch learns from the labels, as published;
    `selected`: the student first scores `batch_size` / `ratio` examples without gradient, then trains on
    the selected `batch_size` only: fewer updates, each on a full batch."""
    scale: Literal["mean", "ratio"] = "mean"
    """Total weight of the selected examples under `backward: all`. `mean`: that of a whole batch, as
    published, however few they are; `ratio`: their share of it."""
    warmup: Share = 0.0
    """The share of the run during which the score is not used: everything is distilled or, under
    `backward: selected`, the batch is selected from its pool at random."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Final:
    """Final values of parts of the objective: during the run they move there from the values above."""

    shape: Literal["linear", "cosine"] = "linear"
    """The course: linear, or slow at both ends and fast in the middle."""
    temperature: Annotated[float, Gt(0)] | None = None
    """null: constant."""
    kd_weight: Weight | None = None
    """null: constant."""
    ce_weight: Weight | None = None
    """null: constant."""
    hidden_weight: Weight | None = None
    """null: constant."""
    teacher_share: Annotated[float, Ge(0), Le(1)] = 1.0
    """For `taid`; 1: the run ends with the teacher itself as the target."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """Axis 3, supervision adjustment: the terms of the loss, and how `dynamic-objective` weights them."""

    mode: Literal["uncertainty", "uncertainty-r", "fixed"] = "uncertainty"
    """Under `dynamic-objective`: `uncertainty`: (1-u) KD + u PT per example; `uncertainty-r`: the other way
    round; `fixed`: the weights below as they are."""
    kd_loss: Annotated[
        Literal["mse", "kl", "jsd", "taid", "decoupled", "dist"],
        renamed({"dkd": "decoupled"}, noted=True),
    ] = "mse"
    """`mse` between logits (the published default); between softened probabilities `kl`, `jsd` (generalised
    Jensen-Shannon), `taid` (towards a target that moves from student to teacher), `decoupled` (the target
    class against the others, and the others among themselves) or `dist` (correlations); the last two need
    three classes."""
    temperature: Annotated[float, Gt(0)] = 5.0
    """Softens both sides of every KD loss except `mse`."""
    standardise: bool = False
    """Compare z-scores of each example's logits, which leaves their scale to the student; for any KD loss
    except `mse`, and three or more classes."""
    jsd_beta: Annotated[float, Gt(0), Lt(1)] = 0.5
    """`jsd`: near 0 similar to `kl`, near 1 similar to the reverse KL."""
    teacher_share: Annotated[float, Ge(0), Le(1)] = 0.4
    """`taid`: the teacher's share of the target when the run begins."""
    target_weight: Weight = 1.0
    """`decoupled`: the weight of the target class against all others."""
    others_weight: Weight = 8.0
    """`decoupled`: the weight of the others among themselves."""
    inter_weight: Weight = 1.0
    """`dist`: the weight of the correlation over classes, within each example."""
    intra_weight: Weight = 1.0
    """`dist`: the weight of the correlation over examples, within each class."""
    kd_weight: Weight = 1.0
    """The weight of learning the teacher's logits."""
    ce_weight: Weight = 1.0
    """The weight of learning the gold labels in addition to a teacher; without a teacher it is 1."""
    hidden_weight: Weight | None = None
    """The weight of learning the teacher's hidden states (the paper's PT); null: 1 under
    `dynamic-objective`, and where student and teachers are layers of one encoder, else 0. In the second case
    they are left out, with a line, if the architecture shows none or they would take over 4 GB of cache; with
    `hidden_loss: states` the second case is 0 too, as published."""
    hidden_loss: Literal["directions", "states", "relations"] = "directions"
    """What is compared of each aligned layer: the `directions` of the hidden states, 2 (1 - cosine) whatever
    their width; the same as a mean over the width, `states` (as published: 1/768 of it for BERT-base); or the
    `relations` among tokens, computed from its queries, keys and values (MiniLMv2)."""
    relation_heads: Count = 16
    """`relations`: the number of heads into which queries, keys and values are split; it must divide both
    hidden sizes."""
    layer_map: Name = "uniform"
    """The teacher layer of each student layer: `uniform`, `last`, or pairs such as `0:0, 1:2, 2:4`
    (student:teacher, 0 is the embedding layer)."""
    positions: Literal["all", "first"] = "all"
    """The positions at which hidden states are compared: `all` tokens, which must then be the same for
    both models, or only the `first` one, which a classifier reads and every tokenizer has."""
    final: Final = field(default_factory=Final)


@dataclass(frozen=True, kw_only=True, slots=True)
class Strategy:
    """The distillation strategy and the settings of its three axes."""

    name: Name = "static"
    """`none` (fine-tuning without a teacher), `static`, `dynamic-teacher`, `dynamic-data`,
    `dynamic-objective`, or several dynamic ones joined by commas."""
    transfer: bool = True
    """`false`: leave the transfer set of `data.transfer` aside, and see the labelled rows for as many
    updates: the control of what a transfer set brings. `none` always does so."""
    max_passes: Count | None = None
    """Of a student that leaves the transfer set aside: it ends after so many passes over the labelled rows,
    where that is sooner. null: only after as many updates as the others."""
    teacher: TeacherAdoption = field(default_factory=TeacherAdoption)
    data: DataSelection = field(default_factory=DataSelection)
    objective: Objective = field(default_factory=Objective)
