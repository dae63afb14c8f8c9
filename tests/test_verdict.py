"""From figures to sentences: constructed results, and what somebody who decides must read of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dkd_cli.evaluation.significance import Difference, paired_difference
from dkd_cli.evaluation.verdict import Context, Standing, p_value, preferred, verdict


def difference(points: float, p: float, margin: float = 1.0) -> Difference:
    gain, reach = points / 100, margin / 100
    return Difference(gain, gain - reach, gain + reach, p / 2, reach / 2, 0.5, p)


def standing(
    name: str, score: float, validation: float = 0.5, control: bool = False, **against: tuple[float, float]
) -> Standing:
    """A strategy with `other=(points gained, corrected p)`."""
    met = {other.replace("_", "-"): difference(*given) for other, given in against.items()}
    return Standing(name, (score - 0.01, score + 0.01), validation, met, control)


NONE = standing("none", 0.70)
GAIN = standing("static", 0.73, none=(3.0, 0.001))
LEVEL = standing("static", 0.705, none=(0.5, 0.6))
EQUAL, EQUAL_AGAIN = np.full(2, 0.7), np.full((9, 2), 0.7)
SAME = paired_difference(EQUAL, EQUAL, EQUAL_AGAIN, EQUAL_AGAIN)
LOSS = standing("static", 0.67, none=(-3.0, 0.002))


def said(*standings: Standing, teacher: float | None = None) -> str:
    return "\n".join(verdict(standings, "accuracy", Context(teacher=teacher)))


def test_a_clear_gain() -> None:
    text = said(NONE, GAIN, standing("dynamic-data", 0.731, none=(3.1, 0.001), static=(0.1, 0.8)))
    assert text.startswith("Worth it: use static; it gains 3.0 points (95 % interval 2.0 to 4.0, p = 0.001)")
    assert "dynamic-data is not distinguishable from static distillation here" in text


def test_a_clear_loss() -> None:
    text = said(NONE, LOSS)
    assert text.startswith("Not worth it here: every strategy is worse than fine-tuning alone.")
    assert "loses 3.0 points (95 % interval 2.0 to 4.0, p = 0.002) against fine-tuning alone" in text


def test_indistinguishable() -> None:
    text = said(NONE, LEVEL, standing("dynamic-objective", 0.71, none=(1.0, 0.2), static=(0.5, 0.5)))
    assert text.startswith("Not shown to be worth it here")
    assert "static distillation and dynamic-objective are not distinguishable from fine-tuning alone" in text
    assert "less than about 1.0 points would not show (more test examples would help)" in text
    assert "gains" not in text


def test_equal_scores_have_no_margin() -> None:
    text = said(NONE, standing("dynamic-data", 0.72, none=(2.0, 0.2)), replace(LEVEL, against={"none": SAME}))
    assert "static distillation has exactly the scores of fine-tuning alone here, in every seed" in text
    assert "dynamic-data is not distinguishable from fine-tuning alone here; less than about 1.0" in text
    assert "0.0 points" not in text


def test_hard_labels_and_a_judging_teacher_are_named() -> None:
    text = "\n".join(verdict([NONE, GAIN], "accuracy", Context(hard="llm", judge="llm")))
    assert "over fine-tuning on llm's hard labels" in text.splitlines()[0]
    assert "every score is agreement with llm's predictions" in text
    assert "fine-tuning alone" not in text


def test_seeds_that_disagree_want_company() -> None:
    uncertain = replace(difference(5.0, 0.3), from_seeds=0.8)
    assert "(more seeds would help)" in said(NONE, Standing("static", (0.7, 0.8), 0.5, {"none": uncertain}))


def test_mixed() -> None:
    best = standing("dynamic-objective", 0.76, none=(6.0, 0.0001), static=(3.0, 0.01))
    worse = standing("dynamic-data", 0.68, none=(-2.0, 0.02), static=(-5.0, 0.001))
    text = said(NONE, GAIN, worse, best, teacher=0.8)
    assert text.startswith("Worth it: use dynamic-objective; it gains 6.0 points")
    assert "over fine-tuning alone and 3.0 points" in text.splitlines()[0]
    assert "dynamic-data loses 2.0 points" in text
    assert "dynamic-objective keeps 95.0 % of the teacher's accuracy (76.0 of 80.0)" in text


@pytest.mark.parametrize("error", [False, True])
def test_of_several_that_gain_the_best_on_validation_is_preferred(error: bool) -> None:
    one, other = (
        replace(
            standing(name, 0.76, validation, none=(6.0, 0.001), static=(3.0, 0.01)), chosen_by_error=error
        )
        for name, validation in (("dynamic-data", 0.3), ("dynamic-teacher", 1.2))
    )
    found = {entry.name: entry for entry in (NONE, GAIN, one, other)}
    assert preferred(found) == ("dynamic-data" if error else "dynamic-teacher")


def test_a_dynamic_strategy_alone_gains() -> None:
    text = said(NONE, LEVEL, standing("dynamic-teacher", 0.73, none=(3.0, 0.01), static=(2.5, 0.2)))
    assert text.startswith("Worth it: use dynamic-teacher;")
    assert "Static distillation does not clearly gain" in text.splitlines()[0]


def test_of_several_the_validation_split_chooses_and_not_the_reported_one() -> None:
    first = standing("dynamic-data", 0.80, 0.6, none=(10.0, 0.001), static=(7.0, 0.001))
    second = standing("dynamic-objective", 0.77, 0.7, none=(7.0, 0.001), static=(4.0, 0.01))
    assert preferred({one.name: one for one in (NONE, GAIN, first, second)}) == "dynamic-objective"


def test_the_control_is_never_recommended() -> None:
    control = standing("random", 0.76, 0.9, control=True, none=(6.0, 0.001), static=(3.0, 0.001))
    ours = standing("dynamic-data", 0.74, none=(4.0, 0.001), static=(1.0, 0.3), random=(-2.0, 0.03))
    text = said(NONE, GAIN, ours, control)
    assert text.startswith("Worth it: use static;")
    assert "dynamic-data loses 2.0 points" in text
    assert "against the same with examples drawn at random (random)." in text


def told(context: Context, *standings: Standing) -> str:
    return "\n".join(verdict(standings or (NONE, GAIN), "accuracy", context))


def test_the_baseline_is_named() -> None:
    assert "static distillation (73.0) is above the baseline 'always spam' (60.0 accuracy)." in told(
        Context(baseline=("always spam", 0.6))
    )
    text = told(Context(teacher=0.6, baseline=("always spam", 0.75)))
    assert "Beware: the teacher (60.0) is no better than 'always spam' (75.0 accuracy)." in text
    assert "Beware: static distillation (73.0) is no better than 'always spam' (75.0 accuracy)" in text


def test_a_gain_over_what_learnt_nothing_says_little() -> None:
    warning = (
        "Beware: fine-tuning alone (70.0) is no better than 'always spam' (70.0 accuracy), so that a gain"
    )
    assert warning in told(Context(baseline=("always spam", 0.7)))
    assert "says little" not in told(Context(baseline=("always spam", 0.6)))


def test_a_lost_class_is_named() -> None:
    text = told(Context(lost={"static": ["Refunds", "Legal"], "none": ["Other"]}))
    assert "Beware: static distillation lost 'Refunds' and 'Legal': F1 0 in every seed" in text
    assert "Other" not in text


@pytest.mark.parametrize(("size", "named"), [(0.5, False), (1.0, True), (1.8, True)])
def test_a_student_larger_than_its_teacher_is_named(size: float, named: bool) -> None:
    text = told(Context(relative_size=size))
    assert (f"as large as its teacher ({100 * size:.0f} % of its weights)" in text) == named


def test_no_figure_is_wider_than_what_is_possible() -> None:
    wide = replace(difference(2.0, 0.4, margin=118.0), from_seeds=0.9)
    text = told(Context(), NONE, Standing("static", (0.7, 0.8), 0.5, {"none": wide}))
    assert "2 seeds cannot tell (more seeds would help)" in text
    assert "118" not in text


def test_a_gain_that_is_not_clear_is_no_gain() -> None:
    """However large it looks."""
    assert said(NONE, standing("static", 0.9, none=(20.0, 0.051))).startswith("Not shown")


def test_what_failed_is_not_judged() -> None:
    failed = Standing("static", (), None, {})
    text = said(NONE, failed, standing("dynamic-data", 0.75, none=(5.0, 0.001)))
    assert text.startswith("Worth it: use dynamic-data;")
    assert "static is not judged" in text
    assert "Static distillation does not" not in text
    assert said(Standing("none", (), None, {}), GAIN).startswith("No verdict")
    assert said(NONE, failed).startswith("No verdict")


def test_of_an_error_less_is_better_and_nothing_is_in_points() -> None:
    lower = Standing("static", (0.31, 0.33), 0.3, {"none": difference(2.0, 0.001)}, chosen_by_error=True)
    text = "\n".join(verdict([replace(NONE, scores=(0.34, 0.34)), lower], "loss", Context(teacher=0.25)))
    assert text.startswith(
        "Worth it: use static; it gains 0.0200 (95 % interval 0.0100 to 0.0300, p = 0.001)"
    )
    assert "static distillation has 0.3200 loss, the teacher 0.2500." in text
    assert "points" not in text


@pytest.mark.parametrize("teacher", [-0.1, 0.0])
def test_a_share_of_a_teachers_score_wants_a_positive_one(teacher: float) -> None:
    assert "keeps" not in said(NONE, GAIN, teacher=teacher)


@pytest.mark.parametrize(("p", "text"), [(0.0, "p < 0.001"), (0.0312, "p = 0.031"), (1.0, "p = 1")])
def test_p_values_are_written_short(p: float, text: str) -> None:
    assert p_value(p) == text


@pytest.mark.parametrize(("teacher", "warned"), [(0.65, True), (0.72, False)])
def test_a_teacher_behind_fine_tuning_is_the_weak_part(teacher: float, warned: bool) -> None:
    assert (
        "fine-tuning alone (70.0) is ahead of the teacher (65.0)" in said(NONE, GAIN, teacher=teacher)
    ) == warned
