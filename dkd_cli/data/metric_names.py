"""The metrics by name: what each is for, which way is better, and which one decides for a data set.

Computes no score: `evaluation/metrics.py` does.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dkd_cli.data.examples import TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.data.labels import plain_name
from dkd_cli.data.tasks import Task
from dkd_cli.errors import DataError, RecipeError
from dkd_cli.recipe.schema import Data

Broken = tuple[str, str, str]


@dataclass(frozen=True)
class Named:
    """Facts about a metric, by its name."""

    kinds: tuple[str, ...]
    lower_is_better: bool = False
    two_classes: bool = False
    one_class: bool = False
    """It is of one of two classes, the positive one, and another score for the other."""
    decides: bool = False
    """Of several labels it reads what is predicted, so that thresholds count."""


CLASSES: tuple[str, ...] = ("classification",)
SEVERAL: tuple[str, ...] = ("multi-label",)
WORDS: tuple[str, ...] = ("tokens",)
NUMBERS: tuple[str, ...] = ("regression",)

METRIC_NAMES: dict[str, Named] = {
    "accuracy": Named(CLASSES),
    "macro_f1": Named((*CLASSES, *SEVERAL), decides=True),
    "matthews": Named(CLASSES),
    "f1": Named(CLASSES, two_classes=True, one_class=True),
    "precision": Named(CLASSES, two_classes=True, one_class=True),
    "recall": Named(CLASSES, two_classes=True, one_class=True),
    "average_precision": Named(CLASSES, two_classes=True, one_class=True),
    "roc_auc": Named(CLASSES, two_classes=True),
    "micro_f1": Named(SEVERAL, decides=True),
    "mean_average_precision": Named(SEVERAL),
    "subset_accuracy": Named(SEVERAL, decides=True),
    "label_ranking": Named(SEVERAL),
    "entity_f1": Named(WORDS),
    "entity_precision": Named(WORDS),
    "entity_recall": Named(WORDS),
    "word_accuracy": Named(WORDS),
    "pearson": Named(NUMBERS),
    "spearman": Named(NUMBERS),
    "mse": Named(NUMBERS, lower_is_better=True),
    "loss": Named((*CLASSES, *SEVERAL, *WORDS, *NUMBERS), lower_is_better=True),
}
LOWER_IS_BETTER = frozenset(name for name, one in METRIC_NAMES.items() if one.lower_is_better)
OF_ONE_CLASS = tuple(name for name, one in METRIC_NAMES.items() if one.one_class)
POSITIVE_NAMES = (("0", "1"), ("false", "true"), ("no", "yes"))
"""Pairs of class names of which the second is the positive class wherever they occur."""


def merit(metric: str, score: float) -> float:
    """The score with its sign turned where less is better, so that more is always better.

    >>> merit("accuracy", 0.9), merit("loss", 0.2)
    (0.9, -0.2)
    """
    return -score if metric in LOWER_IS_BETTER else score


def judged(data: TaskData, metric: str | None) -> TaskData:
    """Put the metric that decides first among those of the task.

    Args:
        data: loaded.
        metric: `train.metric`; None: the task's own.

    Raises:
        RecipeError: for a metric that cannot be measured on these data.
    """
    task = data.task
    if metric is not None and metric not in METRIC_NAMES:
        known = known_metrics(data)
        nearest = difflib.get_close_matches(metric, known, n=1)
        remedy = f"did you mean {nearest[0]!r}?" if nearest else f"choose {', '.join(known)}"
        raise RecipeError("train.metric", f"{metric!r} is not measured on this task", remedy)
    if metric is not None:
        problem = _problem(metric, task, data.label_names)
        if problem is not None:
            raise RecipeError(*problem)
        task = replace(task, metrics=tuple(dict.fromkeys((metric, *task.metrics))))
    return replace(data, task=task)


def known_metrics(data: TaskData) -> list[str]:
    """The names of all metrics that can be measured on these data, the task's own first."""
    names = dict.fromkeys((*data.task.metrics, *METRIC_NAMES))
    return [name for name in names if _problem(name, data.task, data.label_names) is None]


def with_positive(task: Task, data: Data, names: Sequence[str] | None, *, ordered: bool) -> Task:
    """Settle which class is the positive one, and refuse metrics of one class where it is not known.

    Args:
        task: resolved.
        data: the recipe's section.
        names: of the classes, by id; None for regression.
        ordered: the recipe or the data set gives the classes in the order of their ids.

    Raises:
        RecipeError: `data.positive` names no class of two, or is missing where the task's metrics need it.
        DataError: the task's metrics are for two classes, and there are more.
    """
    found = replace(task, positive=_positive(task, data, names, ordered))
    if data.positive is not None:
        found = replace(found, metrics=tuple(dict.fromkeys((*task.metrics, *OF_ONE_CLASS))))
    for metric in found.metrics:
        if METRIC_NAMES[metric].two_classes and names is not None and len(names) > 2:
            raise DataError(
                "data.task", f"its metric {metric} is for two classes and here are more", "name no task"
            )
        problem = _problem(metric, found, names)
        if problem is not None:
            raise RecipeError(*problem)
    return found


def positive_note(data: TaskData, metrics: Sequence[str]) -> str | None:
    """The line that names the class which some of these metrics are of; None where none is of one class."""
    shown = [name for name in metrics if name in OF_ONE_CLASS]
    if not shown or data.label_names is None or data.task.positive is None:
        return None
    return f"{', '.join(shown)}: of the class {data.label_names[data.task.positive]!r}"


def _positive(task: Task, data: Data, names: Sequence[str] | None, ordered: bool) -> int | None:
    if not KINDS[task.kind].positive and data.positive is None:
        return None
    if data.positive is not None:
        if names is None or len(names) != 2:
            count = "a number to predict" if names is None else f"{len(names)} classes"
            raise RecipeError("data.positive", f"is for two classes, and here is {count}", "remove it")
        if data.positive not in names:
            problem = f"{data.positive!r} is not one of the classes"
            raise RecipeError("data.positive", problem, f"name one of: {', '.join(names)}")
        return list(names).index(data.positive)
    if names is None or len(names) != 2:
        return None
    plain = tuple(plain_name(name) for name in names)
    if task.positive is not None:
        for order in task.orders:
            if set(plain) == set(order):
                return plain.index(order[task.positive])
        if ordered or plain == ("0", "1"):
            return task.positive
    return 1 if plain in POSITIVE_NAMES else None


def _problem(metric: str, task: Task, names: Sequence[str] | None) -> Broken | None:
    """Why a metric cannot be measured."""
    about = METRIC_NAMES[metric]
    if task.kind not in about.kinds:
        what = KINDS[about.kinds[0]].of
        return "train.metric", f"{metric!r} is a metric of {what}", _others(task)
    if about.two_classes and names is not None and len(names) != 2:
        return "train.metric", f"{metric!r} is for two classes, and here are {len(names)}", "choose macro_f1"
    if about.one_class and task.positive is None:
        remedy = "name it" if names is None else f"name one of: {', '.join(names)}"
        return "data.positive", f"is missing, and {metric} is of one class alone", remedy
    return None


def _others(task: Task) -> str:
    return f"choose {', '.join(name for name, one in METRIC_NAMES.items() if task.kind in one.kinds)}"
