"""The recipe: every setting of an experiment, its default and its meaning; students have a file of their own.

The string under a field is its help text; the recipe reference is generated from it. Imports no torch, reads
no files and knows no command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from dkd_cli.recipe.asking import Asking, Price
from dkd_cli.recipe.strategy_section import Strategy
from dkd_cli.recipe.student_section import Student
from dkd_cli.recipe.value_types import ClassWeights, Count, Name, Share, Weight, joined_by_comma
from dkd_cli.recipe.words import OutputKind

Value = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Augment:
    """Copies of the labelled training texts with some words replaced, as in TinyBERT: further transfer texts.

    Words come from the masked-language-model head of the recipe's `model`, if its checkpoint has one, else
    from the neighbours of its token vectors.
    """

    copies: Annotated[int, Ge(0), Le(10_000)] = 0
    """Copies of each labelled training text; 0: no augmentation. Copies that repeat a text are dropped."""
    replace: Annotated[float, Gt(0), Le(1)] = 0.4
    """The probability that a word is replaced."""
    candidates: Annotated[int, Ge(1), Le(1000)] = 15
    """How many words may take a word's place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """Source, columns, splits and length of texts and labels."""

    source: Name | None = None
    """A hub id, a folder in the hub's layout or of `save_to_disk`, one file (csv, tsv, xlsx, json, jsonl,
    parquet, conll; also gzipped) or `pkg://package/path`; null when `train`, `validation` and `test` each
    name a file."""
    config: Name | None = None
    """The configuration of a hub data set, such as `rte` of `nyu-mll/glue`."""
    task: Name | None = None
    """A known task whose columns and metric are used; null: the one named by `config`, if it is known."""
    text: Name | None = None
    """The column with the text, such as `body`, or `ticket.body` inside objects; null: the known task's, else
    `text`; of kind `tokens` the column with lists of words, else `tokens`."""
    text_pair: Name | None = None
    """The column with the second text; null: the known task's, else none."""
    label: Annotated[Name, joined_by_comma()] | None = None
    """The column with the label, or of kind `multi-label` a list of columns, one for each label, with 1 and 0
    or true and false; null: the known task's, else `label`, of kind `tokens` `ner_tags`."""
    label_separator: Name = "|"
    """Of kind `multi-label`: what separates the labels of a text in one column; JSON lists need none."""
    labels: tuple[str, ...] | None = None
    """The class names in the order of their ids; null: those of the data set, else in the known task's order,
    else sorted."""
    positive: Name | None = None
    """Of two classes the one that `f1`, `precision`, `recall` and `average_precision` are of; all four are
    then measured. null: the known task's, else the second of `0` and `1`, `false` and `true`, or `no` and
    `yes`."""
    kind: OutputKind | None = None
    """`classification`: one label per text; `multi-label`: any number of them; `tokens`: a tag for each word;
    `regression`: a number; null: the known task's, else classification."""
    unlabelled: bool = False
    """`true`: the training texts have no labels, or their labels are ignored; students learn from their
    teachers alone, and `none` learns the predictions of the largest one as labels. Validation and test labels
    are used if there are any; `labels` names the classes."""
    missing_labels: Literal["refuse", "transfer", "drop"] = "refuse"
    """Training rows without a label: `refuse` reports them as errors; `transfer` adds their texts to the
    transfer set, which the teachers alone teach; `drop` leaves them out."""
    unseen_labels: Literal["refuse", "count-as-wrong"] = "refuse"
    """Test rows of a class that the training split lacks: `refuse` reports them as errors; `count-as-wrong`
    keeps them, and no prediction for them is right."""
    train: Name | None = None
    """The name of the training split in the source, or a file; null: `train`, or the rest of a single
    file."""
    validation: Name | None = None
    """The name of the validation split in the source, or a file; null: `validation`, or split off from the
    training split by a hash of the text."""
    test: Name | None = None
    """The name of the test split in the source, or a file; null: `test` if the source has it, or split off
    from a single file by a hash of the text."""
    encoding: Name | None = None
    """The encoding of files that are not UTF-8, such as `latin-1`; null: UTF-16 with its mark and cp1252 are
    recognised, others refused."""
    validation_share: Annotated[float, Gt(0), Lt(1)] = 0.1
    """The share split off for validation if the source has no validation split."""
    test_share: Annotated[float, Ge(0), Lt(1)] = 0.1
    """The share split off from a single file for testing; 0: no test split."""
    split_seed: Annotated[int, Ge(0)] = 0
    """Seed of the splits; otherwise they depend on the texts alone."""
    near_duplicates: Annotated[float, Gt(0), Le(1)] = 0.7
    """Texts at least this similar (Jaccard similarity of character shingles) stay in the same split."""
    transfer: tuple[Name, ...] = ()
    """Texts without labels beside the training split, which the teachers alone teach: files (txt with one
    text a line, csv, tsv, json, jsonl, parquet), `pkg://package/path`, or splits of the source. A single one
    needs no list."""
    max_transfer: Count | None = None
    """Keep at most so many transfer texts, augmented ones included, chosen by a hash of the text."""
    augment: Augment = field(default_factory=Augment)
    max_train: Count | None = None
    """Keep at most this many training examples, chosen by a hash of the text."""
    max_validation: Count | None = None
    """Keep at most this many validation examples, chosen by a hash of the text."""
    max_test: Count | None = None
    """Keep at most this many test examples, chosen by a hash of the text."""
    max_length: Annotated[int, Ge(4)] = 128
    """Tokens after which a text (or a pair) is truncated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Teacher:
    """A teacher: how `dkd train-teacher` trains it, or where it is."""

    model: Name | None = None
    """The pretrained encoder to fine-tune; null: the recipe's `model`. With `endpoint`: the name of the model
    that answers there."""
    layers: Count | None = None
    """The number of layers to keep, from the first; null: all of them."""
    checkpoint: Name | None = None
    """A classifier trained elsewhere (hub id, folder or `pkg://`); null: trained by `dkd train-teacher`."""
    labels: tuple[str, ...] | None = None
    """The class names in the order of its outputs, for a checkpoint that has only LABEL_0, LABEL_1, ..."""
    probabilities: Name | None = None
    """A jsonl or parquet file with class probabilities for every training example (from an LLM, say), by
    `example_id` or by text, instead of a model."""
    endpoint: Name | None = None
    """In place of a model, the base URL of an OpenAI-compatible chat API that `dkd label` queries."""
    key_env: Name | None = None
    """The environment variable with the API key; null: no key is sent. The key itself is written nowhere."""
    classes: Mapping[str, str] | None = None
    """Descriptions of the classes for the prompt, by name; null: their names alone."""
    prompt: Name | None = None
    """A file with the system prompt, in which `{classes}` stands for the list of classes; null: dkd's own."""
    examples: Mapping[str, str] = field(default_factory=dict)
    """Up to 8 examples for the prompt, each a text and its class."""
    price: Price = field(default_factory=Price)
    asking: Asking = field(default_factory=Asking)
    epochs: Annotated[float, Gt(0)] | None = None
    """null: as in `train`."""
    learning_rate: Annotated[float, Gt(0)] | None = None
    """null: as in `train`."""
    batch_size: Count | None = None
    """null: as in `train`."""
    warmup: Share | None = None
    """null: as in `train`."""
    freeze: Literal["nothing", "embeddings", "encoder"] | None = None
    """null: as in `train`; `encoder` trains only the classification head."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Train:
    """The training schedule of students and, unless they have their own settings, of teachers."""

    epochs: Annotated[float, Gt(0)] = 5.0
    """Passes over the training split."""
    max_steps: Count | None = None
    """Stop after this many updates, whatever `epochs` says."""
    batch_size: Count = 32
    """Examples in each forward pass, per device."""
    max_tokens: Count | None = None
    """The most tokens, padding included, that a model in training reads at once. A larger batch is
    computed in parts, which takes less memory and more time; batch, selection, loss and gradient are those
    of the whole batch. A longer text is a part of its own. Only with a single process; null: no limit."""
    accumulation: Count = 1
    """Forward passes per update."""
    learning_rate: Annotated[float, Gt(0)] | None = None
    """The peak learning rate; it decays linearly to 0. null: by the model's width, 0.1 / width for students
    (1.3e-4 for BERT-base, 2.6e-4 for MiniLM) and 0.04 / width for teachers."""
    warmup: Share = 0.1
    """The share of updates over which the learning rate rises from 0."""
    weight_decay: Weight = 0.0
    """AdamW's weight decay; biases and layer norms are excluded."""
    max_grad_norm: Weight = 1.0
    """Gradients with a larger norm are clipped to it; 0: never."""
    dropout: Share | None = None
    """The dropout probability in training; null: 0 for students, and for teachers the pretrained model's own,
    usually 0.1."""
    freeze: Literal["nothing", "embeddings", "encoder"] = "nothing"
    """`embeddings` keeps the token table as pretrained: faster steps, less memory; `encoder` trains only
    the classification head."""
    class_weights: ClassWeights | None = None
    """Weights of the classes in the loss on the labels, for rare ones: `balanced`, in inverse proportion to
    their training rows, or a number by class name, 1 where none is given. They are scaled to a mean of 1
    over the training rows, so that `learning_rate` and `ce_weight` keep their meaning. Teachers' answers,
    selection and validation scores are not weighted."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto`: bf16 if the hardware multiplies it fast, fp16 on older GPUs, else fp32."""
    compile: bool = False
    """`true`: compile the model with torch.compile, which needs a C++ compiler (on a GPU, Triton). The
    first step is slow, and later ones are faster if the hardware benefits."""
    metric: Name | None = None
    """Picks the best checkpoint and the best student, and is what differences, retention, gates and verdicts
    are in: `accuracy`, `macro_f1` or `matthews`; for two classes also `f1`, `precision`, `recall`,
    `average_precision` (see `data.positive`) or `roc_auc`; for numbers `pearson`, `spearman` or `mse`; for
    both `loss`, the cross-entropy or the squared error. null: the task's own."""
    eval_batch_size: Count = 64
    """Examples in each forward pass without gradient."""
    log_every: Count = 10
    """Updates between two log entries; each epoch ends with one."""
    report_to: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    """Experiment trackers, through transformers' own integrations."""
    seed: Annotated[int, Ge(0), Lt(2**32)] = 1
    """Seed of the new head, the order of the data and dropout."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One experiment."""

    name: Name
    """The folder below `output_dir`; letters, digits, `.`, `_` and `-`."""
    description: str = ""
    """One line for `dkd recipes list`."""
    model: Name
    """The pretrained encoder of teachers and student, unless they name their own: a hub id, a folder or
    `pkg://package/path`."""
    output_dir: Name = "checkpoints"
    """The folder for runs, each in a folder of its own."""
    data: Data
    teachers: Mapping[str, Teacher] = field(default_factory=lambda: {"large": Teacher()})
    """The teachers by name, from the smallest to the largest; where only one teacher is used, it is the
    last one."""
    student: Student = field(default_factory=Student)
    strategy: Strategy = field(default_factory=Strategy)
    train: Train = field(default_factory=Train)
    sweep: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """Values to try by dotted key, such as `train.seed: [1, 2, 3]`; `dkd distill` trains a student for
    every combination."""


STRATEGIES: tuple[str, ...] = ("none", "static", "dynamic-teacher", "dynamic-data", "dynamic-objective")


STUDENTS_OWN = ("data.transfer", "data.max_transfer", "data.augment", "data.missing_labels")
"""The keys of `data` that decide what students learn from, and nothing about their teachers."""


def has_transfer(data: Data) -> bool:
    """Return whether students learn from texts without labels next to the training split."""
    return bool(data.transfer) or data.augment.copies > 0 or data.missing_labels == "transfer"


def labelled_data(data: Data) -> Data:
    """The same data without a transfer set: what an evaluation reads."""
    missing = "drop" if data.missing_labels == "transfer" else data.missing_labels
    return replace(data, transfer=(), max_transfer=None, augment=Augment(), missing_labels=missing)


def without_transfer(recipe: Recipe) -> Recipe:
    """The recipe without its transfer set: what teachers are trained by."""
    swept = {key: values for key, values in recipe.sweep.items() if not key.startswith(STUDENTS_OWN)}
    return replace(recipe, data=labelled_data(recipe.data), sweep=swept)


def strategy_parts(name: str) -> tuple[str, ...]:
    """Split a comma-joined strategy name; the result is in canonical order."""
    parts = [part.strip() for part in name.split(",")]
    return tuple(
        sorted(parts, key=lambda part: STRATEGIES.index(part) if part in STRATEGIES else len(STRATEGIES))
    )


def decides_teachers(key: str, name: str | None = None) -> bool:
    """Return whether a dotted key changes teachers (or the one called `name`): model, data, own section.

    The schedule does too, but it is shared with the students: sweeping it does not require other teachers.
    """
    own = "teachers." if name is None else f"teachers.{name}."
    return key == "model" or (key.startswith(("data.", own)) and not key.startswith(STUDENTS_OWN))
