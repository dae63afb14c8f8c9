"""The first sentences of a report say what the figures say."""

from __future__ import annotations

from typing import Any

import pytest

from dkd_cli.report.headline import contest_headline, tiles


def model(name: str, role: str, score: float | None, **more: Any) -> dict[str, Any]:
    return {
        "model": name,
        "role": role,
        "format": "torch fp32",
        "metrics": {"accuracy": score},
        "teacher": None,
        "parameters": 20_000_000,
        "retention": None,
        "latency_speedup": None,
    } | more


def contest(best: dict[str, Any] | None = None, *models: dict[str, Any]) -> dict[str, Any]:
    return {"main_metric": "accuracy", "rows": 1200, "split": "test", "best_student": best, "models": models}


TEACHER = model("big", "teacher", 0.8)
STUDENT = model(
    "little", "student", 0.76, teacher="big", parameters=10_000_000, retention=0.95, latency_speedup=2.0
)


def chosen(**difference: float) -> dict[str, Any]:
    return {"model": "little", "chosen_on": "validation", "difference": difference or None}


def test_the_best_student_in_one_sentence() -> None:
    first, second = contest_headline(contest(chosen(), TEACHER, STUDENT))
    assert first == (
        "little keeps 95.0 % of big's accuracy (0.7600 against 0.8000), answers 2.00 times as fast "
        "and has 50 % of its parameters."
    )
    assert second == "Measured on 1,200 examples of test."
    assert tiles(contest(chosen(), TEACHER, STUDENT))[1:3] == [
        ("95.0 %", "of the teacher's quality"),
        ("2.00×", "as fast, one example at a time"),
    ]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.01, 0.03, "ahead"), (-0.07, -0.01, "behind"), (-0.05, 0.01, "do not show")],
)
def test_chance_is_named(low: float, high: float, words: str) -> None:
    said = contest_headline(contest(chosen(gain=-0.04, low=low, high=high), TEACHER, STUDENT))
    assert words in said[1]


def test_the_choice_is_named_where_there_was_one() -> None:
    said = contest_headline(contest(chosen(), TEACHER, STUDENT, STUDENT | {"model": "other"}))
    assert said[1].startswith("Chosen among 2 students on validation; measured on")
    flattered = contest(chosen(), TEACHER, STUDENT, STUDENT | {"model": "other"}) | {"split": "validation"}
    assert "flatters the winner" in contest_headline(flattered)[1]


def test_exports_are_no_students_of_their_own() -> None:
    export = STUDENT | {"model": "little-onnx", "format": "onnx int8"}
    assert (
        contest_headline(contest(chosen(), TEACHER, STUDENT, export))[1]
        == "Measured on 1,200 examples of test."
    )
    assert contest_headline(contest(None, TEACHER, export))[0].endswith("; no student is here.")


def test_students_without_a_score_are_there_all_the_same() -> None:
    (line,) = contest_headline(contest(None, TEACHER, STUDENT | {"metrics": {"accuracy": None}}))
    assert line.endswith("; no student has a score to be chosen by.")


def test_without_a_student_or_a_teacher() -> None:
    assert contest_headline(contest(None, TEACHER)) == [
        "big reaches 0.8000 accuracy on 1,200 examples of test; no student is here."
    ]
    (alone,) = contest_headline(contest(chosen(), STUDENT))
    assert alone == "little reaches 0.7600 accuracy on 1,200 examples of test; its teacher does not exist."
    assert tiles(contest(None, TEACHER)) == []
