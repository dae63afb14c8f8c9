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


def test_of_an_error_the_lowest_is_the_best() -> None:
    models = [model(name, "teacher", None, metrics={"loss": loss}) for name, loss in (("a", 0.9), ("b", 0.2))]
    (line,) = contest_headline(contest(None, *models) | {"main_metric": "loss"})
    assert line.startswith("b reaches 0.2000 loss")


def warned(student: dict[str, Any], teacher: dict[str, Any] = TEACHER, **more: Any) -> str:
    return " ".join(contest_headline(contest(chosen(), teacher, student) | more)[2:])


BASELINE = {"name": "always General", "metrics": {"accuracy": 0.5}}


def test_the_baseline_is_named() -> None:
    assert (
        warned(STUDENT, baseline=BASELINE) == "It is above the baseline 'always General' (0.5000 accuracy)."
    )
    low = model("big", "teacher", 0.5)
    text = warned(STUDENT | {"metrics": {"accuracy": 0.4}}, low, baseline=BASELINE)
    assert "Beware: the teacher is no better than the baseline" in text
    assert "Beware: little is no better than the baseline" in text


def test_a_student_of_one_class_and_lost_classes_are_named() -> None:
    def classes(*scores: float) -> list[dict[str, Any]]:
        return [{"label": label, "f1": f1} for label, f1 in zip(("General", "Legal"), scores, strict=True)]

    student = STUDENT | {"confusion": [[5, 0], [3, 0]], "per_class": classes(0.7, 0.0)}
    text = warned(student, TEACHER | {"per_class": classes(0.8, 0.3)}, labels=["General", "Legal"])
    assert "it predicts 'General' for every row: raise train.learning_rate or train.epochs." in text
    assert "it lost 'Legal': F1 0, which the teacher's is not." in text
    assert "lost" not in warned(
        student, TEACHER | {"per_class": classes(0.8, 0.0)}, labels=["General", "Legal"]
    )


def test_a_student_as_large_as_its_teacher_is_named() -> None:
    assert "no fewer parameters than its teacher" in warned(STUDENT | {"parameters": 20_000_000})


def test_an_export_that_is_no_worse_and_no_dearer_is_to_be_deployed() -> None:
    def fast(milliseconds: float) -> dict[str, float]:
        return {"median_ms": milliseconds}

    student = STUDENT | {"weights_mb": 69.0, "speed": fast(1.5)}
    export = model("big-onnx-int8", "teacher", 0.79, format="onnx int8", weights_mb=23.0, speed=fast(1.4))
    (line,) = contest_headline(contest(chosen(), TEACHER, student, export))[2:]
    assert line == (
        "To deploy: big-onnx-int8 (onnx int8) is no worse than little at no more cost: 0.7900 accuracy, "
        "23.0 MB against 69.0, 1.40 ms against 1.50."
    )
    for worse in ({"speed": fast(1.6)}, {"weights_mb": 70.0}, {"metrics": {"accuracy": 0.75}}):
        assert contest_headline(contest(chosen(), TEACHER, student, export | worse))[2:] == []
    other = student | {"model": "lucky", "metrics": {"accuracy": 0.78}}
    assert contest_headline(contest(chosen(), TEACHER, student, other))[2:] == []


def test_without_a_student_or_a_teacher() -> None:
    assert contest_headline(contest(None, TEACHER)) == [
        "big reaches 0.8000 accuracy on 1,200 examples of test; no student is here."
    ]
    (alone,) = contest_headline(contest(chosen(), STUDENT))
    assert alone == "little reaches 0.7600 accuracy on 1,200 examples of test; its teacher is not there."
    assert tiles(contest(None, TEACHER)) == []
