"""Static students deployed: trained by a command, then predicted with NumPy alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from architectures import save_architecture
from command_line import heard
from conftest import ROOT, tiny_rows, tiny_settings
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from dkd_cli.engine.deploy.load import load_predictor
from dkd_cli.engine.deploy.torch_predictor import torch_predictor
from dkd_cli.errors import ModelError

TEXTS = [text for text, _ in tiny_rows()[:20]] + ["", "a", "zzz ??? zzz", "word " * 40]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, tiny_csv: Path) -> Path:
    """Do not write into it."""
    return distilled(tmp_path_factory.mktemp("static"), tiny_encoder, tiny_csv)


@pytest.fixture(scope="module")
def of_a_decoder(tmp_path_factory: pytest.TempPathFactory, tiny_csv: Path) -> Path:
    """Its tokenizer adds no special tokens, so that an empty text has no token at all."""
    folder = tmp_path_factory.mktemp("decoder")
    return distilled(folder, save_architecture(folder / "gpt2", "gpt2"), tiny_csv)


def distilled(folder: Path, source: Path, texts: Path) -> Path:
    """A static student with the token vectors of a model."""
    settings = tiny_settings(source, texts, folder / "checkpoints")
    settings["student"] = {"family": "static", "convolutions": [1, 3], "filters": 16, "epochs": 20}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    said = heard("distill", folder / "tiny.yaml", "--strategy", "none")
    assert (said.code, said.err) == (0, ""), said
    return folder / "checkpoints" / "tiny" / "student-none-seed1"


@pytest.mark.parametrize("name", ["student", "of_a_decoder"])
def test_it_predicts_what_torch_predicts(request: pytest.FixtureRequest, name: str) -> None:
    student = request.getfixturevalue(name)
    own, reference = load_predictor(str(student)), torch_predictor(str(student))
    assert (own.labels, own.text, own.text_pair, own.max_length) == (
        reference.labels,
        reference.text,
        reference.text_pair,
        reference.max_length,
    )
    found, truncated = own.logits(TEXTS, None)
    expected, truncated_there = reference.logits(TEXTS, None)
    assert np.allclose(found, expected, atol=1e-5)
    assert truncated == truncated_there == 1


def test_pairs_are_read_as_one_sequence(student: Path) -> None:
    found, _ = load_predictor(str(student)).logits(["a story", ""], ["superb film", "boring"])
    expected, _ = torch_predictor(str(student)).logits(["a story", ""], ["superb film", "boring"])
    assert np.allclose(found, expected, atol=1e-5)


def test_answering_imports_little() -> None:
    heavy = {"torch", "transformers", "onnxruntime", "pydantic", "rich", "scipy", "sklearn", "pandas", "yaml"}
    code = f"import sys, dkd_cli.pipeline.answering\nprint(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr


def test_no_torch_is_imported(student: Path) -> None:
    code = (
        f"import sys\nfrom dkd_cli.cli import run\ntry:\n    run(['predict', {str(student)!r}])\n"
        "finally:\n"
        "    print(sorted({'torch', 'transformers', 'onnxruntime', 'rich', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input="a superb film\n", capture_output=True, text=True, cwd=ROOT
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "label,probability,uncertainty", done.stderr
    assert lines[1].startswith("positive,")
    assert lines[-1] == "[]"


def test_transformers_loads_the_folder(student: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(student).eval()
    batch = AutoTokenizer.from_pretrained(student)(["a superb film"], return_tensors="pt")
    with torch.no_grad():
        logits = model(**batch).logits
    found, _ = load_predictor(str(student)).logits(["a superb film"], None)
    assert np.allclose(found, logits, atol=1e-5)


def test_a_changed_file_is_refused(student: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in student.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    with pytest.raises(ModelError, match="make it again"):
        load_predictor(str(copy))
