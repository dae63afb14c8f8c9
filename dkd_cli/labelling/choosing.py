"""The chooser of a labelling and the texts of its next round, from all answers so far.

Knows nothing about requests.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from dkd_cli.errors import RecipeError
from dkd_cli.labelling.answers import Ledger
from dkd_cli.labelling.audit import answers_of, measured_error
from dkd_cli.labelling.budget import Budget
from dkd_cli.labelling.campaign import Campaign, Round
from dkd_cli.labelling.chooser import Bags, Chooser, train
from dkd_cli.labelling.outputs import keys_of
from dkd_cli.labelling.replies import probabilities
from dkd_cli.labelling.room import Room, rows_of
from dkd_cli.labelling.rounds import Policy, Rows, choose_round, sizes_left


def next_texts(
    room: Room,
    ledger: Ledger,
    budget: Budget,
    campaign: Campaign,
    bags: Bags,
    chooser: Chooser | None,
    sizes: Sequence[int],
    done: int,
) -> Round | None:
    """The next round: one that an earlier call chose, or a new one; None where all are done."""
    if done < len(campaign.rounds):
        return campaign.rounds[done]
    wanted, pool = room.wanted, room.pool
    asked = rows_of(pool, campaign.asked)
    left = sizes_left(sizes, len(asked))
    taken = set(asked)
    free: Rows = np.array(
        [row for row, key in enumerate(keys_of(pool)) if row not in taken and _open(ledger, key)],
        dtype=np.int64,
    )
    if not left or not len(free) or not budget.may_start(0.0):
        return None
    count = min(left[0], len(free))
    seed = room.recipe.train.seed + done
    policy = Policy(wanted.select, wanted.diverse, wanted.explore)
    select, rows = choose_round(policy, chooser, room.vectors, bags, pool.texts, free, asked, count, seed)
    return campaign.add(select, [pool.example_ids[row] for row in rows])


def _open(ledger: Ledger, key: str) -> bool:
    return key not in ledger.answers and not ledger.unparsed[key]


def trained_chooser(room: Room, ledger: Ledger, bags: Bags) -> Chooser:
    """A chooser that has learnt from all answers about the pool."""
    places, answers = answers_of(ledger.answers, keys_of(room.pool))
    if not places:
        problem = "gave no answer that names a class"
        raise RecipeError(f"{room.setting.place}.endpoint", problem, "look at the prompt with --dry-run")
    error = smoothing(room, ledger)
    targets = torch.from_numpy(probabilities(answers, room.names, error)).float()
    return train(room.vectors, bags.take(torch.tensor(places)), targets, room.recipe.train.seed)


def smoothing(room: Room, ledger: Ledger) -> float:
    """The error rate that smooths single answers: measured on labelled validation rows."""
    split = room.data.splits["validation"]
    if split.labels is None:
        return measured_error([], [], room.names)
    places, answers = answers_of(ledger.answers, keys_of(split))
    return measured_error(answers, [int(split.labels[place]) for place in places], room.names)


def on_labels(room: Room, chooser: Chooser) -> float:
    """The chooser's accuracy on labelled validation texts; 0 where there are none."""
    split = room.data.splits["validation"]
    if split.labels is None:
        return 0.0
    said = torch.cat(list(chooser.logits(room.bags(split)))).argmax(dim=1)
    return float((said == torch.tensor(split.labels)).float().mean())
