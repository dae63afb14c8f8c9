"""Headline of a report: what someone should know who reads nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dkd_cli.report.plots import spoken


def contest_headline(contest: Mapping[str, Any]) -> list[str]:
    """The verdict on the best student, and its limitations."""
    models = {model["model"]: model for model in contest["models"]}
    metric = spoken(contest["main_metric"])
    rows = f"{contest['rows']:,} examples of {contest['split']}"
    best = contest["best_student"]
    if best is None:
        top = max(contest["models"], key=lambda model: _score(model, contest))
        score = top["metrics"][contest["main_metric"]]
        missing = "has a score to be chosen by" if _students(contest) else "is here"
        return [f"{top['model']} reaches {_figure(score)} {metric} on {rows}; no student {missing}."]
    student = models[best["model"]]
    teacher = models.get(student["teacher"])
    own = student["metrics"][contest["main_metric"]]
    if teacher is None:
        return [f"{student['model']} reaches {_figure(own)} {metric} on {rows}; its teacher does not exist."]
    theirs = teacher["metrics"][contest["main_metric"]]
    against = f"{_figure(own)} against {_figure(theirs)}"
    kept = f"reaches {against} {metric} of {teacher['model']}"
    if student["retention"] is not None:
        kept = f"keeps {100 * student['retention']:.1f} % of {teacher['model']}'s {metric} ({against})"
    first = f"{student['model']} {kept}{_cheaper(student, teacher)}."
    return [first, " ".join([*_chance(contest), _choice(contest, rows)])]


def tiles(contest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The best student in four figures."""
    if contest["best_student"] is None:
        return []
    models = {model["model"]: model for model in contest["models"]}
    student = models[contest["best_student"]["model"]]
    teacher = models.get(student["teacher"])
    metric = contest["main_metric"]
    found = [(_figure(student["metrics"][metric]), f"{spoken(metric)} of {student['model']}")]
    if student["retention"] is not None:
        found.append((f"{100 * student['retention']:.1f} %", "of the teacher's quality"))
    if student["latency_speedup"] is not None:
        found.append((f"{student['latency_speedup']:.2f}×", "as fast, one example at a time"))
    if teacher is not None:
        share = 100 * student["parameters"] / teacher["parameters"]
        found.append((f"{share:.0f} %", f"of its parameters: {student['parameters'] / 1e6:.1f} M"))
    return found


def _cheaper(student: Mapping[str, Any], teacher: Mapping[str, Any]) -> str:
    parts = []
    if student["latency_speedup"] is not None:
        parts.append(f"answers {student['latency_speedup']:.2f} times as fast")
    parts.append(f"has {100 * student['parameters'] / teacher['parameters']:.0f} % of its parameters")
    return "".join(f", {part}" for part in parts[:-1]) + f" and {parts[-1]}"


def _chance(contest: Mapping[str, Any]) -> list[str]:
    """The significance of the difference from the teacher on these examples."""
    gap = contest["best_student"].get("difference")
    if gap is None:
        return []
    low, high = gap["low"], gap["high"]
    if low > 0:
        found = "The student is ahead of its teacher by more than chance"
    elif high < 0:
        found = "The student is behind its teacher by more than chance"
    else:
        found = "These examples do not show whether student or teacher is better"
    return [f"{found} (difference {gap['gain']:+.4f}, 95 % interval {low:+.4f} to {high:+.4f})."]


def _choice(contest: Mapping[str, Any], rows: str) -> str:
    students = _students(contest)
    where = contest["best_student"]["chosen_on"]
    same = where == contest["split"]
    if students == 1:
        return f"Measured on {rows}."
    tail = ", which flatters the winner" if same else ""
    return f"Chosen among {students} students on {where}{tail}; measured on {rows}."


def _students(contest: Mapping[str, Any]) -> int:
    """Exports are copies of their students."""
    return sum(
        model["role"] == "student" and not model["format"].startswith("onnx") for model in contest["models"]
    )


def _figure(score: float | None) -> str:
    return "no" if score is None else f"{score:.4f}"


def _score(model: Mapping[str, Any], contest: Mapping[str, Any]) -> float:
    score = model["metrics"][contest["main_metric"]]
    return float("-inf") if score is None else float(score)
