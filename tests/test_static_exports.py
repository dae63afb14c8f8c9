"""Static students exported: each format gives torch's logits, without torch, in fewer bytes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_line import heard
from conftest import ROOT, tiny_rows, tiny_settings

from dkd_cli.cli.deploy import Format
from dkd_cli.engine.deploy.export_writers import WRITERS
from dkd_cli.engine.deploy.load import load_predictor
from dkd_cli.engine.models.export_formats import FORMATS
from dkd_cli.engine.models.exports import read_export
from dkd_cli.engine.models.static_exports import quantized_rows
from dkd_cli.errors import ModelError

TEXTS = [text for text, _ in tiny_rows()[:20]] + ["a", "zzz superb zzz", "word " * 40, "", "[SEP]"]


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, tiny_csv: Path) -> dict[str, Path]:
    """One with convolutions and a bag, with its exports beside it; do not write into them."""
    made = {}
    for name, convolutions in (("convolved", [1, 3]), ("bag", [])):
        folder = tmp_path_factory.mktemp(name)
        settings = tiny_settings(tiny_encoder, tiny_csv, folder / "checkpoints")
        settings["student"] = {"family": "static", "convolutions": convolutions, "filters": 16, "epochs": 20}
        settings["train"]["precision"] = "bf16"  # for teachers: it computes in float32 itself
        (folder / "tiny.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        said = heard("distill", folder / "tiny.yaml", "--strategy", "none")
        assert (said.code, said.err) == (0, ""), said
        made[name] = folder / "checkpoints" / "tiny" / "student-none-seed1"
    return made


Exporting = Callable[..., Path]


@pytest.fixture(scope="module")
def exporting(students: dict[str, Path]) -> Exporting:
    """`exporting("bag", "numpy", "int8")` -> the folder of that export, made once."""

    def export(name: str, format: str, quantization: str | None = None) -> Path:
        words = ["--quantize", quantization] if quantization else []
        said = heard("export", students[name], "--format", format, *words)
        assert said.code == 0, said.err
        suffix = "-".join(filter(None, (format, quantization)))
        return students[name].with_name(f"student-none-seed1-{suffix}")

    return export


def test_every_format_can_be_read_written_and_typed() -> None:
    assert set(FORMATS) == set(WRITERS) == {one.value for one in Format}


@pytest.mark.parametrize(
    ("name", "format", "quantization"),
    [
        ("convolved", "onnx", "int8"),
        ("convolved", "onnx", "fp16"),
        ("convolved", "numpy", "int8"),
        ("bag", "numpy", None),
        ("bag", "numpy", "int8"),
        ("bag", "model2vec", "fp16"),
    ],
)
def test_it_predicts_what_the_student_predicts(
    students: dict[str, Path], exporting: Exporting, name: str, format: str, quantization: str | None
) -> None:
    folder = exporting(name, format, quantization)
    expected, truncated = load_predictor(str(students[name])).logits(TEXTS, None)
    predictor = load_predictor(str(folder))
    found, truncated_there = predictor.logits(TEXTS, None)
    assert truncated == truncated_there
    assert predictor.labels == ("negative", "positive")
    assert np.allclose(found, expected, atol=1e-5 if quantization is None else 0.05 * np.ptp(expected))
    facts = read_export(folder)
    assert facts is not None
    assert facts.parity.max_difference < 1e-4
    assert facts.quality.after == facts.quality.before


def test_a_bag_is_a_table_of_logits(students: dict[str, Path], exporting: Exporting) -> None:
    whole = (students["bag"] / "model.safetensors").stat().st_size
    facts = read_export(exporting("bag", "numpy"))
    assert facts is not None
    assert facts.bytes < whole / 8


def test_fewer_bits_are_fewer_bytes(students: dict[str, Path], exporting: Exporting) -> None:
    whole = (students["convolved"] / "model.safetensors").stat().st_size
    facts = read_export(exporting("convolved", "numpy", "int8"))
    assert facts is not None
    assert facts.bytes < 0.6 * whole


def test_rounding_keeps_each_row_within_half_a_step() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32) * np.arange(50)[:, None]
    values, scales = quantized_rows(vectors.astype(np.float32))
    assert values.dtype == np.int8
    assert (np.abs(values * scales[:, None] - vectors) <= 0.5001 * scales[:, None]).all()


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("convolved", ("--format", "model2vec"), "Model2Vec's format cannot hold"),
        ("bag", ("--format", "model2vec", "--quantize", "int8"), "--quantize fp16"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(
    students: dict[str, Path], name: str, words: tuple[str, ...], told: str
) -> None:
    before = sorted(students[name].parent.iterdir())
    said = heard("export", students[name], *words)
    assert (said.code, told in said.err, len(said.err.splitlines())) == (4, True, 1), said.err
    assert sorted(students[name].parent.iterdir()) == before


def test_model2vec_finds_its_keys(exporting: Exporting) -> None:
    config = json.loads((exporting("bag", "model2vec", "fp16") / "config.json").read_text())
    # data.max_length of 16, less the two special tokens, which Model2Vec does not add
    assert (config["normalize"], config["max_length"]) == (False, 14)


@pytest.mark.parametrize("quantization", [None, "fp16"])
def test_model2vec_itself_gives_the_same_logits(exporting: Exporting, quantization: str | None) -> None:
    model2vec = pytest.importorskip("model2vec", reason="needs the library model2vec")
    folder = exporting("bag", "model2vec", quantization)
    model, predictor = model2vec.StaticModel.from_pretrained(str(folder)), load_predictor(str(folder))
    texts = [*TEXTS[:20], "a", "zzz superb zzz", "superb \N{ROBOT FACE}", "superb " * 5]
    expected, _ = predictor.logits(texts, None)
    np.testing.assert_allclose(
        model.encode(texts).astype(np.float32), expected, atol=2e-3 if quantization else 1e-5
    )
    np.testing.assert_array_equal(model.encode([""]), np.zeros((1, 2)))


@pytest.mark.parametrize(("name", "format"), [("convolved", "numpy"), ("bag", "model2vec")])
def test_no_torch_is_imported(exporting: Exporting, name: str, format: str) -> None:
    folder = exporting(name, format, "fp16")
    words = ["predict", str(folder), "a superb film"]
    code = (
        f"import sys\nfrom dkd_cli.cli import run\ntry:\n    run({words!r})\n"
        "finally:\n    print(sorted({'torch', 'transformers', 'onnxruntime', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "positive," in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_exports_are_evaluated_beside_their_student(
    students: dict[str, Path], exporting: Exporting, tmp_path: Path
) -> None:
    exporting("bag", "numpy", "int8"), exporting("bag", "model2vec", "fp16")
    said = heard("evaluate", students["bag"].parent, "--output", tmp_path, "--no-timing")
    assert said.code == 0, said.err
    (figures,) = json.loads((tmp_path / "evaluation.json").read_text())["evaluations"]
    formats = {one["format"]: one["metrics"]["accuracy"] for one in figures["models"]}
    assert {"torch fp32", "numpy int8", "model2vec fp16"} <= set(formats)
    assert len(set(formats.values())) == 1


def test_an_unknown_format_is_refused(exporting: Exporting, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exporting("bag", "numpy", "int8"), tmp_path / "newer"))
    facts = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps(facts | {"format": "brew"}))
    with pytest.raises(ModelError, match="'brew', which this version does not read"):
        load_predictor(str(folder))


def test_a_damaged_table_is_refused(exporting: Exporting, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exporting("bag", "numpy", "int8"), tmp_path / "damaged"))
    (folder / "model.safetensors").write_bytes(b"half a fil")
    with pytest.raises(ModelError, match="is damaged"):
        load_predictor(str(folder))
