"""Selection of each round's texts: a diverse round, then by the chooser's uncertainty and partly at random.

Near-duplicates are taken once. Everything is decided by the texts, the answers and the seed, so that a
labelling that is killed chooses the same again. Knows nothing about endpoints or files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from dkd_cli.data.near_duplicates import group_near_duplicates, normalise
from dkd_cli.engine.method.uncertainty import SCORES
from dkd_cli.labelling.chooser import Bags, Chooser, Vectors

Select = Literal["margin", "entropy", "confidence", "random"]
Rows = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]

CANDIDATES = 3
"""Texts looked at for near-duplicates, times those wanted."""
SAMPLE, LEAST_SAMPLE = 20, 2_000
"""Texts clustered for a first round: so many times those wanted, this many at least."""


@dataclass(frozen=True)
class Policy:
    """Settings by which a round's texts are chosen."""

    select: Select
    """The chooser's uncertainty, or `random`."""
    diverse: bool = True
    """True if the first round is spread over clusters."""
    explore: float = 0.1
    """The share of each later round that is random."""


def round_sizes(total: int, rounds: int, growth: float = 2.0) -> list[int]:
    """Number of texts of each round: what is answered grows by a factor from round to round.

    >>> round_sizes(1600, 5), round_sizes(3, 5)
    ([100, 100, 200, 400, 800], [1, 2])
    >>> round_sizes(1600, 5, growth=1.5)
    [316, 158, 237, 355, 534]
    """
    reached = [int(total / growth ** (rounds - 1 - index)) for index in range(rounds)]
    sizes = [after - before for before, after in zip([0, *reached], reached, strict=False)]
    return [size for size in sizes if size]


def sizes_left(sizes: Sequence[int], asked: int) -> list[int]:
    """Number of texts of each round that is to come, where so many have been asked about.

    >>> sizes_left([100, 100, 200], 0), sizes_left([100, 100, 200], 150), sizes_left([100], 100)
    ([100, 100, 200], [50, 200], [])
    """
    reached = [one for one in np.cumsum(sizes).tolist() if one > asked]
    return [after - before for before, after in zip([asked, *reached], reached, strict=False)]


def choose_round(
    policy: Policy,
    chooser: Chooser | None,
    vectors: Vectors,
    bags: Bags,
    texts: Sequence[str],
    free: Rows,
    asked: Sequence[int],
    count: int,
    seed: int,
) -> tuple[str, Rows]:
    """Choose `count` rows of `free` as `first_round`, `random_round` or `next_round` does; also says by what.

    Args:
        policy: decides which of the three.
        chooser: trained on the answers so far; None before there are any.
        vectors: of the tokens.
        bags: the tokens of all N texts.
        texts: all N texts.
        free: the rows to choose from.
        asked: the rows that were chosen before.
        count: how many are wanted.
        seed: of whatever is random.
    """
    if chooser is None and policy.select != "random" and policy.diverse:
        return "diverse", first_round(vectors, bags, texts, free, count, seed)
    if chooser is None or policy.select == "random":
        return "random", random_round(texts, free, asked, count, seed)
    settings: dict[str, Any] = {"select": policy.select, "explore": policy.explore}
    return policy.select, next_round(chooser, bags, texts, free, asked, count=count, seed=seed, **settings)


def first_round(
    vectors: Vectors, bags: Bags, texts: Sequence[str], free: Rows, count: int, seed: int
) -> Rows:
    """A diverse choice: the texts nearest to the centres of `count` clusters of mean token vectors.

    Args:
        vectors: give the mean token vectors.
        bags: the tokens of all N texts.
        texts: all N texts.
        free: the rows to choose from.
        count: how many are wanted.
        seed: of the sample that is clustered, and of the clusters.
    """
    random = np.random.default_rng(seed)
    size = min(len(free), max(LEAST_SAMPLE, SAMPLE * count))
    sample = np.sort(random.choice(free, size=size, replace=False))
    if size <= count:
        return sample
    points = vectors.means(bags.take(torch.from_numpy(sample))).numpy()
    clusters = MiniBatchKMeans(
        n_clusters=min(count, size), init="random", n_init=1, batch_size=4096, max_iter=30, random_state=seed
    ).fit(points)
    distances = ((points - clusters.cluster_centers_[clusters.labels_]) ** 2).sum(axis=1)
    order = np.lexsort((distances, clusters.labels_))
    leaders = order[np.unique(clusters.labels_[order], return_index=True)[1]]
    # Empty clusters and near-duplicates leave places: the texts nearest to a centre come next.
    others = np.setdiff1d(np.argsort(distances, kind="stable"), leaders, assume_unique=True)
    ranked = sample[np.concatenate([leaders, random.permutation(others)])]
    return distinct(texts, ranked, [], count)


def random_round(texts: Sequence[str], free: Rows, asked: Sequence[int], count: int, seed: int) -> Rows:
    """A random choice."""
    ranked = np.random.default_rng(seed).permutation(free)
    return distinct(texts, ranked, asked, count)


def next_round(
    chooser: Chooser,
    bags: Bags,
    texts: Sequence[str],
    free: Rows,
    asked: Sequence[int],
    *,
    select: Select,
    explore: float,
    count: int,
    seed: int,
    advance: Callable[[int], object] = lambda count: None,
) -> Rows:
    """The texts of which the chooser is least sure, and a random part.

    Args:
        chooser: trained on the answers so far.
        bags: the tokens of all N texts.
        texts: all N texts.
        free: the rows to choose from.
        asked: the rows that were chosen before.
        select: the uncertainty; `random` takes no notice of it.
        explore: the share of the round that is random.
        count: how many are wanted.
        seed: of the random part.
        advance: called with the number of texts scored.
    """
    by_chance = count if select == "random" else round(explore * count)
    chosen: list[int] = []
    if by_chance < count:
        values = scores(chooser, bags, select, advance)[free]
        ranked = free[np.argsort(-values, kind="stable")]
        chosen = distinct(texts, ranked, asked, count - by_chance).tolist()
    rest = np.setdiff1d(free, chosen, assume_unique=True)
    drawn = random_round(texts, rest, [*asked, *chosen], by_chance, seed)
    return np.array([*chosen, *drawn.tolist()], dtype=np.int64)


def scores(
    chooser: Chooser, bags: Bags, select: str, advance: Callable[[int], object] = lambda count: None
) -> Floats:
    """The uncertainty of each text, [N]; higher is less sure."""
    found: list[Floats] = []
    for logits in chooser.logits(bags):
        found.append(SCORES[select](logits).numpy())
        advance(len(logits))
    return np.concatenate(found)


def distinct(texts: Sequence[str], ranked: Rows, asked: Sequence[int], count: int) -> Rows:
    """The first `count` of a ranking, less those that nearly repeat an earlier one or a text that was asked.

    Where too few are left, near-duplicates fill up. Only the best few are compared, so that a large pool
    costs no more than a small one.
    """
    if not count:
        return ranked[:0]
    head = ranked[: CANDIDATES * count]
    rows = [*asked, *head.tolist()]
    folded = [normalise(texts[row]) for row in rows]
    places = {text: place for place, text in reversed(list(enumerate(folded)))}
    groups = group_near_duplicates(list(places), NEAR)
    group_of = dict(zip(places, groups, strict=True))
    seen = {group_of[text] for text in folded[: len(asked)]}
    kept: list[int] = []
    for row, text in zip(head.tolist(), folded[len(asked) :], strict=True):
        if group_of[text] not in seen and len(kept) < count:
            seen.add(group_of[text])
            kept.append(row)
    if len(kept) < count:
        taken = set(kept)
        kept += [row for row in ranked.tolist() if row not in taken][: count - len(kept)]
    return np.array(kept, dtype=np.int64)


NEAR = 0.8
"""Jaccard similarity of character shingles from which a text is a near-duplicate."""


def flat(curve: Sequence[float], rows: int) -> bool:
    """Return whether the last two rounds brought less than the learning curve's own noise.

    Args:
        curve: the chooser's agreement with labels or later answers, after each round.
        rows: how many rows each of its values is measured on.

    >>> flat([0.50, 0.80, 0.90], 1000), flat([0.50, 0.90, 0.902, 0.901], 1000)
    (False, True)
    """
    if len(curve) < 3 or not rows:
        return False
    error = float(np.sqrt(max(curve[-1] * (1 - curve[-1]), 0.01) / rows))
    return max(curve[-2:]) - curve[-3] < error
