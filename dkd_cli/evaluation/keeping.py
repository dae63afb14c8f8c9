"""Share of a teacher's score that a student keeps, and the confidence of it. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dkd_cli.data.kinds import KINDS
from dkd_cli.data.metric_names import LOWER_IS_BETTER
from dkd_cli.data.output_math import Floats, centred
from dkd_cli.data.tasks import Task
from dkd_cli.evaluation.metrics import Labels, compared, score
from dkd_cli.evaluation.resampling import resampled_scores
from dkd_cli.evaluation.significance import RESAMPLES


@dataclass(frozen=True)
class Kept:
    """A student's score beside its teacher's on the same examples."""

    metric: str
    rows: int
    student: float
    teacher: float
    share: float
    """Of the teacher's score; of an error, of which less is better, the teacher's over the student's."""
    low: float
    """The share that the student keeps with the confidence that was asked for."""
    confidence: float
    """With which the student keeps what was asked for."""


def kept_score(
    task: Task,
    student: ArrayLike,
    teacher: ArrayLike,
    labels: Labels | None,
    keep: float,
    confidence: float,
    *,
    tests: int = 1,
    cuts: tuple[Floats | None, Floats | None] = (None, None),
) -> Kept | None:
    """Compare two models by the paired bootstrap, over resamples of the examples that both share.

    Bound and confidence are corrected for the number of tests by Bonferroni's inequality: with K tests, each
    at the level α / K, all bounds hold together with confidence 1 - α, whichever test decides and however the
    tests depend on each other.

    Args:
        task: its first metric decides.
        student: logits, [N, C].
        teacher: on the same examples.
        labels: None: the teacher's own predictions take their place, and what is kept is its agreement.
        keep: the share of the teacher's score that is asked for.
        confidence: for the lower bound of the share.
        tests: how many students are tried on these examples, fixed before any is.
        cuts: of student and teacher: the logits [C] above which labels are predicted, of several labels.

    Returns:
        None where a score is undefined, or the teacher's is not above 0.

    >>> logits = np.eye(2)[[0, 1] * 50]
    >>> kept_score(Task("unit"), logits, logits, [0, 1] * 50, 0.97, 0.9).confidence
    1.0
    """
    metric, kind = task.metrics[0], KINDS[task.kind]
    if labels is None:
        given = kind.predicted(centred(np.asarray(teacher, dtype=np.float64), cuts[1]))
        metric, labels = kind.unlabelled, given.tolist()
    models = tuple(zip((student, teacher), cuts, strict=True))
    scores = [score(metric, task, logits, labels, own) for logits, own in models]
    own, theirs = scores
    if own is None or theirs is None or min(own, theirs) < 0 or max(own, theirs) <= 0:
        return None
    read = [compared(metric, task, logits, labels, own) for logits, own in models]
    again = resampled_scores(metric, np.stack([one for one, _ in read]), read[0][1], RESAMPLES)
    again = again[np.isfinite(again).all(axis=1)]
    if not len(again):
        return None
    shares = _share(metric, again[:, 0], again[:, 1])
    return Kept(
        metric,
        len(read[0][1]),
        own,
        theirs,
        float(_share(metric, np.array([own]), np.array([theirs]))[0]),
        float(np.quantile(shares, (1 - confidence) / tests)),
        max(0.0, 1.0 - tests * float(np.mean(shares < keep))),
    )


def _share(metric: str, student: Floats, teacher: Floats) -> Floats:
    over, under = (teacher, student) if metric in LOWER_IS_BETTER else (student, teacher)
    return np.asarray(over / np.maximum(under, 1e-12), dtype=np.float64)
