"""Files of class probabilities: every way to write one, looked up by id or text, or an error on its row."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from dkd_cli.data.examples import Split
from dkd_cli.data.probabilities import covered, of_labels, read_probabilities
from dkd_cli.errors import DataError, Problems, RecipeError

NAMES = ("bad", "fair", "good")
TEXTS = ("first text", "second text")
WANTED = [[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]]

Rows = Sequence[Mapping[str, Any]]


def split(pairs: Sequence[str] | None = None, texts: Sequence[str] = TEXTS) -> Split:
    return Split("train", texts, pairs, None, [f"id-{i}" for i in range(len(texts))])


def write(rows: Rows, name: str = "answers.jsonl") -> str:
    if name.endswith("parquet"):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), name)
    else:
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return name


def read(rows: Rows, name: str = "answers.jsonl", **other: Any) -> Any:
    settings: dict[str, Any] = {"split": split(), "label_names": NAMES, "own_labels": None} | other
    return read_probabilities(write(rows, name), key="teachers.llm", **settings)


def rows_of(*values: object) -> Rows:
    return [{"text": text, "probabilities": value} for text, value in zip(TEXTS, values, strict=False)]


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.parquet"])
@pytest.mark.parametrize(
    "answers",
    [
        [{"probabilities": value} for value in WANTED],
        [
            {"probabilities": {"good": 0.7, "bad": 0.1, "fair": 0.2}},
            {"probabilities": {"fair": 0.5, "bad": 0.5}},
        ],
        [dict(zip(NAMES, value, strict=True)) for value in WANTED],
        [{"probabilities": value, "label": "good", "bad": 0.0} for value in WANTED],
    ],
    ids=["lists", "mappings", "columns", "the distribution wins"],
)
def test_every_way_to_write_a_distribution(workdir: Path, name: str, answers: Rows) -> None:
    found = read([{"text": text, **row} for text, row in zip(TEXTS, answers, strict=True)], name)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, WANTED, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("a.csv", ["text,good,fair,bad", "first text,0.7,0.2,0.1", "second text,0,.5,5e-1"]),
        (
            "a.csv",
            ["text,label,p(bad),p(fair),p(good)", "first text,good,0.1,0.2,0.7", "second text,bad,0.5,0.5,0"],
        ),
        (
            "a.tsv",
            ["text\tprobabilities", "first text\t[0.1, 0.2, 0.7]", 'second text\t{"bad": 0.5, "fair": 0.5}'],
        ),
    ],
    ids=["columns", "as dkd predict writes them", "json"],
)
def test_csv_spells_numbers(workdir: Path, name: str, lines: Sequence[str]) -> None:
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = read_probabilities(name, split(), NAMES, None, "teachers.llm")
    np.testing.assert_allclose(found, WANTED, rtol=1e-6)


def test_a_cell_of_csv_that_is_no_number_is_named(workdir: Path) -> None:
    Path("a.csv").write_text("text,bad,fair,good\nfirst text,0.1,0.2,much\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"^a\.csv:2: 'much' is no number"):
        read_probabilities("a.csv", split(), NAMES, None, "teachers.llm")


def test_rows_that_a_file_has_are_found_by_id_text_or_pair(workdir: Path) -> None:
    path = write([{"text": TEXTS[1], "probabilities": WANTED[1]}])
    assert covered(path, split(), "teachers.llm") == [False, True]
    path = write([{"example_id": "id-0", "text": "x", "probabilities": WANTED[1]}])
    assert covered(path, split(), "teachers.llm") == [True, False]
    path = write([{"text": "one", "text_pair": "b", "probabilities": WANTED[1]}])
    assert covered(path, split(["a", "b"], ["one", "one"]), "teachers.llm") == [False, True]


def test_labels_are_certain_probabilities() -> None:
    assert of_labels([1, -1], 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert of_labels([[1, 0, 1], [0, 0, 0]], 3).tolist() == [[1, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("labels", "names"),
    [(("good", "bad"), NAMES), ((2, 0), NAMES), ((True, False), ("false", "unsure", "true"))],
)
def test_a_hard_answer_has_probability_one(
    workdir: Path, labels: tuple[object, ...], names: tuple[str, ...]
) -> None:
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, labels, strict=True)]
    assert read(rows, label_names=names).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_lists_follow_the_teachers_own_order(workdir: Path) -> None:
    found = read(rows_of([0.7, 0.1, 0.2], [0, 0.5, 0.5]), own_labels=("good", "bad", "fair"))
    np.testing.assert_allclose(found, WANTED, rtol=1e-6)
    with pytest.raises(RecipeError, match=r"^teachers\.llm\.labels: names good, bad, the task has bad, fair"):
        read(rows_of([0.7, 0.3], [1, 0]), own_labels=("good", "bad"))


@pytest.mark.parametrize("values", [[1 / 3 + 3e-4] * 3, [0.333] * 3])
def test_rounding_is_taken_away(workdir: Path, values: list[float]) -> None:
    found = read(rows_of(values, [1, 0, 0]))
    np.testing.assert_allclose(found[0], 1 / 3, rtol=1e-6)


def test_rows_come_in_the_order_of_the_split(workdir: Path) -> None:
    rows = [
        *reversed(rows_of(*WANTED)),
        {"text": "unknown", "probabilities": [0, 0, 1]},
        rows_of(WANTED[0])[0],
    ]
    again = split(texts=[TEXTS[1], TEXTS[0], TEXTS[1]])
    np.testing.assert_allclose(read(rows, split=again), [WANTED[1], WANTED[0], WANTED[1]], rtol=1e-6)


def test_ids_win_over_texts_and_pairs_are_looked_up_whole(workdir: Path) -> None:
    by_id = [{"example_id": f"id-{i}", "text": "x", "probabilities": value} for i, value in enumerate(WANTED)]
    np.testing.assert_allclose(read(by_id), WANTED, rtol=1e-6)
    pairs = [
        {"text": "one", "text_pair": pair, "probabilities": v} for pair, v in zip("ab", WANTED, strict=True)
    ]
    same = split(["a", "b"], ["one", "one"])
    np.testing.assert_allclose(read(pairs, split=same), WANTED, rtol=1e-6)
    with pytest.raises(DataError, match="there is no column 'text_pair'"):
        read(rows_of(*WANTED), split=same)


def test_a_file_inside_a_package(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workdir / "some_answers").mkdir()
    write(rows_of(*WANTED), "some_answers/llm.jsonl")
    monkeypatch.syspath_prepend(str(workdir))
    found = read_probabilities("pkg://some_answers/llm.jsonl", split(), NAMES, None, "teachers.llm")
    np.testing.assert_allclose(found, WANTED, rtol=1e-6)


BAD: list[tuple[str, Rows, str]] = [
    ("nan", rows_of(WANTED[0], [float("nan"), 0, 1]), "answers.jsonl:2: a probability is not finite"),
    ("inf", rows_of([1e999, -1e999, 1]), "answers.jsonl:1: a probability is not finite"),
    (
        "negative",
        rows_of([-0.5, 0.5, 1]),
        "answers.jsonl:1: a probability is -0.5; write numbers from 0 to 1",
    ),
    ("sum", rows_of(WANTED[0], [0.5, 0.4, 0.2]), "answers.jsonl:2: the probabilities sum to 1.1;"),
    ("percent", rows_of([50, 30, 20]), "answers.jsonl:1: the probabilities sum to 100;"),
    ("length", rows_of([0.5, 0.5]), "answers.jsonl:1: 2 probabilities where there are 3 classes;"),
    ("class", rows_of({"bad": 0.5, "fine": 0.5}), "answers.jsonl:1: 'fine' is not one of the classes;"),
    ("text", rows_of(["0.5", "0.5", "0"]), "answers.jsonl:1: '0.5' is no number;"),
    ("boolean", rows_of([False, False, True]), "answers.jsonl:1: False is no number;"),
    ("null", rows_of([None, 0.5, 0.5]), "answers.jsonl:1: None is no number;"),
    ("no list", rows_of(0.5), "answers.jsonl:1: 0.5 is neither a list nor a mapping of probabilities;"),
    ("empty", rows_of({}), "answers.jsonl:1: the probabilities sum to 0;"),
    ("one class short", [{"text": "x", "bad": 0.5, "good": 0.5}], "answers.jsonl: there is no column 'fair'"),
    (
        "hard",
        [{"text": "x", "label": "god"}],
        "answers.jsonl:1: 'god' is not one of the classes; did you mean",
    ),
    ("no answer", [{"text": "x", "label": None}], "answers.jsonl:1: the label is missing"),
    (
        "no answers",
        [{"text": "x", "score": 1}],
        "answers.jsonl: has no answers: its columns are text, score;",
    ),
    ("no key", [{"probabilities": WANTED[0]}], "answers.jsonl: says not which examples its rows are for:"),
    ("key", [{"text": 7, "probabilities": WANTED[0]}], "answers.jsonl:1: text must be text, not 7"),
    (
        "contradiction",
        [*rows_of(*WANTED), {"text": TEXTS[0], "probabilities": WANTED[1]}],
        "answers.jsonl:3: another answer for 'first text' than answers.jsonl:1 gives;",
    ),
    (
        "incomplete",
        rows_of(WANTED[0]),
        "answers.jsonl: 1 of 2 training examples have no answer, first: 'second text' (example_id id-1);",
    ),
]


@pytest.mark.parametrize(("rows", "line"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_answers(workdir: Path, rows: Rows, line: str) -> None:
    with pytest.raises(DataError, match="^" + re.escape(line)) as caught:
        read(rows)
    assert "\n" not in str(caught.value)


def test_five_problems_of_each_kind_at_most(workdir: Path) -> None:
    def rows(*values: list[float]) -> Rows:
        return [{"text": str(i), "probabilities": value} for i, value in enumerate(values)]

    with pytest.raises(Problems) as caught:
        read(rows(*[[-1.0, 1, 1]] * 7, *[[1.0, 1, 1]] * 7))
    assert [error.place for error in caught.value.errors] == [
        f"answers.jsonl:{line}" for line in (*range(1, 6), *range(8, 13))
    ]
    with pytest.raises(Problems) as caught:
        read(rows(*[[0.0, 1]] * 7))
    assert len(caught.value.errors) == 5


@pytest.mark.parametrize(
    ("reference", "line"),
    [
        ("answers.txt", "answers.txt: not a jsonl, parquet, csv or tsv file; name one in teachers.llm."),
        ("nowhere.jsonl", "nowhere.jsonl: there is no such file"),
        ("pkg://no_such_package/a.jsonl", "pkg://no_such_package/a.jsonl: the package"),
    ],
)
def test_bad_files(workdir: Path, reference: str, line: str) -> None:
    Path("answers.txt").write_text("text,label\nx,bad\n")
    with pytest.raises(DataError, match="^" + re.escape(line)):
        read_probabilities(reference, split(), NAMES, None, "teachers.llm")
