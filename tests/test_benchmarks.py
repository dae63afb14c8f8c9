"""The benchmarks run and say what they are to say; how fast anything is is none of a test's business."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import NEUTRAL, tiny_rows
from data_samples import write_parquet
from transformers import AutoTokenizer

from benchmarks import choosing, curves, naive, processes, selecting
from benchmarks.__main__ import main
from benchmarks.bars import Bar, bars
from benchmarks.clock import Contestant, Spread, ratio, take_turns
from benchmarks.processes import Watched, watch
from benchmarks.selecting import pool_texts
from benchmarks.setting import telling_seed
from benchmarks.steps import NAMES
from dkd_cli import cli
from dkd_cli.data.encoding import encode, length_grouped_order
from dkd_cli.data.examples import Split


@pytest.fixture(scope="module")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RTE and SST-2 in the hub's layout, of tiny texts of different lengths."""
    folder = tmp_path_factory.mktemp("glue")
    texts = [" ".join(text.split()[: 2 + 3 * i % 7]) for i, (text, _) in enumerate(tiny_rows())]
    texts = [f"{text} {word}" for text, word in zip(texts, itertools.cycle(NEUTRAL.split()), strict=False)]
    columns: dict[str, dict[str, Any]] = {
        "rte": {"sentence1": texts, "sentence2": texts[::-1]},
        "sst2": {"sentence": texts},
    }
    names = {"rte": ("entailment", "not_entailment"), "sst2": ("negative", "positive")}
    page = "---\nconfigs:\n"
    for task, own in columns.items():
        page += f"- config_name: {task}\n  data_files:\n"
        for split in ("train", "validation"):
            labels = [i % 2 for i in range(len(texts))]
            path = folder / task / f"{split}-00000-of-00001.parquet"
            write_parquet(path, own | {"label": labels}, names[task])
            page += f"  - {{split: {split}, path: {task}/{split}-*}}\n"
    (folder / "README.md").write_text(f"{page}---\n")
    return folder


@pytest.fixture
def bench(
    glue: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """`bench("--only", "bare")` -> what was written."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def run(*words: str) -> Any:
        output = tmp_path / "results.json"
        sizes = ["--batch-size", "4", "--max-length", "24", "--output", str(output), "--quick"]
        main([*words, "--data", str(glue), "--model", str(tiny_encoder), *sizes])
        return json.loads(output.read_text())

    return run


def test_a_contestant_is_timed(bench: Callable[..., Any]) -> None:
    found = bench("--only", "rte/bare-frozen", "--repeats", "2", "--steps", "1")
    assert list(found["milliseconds"]) == ["rte/bare-frozen"]
    assert all(len(values) == 2 and min(values) > 0 for values in found["milliseconds"].values())


@pytest.mark.bench
def test_every_contestant_is_timed(bench: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    found = bench("--only", "rte/", "--only", "sst2/", "--repeats", "2", "--steps", "2")
    every = {f"{task}/{name}" for task, names in NAMES.items() for name in names}
    assert every - set(found["milliseconds"]) <= {"rte/products-bf16", "rte/products-fp16"}
    assert all(len(values) == 2 and min(values) > 0 for values in found["milliseconds"].values())
    measured = {bar["what"]: bar["measured"] for bar in found["bars"]}
    stepwise = [value for what, value in measured.items() if "over" in what and "sweep" not in what]
    assert sum(value is not None for value in stepwise) == 10
    assert {"machine", "threads", "versions", "command", "data"} <= set(found)
    said = capsys.readouterr().out
    assert "milliseconds a step" in said
    assert "naive over ours, two teachers" in said


def test_a_name_that_nothing_has_is_told(bench: Callable[..., Any]) -> None:
    with pytest.raises(SystemExit, match="nothing has brae in its name"):
        bench("--only", "brae")


def test_what_was_measured_is_kept_where_a_later_measurement_ends_it(
    bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(processes, "start_up", killed)
    with pytest.raises(KeyboardInterrupt):
        bench("--only", "rte/bare-frozen", "--only", "startup")
    kept = json.loads((tmp_path / "results.json").read_text())
    assert list(kept["milliseconds"]) == ["rte/bare-frozen"]
    assert kept["whole"] == {}


def watch_here(words: Sequence[str], environment: Mapping[str, str]) -> Watched:
    """`dkd` in this process, to be quick; anything else as usual."""
    if list(words[1:3]) != ["-m", "dkd_cli"]:
        return watch(words, environment)
    started = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            cli.run(list(words[3:]))
    assert ended.value.code == 0, words
    return Watched(time.monotonic() - started, 1.0, 1.0, "")


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("memory", {"bare peak", "no-cache peak", "cold peak", "warm peak"}),
        pytest.param("startup", {"first step", "imports", "beyond the imports"}, marks=pytest.mark.bench),
        pytest.param("sweep", {"sweep", "twelve bare runs", "allowed for"}, marks=pytest.mark.bench),
        ("select-data", {"scoring", "forward pass", "whole command over forward pass", "peak"}),
    ],
)
def test_whole_commands_are_measured(
    bench: Callable[..., Any], name: str, keys: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (processes, selecting):
        monkeypatch.setattr(module, "watch", watch_here)
    found = bench("--only", name, "--pool", "60")
    assert found["milliseconds"] == {}
    assert set(found["whole"]) == {name}
    assert keys <= set(found["whole"][name])
    assert any(bar["measured"] is not None for bar in found["bars"])


def test_memory_is_looked_at_from_outside() -> None:
    held = "import time; held = bytearray(b'x') * 2**28; time.sleep(0.3); print('done')"
    seen = watch([sys.executable, "-c", held], {})
    assert seen.output == "done\n"
    assert seen.seconds > 0.3
    assert 256 <= seen.peak_mb < 400
    assert seen.anonymous_mb is None or 256 <= seen.anonymous_mb <= seen.peak_mb


def test_a_command_that_fails_ends_it() -> None:
    with pytest.raises(SystemExit, match="failed"):
        watch([sys.executable, "-c", "raise SystemExit(3)"], {})


def test_turns_begin_with_another_each_time() -> None:
    order: list[str] = []

    def contestant(name: str) -> Contestant:
        return Contestant(name, "", lambda: order.append(name.upper()), lambda: order.append(name) or 1.0)

    figures = take_turns([contestant(name) for name in "abc"], 3, lambda line: None)
    assert "".join(order) == "ABC" + "abc" + "bca" + "cab"
    assert figures == {name: [1.0] * 3 for name in "abc"}


def test_ratios_are_taken_round_by_round() -> None:
    figures = {"a": [1.0, 4.0, 9.0], "b": [1.0, 2.0, 3.0]}
    assert ratio(figures, "a", "b") == Spread(median=2.0, lower=1.5, upper=2.5)
    assert ratio(figures, "a", "c") is None


def test_bars_know_which_way_is_better() -> None:
    assert Bar("", "at most", 1.0, 0.9).met is Bar("", "at least", 6.0, 6.1).met is True
    assert Bar("", "at most", 1.0, 1.1).met is Bar("", "at least", 6.0, 5.9).met is False
    assert Bar("", "at most", 1.0, None).met is None


def test_three_epochs_from_cold_are_one_cold_and_two_warm() -> None:
    figures = {"rte/two-teachers-cold": [7.0], "rte/two-teachers-warm": [1.0], "rte/bare": [1.0]}
    measured = {bar.what: bar.measured for bar in bars(figures, {})}
    assert measured["two teachers, 3 epochs from cold"] == 3.0
    assert measured["sweep over 12 bare runs and one pass"] is None


def test_pool_texts_are_all_different() -> None:
    texts = list(pool_texts(["a", "b", "c"], 8))
    assert texts == ["a", "b", "c", "1 a", "1 b", "1 c", "2 a", "2 b"]


def test_a_round_is_timed_in_parts(tiny_encoder: Path) -> None:
    texts, labels = zip(*tiny_rows(), strict=True)
    lines: list[str] = []
    ids = [int(label == "positive") for label in labels]
    found = choosing.choosing(list(texts), ids, str(tiny_encoder), 300, 20, lines.append)
    assert [line.split(":")[0] for line in lines] == ["tokenise", "train", "choose"]
    assert found["all"] == pytest.approx(found["tokenise"] + found["train"] + found["choose"])
    assert len(set(choosing.many_texts(list(texts), 300))) == 300


def test_the_seed_tells_of_the_whole_epoch(tiny_encoder: Path) -> None:
    texts = [" ".join(NEUTRAL.split()[: 1 + 7 * i % 23]) for i in range(400)]
    split = Split("train", texts, None, None, [str(i) for i in range(400)])
    encoded = encode(split, AutoTokenizer.from_pretrained(tiny_encoder), 32)

    def longest(seed: int) -> torch.Tensor:
        order = length_grouped_order(encoded.lengths, 8, seed, 0)
        return torch.tensor(encoded.lengths[order]).view(50, 8).amax(1).double()

    seed = telling_seed(encoded, 8, 5)
    distances = [abs(float(longest(one)[1:6].mean() - longest(one).mean())) for one in range(1, 33)]
    assert distances[seed - 1] == min(distances)
    with pytest.raises(SystemExit, match="too few"):
        telling_seed(encoded, 8, 50)


# The naive way is the method: its losses are those that ours are tested against, on equal outputs -----------


class Answers(torch.nn.Module):
    """A model that says what it was given."""

    def __init__(self, logits: torch.Tensor, hidden_states: list[torch.Tensor]) -> None:
        super().__init__()
        self.logits, self.hidden_states = logits, hidden_states

    def forward(self, **inputs: object) -> Answers:
        return self


def answers(layers: int, seed: int) -> Answers:
    torch.manual_seed(seed)
    return Answers(torch.randn(8, 2), [torch.randn(8, 3, 4) for _ in range(layers + 1)])


@pytest.mark.parametrize("strategy", ["dynamic-data", "dynamic-objective", "dynamic-teacher"])
def test_the_naive_losses_are_those_of_the_method(strategy: str) -> None:
    from dkd_cli.engine.method.distillation import StudentOutput, distillation_step
    from dkd_cli.engine.method.strategies import resolve
    from dkd_cli.recipe.loader import parse_recipe

    written = f"""
name: naive
model: somewhere
data: {{source: somewhere.csv}}
teachers: {{small: {{}}, large: {{}}}}
strategy:
  name: {strategy}
  teacher: {{mode: soft}}
  data: {{score: margin, ratio: 0.5}}
  objective: {{hidden_weight: {int(strategy == "dynamic-objective")}}}
"""
    plan = resolve(parse_recipe(written, "naive.yaml"))
    student, small, large = answers(2, 0), answers(4, 1), answers(4, 2)
    batch = {"labels": torch.arange(8) % 2}
    losses = {
        "dynamic-data": naive.data,
        "dynamic-objective": naive.objective,
        "dynamic-teacher": naive.two_teachers,
    }
    found = losses[strategy](student, [small, large], batch)

    class Bank:
        def logits(self, name: str, rows: torch.Tensor) -> torch.Tensor:
            return {"small": small, "large": large}[name].logits[rows]

        def common(self, name: str, rows: torch.Tensor) -> None:
            return None

        def hidden_states(self, name: str, rows: torch.Tensor) -> list[torch.Tensor]:
            return [large.hidden_states[layer][rows] for layer in (0, 2, 4)]

    output = StudentOutput(student.logits, torch.ones(8, 3), student.hidden_states)
    layers = {"large": (0, 1, 2), "small": (0, 1, 2)}
    ours = distillation_step(plan, output, batch["labels"], torch.arange(8), Bank(), layers)
    torch.testing.assert_close(found, ours.total)


@pytest.mark.slow
@pytest.mark.bench
def test_learning_curves_have_a_mean_for_each_cell(
    tiny_recipe: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny_recipe({"student": {"layers": 1}})
    words = ["--recipe", str(recipe), "--labels", "40", "--transfer", "0,30", "--layers", "1"]
    curves.main([*words, "--seeds", "1,2", "--updates", "4", "--output", str(tmp_path / "curves")])
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "| labels | layers | teacher | 0 transfer texts | 30 |"
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| 40"]
    assert all(0 <= float(cell) <= 1 for row in rows[2:] for cell in row.strip("| ").split(" | ")[2:])
    listed = json.loads((tmp_path / "curves" / "curves.json").read_text())
    assert [len(cell["scores"]) for cell in listed if cell["layers"]] == [2, 2]
