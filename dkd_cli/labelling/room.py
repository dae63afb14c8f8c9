"""Shared state of the steps of a labelling: recipe, options, texts and vectors.

Knows nothing about requests or answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.labelling.answers import Ledger
from dkd_cli.labelling.chooser import Bags, Chooser, Vectors
from dkd_cli.labelling.endpoint import Question, shown_classes
from dkd_cli.labelling.forecast import LabelForecast, forecast
from dkd_cli.labelling.outputs import keys_of
from dkd_cli.labelling.prompts import CODES
from dkd_cli.labelling.rounds import Select
from dkd_cli.labelling.setting import Setting
from dkd_cli.labelling.shortlist import ranked_classes
from dkd_cli.recipe.schema import Recipe
from dkd_cli.report.terminal import Terminal

SAMPLED_PROMPTS = 200


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The options of the command."""

    teacher: str | None = None
    budget: int | None = None
    """Requests at most, over all calls for this labelling."""
    max_cost: float | None = None
    rounds: int = 5
    growth: float = 2.0
    """Factor by which the answers grow from a round to the next."""
    select: Select = "margin"
    diverse: bool = True
    """True if the first round is spread over clusters, or random."""
    explore: float = 0.1
    audit: int = 100
    keep_going: bool = False
    """Go on when the learning curve is flat."""
    fresh: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Room:
    """Shared state of the steps of a labelling."""

    recipe: Recipe
    wanted: Wanted
    setting: Setting
    data: TaskData
    vectors: Vectors
    terminal: Terminal

    @property
    def pool(self) -> Split:
        """The texts to choose from: the transfer set where there is one, else the training split."""
        return self.data.splits["train"] if self.data.transfer is None else self.data.transfer

    @property
    def names(self) -> tuple[str, ...]:
        """The task's classes."""
        assert self.data.label_names is not None
        return self.data.label_names

    def bags(self, split: Split) -> Bags:
        """The tokens of a split."""
        return self.vectors.bags(split.texts, split.text_pairs, self.recipe.data.max_length)

    def questions(
        self, split: Split, bags: Bags, rows: Sequence[int], chooser: Chooser | None
    ) -> list[Question]:
        """The questions about some rows of a split."""
        part = split.take(rows, split.name)
        classes = self.setting.prompt.classes
        if len(classes) > len(CODES):
            ranked = ranked_classes(self.vectors, bags.take(torch.tensor(rows)), classes, chooser)
        else:
            ranked = [tuple(classes)] * len(rows)
        pairs: Sequence[str | None] = part.text_pairs or [None] * len(part)
        return [
            Question(key, text, pair, order)
            for key, text, pair, order in zip(keys_of(part), part.texts, pairs, ranked, strict=True)
        ]


def audit_rows(room: Room) -> list[int]:
    """The validation rows that the teacher is asked about: some with labels; all of them where none has."""
    split = room.data.splits["validation"]
    order = sorted(range(len(split)), key=lambda row: split.example_ids[row])
    return order[: room.wanted.audit] if split.labels is not None else order


def expected_use(room: Room, ledger: Ledger) -> LabelForecast:
    """Tokens of a request, from real prompts or from what replies said."""
    rows = list(range(min(SAMPLED_PROMPTS, len(room.pool))))
    bags = room.bags(room.pool.take(rows, "train"))
    asking, prompt = room.setting.teacher.asking, room.setting.prompt
    prompts = [
        prompt.messages(one.text, one.pair, shown_classes(one, 0, asking.shortlist, prompt))
        for one in room.questions(room.pool, bags, rows, None)
    ]
    return forecast(prompts, room.vectors.tokenizer, ledger, room.setting.samples)


def requests_allowed(room: Room, expected: LabelForecast) -> int:
    """Number of requests that the limits allow, as far as is known in advance."""
    wanted, most = room.wanted, len(room.pool) + len(audit_rows(room))
    total = most if wanted.budget is None else min(wanted.budget, most)
    each = expected.cost(1, room.setting.tariff)
    if wanted.max_cost is not None and each > 0:
        total = min(total, int(wanted.max_cost / each))
    return total


def rows_of(split: Split, example_ids: Sequence[str]) -> list[int]:
    """The rows of a split that have these ids."""
    place = {example: row for row, example in enumerate(split.example_ids)}
    return [place[example] for example in example_ids]
