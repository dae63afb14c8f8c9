"""`dkd compare` from an empty folder to a verdict, and again after it was killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import heard, serious
from conftest import TinyRecipe, tiny_rows
from markupsafe import escape
from processes import killed_after
from small import LABELS, save_classifier

from dkd_cli.engine.runs.checkpoints import read_run

FAST = {"train": {"max_steps": 2}}


def figures(top: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((top / "comparison.json").read_text(encoding="utf-8"))
    return found


def by_name(found: dict[str, Any]) -> dict[str, Any]:
    return {one["strategy"]: one for one in found["strategies"]}


def test_from_an_empty_folder_to_a_verdict(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    recipe, top = tiny_recipe(FAST), tmp_path / "checkpoints" / "tiny"
    planned = heard("compare", recipe, "--seeds", "2", "--dry-run")
    assert (planned.code, planned.err) == (0, "")
    assert planned.out.count("  " + str(top)) == 2 + 6 * 2
    assert "an estimate from some timed steps" in planned.out
    assert not top.exists()

    said = heard("compare", recipe, "--seeds", "2")
    assert (said.code, said.err) == (0, ""), said.err
    found = figures(top)
    strategies = by_name(found)
    everything = ["none", "static", "dynamic-teacher", "dynamic-data", "dynamic-objective", "random"]
    assert list(strategies) == everything
    assert found["reported"]["split"] == "test"
    for one in strategies.values():
        runs = one["runs"]
        assert [run["seed"] for run in runs] == [1, 2]
        assert one["mean"] == pytest.approx(sum(run["reported"]["accuracy"] for run in runs) / 2)
        for run in runs:
            made = read_run(Path(run["folder"]))
            assert made is not None
            assert made.validation == run["validation"]
    asked = {name: one["cost"]["teacher_rows"] for name, one in strategies.items()}
    assert asked["none"] == 0
    assert asked["static"] == 16  # two batches of eight
    assert asked["dynamic-data"] == asked["random"] == 8
    assert {name: list(one["against"]) for name, one in strategies.items()} == {
        "none": [],
        "static": ["none"],
        "dynamic-teacher": ["none", "static"],
        "dynamic-data": ["none", "static", "random"],
        "dynamic-objective": ["none", "static"],
        "random": ["none", "static"],
    }
    page = (top / "comparison.html").read_text(encoding="utf-8")
    for line in found["verdict"]:
        assert line in said.out
        assert str(escape(line)) in page

    again = heard("compare", recipe, "--seeds", "2")
    assert "0 teachers and 0 students to make, 2 and 12 there already" in again.out
    # The machine's entry has the minute.
    assert {**figures(top), "machine": None} == {**found, "machine": None}
    assert "estimate" not in again.out


def test_a_third_seed_makes_only_what_is_missing(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    recipe, top = tiny_recipe(FAST), tmp_path / "checkpoints" / "tiny"
    words = ("compare", recipe, "--strategy", "static", "--seed")
    assert heard(*words, "4").code == 0
    before = {path: path.stat().st_mtime_ns for path in top.glob("*/model.safetensors")}
    (top / "comparison" / "student-none-seed4.safetensors").write_bytes(b"damaged")
    said = heard(*words, "4,6")
    assert (said.code, said.err) == (0, "")
    assert "about" in said.out
    assert "from 2 finished students" in said.out
    assert before.items() <= {p: p.stat().st_mtime_ns for p in top.glob("*/model.safetensors")}.items()
    assert [run["seed"] for run in by_name(figures(top))["static"]["runs"]] == [4, 6]


def test_settings_are_chosen_on_validation(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    """Of `none` once for each rate: it does not look at the weight of the labels."""
    recipe = tiny_recipe(FAST)
    grid = ("--grid", "train.learning_rate=[1e-9, 3e-2]", "--grid", "strategy.objective.ce_weight=[1, 0.5]")
    assert heard("compare", recipe, "--seeds", "1", "--strategy", "static", *grid).code == 0
    strategies = by_name(figures(tmp_path / "checkpoints" / "tiny"))
    assert [len(strategies[name]["tried"]) for name in ("none", "static")] == [2, 4]
    for one in strategies.values():
        best = max(one["tried"], key=lambda tried: tried["validation"])
        assert (one["settings"], one["validation"]) == (best["settings"], best["validation"])
        [run] = one["runs"]
        made = read_run(Path(run["folder"]))
        assert made is not None
        assert made.recipe.train.learning_rate == one["settings"]["train.learning_rate"]
    made_for_none = {path.name for path in (tmp_path / "checkpoints" / "tiny").glob("student-none-*")}
    assert made_for_none == {f"student-none-learning_rate={rate}-seed1" for rate in ("1e-09", "0.03")}


def test_hidden_test_labels_halve_the_validation_split(
    tiny_recipe: TinyRecipe, tmp_path: Path, tiny_csv: Path
) -> None:
    header, *rows = tiny_csv.read_text(encoding="utf-8").splitlines()
    for name, part in {"train": rows[:80], "validation": rows[80:]}.items():
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *part]), encoding="utf-8")
    split = {f"{name}": str(tmp_path / f"{name}.csv") for name in ("train", "validation")}
    recipe = tiny_recipe({**FAST, "data": {**split, "source": None, "test_share": 0.2}})
    said = heard("compare", recipe, "--seeds", "1", "--strategy", "static")
    assert (said.code, said.err) == (0, "")
    assert "20 rows select checkpoints and settings, the other 20 are reported on" in said.out
    found = figures(tmp_path / "checkpoints" / "tiny")
    assert (found["reported"]["rows"], found["chosen_by"]["rows"]) == (20, 20)
    [run] = by_name(found)["none"]["runs"]
    assert Path(run["folder"]).name == "student-none-max_validation=20-seed1"
    made = read_run(Path(run["folder"]))
    assert made is not None
    assert made.recipe.data.max_validation == 20
    assert (tmp_path / "checkpoints" / "tiny" / "teacher-large-max_validation=20").is_dir()


def test_a_run_that_fails_is_shown_and_not_judged(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    """At this weight of the teacher the loss is no number; `none` does not look at it."""
    recipe, top = tiny_recipe(FAST), tmp_path / "checkpoints" / "tiny"
    broken = ("--set", "strategy.objective.kd_weight=1e39")
    said = heard("compare", recipe, "--seeds", "2", "--strategy", "static", *broken)
    assert said.code == 6
    assert said.err.count("failed: ") == 2
    strategies = by_name(figures(top))
    assert (strategies["static"]["mean"], strategies["static"]["runs"]) == (None, [])
    assert strategies["none"]["mean"] is not None
    assert "static is not judged: a run of it has no score." in said.out


def test_another_experiment_in_a_folder_is_refused_at_once(tiny_recipe: TinyRecipe) -> None:
    recipe = tiny_recipe(FAST)
    assert heard("distill", recipe, "--strategy", "none").code == 0
    said = heard("compare", recipe, "--set", "train.learning_rate=1e-5", "--dry-run")
    assert (said.code, "holds another experiment" in said.err) == (5, True)


def test_students_of_a_teacher_that_has_changed_are_refused_at_once(
    tiny_recipe: TinyRecipe, tiny_encoder: Path, tmp_path: Path
) -> None:
    teacher = save_classifier(tmp_path / "large", tiny_encoder, LABELS)
    recipe = tiny_recipe({**FAST, "teachers": {"large": {"checkpoint": str(teacher)}}})
    assert heard("distill", recipe, "--strategy", "static").code == 0
    save_classifier(teacher, tiny_encoder, LABELS, seed=2)
    said = heard("compare", recipe, "--strategy", "static", "--seeds", "2", "--dry-run")
    assert (said.code, "was taught by another 'large'" in said.err) == (5, True)


def test_a_teacher_that_nobody_asks_need_not_be_there(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    rows = [json.dumps({"text": text, "probabilities": [0.5, 0.5]}) for text, _ in tiny_rows()]
    (tmp_path / "llm.jsonl").write_text("\n".join(rows), encoding="utf-8")
    answers = {"llm": {"probabilities": str(tmp_path / "llm.jsonl")}}
    recipe, top = tiny_recipe({**FAST, "teachers": answers}), tmp_path / "checkpoints" / "tiny"
    said = heard("compare", recipe, "--strategy", "dynamic-data", "--seeds", "2")
    assert (said.code, serious(said.err)) == (0, "")
    assert "no strategy queries the teacher 'large'" in said.out
    assert not (top / "teacher-large").exists()
    assert by_name(figures(top))["static"]["mean"] is not None
    more = f"next: dkd compare {recipe} --strategy dynamic-data --seeds 5"
    assert (said.out.splitlines()[-1] == more) == ("too few seeds" in said.out)


def test_a_number_has_no_strategies_by_entropy(
    tiny_recipe: TinyRecipe, tmp_path: Path, tiny_csv: Path
) -> None:
    scored = tiny_csv.read_text(encoding="utf-8").replace(",negative", ",1.5").replace(",positive", ",4.0")
    (tmp_path / "scored.csv").write_text(scored, encoding="utf-8")
    data = {"source": str(tmp_path / "scored.csv"), "kind": "regression"}
    recipe = tiny_recipe({**FAST, "data": data})
    said = heard("compare", recipe, "--seeds", "2", "--set", "strategy.data.score=kl")
    assert (said.code, said.err) == (0, "")
    assert "dynamic-objective takes no part: " in said.out
    found = figures(tmp_path / "checkpoints" / "tiny")
    assert list(by_name(found)) == ["none", "static", "dynamic-data", "random"]
    assert found["reported"]["metric"] == "pearson"
    refused = heard("compare", recipe, "--strategy", "dynamic-objective")
    assert (refused.code, "a single number does not have" in refused.err) == (2, True)


@pytest.mark.slow
def test_a_killed_comparison_goes_on(tiny_recipe: TinyRecipe, tiny_encoder: Path, tmp_path: Path) -> None:
    """A real SIGKILL after the first student; the figures are those of one that was not killed."""
    teacher = save_classifier(tmp_path / "large", tiny_encoder, LABELS)
    recipe = tiny_recipe({**FAST, "teachers": {"large": {"checkpoint": str(teacher)}}})
    words = ("compare", str(recipe), "--seeds", "2", "--strategy", "static", "--output-dir")
    killed_after((tmp_path / "cut" / "tiny" / "student-none-seed1").exists, *words, tmp_path / "cut")
    assert not (tmp_path / "cut" / "tiny" / "comparison.json").exists()
    assert heard(*words, tmp_path / "cut").code == 0
    assert heard(*words, tmp_path / "whole").code == 0
    cut, whole = (by_name(figures(tmp_path / name / "tiny")) for name in ("cut", "whole"))
    for name, one in whole.items():
        assert cut[name]["mean"] == one["mean"]
        assert cut[name]["against"] == one["against"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--seeds", "2", "--seed", "1"), 2, "contradicts --seeds"),
        (("--seeds", "0"), 2, "--seeds"),
        (("--strategy", "dynamic"), 2, "is not a strategy"),
        (("--grid", "train.epochs=[1,2]"), 2, "unequal"),
        (("--grid", "train.learning_rate"), 2, "is not `key=[value, value]`"),
    ],
)
def test_what_was_typed_wrong_is_said_in_a_line(
    tiny_recipe: TinyRecipe, words: tuple[str, ...], code: int, said: str
) -> None:
    answer = heard("compare", tiny_recipe(), *words)
    assert answer.code == code
    assert said in answer.err
    assert answer.err.startswith("dkd: error: ")
    assert answer.err.count("\n") == 1


def test_students_of_answers_that_have_changed_are_refused_until_they_are_made_again(
    tiny_recipe: TinyRecipe, tmp_path: Path
) -> None:
    """A file of probabilities is a teacher like another: a student of what stood there is none of its own."""

    def write(positive: float) -> None:
        rows = [
            json.dumps({"text": text, "probabilities": [1 - positive, positive]}) for text, _ in tiny_rows()
        ]
        (tmp_path / "llm.jsonl").write_text("\n".join(rows), encoding="utf-8")

    write(0.9)
    recipe = tiny_recipe({**FAST, "teachers": {"llm": {"probabilities": str(tmp_path / "llm.jsonl")}}})
    words = ("compare", recipe, "--strategy", "static", "--seeds", "1")
    assert heard(*words).code == 0
    top = tmp_path / "checkpoints" / "tiny"
    kept = {
        name: (top / f"student-{name}-seed1" / "dkd.json").stat().st_mtime_ns for name in ("none", "static")
    }
    write(0.1)
    for again in (words, ("distill", recipe, "--strategy", "static")):
        said = heard(*again)
        assert (said.code, "was taught by another 'llm'" in said.err) == (5, True)
    said = heard(*words, "--fresh")
    assert (said.code, "1 student to make" in said.out) == (0, True)
    now = {name: (top / f"student-{name}-seed1" / "dkd.json").stat().st_mtime_ns for name in kept}
    assert (now["none"], now["static"] > kept["static"]) == (kept["none"], True)
    said = heard(*words, "--fresh", "--set", "train.learning_rate=1e-5")
    assert (said.code, "holds another experiment" in said.err) == (5, True)
