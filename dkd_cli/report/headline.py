"""Headline of a report: what someone should know who reads nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dkd_cli.data.metric_names import merit
from dkd_cli.report.prices import price_sentence


def contest_headline(contest: Mapping[str, Any]) -> list[str]:
    """The verdict on the best student, and its limitations."""
    models = {model["model"]: model for model in contest["models"]}
    metric = contest["main_metric"]
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
        paid = [price_sentence(one, student["model"]) for one in contest.get("paid", [])]
        alone = f"{student['model']} reaches {_figure(own)} {metric} on {rows}"
        alone += "." if paid else "; its teacher is not there."
        return [alone, *paid, *_warnings(contest, student, None)]
    theirs = teacher["metrics"][contest["main_metric"]]
    against = f"{_figure(own)} against {_figure(theirs)}"
    kept = f"reaches {against} {metric} of {teacher['model']}"
    if student["retention"] is not None:
        kept = f"keeps {100 * student['retention']:.1f} % of {teacher['model']}'s {metric} ({against})"
    first = f"{student['model']} {kept}{_cheaper(student, teacher)}."
    warnings = _warnings(contest, student, teacher)
    return [
        first,
        " ".join([*_chance(contest), _choice(contest, rows)]),
        *warnings,
        *_to_deploy(contest, student),
    ]


def _warnings(
    contest: Mapping[str, Any], student: Mapping[str, Any], teacher: Mapping[str, Any] | None
) -> list[str]:
    """The baseline, and what makes the first sentence worth little."""
    metric, constant = contest["main_metric"], contest.get("baseline")
    lines, own = [], student["metrics"][metric]
    floor = None if constant is None else constant["metrics"].get(metric)
    if constant is not None and floor is not None:
        told = f"the baseline {constant['name']!r} ({floor:.4f} {metric})"
        theirs = None if teacher is None else teacher["metrics"][metric]
        if theirs is not None and merit(metric, theirs) <= merit(metric, floor):
            lines.append(f"Beware: the teacher is no better than {told}.")
        if own is None or merit(metric, own) <= merit(metric, floor):
            lines.append(f"Beware: {student['model']} is no better than {told}.")
        else:
            lines.append(f"It is above {told}.")
    if student.get("confusion") and contest.get("labels"):
        columns = [sum(column) for column in zip(*student["confusion"], strict=True)]
        if sum(count > 0 for count in columns) == 1:
            only = contest["labels"][next(place for place, count in enumerate(columns) if count)]
            lines.append(
                f"Beware: it predicts {only!r} for every row: raise train.learning_rate or train.epochs."
            )
    theirs_by_class = {row["label"]: row["f1"] for row in teacher.get("per_class") or ()} if teacher else {}
    lost = [
        repr(row["label"])
        for row in student.get("per_class") or ()
        if row["f1"] == 0 and theirs_by_class.get(row["label"], 0) > 0
    ]
    if lost:
        lines.append(f"Beware: it lost {', '.join(lost)}: F1 0, which the teacher's is not.")
    if teacher is not None and student["parameters"] >= teacher["parameters"]:
        lines.append("Beware: it has no fewer parameters than its teacher: nothing is saved.")
    return lines


def _to_deploy(contest: Mapping[str, Any], student: Mapping[str, Any]) -> list[str]:
    """The export or teacher that is at least as good as the best student, smaller and (if timed) faster."""
    metric = contest["main_metric"]
    own, size, speed = student["metrics"][metric], student.get("weights_mb"), student.get("speed")
    better = []
    for model in contest["models"]:
        score, other = model["metrics"][metric], model.get("weights_mb")
        if None in (own, score, size, other) or merit(metric, score) < merit(metric, own):
            continue
        if model["role"] == "student" and model["format"].startswith("torch"):
            continue  # itself, or one that validation ranked below it: test rows do not choose
        slower = speed and model.get("speed") and model["speed"]["median_ms"] > speed["median_ms"]
        if other <= size and not slower:
            better.append(model)
    if not better:
        return []
    best = max(better, key=lambda model: (merit(metric, model["metrics"][metric]), -model["weights_mb"]))
    timed = (
        f", {best['speed']['median_ms']:.2f} ms against {speed['median_ms']:.2f}"
        if speed and best.get("speed")
        else ""
    )
    return [
        f"To deploy: {best['model']} ({best['format']}) is no worse than {student['model']} at no more cost: "
        f"{_figure(best['metrics'][metric])} {metric}, {best['weights_mb']:.1f} MB against {size:.1f}{timed}."
    ]


def tiles(contest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The best student in four figures."""
    if contest["best_student"] is None:
        return []
    models = {model["model"]: model for model in contest["models"]}
    student = models[contest["best_student"]["model"]]
    teacher = models.get(student["teacher"])
    metric = contest["main_metric"]
    found = [(_figure(student["metrics"][metric]), f"{metric} of {student['model']}")]
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
    return float("-inf") if score is None else merit(contest["main_metric"], score)
