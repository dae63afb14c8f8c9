"""The kinds of output, as readers, metrics and predictions see them: one class, several labels, or a number.

Everything that they ask of the kind is an entry here, by the recipe's word `data.kind`. The arithmetic is in
`data/output_math.py`; what a training step asks of the kind is in `engine/method/outputs.py`, and what an
evaluation does in `evaluation/outputs.py`, by the same words. Needs neither torch nor a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    centred,
    class_divergence,
    class_uncertainty,
    cross_entropy,
    first_output,
    label_divergence,
    label_uncertainty,
    likeliest,
    sigmoid,
    softmax,
    squared_errors,
)
from dkd_cli.data.stratified import ClassesOf, one_class
from dkd_cli.reading.tables import Table

Names = tuple[str, ...] | None
DIGITS = 6
"""Of probabilities and uncertainties that are written, and of uncertainties that are compared."""
Orders = Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Constant:
    """A prediction that knows the training labels alone."""

    prediction: Any
    """A label."""
    logits: Floats
    """[C]"""
    name: str | None = None
    """None: `always` and the label."""
    cuts: Floats | None = None
    """[C], the logits above which labels are predicted; None: 0."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Facts about one kind of output."""

    problem_type: str
    """In a saved model's configuration, as transformers calls it."""
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
    answer: Callable[[Floats, float, Floats | None, Names], dict[str, Any]]
    """Logits [C] of a text, temperature, cuts [C] and the names of the outputs -> the answer that
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


def _most_frequent(labels: Sequence[Any], outputs: int) -> Constant:
    """Log-probabilities are those of the classes' shares, each counted once more so that none is 0."""
    counts = np.bincount(np.asarray(labels, dtype=np.int64), minlength=outputs)
    return Constant(int(counts.argmax()), np.log((counts + 1) / (counts + 1).sum()))


def _frequencies(labels: Sequence[Any], outputs: int) -> Constant:
    """Each label by its frequency. Predicted are the k most frequent ones, for the k with the best micro F1
    on the training labels."""
    counts = np.asarray(labels, dtype=np.int64).reshape(-1, outputs).sum(axis=0)
    shares = (counts + 1) / (len(labels) + 2)
    logits = np.log(shares / (1 - shares))
    ranked = np.sort(counts)[::-1]
    found = 2 * ranked.cumsum() / (len(labels) * np.arange(1, outputs + 1) + counts.sum())
    last = np.sort(logits)[::-1][int(found.argmax())]
    below = logits[logits < last]
    cut = (last + below.max()) / 2 if len(below) else last - 1.0
    prediction = tuple(int(one) for one in logits > cut)
    return Constant(prediction, logits, "each label by its frequency", np.full(outputs, cut))


def _mean(labels: Sequence[Any], outputs: int) -> Constant:
    mean = float(np.mean(labels))
    return Constant(mean, np.array([mean]), f"always {mean:.3g}")


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


def _probability_by_name(probabilities: Floats, names: tuple[str, ...]) -> dict[str, float]:
    return {name: round(float(p), DIGITS) for name, p in zip(names, probabilities, strict=True)}


def _answer_class(logits: Floats, temperature: float, cuts: Floats | None, names: Names) -> dict[str, Any]:
    assert names is not None, "classes have names"
    probabilities = softmax(logits / temperature)
    best = int(probabilities.argmax())
    return {
        "label": names[best],
        "probability": round(float(probabilities[best]), DIGITS),
        "uncertainty": round(float(class_uncertainty(logits / temperature)), DIGITS),
        "probabilities": _probability_by_name(probabilities, names),
    }


def _answer_labels(logits: Floats, temperature: float, cuts: Floats | None, names: Names) -> dict[str, Any]:
    """Labels above their thresholds, the most probable first."""
    assert names is not None, "labels have names"
    probabilities, above = sigmoid(logits / temperature), centred(logits, cuts)
    order = np.argsort(-probabilities, kind="stable")
    predicted = [int(place) for place in order if above[place] > 0]
    return {
        "labels": [names[place] for place in predicted],
        "probability": [round(float(probabilities[place]), DIGITS) for place in predicted],
        "uncertainty": round(float(label_uncertainty(above / temperature)), DIGITS),
        "probabilities": _probability_by_name(probabilities, names),
    }


def _answer_number(logits: Floats, temperature: float, cuts: Floats | None, names: Names) -> dict[str, Any]:
    return {"prediction": round(float(logits[0]), DIGITS)}


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
        constant=_most_frequent,
        shown=_class_name,
        cells=_name_cell,
        answer=_answer_class,
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
        constant=_frequencies,
        shown=_label_names,
        cells=_label_cells,
        answer=_answer_labels,
        purpose=lambda outputs: f"gives a text any of {outputs} labels",
        agreement="same labels",
        agreement_is_share=True,
        unlabelled="subset_accuracy",
        starts_at_constant=True,
        thresholds=True,
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
        constant=_mean,
        shown=_as_it_is,
        cells=_number_cell,
        answer=_answer_number,
        purpose=lambda outputs: "predicts a number",
        agreement="correlation of the predictions",
        agreement_is_share=False,
        unlabelled="pearson",
    ),
}


def kind_of_model(problem_type: str | None, outputs: int) -> str:
    """The kind of output of a saved model, by its configuration.

    >>> kind_of_model(None, 1), kind_of_model("multi_label_classification", 28)
    ('regression', 'multi-label')
    """
    if problem_type == KINDS["multi-label"].problem_type:
        return "multi-label"
    return "classification" if outputs > 1 else "regression"
