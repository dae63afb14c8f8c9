"""The kinds of output, as readers, metrics and predictions see them: class, labels, tags of words or number.

Everything that they ask of the kind is an entry here, by the recipe's word `data.kind`. The arithmetic is in
`data/output_math.py`; what a training step asks of the kind is in `engine/method/outputs.py`, and what an
evaluation does in `evaluation/outputs.py`, by the same words. Needs neither torch nor a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.answers import (
    Names,
    answer_class,
    answer_labels,
    answer_number,
    answer_tags,
)
from dkd_cli.data.constants import Constant, frequencies, mean, most_frequent, most_frequent_tag
from dkd_cli.data.label_lists import (
    columns_of,
    counts_note,
    hidden_lists,
    joined_labels,
    label_lists,
    label_sets,
)
from dkd_cli.data.labels import UNSEEN, Labels, class_labels, label_column, target_values, without_labels
from dkd_cli.data.output_math import (
    Floats,
    above_zero,
    binary_cross_entropy,
    by_word,
    class_divergence,
    class_uncertainty,
    cross_entropy,
    first_output,
    label_divergence,
    label_uncertainty,
    likeliest,
    likeliest_tags,
    sigmoid,
    softmax,
    squared_errors,
)
from dkd_cli.data.spans import spaced
from dkd_cli.data.stratified import ClassesOf, one_class
from dkd_cli.data.tags import (
    hidden_tags,
    tag_cells,
    tag_ids,
    tag_lists,
    tag_names,
    tags_that_occur,
    types_notes,
    word_texts,
    words_of,
)
from dkd_cli.errors import RecipeError
from dkd_cli.reading.tables import Table

Orders = Sequence[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Facts about one kind of output."""

    problem_type: str | None
    """In a saved model's configuration, as transformers calls it; None: its architecture says the kind."""
    of: str
    """What its metrics are metrics of, in a message."""
    metrics: tuple[str, ...]
    """Of a task that names none; the first one picks the best checkpoint."""
    always: tuple[str, ...]
    """Metrics that are given for every task."""
    column: Callable[[Table, str, str, bool], Any]
    """Table, `data.label`, the separator, and whether labels may be hidden -> the labels of a split, read."""
    hidden: Callable[[Table, str], Any]
    """The same where nobody may look at them."""
    read: Callable[[Mapping[str, Any], str, Names, bool, Orders], tuple[Names, dict[str, Labels]]]
    """Label columns by split, the split that names the classes, the declared names, whether labels may name
    them, and the orders of a known task's -> the names of the outputs, and the labels of each split."""
    classes_of: ClassesOf
    """A label -> the ids of its classes."""
    columns: Callable[[str], list[str]]
    """`data.label` -> the columns that it names."""
    spellings: Callable[[Any, Names], set[str]]
    """A label and the names -> how a data file may write it, as `spelled` joins several."""
    stratified: bool
    """Whether splits that are cut follow the labels too, so that rare ones are in each of them."""
    positive: bool
    """Whether one of two classes can be the positive one."""
    notes: Callable[[Names, Sequence[Any], str], list[str]]
    """Names, training labels and the separator -> what the user should know, a line each."""
    predicted: Callable[[Floats], NDArray[np.generic]]
    """Logits [N, C] -> what is predicted, [N]; of several labels [N, C], 1 where the logit is above 0."""
    probabilities: Callable[[Floats], Floats] | None
    """Logits [N, C] -> p, [N, C]; None where outputs have no probabilities, and so no uncertainty."""
    uncertainty: Callable[[Floats], Floats] | None
    """Logits [N, C] -> of the prediction, [N] in [0, 1]; of several labels that of the most uncertain one."""
    divergence: Callable[[Floats, Floats], Floats] | None
    """Logits of teacher and student, [N, C] each -> KL(teacher ‖ student) of each row, [N], in nats."""
    losses: Callable[[Floats, NDArray[Any]], Floats]
    """Logits [N, C] and labels [N] -> the loss of each row, [N], as training measures it."""
    constant: Callable[[Sequence[Any], int], Constant]
    """Training labels and the number of outputs -> the best constant prediction."""
    shown: Callable[[Any, Names], str | float]
    """A label, or prediction, and the names of the outputs -> what a reader sees."""
    cells: Callable[[Any, Names, str], dict[str, object]]
    """A label, the names of the outputs and `data.label` -> the cells that say so in a data file."""
    answer: Callable[[Floats, float, Floats | None, Names, str], dict[str, Any]]
    """Logits [C] of a text, temperature, cuts [C], the names of the outputs and the text -> the answer that
    `dkd predict` writes; numbers to `DIGITS`."""
    purpose: Callable[[int], str]
    """The number of outputs -> what a model does, for its card."""
    agreement: str
    """Name of the agreement with a teacher: a share of rows, `same class`, or a correlation."""
    agreement_is_share: bool
    unlabelled: str
    """The metric of a student against its teacher's predictions, where there are no labels."""
    starts_at_constant: bool = False
    """True if a new head's bias is the constant prediction's logits. With many rare labels the first updates
    would otherwise only lower all outputs, by way of the encoder, and leave it saturated."""
    thresholds: bool = False
    """Whether each output has a threshold of its own, fitted on validation."""
    by_word: bool = False
    """True if each word of a text has outputs of its own: logits are [N, W, C], predictions and labels
    [N, W], W the most words of a text; logits are `NO_WORD` where a text has no word, or none was read."""
    pipeline: str = "text-classification"
    """The task of transformers' pipelines that reads its folders, and their options."""
    pipeline_options: str = ""
    refuses: Mapping[str, str] = field(default_factory=dict)
    """Commands that mean nothing for it, or read no such data, each with the reason."""
    text_column: str = "text"
    """Of a recipe that names none."""
    label_column: str = "label"
    text_cell: Callable[[str], object] = lambda text: text
    """A text -> the cell that holds it in a data file."""
    reads: Callable[[str], str] = lambda text: text
    """A text as it comes -> as a model reads it."""
    prepared: Callable[[Table, str, str], Table] = lambda table, text, label: table
    """A table as read, `data.text` and `data.label` -> the table with texts in its text column."""


def _classes(
    columns: Mapping[str, Any], names_from: str, declared: Names, infer: bool, orders: Orders
) -> tuple[Names, dict[str, Labels]]:
    return class_labels(columns, names_from, declared, infer=infer, orders=orders)


def _several(
    columns: Mapping[str, Any], names_from: str, declared: Names, infer: bool, orders: Orders
) -> tuple[Names, dict[str, Labels]]:
    return label_sets(columns, names_from, declared, infer=infer, orders=orders)


def _numbers(
    columns: Mapping[str, Any], names_from: str, declared: Names, infer: bool, orders: Orders
) -> tuple[Names, dict[str, Labels]]:
    return None, target_values(columns)


def _one_column(table: Table, label: str, separator: str, may_hide: bool) -> Any:
    return label_column(table, label, may_hide)


def _as_written(label: str) -> list[str]:
    return [label]


def _name_or_id(label: Any, names: Names) -> set[str]:
    return {_class_name(label, names), str(int(label))}


def spelled(value: Any) -> str:
    """A label as it was read from a file: of several labels, sorted and joined.

    >>> spelled(("love", "joy")), spelled("joy")
    ('joy|love', 'joy')
    """
    return value if isinstance(value, str) else "|".join(sorted(map(str, value)))


def _names_or_ids(label: Any, names: Names) -> set[str]:
    assert names is not None, "labels have names"
    return {spelled([names[place] for place in _ones(label)]), spelled(_ones(label))}


def _ones(label: Any) -> tuple[int, ...]:
    return tuple(place for place, one in enumerate(label) if one == 1)


def _looks_joined(names: Names, labels: Sequence[Any], separator: str) -> list[str]:
    name = joined_labels(names or (), separator)
    if name is None:
        return []
    return [f"the class {name!r} looks like several labels: data.kind: multi-label reads them as such"]


def _counts(names: Names, labels: Sequence[Any], separator: str) -> list[str]:
    return [counts_note(names or (), labels)] if labels else []


def _class_name(label: Any, names: Names) -> str:
    assert names is not None, "classes have names"
    return "a class that training lacks" if label <= UNSEEN else names[int(label)]


def _label_names(label: Any, names: Names) -> str:
    assert names is not None, "labels have names"
    return ", ".join(names[place] for place in _ones(label)) or "none"


def _as_it_is(label: Any, names: Names) -> float:
    return float(label)


def _name_cell(label: Any, names: Names, column: str) -> dict[str, object]:
    return {column: _class_name(label, names)}


def _number_cell(label: Any, names: Names, column: str) -> dict[str, object]:
    return {column: float(label)}


def _label_cells(label: Any, names: Names, column: str) -> dict[str, object]:
    assert names is not None, "labels have names"
    columns = columns_of(column)
    if len(columns) == 1:
        return {column: [names[place] for place in _ones(label)]}
    return {name: int(label[names.index(name)]) for name in columns}


KINDS: dict[str, Kind] = {
    "classification": Kind(
        problem_type="single_label_classification",
        of="classes",
        metrics=("accuracy", "macro_f1"),
        always=("accuracy", "macro_f1"),
        column=_one_column,
        hidden=without_labels,
        read=_classes,
        classes_of=one_class,
        columns=_as_written,
        spellings=_name_or_id,
        stratified=False,
        positive=True,
        notes=_looks_joined,
        predicted=likeliest,
        probabilities=softmax,
        uncertainty=class_uncertainty,
        divergence=class_divergence,
        losses=cross_entropy,
        constant=most_frequent,
        shown=_class_name,
        cells=_name_cell,
        answer=answer_class,
        purpose=lambda outputs: f"tells {outputs} classes apart",
        agreement="same class",
        agreement_is_share=True,
        unlabelled="accuracy",
    ),
    "multi-label": Kind(
        problem_type="multi_label_classification",
        of="several labels",
        metrics=("micro_f1", "macro_f1"),
        always=("micro_f1", "macro_f1", "mean_average_precision", "subset_accuracy", "label_ranking"),
        column=label_lists,
        hidden=hidden_lists,
        read=_several,
        classes_of=_ones,
        columns=columns_of,
        spellings=_names_or_ids,
        stratified=True,
        positive=False,
        notes=_counts,
        predicted=above_zero,
        probabilities=sigmoid,
        uncertainty=label_uncertainty,
        divergence=label_divergence,
        losses=binary_cross_entropy,
        constant=frequencies,
        shown=_label_names,
        cells=_label_cells,
        answer=answer_labels,
        purpose=lambda outputs: f"gives a text any of {outputs} labels",
        agreement="same labels",
        agreement_is_share=True,
        unlabelled="subset_accuracy",
        starts_at_constant=True,
        thresholds=True,
        pipeline_options=", top_k=None",
    ),
    # A text has many tags, of which none decides whether a cascade passes it on: no `uncertainty`.
    "tokens": Kind(
        problem_type=None,
        of="tags",
        metrics=("entity_f1", "word_accuracy"),
        always=("entity_f1", "entity_precision", "entity_recall", "word_accuracy"),
        column=tag_lists,
        hidden=hidden_tags,
        read=tag_ids,
        classes_of=tags_that_occur,
        columns=_as_written,
        spellings=lambda label, names: {tag_names(label, names)},
        stratified=False,
        positive=False,
        notes=types_notes,
        predicted=likeliest_tags,
        probabilities=softmax,
        uncertainty=None,
        divergence=by_word(class_divergence),
        losses=by_word(cross_entropy),
        constant=most_frequent_tag,
        shown=tag_names,
        cells=tag_cells,
        answer=answer_tags,
        purpose=lambda outputs: f"tells {outputs} tags of words apart",
        agreement="same tag",
        agreement_is_share=True,
        unlabelled="word_accuracy",
        by_word=True,
        pipeline="token-classification",
        pipeline_options=', aggregation_strategy="simple"',
        refuses={
            "cascade": "a text has many tags, and none decides whether another model answers",
            "shrink": "its estimates are of one decision for each text",
        },
        text_column="tokens",
        label_column="ner_tags",
        text_cell=words_of,
        reads=spaced,
        prepared=word_texts,
    ),
    "regression": Kind(
        problem_type="regression",
        of="numbers",
        metrics=("pearson", "spearman"),
        always=("pearson", "spearman", "mse"),
        column=_one_column,
        hidden=without_labels,
        read=_numbers,
        classes_of=one_class,
        columns=_as_written,
        spellings=lambda label, names: {str(label)},
        stratified=False,
        positive=False,
        notes=lambda names, labels, separator: [],
        predicted=first_output,
        probabilities=None,
        uncertainty=None,
        divergence=None,
        losses=squared_errors,
        constant=mean,
        shown=_as_it_is,
        cells=_number_cell,
        answer=answer_number,
        purpose=lambda outputs: "predicts a number",
        agreement="correlation of the predictions",
        agreement_is_share=False,
        unlabelled="pearson",
    ),
}


def refuse_command(command: str, kind: str) -> None:
    """Refuse a command that the kind of output does not know.

    Raises:
        RecipeError: with the reason.
    """
    why = KINDS[kind].refuses.get(command)
    if why is not None:
        problem = f"is {kind}, and `dkd {command}` does not take it: {why}"
        raise RecipeError("data.kind", problem, "use train-teacher, distill, evaluate, compare or predict")


TAGGERS = "ForTokenClassification"
"""End of the names of transformers' architectures that give each token outputs of its own."""


def kind_of_model(problem_type: str | None, outputs: int, architectures: Sequence[str] | None = None) -> str:
    """The kind of output of a saved model, by its configuration.

    >>> kind_of_model(None, 1), kind_of_model("multi_label_classification", 28)
    ('regression', 'multi-label')
    """
    if any(name.endswith(TAGGERS) for name in architectures or ()):
        return "tokens"
    if problem_type == KINDS["multi-label"].problem_type:
        return "multi-label"
    return "classification" if outputs > 1 else "regression"
