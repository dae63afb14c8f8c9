"""The table of known tasks: which columns hold what, and which metrics count.

Knows nothing about where a data set is stored or what its rows are.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from dkd_cli.data.kinds import KINDS
from dkd_cli.errors import RecipeError
from dkd_cli.recipe.schema import Data


@dataclass(frozen=True, slots=True)
class Task:
    """The columns of a data set and how its predictions are judged."""

    name: str
    text: str = "text"
    text_pair: str | None = None
    label: str = "label"
    kind: str = "classification"
    """By the words of `kinds.KINDS`."""
    separator: str = "|"
    """Between the labels of a text in one column (`data.label_separator`)."""
    metrics: tuple[str, ...] = KINDS["classification"].metrics
    """The first one decides: it picks the best checkpoint and the best student, and differences are in it."""
    orders: tuple[tuple[str, ...], ...] = ()
    """The classes by id, in each set of names that is in use, written as `labels.plain_name` does."""
    tags: tuple[str, ...] = ()
    """The names of the tags by id, where each word has one."""
    positive: int | None = None
    """The id of the class that `f1`, `precision`, `recall`, `average_precision` are of; None: not known."""


def _pair(name: str, text: str, text_pair: str, *metrics: str, **classes: Any) -> Task:
    return Task(name, text, text_pair, metrics=metrics, **classes)


_ENTAILED = ("entailment", "not entailment")
_GOOD = ("negative", "positive")
_STARS = ("very negative", "negative", "neutral", "positive", "very positive")

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "cola",
            "sentence",
            metrics=("matthews", "accuracy"),
            orders=(("unacceptable", "acceptable"),),
            positive=1,
        ),
        _pair(
            "mnli", "premise", "hypothesis", "accuracy", orders=(("entailment", "neutral", "contradiction"),)
        ),
        _pair(
            *("mrpc", "sentence1", "sentence2", "f1", "accuracy"),
            orders=(("not equivalent", "equivalent"),),
            positive=1,
        ),
        _pair("qnli", "question", "sentence", "accuracy", orders=(_ENTAILED,), positive=0),
        _pair(
            *("qqp", "question1", "question2", "f1", "accuracy"),
            orders=(("not duplicate", "duplicate"),),
            positive=1,
        ),
        _pair("rte", "sentence1", "sentence2", "accuracy", orders=(_ENTAILED,), positive=0),
        Task("sst2", "sentence", metrics=("accuracy",), orders=(_GOOD,), positive=1),
        Task("stsb", "sentence1", "sentence2", kind="regression", metrics=KINDS["regression"].metrics),
        _pair("wnli", "sentence1", "sentence2", "accuracy", orders=(_ENTAILED[::-1],), positive=1),
        Task("imdb", metrics=("accuracy",), orders=(("neg", "pos"), _GOOD), positive=1),
        Task(
            "boolq",
            "question",
            "passage",
            "answer",
            metrics=("accuracy", "macro_f1"),
            orders=(("false", "true"), ("no", "yes")),
            positive=1,
        ),
        Task("sst5", "sentence", metrics=("accuracy", "macro_f1"), orders=(_STARS,)),
    )
}


def resolve_task(data: Data) -> Task:
    """Combine the recipe's own columns with those of the known task it names; the recipe's win.

    Raises:
        RecipeError: `data.task` names no known task.
    """
    if data.task is not None and data.task not in TASKS:
        nearest = difflib.get_close_matches(data.task, TASKS, n=1, cutoff=0.5)
        remedy = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise RecipeError(
            "data.task",
            f"{data.task!r} is not a known task",
            f"{remedy}known are {', '.join(sorted(TASKS))}; leave it out and name the columns for another",
        )
    own = KINDS[data.kind or "classification"]
    unknown = Task(_plain_name(data), own.text_column, label=own.label_column)
    known = TASKS.get(data.task or data.config or "") or unknown
    kind = data.kind or known.kind
    return Task(
        name=known.name,
        text=data.text or known.text,
        text_pair=data.text_pair or known.text_pair,
        label=data.label or known.label,
        kind=kind,
        separator=data.label_separator,
        metrics=known.metrics if kind == known.kind else KINDS[kind].metrics,
        orders=known.orders if kind == known.kind else (),
        positive=known.positive if kind == known.kind else None,
    )


def _plain_name(data: Data) -> str:
    """A name for an unknown task that is also fit for a file's name."""
    named = data.config or PurePosixPath(data.source or data.train or "").stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", named).strip(".-")[:100] or "task"
