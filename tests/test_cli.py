"""The command line: what it prints, where, and with which exit code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from command_line import dkd

from dkd_cli import __version__
from dkd_cli.errors import DataError, NumericError
from dkd_cli.recipe.loader import load_recipe, parse_recipe
from dkd_cli.stopping import Stopped

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """What the commands were called with; their modules are replaced, so that nothing runs."""
    made: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    for module, function in (
        ("train_teacher", "train_teacher"),
        ("distill", "distill"),
        ("select_data", "select_data"),
        ("evaluate", "evaluate"),
    ):
        stand_in = ModuleType(module)
        setattr(stand_in, function, lambda *args, **kwargs: made.append((args, kwargs)))
        monkeypatch.setitem(sys.modules, f"dkd_cli.commands.{module}", stand_in)
    return made


def test_train_teacher_gets_the_recipe(calls: list[Any]) -> None:
    words = ["--teacher", "small", "--fresh", "--set", "train.epochs=1", "--output-dir", "a b", "--seed", "4"]
    assert dkd("train-teacher", "quickstart", *words) == 0
    [((points,), given)] = calls
    assert points == [load_recipe("quickstart", ["train.epochs=1", "output_dir=a b", "train.seed=4"])]
    assert given.pop("terminal").quiet is False
    typed = " quickstart --set train.epochs=1 --output-dir 'a b'"
    assert given == {"only": ("small",), "fresh": True, "typed": typed}


def test_distill_gets_a_point_for_each_strategy_and_seed(calls: list[Any]) -> None:
    words = ["--strategy", "none", "--strategy", "dynamic-data,dynamic-objective", "--seed", "2,1", "--quiet"]
    assert dkd("distill", *words) == 0
    [((recipes,), given)] = calls
    assert [(one.strategy.name, one.train.seed) for one in recipes] == [
        ("none", 2),
        ("none", 1),
        ("dynamic-data,dynamic-objective", 2),
        ("dynamic-data,dynamic-objective", 1),
    ]
    assert given.pop("terminal").quiet is True
    assert given == {"fresh": False, "typed": "", "cached": True}


def test_the_cache_is_left_alone_when_asked_to(calls: list[Any]) -> None:
    assert dkd("distill", "--no-cache") == 0
    assert calls[0][1]["cached"] is False


def test_every_combination_of_what_is_swept_is_a_point(calls: list[Any]) -> None:
    words = ["--sweep", "strategy.data.ratio=[0.1, 0.5]", "--seed", "1,2", "--strategy", "dynamic-data"]
    assert dkd("distill", *words) == 0
    [((points,), _)] = calls
    found = [(point.strategy.data.ratio, point.train.seed) for point in points]
    assert found == [(0.1, 1), (0.1, 2), (0.5, 1), (0.5, 2)]


def test_teachers_are_swept_by_what_makes_another_teacher(workdir: Path, calls: list[Any]) -> None:
    swept = "sweep: {train.seed: [1, 2], data.max_length: [16, 32]}"
    (workdir / "a.yaml").write_text(f"name: a\nmodel: m\ndata: {{source: s}}\n{swept}\n")
    assert dkd("train-teacher", "a.yaml") == dkd("train-teacher", "a.yaml", "--seed", "3,4,5") == 0
    assert [len(points) for (points,), _ in calls] == [2, 6]
    assert calls[1][1]["typed"] == " a.yaml"


def test_no_run_starts_before_all_recipes_are_right(calls: list[Any]) -> None:
    assert dkd("distill", "--strategy", "none", "--strategy", "dynamc-data") == 2
    assert calls == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"score": "entropy", "ratio": 0.5, "count": None}),
        (["--ratio", "0.1", "--score", "margin"], {"score": "margin", "ratio": 0.1, "count": None}),
        (["--count", "7", "--balanced"], {"ratio": None, "count": 7, "balanced": True}),
        (["--output", "x.jsonl", "--model", "m"], {"output": Path("x.jsonl"), "model": "m"}),
    ],
)
def test_select_data_gets_its_settings(calls: list[Any], words: Sequence[str], expected: Any) -> None:
    assert dkd("select-data", *words) == 0
    given = calls[0][1]
    assert {key: given[key] for key in expected} == expected


def test_evaluate_gets_paths_and_recipe(calls: list[Any]) -> None:
    assert dkd("evaluate", "a", "b", "--recipe", "glue-rte", "--split", "test") == 0
    [((paths,), given)] = calls
    assert paths == [Path("a"), Path("b")]
    assert given["recipe"] == load_recipe("glue-rte")
    assert (given["split"], given["predictions"], given["output"]) == ("test", None, None)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("a.csv:3", "is torn", "mend it"), 3, "dkd: error: a.csv:3: is torn; mend it\n"),
        (NumericError("step 3", "two\nlines", "x"), 6, "dkd: error: step 3: two lines; x\n"),
        (KeyboardInterrupt(), 130, "dkd: interrupted\n"),
        (Stopped(15), 143, "dkd: stopped by SIGTERM; completed work is kept\n"),
        (
            Stopped(2, "saved at step 9"),
            130,
            "dkd: stopped by SIGINT, saved at step 9; rerun the same command to resume\n",
        ),
        (
            ValueError("oh"),
            1,
            "dkd: error: dkd: unexpected ValueError: oh; run it again with --debug and .+\n",
        ),
    ],
)
def test_errors_of_commands_are_a_line_and_a_code(
    error: BaseException,
    code: int,
    said: str,
    calls: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(sys.modules["dkd_cli.commands.evaluate"], "evaluate", fail)
    assert dkd("evaluate", "a") == code
    assert re.fullmatch(said, capsys.readouterr().err)
    assert dkd("evaluate", "a", "--debug") == code
    shown = capsys.readouterr().err
    assert isinstance(error, (KeyboardInterrupt, Stopped)) or shown.startswith("Traceback")


@pytest.mark.parametrize(
    ("words", "folders"),
    [
        (["train-teacher"], ["teacher-small", "teacher-large"]),
        (["train-teacher", "--teacher", "small"], ["teacher-small"]),
        (
            ["distill", "--strategy", "dynamic-data,dynamic-teacher"],
            ["student-dynamic-teacher_dynamic-data-seed1"],
        ),
        (["distill", "--seed", "1,2"], ["student-static-seed1", "student-static-seed2"]),
    ],
)
def test_a_dry_run_prints_the_recipe_and_the_folders_and_makes_none(
    words: Sequence[str], folders: Sequence[str], workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dkd(*words, "--dry-run") == 0
    shown = capsys.readouterr().out
    for folder in folders:
        assert f"would write checkpoints/quickstart/{folder}\n" in shown
    first = shown.split("\n\n")[0]
    assert parse_recipe(first, "shown").name == "quickstart"
    assert list(workdir.iterdir()) == []


def test_recipes_list_names_each_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert dkd("recipes", "list") == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("quickstart", "glue-rte", "bert-base-uncased", "nyu-mll/glue rte"))


def test_recipes_show_copy_and_check(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dkd("recipes", "show", "glue-rte") == 0
    shown = capsys.readouterr().out
    assert dkd("recipes", "copy", "glue-rte") == 0
    copy = workdir / "glue-rte.yaml"
    assert copy.read_text(encoding="utf-8") == shown
    copy.write_text(shown.replace("name: glue-rte", "name: mine"), encoding="utf-8")
    capsys.readouterr()
    assert dkd("recipes", "copy", "glue-rte") == 2
    said = "dkd: error: glue-rte.yaml: is there already; name another file or remove glue-rte.yaml\n"
    assert capsys.readouterr() == ("", said)
    assert dkd("recipes", "copy", "glue-rte", "no/x.yaml") == 2
    assert capsys.readouterr().err.startswith("dkd: error: no/x.yaml: cannot be written")
    assert load_recipe("glue-rte.yaml").name == "mine"
    assert dkd("recipes", "check", "--no-data", "glue-rte.yaml", "quickstart") == 0
    assert capsys.readouterr().out == "glue-rte.yaml: OK\nquickstart: OK\n"


def test_check_tells_the_right_ones_from_the_wrong(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workdir / "a.yaml").write_text("name: x\nmodel: m\ndata: {source: s}\n\nnam: x\n", encoding="utf-8")
    (workdir / "b.yaml").write_text("", encoding="utf-8")
    assert dkd("recipes", "check", "--no-data", "a.yaml", "quickstart", "b.yaml") == 2
    out, err = capsys.readouterr()
    assert out == "quickstart: OK\n"
    assert [line.split(": ")[2] for line in err.splitlines()] == ["a.yaml:5", "b.yaml:1"]


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert dkd("--version") == 0
    assert capsys.readouterr().out == f"dkd {__version__}\n"
    assert dkd() == 0
    assert "dkd train-teacher" in capsys.readouterr().out


# The options are what users' scripts hold on to: a change here is a change of the contract.
RECIPE_OPTIONS = "--set --seed --output-dir --dry-run --quiet"
SURFACE = {
    "train-teacher": f"{RECIPE_OPTIONS} --sweep --teacher --fresh",
    "distill": f"{RECIPE_OPTIONS} --sweep --strategy --fresh --no-cache",
    "select-data": f"{RECIPE_OPTIONS} --model --score --ratio --count --balanced --output",
    "augment": "--show --set --output --output-dir --quiet",
    "evaluate": "--recipe --split --predictions --output --quiet --no-timing",
    "export": "--format --quantize --tolerance --max-loss --recipe --output --quiet",
    "cascade": "--agreement --loss --confidence --split --recipe --output --quiet",
    "predict": "--else --format --encoding --text --text-pair --keep --with-text --output --json "
    "--all-probabilities --batch-size --quiet",
}


@pytest.mark.parametrize("command", SURFACE)
def test_the_options_of_each_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dkd(command, "--help") == 0
    listed = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", capsys.readouterr().out, flags=re.MULTILINE)
    assert set(listed) - {"--help"} == set(SURFACE[command].split())


def test_help_is_fast_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from dkd_cli.cli import run\n"
        "try: run(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pydantic', 'yaml', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    seconds = []  # of the processor: another program's load is not the command's fault
    for _ in range(3):
        started = os.times()
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
        )
        ended = os.times()
        seconds.append(sum(ended[2:4]) - sum(started[2:4]))
        assert done.returncode == 0, done.stderr
    assert min(seconds) < 0.4
