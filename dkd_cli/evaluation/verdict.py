"""Verdict of a comparison: figures to sentences for someone who has to decide.

Pure functions of scores and differences; prints nothing. A difference counts only if its corrected p is below
`significance.LEVEL`, however large it looks.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dkd_cli.evaluation.significance import LEVEL, Difference

CONTROL_TEXTS = {
    "random": "random selection",
    "labelled": "static distillation on the labelled rows alone",
}
FINE_TUNING = "none"
CLASSIC = "static"


@dataclass(frozen=True)
class Standing:
    """Result of one strategy in a comparison."""

    name: str
    scores: tuple[float, ...]
    """Scores on the reported split, by seed; higher is better. Empty: a run failed or has no score."""
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


def verdict(standings: Sequence[Standing], teacher: float | None, metric: str) -> list[str]:
    """State the result of the comparison, the decision first.

    Args:
        standings: `none`, `static` and the others, in the order of the table.
        teacher: the score of the largest teacher on the same examples, if there is one.
        metric: its name, for the sentences.
    """
    found = {one.name: one for one in standings if one.scores}
    lines = [_decision(found)]
    lines += _beside(found, FINE_TUNING, "fine-tuning alone")
    lines += _beside(found, CLASSIC, "static distillation")
    for control in (one for one in found.values() if one.control):
        lines += _beside(found, control.name, f"{CONTROL_TEXTS[control.name]} ({control.name})")
    lines += [f"{one.name} is not judged: a run of it has no score." for one in standings if not one.scores]
    best = preferred(found)
    if teacher is not None and teacher > 0 and best is not None and (score := found[best].mean) is not None:
        kept = f"{_subject(found[best])} keeps {100 * score / teacher:.1f} % of the teacher's {metric}"
        lines.append(f"{kept} ({_points(score)} of {_points(teacher)}).")
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
        return _best(further)
    if any(one.name == CLASSIC for one in gains):
        return CLASSIC
    return _best(gains) if gains else FINE_TUNING


def _decision(found: Mapping[str, Standing]) -> str:
    best = preferred(found)
    if best is None:
        return "No verdict: fine-tuning alone, the reference, has no scores."
    others = [one for one in found.values() if FINE_TUNING in one.against and not one.control]
    if not others:
        return "No verdict: no strategy has scores to compare with those of fine-tuning alone."
    if best == FINE_TUNING:
        if all(clear(one.against[FINE_TUNING]) for one in others):
            return "Not worth it here: every strategy is worse than fine-tuning alone."
        return "Not shown to be worth it here: no strategy is clearly better than fine-tuning alone."
    gain = f"it gains {_amount(found[best].against[FINE_TUNING])} over fine-tuning alone"
    if best == CLASSIC:
        return f"Worth it: use static; {gain}, and no dynamic strategy is clearly better."
    if CLASSIC in found[best].against and clear(found[best].against[CLASSIC]):
        return f"Worth it: use {best}; {gain} and {_amount(found[best].against[CLASSIC])} over static."
    if CLASSIC not in found:
        return f"Worth it: use {best}; {gain}."
    return f"Worth it: use {best}; {gain}. Static distillation does not clearly gain."


def _beside(found: Mapping[str, Standing], other: str, called: str) -> list[str]:
    """Compare each strategy with one other: a sentence for each difference, one for all the rest."""
    lines, alike = [], []
    for one in found.values():
        if other in one.against:
            if clear(one.against[other]):
                lines.append(f"{_subject(one)} {_outcome(one.against[other])} {called}.")
            else:
                alike.append(one)
    if alike:
        are = "is" if len(alike) == 1 else "are"
        widest = max((one.against[other] for one in alike), key=lambda one: one.high - one.low)
        remedy = "seeds" if widest.from_seeds > 0.5 else "test examples"
        unseen = f"less than about {_points((widest.high - widest.low) / 2)} points would not be detected"
        lines.append(
            f"{_listed([_subject(one) for one in alike])} {are} not distinguishable from {called} here; "
            f"{unseen} (more {remedy} would help)."
        )
    return lines


def _outcome(difference: Difference) -> str:
    if difference.gain > 0:
        return f"gains {_amount(difference)} over"
    return f"loses {_amount(difference)} against"


def _amount(difference: Difference) -> str:
    return f"{_points(abs(difference.gain))} points ({_interval(difference)}, {p_value(difference.holm)})"


def _interval(difference: Difference) -> str:
    # For a loss, sizes as for a gain: "loses 2.0 points (0.5 to 3.5)".
    ends = (difference.low, difference.high) if difference.gain > 0 else (-difference.high, -difference.low)
    return f"95 % interval {_points(ends[0])} to {_points(ends[1])}"


def p_value(p: float) -> str:
    """`p = 0.03`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _beats(one: Standing, other: str) -> bool:
    difference = one.against.get(other)
    return difference is not None and difference.gain > 0 and clear(difference)


def _best(candidates: Sequence[Standing]) -> str:
    """Rank by the validation split."""

    def merit(one: Standing) -> float:
        if one.chosen_by is None:
            return -math.inf
        return -one.chosen_by if one.chosen_by_error else one.chosen_by

    return max(candidates, key=merit).name


def _subject(one: Standing) -> str:
    return {FINE_TUNING: "fine-tuning alone", CLASSIC: "static distillation"}.get(one.name, one.name)


def _points(score: float) -> str:
    return f"{100 * score:.1f}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
