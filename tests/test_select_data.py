"""`select_data`: which examples it keeps, what it writes, and what it refuses before any work."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TinyRecipe
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from small import LABELS, encoded, save_classifier, seen

from dkd_cli.commands.select_data import choose, select_data
from dkd_cli.data.sources import load_task_data
from dkd_cli.engine.method.selection import informativeness
from dkd_cli.engine.method.uncertainty import SCORES
from dkd_cli.engine.models.inference import predict_logits
from dkd_cli.engine.models.models import load_classifier
from dkd_cli.errors import DkdError, ModelError, RecipeError, SystemProblem
from dkd_cli.recipe.loader import load_recipe
from dkd_cli.recipe.schema import Recipe
from dkd_cli.report.terminal import Terminal


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> str:
    return str(save_classifier(tmp_path_factory.mktemp("scorer"), tiny_encoder, LABELS))


@pytest.fixture
def recipe(tiny_recipe: TinyRecipe) -> Recipe:
    return load_recipe(str(tiny_recipe()))


def select(recipe: Recipe, model: str | None, **options: Any) -> str:
    """Run the command; what it said."""
    stream = io.StringIO()
    settings = {"score": "entropy", "ratio": None, "count": None, "balanced": False, "output": None} | options
    terminal = Terminal(console=Console(file=stream, force_terminal=False))
    select_data(recipe, model=model, terminal=terminal, typed=" mine.yaml", **settings)
    return stream.getvalue()


def folder(recipe: Recipe) -> Path:
    return Path(recipe.output_dir) / recipe.name


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def scored(recipe: Recipe, model: str, score: str = "entropy") -> dict[str, float]:
    """The score of each training example, by its id, computed here."""
    data = load_task_data(recipe.data)
    pool = data.splits["train"]
    tokens, collator = encoded(Path(model), pool)
    loaded = load_classifier(model, data).model
    logits = predict_logits(loaded, tokens, collator, batch_size=8, precision="fp32")
    assert pool.labels is not None
    values = informativeness(score, seen(logits, torch.tensor(pool.labels))).tolist()
    return dict(zip(pool.example_ids, values, strict=True))


# What is written -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["entropy", "margin-r", "label-loss"])
def test_the_most_informative_come_first(recipe: Recipe, scorer: str, score: str) -> None:
    said = select(recipe, scorer, score=score, count=10)
    values = scored(recipe, scorer, score)
    kept = [row["example_id"] for row in written(folder(recipe) / f"selected-{score}-10.jsonl")]
    assert len(set(kept)) == 10
    found = [values[one] for one in kept]
    assert found == pytest.approx(sorted(values.values(), reverse=True)[:10], abs=1e-5)
    assert f"{score} of {len(values)} training examples" in said
    assert f"10 of {len(values)} kept" in said


def test_three_files_and_no_more(recipe: Recipe, scorer: str) -> None:
    select(recipe, scorer, ratio=0.25)
    pool = load_task_data(recipe.data).splits["train"]
    size = len(pool) // 4
    name = f"selected-entropy-{size}"
    assert sorted(path.name for path in folder(recipe).iterdir()) == [
        f"{name}.jsonl",
        f"{name}.scores.csv",
        f"{name}.summary.json",
    ]
    rows = written(folder(recipe) / f"{name}.jsonl")
    texts = dict(zip(pool.example_ids, pool.texts, strict=True))
    assert len(rows) == size
    for row in rows:
        assert set(row) == {"example_id", "text", "label"}
        assert row["text"] == texts[row["example_id"]]
        assert row["label"] in LABELS
    with (folder(recipe) / f"{name}.scores.csv").open() as handle:
        table = list(csv.DictReader(handle))
    values = [float(row["score"]) for row in table]
    assert values == sorted(values, reverse=True)
    assert {row["example_id"] for row in table} == set(pool.example_ids)
    assert {row["example_id"] for row in table if row["kept"] == "1"} == {row["example_id"] for row in rows}
    summary = json.loads((folder(recipe) / f"{name}.summary.json").read_text())
    kept = Counter(row["label"] for row in rows)
    assert pool.labels is not None
    total = Counter(LABELS[int(label)] for label in pool.labels)
    assert summary["classes"] == {
        label: {"kept": kept[label], "dropped": total[label] - kept[label]} for label in LABELS
    }
    assert (summary["model"], summary["score"], summary["size"]) == (scorer, "entropy", size)


def test_the_file_can_be_trained_on(recipe: Recipe, scorer: str, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "informative.jsonl"
    said = select(recipe, scorer, count=12, output=output)
    before = load_task_data(recipe.data)
    named = next(line for line in said.splitlines() if line.startswith("next: "))
    words = shlex.split(named.removeprefix("next: dkd distill mine.yaml "))
    assert set(words[::2]) == {"--set"}
    overrides = words[1::2]
    teachers = [
        f"teachers.{name}.checkpoint={folder(recipe) / f'teacher-{name}'}" for name in ("small", "large")
    ]
    assert overrides == [f"data.train={output}", "name=tiny-informative", *teachers]
    again = load_recipe(str(tmp_path / "tiny.yaml"), overrides)
    after = load_task_data(again.data)
    assert sorted(after.splits["train"].example_ids) == sorted(row["example_id"] for row in written(output))
    for name in ("validation", "test"):
        assert after.splits[name] == before.splits[name]
    assert after.label_names == before.label_names


def test_rows_without_a_label_that_were_not_selected_stay_out(
    tiny_recipe: TinyRecipe, scorer: str, tiny_csv: Path, tmp_path: Path
) -> None:
    head, *lines = tiny_csv.read_text(encoding="utf-8").splitlines()
    lines[:30] = [line.rpartition(",")[0] + "," for line in lines[:30]]
    (tmp_path / "some.csv").write_text("\n".join([head, *lines]), encoding="utf-8")
    given = {"source": str(tmp_path / "some.csv"), "missing_labels": "transfer"}
    recipe = load_recipe(str(tiny_recipe({"data": given})))
    said = select(recipe, scorer, count=5)
    named = next(line for line in said.splitlines() if line.startswith("next: "))
    overrides = shlex.split(named.removeprefix("next: dkd distill mine.yaml "))[1::2]
    transfer = load_task_data(load_recipe(str(tmp_path / "tiny.yaml"), overrides).data).transfer
    assert transfer is not None
    chosen = written(folder(recipe) / "selected-entropy-5.jsonl")
    assert sorted(transfer.texts) == sorted(row["text"] for row in chosen)


def test_balanced_keeps_as_many_of_each_class(recipe: Recipe, scorer: str) -> None:
    select(recipe, scorer, score="label-loss", count=20, balanced=True)
    rows = written(folder(recipe) / "selected-label-loss-20.jsonl")
    assert Counter(row["label"] for row in rows) == {"negative": 10, "positive": 10}
    values = scored(recipe, scorer, "label-loss")
    found = [values[row["example_id"]] for row in rows]
    assert found == pytest.approx(sorted(found, reverse=True), abs=1e-5)


def test_random_repeats_with_the_seed(tiny_recipe: TinyRecipe, scorer: str, tmp_path: Path) -> None:
    def drawn(seed: int, name: str) -> list[str]:
        recipe = load_recipe(str(tiny_recipe({"train": {"seed": seed}})))
        select(recipe, scorer, score="random", count=20, output=tmp_path / f"{name}.jsonl")
        return [row["example_id"] for row in written(tmp_path / f"{name}.jsonl")]

    assert drawn(1, "a") == drawn(1, "b") != drawn(2, "c")


def test_pairs_and_numbers(tiny_recipe: TinyRecipe, tiny_encoder: Path, tmp_path: Path) -> None:
    rows = [{"first": f"film {i} good", "second": f"story {i**2} dull", "grade": i / 10} for i in range(40)]
    source = tmp_path / "graded.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"text": "first", "text_pair": "second", "label": "grade", "kind": "regression"}
    recipe = load_recipe(str(tiny_recipe({"data": {"source": str(source)} | columns})))
    model = str(save_classifier(tmp_path / "grader", tiny_encoder, ("grade",)))
    select(recipe, model, score="label-loss", count=5)
    kept = written(folder(recipe) / "selected-label-loss-5.jsonl")
    assert len(kept) == 5
    original = {(row["first"], row["second"], row["grade"]) for row in rows}
    assert {(row["first"], row["second"], row["grade"]) for row in kept} <= original
    with pytest.raises(RecipeError, match="class probabilities"):
        select(recipe, model, score="entropy", count=5)


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    share=st.floats(0, 1, exclude_min=True),
    seed=st.randoms(use_true_random=False),
)
def test_balanced_is_as_even_as_the_classes_allow(labels: list[int], share: float, seed: Any) -> None:
    ranked = list(range(len(labels)))
    seed.shuffle(ranked)
    size = max(1, int(share * len(labels)))
    taken = choose(ranked, size, labels)
    assert len(set(taken)) == len(taken) == size
    assert [row for row in ranked if row in set(taken)] == taken, "in the order of the ranking"
    left, counts = Counter(labels), Counter(labels[row] for row in taken)
    for label in counts:
        for other in left:
            short = counts[label] > counts[other] + 1
            assert not short or counts[other] == left[other], "fewer of a class only where it ran out"
        best = [row for row in ranked if labels[row] == label][: counts[label]]
        assert [row for row in taken if labels[row] == label] == best


# What is refused -----------------------------------------------------------------------------------------


def line(call: Any) -> DkdError:
    with pytest.raises(DkdError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_missing_teacher_names_the_command(recipe: Recipe) -> None:
    error = line(lambda: select(recipe, None, ratio=0.5))
    assert isinstance(error, ModelError)
    assert error.place == "teachers.large"
    assert error.remedy.startswith("make it with `dkd train-teacher mine.yaml`")


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"count": 1000}, "--count"),
        ({"ratio": 0.5, "output": Path("selected.csv")}, "--output"),
        ({"ratio": 0.5, "score": "none"}, "--score"),
    ],
)
def test_bad_options_are_refused_before_a_model_is_loaded(
    recipe: Recipe, options: dict[str, Any], place: str
) -> None:
    assert line(lambda: select(recipe, "./nowhere", **options)).place == place
    assert not folder(recipe).exists()


def test_without_any_teacher_a_model_must_be_named(tiny_recipe: TinyRecipe) -> None:
    recipe = load_recipe(str(tiny_recipe({"teachers": None, "strategy": {"name": "none"}})), ["teachers={}"])
    assert line(lambda: select(recipe, None, ratio=0.5)).place == "--model"


def test_another_selection_is_not_overwritten(recipe: Recipe, scorer: str, tmp_path: Path) -> None:
    output = tmp_path / "mine.jsonl"
    select(recipe, scorer, count=5, output=output)
    before = output.read_text()
    select(recipe, scorer, count=5, output=output)
    assert output.read_text() == before
    for other in ({"count": 6}, {"count": 5, "score": "margin"}, {"count": 5, "balanced": True}):
        error = line(lambda other=other: select(recipe, scorer, output=output, **other))
        assert isinstance(error, SystemProblem)
    stranger = tmp_path / "stranger.jsonl"
    stranger.write_text("{}")
    assert isinstance(line(lambda: select(recipe, scorer, count=5, output=stranger)), SystemProblem)
    assert (output.read_text(), stranger.read_text()) == (before, "{}")


@pytest.mark.parametrize(
    "score", [*SCORES, "entropy-r", "label-loss", "label-loss-r", "label-loss-b", "random"]
)
def test_every_score_selects(recipe: Recipe, scorer: str, score: str) -> None:
    select(recipe, scorer, score=score, count=3)
    assert len(written(folder(recipe) / f"selected-{score}-3.jsonl")) == 3


def test_a_class_that_is_lost_is_named(
    recipe: Recipe, scorer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    select(recipe, scorer, count=1)
    (row,) = written(folder(recipe) / "selected-entropy-1.jsonl")
    (lost,) = set(LABELS) - {row["label"]}
    assert f"no example of {lost} is kept" in capsys.readouterr().err
    select(recipe, scorer, count=10, balanced=True)
    assert capsys.readouterr().err == ""
