"""Verdict of a comparison: figures to sentences for someone who has to decide.

Pure functions of scores and differences; prints nothing. A difference counts only if its corrected p is below
`significance.LEVEL`, however large it looks.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dkd_cli.data.metric_names import LOWER_IS_BETTER, merit
from dkd_cli.evaluation.fidelity import retention
from dkd_cli.evaluation.significance import LEVEL, Difference

CONTROL_TEXTS = {
    "random": "the same with examples drawn at random",
    "labelled": "static distillation on the labelled rows alone",
}
FINE_TUNING = "none"
CLASSIC = "static"
WIDEST = 0.5
"""Half the width of an interval, in units of the metric, from which on it says nothing."""
NO_WIDTH = 1e-6
"""Width of an interval below which the scores are the same: `paired_difference` keeps errors above 0."""


@dataclass(frozen=True)
class Standing:
    """Result of one strategy in a comparison."""

    name: str
    scores: tuple[float, ...]
    """On the reported split, by seed. Empty: a run of it failed, or has no score."""
    chosen_by: float | None
    """The mean over seeds on the validation split, which selects a strategy and is never reported."""
    against: Mapping[str, Difference]
    """Differences by the name of the other strategy."""
    control: bool = False
    """True for a control, which is not a candidate for use."""
    chosen_by_error: bool = False
    """True if less is better for `chosen_by`."""

    @property
    def mean(self) -> float | None:
        """The mean over seeds."""
        return statistics.mean(self.scores) if self.scores else None

    @property
    def sd(self) -> float | None:
        """Of the sample; None for a single seed."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else None


def clear(difference: Difference) -> bool:
    """Return whether it is more than chance."""
    return difference.holm < LEVEL


@dataclass(frozen=True, kw_only=True)
class Context:
    """Facts that a verdict names besides the differences between strategies."""

    teacher: float | None = None
    """The score of the largest teacher on the same examples."""
    baseline: tuple[str, float] | None = None
    """The constant prediction's name, such as `always spam`, and its score."""
    lost: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By strategy the classes that its students never get right, and the teacher does."""
    relative_size: float | None = None
    """The student's weights on disk over the teacher's."""
    hard: str | None = None
    """The teacher whose predictions `none` learnt as labels, where the training texts have none."""
    judge: str | None = None
    """The teacher whose predictions stand for the labels of the reported rows; None: these have labels."""

    @property
    def names(self) -> dict[str, str]:
        """Phrases for strategies, by name."""
        alone = "fine-tuning alone" if self.hard is None else f"fine-tuning on {self.hard}'s hard labels"
        return {FINE_TUNING: alone, CLASSIC: "static distillation"}


def verdict(standings: Sequence[Standing], metric: str, context: Context) -> list[str]:
    """Write the verdict of a comparison, the decision first.

    Args:
        standings: `none`, `static` and the others, in the order of the table.
        metric: its name, for the sentences.
        context: teacher, baseline and what was lost.
    """
    teacher, names = context.teacher, context.names
    found = {one.name: one for one in standings if one.scores}
    lines = [_decision(found, metric, names[FINE_TUNING]), *_warnings(found, metric, context)]
    called = names | {one: f"{text} ({one})" for one, text in CONTROL_TEXTS.items()}
    for other in (FINE_TUNING, CLASSIC, *(one.name for one in found.values() if one.control)):
        lines += _beside(found, other, called[other], metric, names)
    lines += [f"{one.name} is not judged: a run of it has no score." for one in standings if not one.scores]
    best = preferred(found)
    if teacher is not None and best is not None and (score := found[best].mean) is not None:
        student, own, theirs = names.get(best, best), _number(score, metric), _number(teacher, metric)
        kept = retention(metric, score, teacher)
        share = "" if kept is None else f"{student} keeps {100 * kept:.1f} % of the teacher's {metric}"
        lines.append(
            f"{share} ({own} of {theirs})."
            if share
            else f"{student} has {own} {metric}, the teacher {theirs}."
        )
    return lines


def tells(difference: Difference, metric: str) -> bool:
    """Return whether an interval is narrower than what is possible at all; that of two seeds often is not.

    Of an error, which has no upper end, anything is possible.
    """
    return metric in LOWER_IS_BETTER or (difference.high - difference.low) / 2 < WIDEST


def _warnings(found: Mapping[str, Standing], metric: str, context: Context) -> list[str]:
    """List what weakens the decision: the baseline, lost classes, a student larger than its teacher."""
    lines, best = [], preferred(found)
    teacher, constant = context.teacher, context.baseline
    student = "" if best is None else context.names.get(best, best)
    if context.judge is not None:
        lines.append(
            f"Beware: no split has labels, so every score is agreement with {context.judge}'s predictions, "
            "and its mistakes count as right."
        )
    if constant is not None:
        name, floor = constant
        told = f"{name!r} ({_number(floor, metric)} {metric})"
        if teacher is not None and merit(metric, teacher) <= merit(metric, floor):
            lines.append(f"Beware: the teacher ({_number(teacher, metric)}) is no better than {told}.")
        if best is not None and (mean := found[best].mean) is not None:
            own = f"{student} ({_number(mean, metric)})"
            if merit(metric, mean) <= merit(metric, floor):
                lines.append(
                    f"Beware: {own} is no better than {told}: raise train.learning_rate or train.epochs."
                )
            else:
                lines.append(f"{own} is above the baseline {told}.")
        alone = found[FINE_TUNING].mean if FINE_TUNING in found and best != FINE_TUNING else None
        if alone is not None and merit(metric, alone) <= merit(metric, floor):
            own = f"{context.names.get(FINE_TUNING, FINE_TUNING)} ({_number(alone, metric)})"
            lines.append(f"Beware: {own} is no better than {told}, so that a gain over it says little.")
    untaught = found[FINE_TUNING].mean if FINE_TUNING in found and context.hard is None else None
    if teacher is not None and untaught is not None and merit(metric, untaught) > merit(metric, teacher):
        lines.append(
            f"Beware: fine-tuning alone ({_number(untaught, metric)}) is ahead of the teacher "
            f"({_number(teacher, metric)}): train the teacher longer, or take a larger one."
        )
    if best is not None and (lost := context.lost.get(best)):
        classes = _listed([repr(name) for name in lost])
        lines.append(f"Beware: {student} lost {classes}: F1 0 in every seed, which the teacher's is not.")
    if context.relative_size is not None and context.relative_size >= 1:
        size = f"{100 * context.relative_size:.0f} %"
        lines.append(
            f"Beware: the student is as large as its teacher ({size} of its weights): nothing is saved."
        )
    return lines


def preferred(found: Mapping[str, Standing]) -> str | None:
    """Choose the strategy to use: the simplest that no other clearly beats.

    Fine-tuning yields to a strategy that clearly beats it, and `static` to one that clearly beats both. Among
    several, the one that was best on the validation split is chosen, because the reported examples must not
    select.
    """
    if FINE_TUNING not in found:
        return None
    gains = [one for one in found.values() if not one.control and _beats(one, FINE_TUNING)]
    further = [one for one in gains if _beats(one, CLASSIC)]
    if further:
        return best_on_validation(further)
    if any(one.name == CLASSIC for one in gains):
        return CLASSIC
    return best_on_validation(gains) if gains else FINE_TUNING


def _decision(found: Mapping[str, Standing], metric: str, alone: str) -> str:
    best = preferred(found)
    if best is None:
        return f"No verdict: {alone}, the reference, has no scores."
    others = [one for one in found.values() if FINE_TUNING in one.against and not one.control]
    if not others:
        return f"No verdict: no strategy has scores to compare with those of {alone}."
    if best == FINE_TUNING:
        if all(clear(one.against[FINE_TUNING]) for one in others):
            return f"Not worth it here: every strategy is worse than {alone}."
        return f"Not shown to be worth it here: no strategy is clearly better than {alone}."
    gain = f"it gains {_amount(found[best].against[FINE_TUNING], metric)} over {alone}"
    if best == CLASSIC:
        return f"Worth it: use static; {gain}, and no dynamic strategy is clearly better."
    if CLASSIC in found[best].against and clear(found[best].against[CLASSIC]):
        further = _amount(found[best].against[CLASSIC], metric)
        return f"Worth it: use {best}; {gain} and {further} over static."
    if CLASSIC not in found:
        return f"Worth it: use {best}; {gain}."
    return f"Worth it: use {best}; {gain}. Static distillation does not clearly gain."


def _beside(
    found: Mapping[str, Standing], other: str, called: str, metric: str, names: Mapping[str, str]
) -> list[str]:
    """Each strategy beside one other: what differs a sentence each, the rest in one."""

    def listed(several: Sequence[Standing]) -> str:
        return _listed([names.get(one.name, one.name) for one in several])

    lines: list[str] = []
    alike: list[Standing] = []
    same: list[Standing] = []
    for one in found.values():
        if (difference := one.against.get(other)) is None:
            continue
        if clear(difference):
            lines.append(f"{listed([one])} {_outcome(difference, metric)} {called}.")
        elif difference.high - difference.low < NO_WIDTH:
            same.append(one)
        else:
            alike.append(one)
    if same:
        have = "has" if len(same) == 1 else "have"
        lines.append(
            f"{listed(same)} {have} exactly the scores of {called} here, in every seed and resample."
        )
    if alike:
        are = "is" if len(alike) == 1 else "are"
        widest = max((one.against[other] for one in alike), key=lambda one: one.high - one.low)
        remedy = "seeds" if widest.from_seeds > 0.5 else "test examples"
        unseen = f"less than about {_value((widest.high - widest.low) / 2, metric)} would not show"
        if not tells(widest, metric):
            seeds = max(len(one.scores) for one in alike)
            unseen = f"{seeds} seeds cannot tell"
        lines.append(
            f"{listed(alike)} {are} not distinguishable from {called} here; "
            f"{unseen} (more {remedy} would help)."
        )
    return lines


def _outcome(difference: Difference, metric: str) -> str:
    if difference.gain > 0:
        return f"gains {_amount(difference, metric)} over"
    return f"loses {_amount(difference, metric)} against"


def _amount(difference: Difference, metric: str) -> str:
    size = _value(abs(difference.gain), metric)
    return f"{size} ({_interval(difference, metric)}, {p_value(difference.holm)})"


def _interval(difference: Difference, metric: str) -> str:
    # Of a loss the sizes, as of a gain: "loses 2.0 points (0.5 to 3.5)".
    ends = (difference.low, difference.high) if difference.gain > 0 else (-difference.high, -difference.low)
    return f"95 % interval {_number(ends[0], metric)} to {_number(ends[1], metric)}"


def p_value(p: float) -> str:
    """`p = 0.03`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _beats(one: Standing, other: str) -> bool:
    difference = one.against.get(other)
    return difference is not None and difference.gain > 0 and clear(difference)


def best_on_validation(candidates: Sequence[Standing]) -> str:
    """Return the name of the strategy with the best mean on the validation split."""

    def merit(one: Standing) -> float:
        if one.chosen_by is None:
            return -math.inf
        return -one.chosen_by if one.chosen_by_error else one.chosen_by

    return max(candidates, key=merit).name


def _value(score: float, metric: str) -> str:
    """`3.0 points`, or the number itself of an error."""
    return _number(score, metric) + ("" if metric in LOWER_IS_BETTER else " points")


def _number(score: float, metric: str) -> str:
    """Hundredths of the metric; of an error, which has no upper end, the number itself."""
    return f"{score:.4f}" if metric in LOWER_IS_BETTER else f"{100 * score:.1f}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
