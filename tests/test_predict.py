"""`dkd predict`: the same answers from checkpoints and exports, from any format, in order."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import Said, heard
from conftest import ROOT, tiny_rows
from exported import export_both
from small import save_classifier
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from dkd_cli.engine.method.uncertainty import entropy

TEXTS = [" ".join(text.split()[: 1 + i % 9]) for i, (text, _) in enumerate(tiny_rows()[:40])]


@pytest.fixture(scope="module")
def models(
    tmp_path_factory: pytest.TempPathFactory, build_encoder: Callable[[int], Path], tiny_csv: Path
) -> Path:
    """`student` and its exports; do not write into it."""
    return export_both(tmp_path_factory.mktemp("models"), build_encoder(1), tiny_csv).parent


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """`typed(text, *words)`: `dkd predict` with that on stdin."""

    def run(text: str, *words: str | Path) -> Said:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        return heard("predict", *words)

    return run


def rows(said: Said) -> list[dict[str, str]]:
    assert (said.code, said.err) == (0, "")
    return list(csv.DictReader(io.StringIO(said.out)))


def expected(folder: Path, temperature: float = 1.0) -> torch.Tensor:
    """Logits [N, C] of `TEXTS` one by one over a temperature, by transformers alone."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = [model(**tokenizer(text, return_tensors="pt")).logits for text in TEXTS]
    return torch.cat(logits) / temperature


@pytest.mark.parametrize("model", ["student", "student-onnx"])
def test_answers_are_those_of_transformers(models: Path, typed: Callable[..., Said], model: str) -> None:
    said = rows(typed("\n".join(TEXTS), models / model, "--all-probabilities", "--batch-size", "7"))
    logits = expected(models / "student")
    # bf16, where the machine has it, for the checkpoint
    close = 1e-4 if model == "student-onnx" else 2e-2
    probabilities = np.array([[float(one["p(positive)"]), float(one["p(negative)"])] for one in said])
    np.testing.assert_allclose(probabilities, logits.softmax(-1).numpy(), atol=close)
    uncertainty = np.array([float(one["uncertainty"]) for one in said])
    np.testing.assert_allclose(uncertainty, entropy(logits).numpy(), atol=2 * close)
    for one in said:
        assert float(one["probability"]) == float(one[f"p({one['label']})"]) >= 0.5


@pytest.mark.parametrize("name", ["student-onnx", "pkg://packed/student", "pkg://packed/student-onnx"])
def test_the_temperature_counts(
    models: Path, typed: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    package = tmp_path / "packed"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(package)
    source = name.rpartition("/")[2]
    folder = Path(shutil.copytree(models / source, package / source))
    (folder / "calibration.json").write_text('{"temperature": 2.5}')
    said = rows(typed("\n".join(TEXTS), name))
    wanted = expected(models / "student", 2.5).softmax(-1).amax(-1).numpy()
    np.testing.assert_allclose([float(one["probability"]) for one in said], wanted, atol=2e-3)


def test_every_format_gives_the_same_answers(
    models: Path, typed: Callable[..., Said], tmp_path: Path
) -> None:
    files = {
        "csv": "id,text\n" + "".join(f'1,"{text}"\n' for text in TEXTS),
        "tsv": "text\tid\n" + "".join(f"{text}\t1\n" for text in TEXTS),
        "jsonl": "".join(json.dumps({"text": text}) + "\n" for text in TEXTS),
        "txt": "\n".join(TEXTS),
    }
    answers = []
    for suffix, content in files.items():
        path = tmp_path / f"texts.{suffix}"
        path.write_text(content)
        answers.append(heard("predict", models / "student-onnx", path).out)
        format = "lines" if suffix == "txt" else suffix
        answers.append(typed(content, models / "student-onnx", "-", "--format", format).out)
    assert len(answers[0].splitlines()) == len(TEXTS) + 1
    assert set(answers) == {answers[0]}


def test_json_lines_and_files(models: Path, typed: Callable[..., Said], tmp_path: Path) -> None:
    printed = typed("one\ntwo\n", models / "student-onnx-int8", "--json")
    first, second = map(json.loads, printed.out.splitlines())
    assert list(first) == ["label", "probability", "uncertainty"]
    target = tmp_path / "answers.jsonl"
    said = typed("one\ntwo\n", models / "student-onnx-int8", "--output", target)
    assert [json.loads(line) for line in target.read_text().splitlines()] == [first, second]
    assert (said.code, "2 answers" in said.out) == (0, True)


def test_a_file_is_written_whole_or_not_at_all(
    models: Path, typed: Callable[..., Said], tmp_path: Path
) -> None:
    target = tmp_path / "answers.csv"
    target.write_text("older")
    content = "text\n" + "".join(f"{text}\n" for text in TEXTS) + "one,too many\n"
    said = typed(content, models / "student-onnx", "--format", "csv", "--batch-size", "1", "--output", target)
    assert (said.code, len(said.err.splitlines())) == (3, 1)
    assert "stdin:42: 2 columns" in said.err
    assert target.read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["answers.csv"]


def test_a_number_is_a_number(tmp_path: Path, tiny_encoder: Path, typed: Callable[..., Said]) -> None:
    folder = save_classifier(tmp_path / "regression", tiny_encoder, ("score",))
    said = rows(typed("\n".join(TEXTS), folder))
    assert {tuple(one) for one in said} == {("prediction",)}
    wanted = expected(folder)[:, 0].numpy()
    np.testing.assert_allclose([float(one["prediction"]) for one in said], wanted, atol=0.02)  # bf16


def test_pairs_and_columns(models: Path, typed: Callable[..., Said]) -> None:
    content = "left,right\nfilm,story\nfilm,superb\n"
    words: list[Any] = ["--format", "csv", "--text", "left"]
    alone = rows(typed(content, models / "student-onnx", *words))
    assert alone[0] == alone[1]
    for model in ("student", "student-onnx"):
        paired = rows(typed(content, models / model, *words, "--text-pair", "right"))
        assert paired[0] != paired[1], model


def test_empty_and_long_texts_are_counted(models: Path, typed: Callable[..., Said]) -> None:
    said = typed("film\n\n" + 40 * "film " + "\n", models / "student-onnx")
    assert (said.code, len(said.out.splitlines())) == (0, 4)
    assert said.err.splitlines() == [
        "dkd: warning: 1 of 3 texts are empty, and were answered all the same",
        "dkd: warning: 1 of 3 texts were cut to 16 tokens",
    ]


def test_what_is_wrong_has_one_line(models: Path, typed: Callable[..., Said], tmp_path: Path) -> None:
    model, damaged = models / "student-onnx", tmp_path / "damaged"
    (tmp_path / "texts.xls").write_text("x")
    shutil.copytree(model, damaged)
    (damaged / "tokenizer.json").write_text("{")
    for words, code, told in (
        ((model, tmp_path / "none.csv"), 3, "cannot be read"),
        ((model, tmp_path / "texts.xls"), 2, "--format"),
        ((model, "-", "--format", "xls"), 2, "xls"),
        ((model, "-", "--output", tmp_path / "texts.xls" / "below"), 5, "cannot be written"),
        ((tmp_path / "none",), 4, "is not there"),
        ((damaged,), 4, "tokenizer.json"),
    ):
        said = typed("text\n", *words)
        assert (said.code, told in said.err, len(said.err.splitlines())) == (code, True, 1), said.err


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_an_export_answers_without_torch(models: Path) -> None:
    script = (
        "import sys\nfrom dkd_cli.cli import run\n"
        f"try:\n    run(['predict', {str(models / 'student-onnx')!r}])\n"
        "finally:\n    print(sorted({'torch', 'transformers', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input="film\n",
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@contextmanager
def waiting(models: Path) -> Iterator[subprocess.Popen[str]]:
    """`dkd predict` on a pipe: it has answered one text, and waits for more."""
    with subprocess.Popen(
        [sys.executable, "-m", "dkd_cli", "predict", str(models / "student-onnx")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("film\n")
        process.stdin.flush()
        assert process.stdout.readline() == "label,probability,uncertainty\n"
        assert process.stdout.readline().count(",") == 2
        yield process


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code and what it complained of, while nothing more comes and the pipe stays open."""
    assert process.stderr is not None
    return process.wait(timeout=60), process.stderr.read()


def test_answers_come_at_once_and_nobody_has_to_read_them_all(models: Path) -> None:
    with waiting(models) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        process.stdin.write("story\n" * 50)
        process.stdin.flush()
        assert ended(process) == (0, "")


def test_an_interrupt_ends_it_while_it_waits(models: Path) -> None:
    with waiting(models) as process:
        process.send_signal(signal.SIGINT)
        assert ended(process) == (130, "dkd: stopped by SIGINT; completed work is kept\n")


def test_a_terminal_is_told_that_texts_are_awaited(models: Path) -> None:
    ours, theirs = os.openpty()
    try:
        os.write(ours, b"a fine film\n\x04")
        command = [sys.executable, "-m", "dkd_cli", "predict", str(models / "student-onnx")]
        said = subprocess.run(command, stdin=theirs, capture_output=True, text=True, timeout=300, check=True)
    finally:
        os.close(ours)
        os.close(theirs)
    assert "reading them from the terminal, one a line, until Ctrl-D" in said.stderr
    assert len(said.stdout.splitlines()) == 2
