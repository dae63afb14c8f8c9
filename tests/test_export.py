"""`dkd export`: what is written, what it answers, and what the gates refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from command_line import dkd, heard
from conftest import TinyRecipe
from exported import export_both
from onnxruntime.quantization import quantize_dynamic
from small import LABELS, encoded, save_classifier, split, task_data
from tokenizers import Encoding, Tokenizer
from transformers import AutoTokenizer

from dkd_cli.engine.deploy import export_writers
from dkd_cli.engine.models.exported_model import ExportedClassifier, load_answering
from dkd_cli.engine.models.exports import read_export
from dkd_cli.engine.models.inference import predict_logits
from dkd_cli.engine.models.models import load_classifier
from dkd_cli.errors import ModelError, SystemProblem
from dkd_cli.evaluation import scoring
from dkd_cli.evaluation.gates import Gates
from dkd_cli.evaluation.latency import measure_speeds
from dkd_cli.pipeline import exporting as module
from dkd_cli.reading.locate import package_path
from dkd_cli.recipe.loader import load_recipe


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, build_encoder: Callable[[int], Path], tiny_csv: Path
) -> Path:
    """A classifier with both exports beside it; do not write into the folder above it."""
    return export_both(tmp_path_factory.mktemp("models"), build_encoder(1), tiny_csv)


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    """The export in int8."""
    return trained.with_name("student-onnx-int8")


@pytest.mark.parametrize("named", [".", "..", "../../student"])
def test_an_export_stands_beside_its_checkpoint_from_wherever_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    inside = tmp_path / "student" / "inside"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside if named.startswith("..") else inside.parent)
    source: Any = SimpleNamespace(named=named, folder=Path(named))
    wanted = module.WantedExport("onnx", None, Gates(0, 0))
    assert module.beside(source, wanted).resolve() == tmp_path.resolve() / "student-onnx"


def test_float32_answers_like_torch_whatever_the_batch(exported: Path, trained: Path) -> None:
    data = task_data()
    whole = trained.with_name("student-onnx")
    for rows in (split("test", 0, 17), split("test", 3, 4)):
        tokens, collator = encoded(trained, rows)
        for batch_size in (1, 5):
            said = [
                predict_logits(loaded.model, tokens, collator, batch_size=batch_size, precision="fp32")
                for loaded in (load_classifier(str(trained), data), load_answering(str(whole), data))
            ]
            assert torch.allclose(said[0], said[1], atol=1e-5)
    found = read_export(whole)
    assert found is not None
    assert found.parity.max_difference <= 1e-5
    assert found.quality.before == found.quality.after


def test_int8_is_smaller_and_close(exported: Path, trained: Path) -> None:
    tokens, collator = encoded(trained, split("test", 0, 24))
    said = [
        predict_logits(
            load_answering(str(folder), task_data()).model, tokens, collator, batch_size=8, precision="bf16"
        ).softmax(dim=-1)
        for folder in (trained.with_name("student-onnx"), exported)
    ]
    assert not torch.equal(said[0], said[1])
    assert (said[0] - said[1]).abs().max() < 0.1
    found = read_export(exported)
    assert found is not None
    assert found.graph.width == "int8"
    assert found.bytes < 0.75 * (exported.with_name("student-onnx") / "model.onnx").stat().st_size


def test_int8_reads_a_text_the_same_in_any_batch(exported: Path, trained: Path) -> None:
    tokens, collator = encoded(trained, split("test", 0, 48))
    assert len(set(tokens.lengths)) > 3, "texts of several lengths are padded together"
    model = load_answering(str(exported), task_data()).model
    alone, together = (
        predict_logits(model, tokens, collator, batch_size=size, precision="fp32") for size in (1, 48)
    )
    assert (alone - together).abs().max() < 1e-5
    assert torch.equal(alone.argmax(dim=-1), together.argmax(dim=-1))


def test_threads_are_torchs(exported: Path) -> None:
    model = load_answering(str(exported), task_data()).model
    assert isinstance(model, ExportedClassifier)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        model(torch.tensor([[2, 3]]), torch.tensor([[1, 1]]), torch.tensor([[0, 0]]))
    finally:
        torch.set_num_threads(before)
    assert sorted(model._runtimes) == [before, before + 1]


@pytest.fixture
def traced(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing the same model again would take seconds and give the same graph."""
    whole = exported.with_name("student-onnx") / "model.onnx"
    monkeypatch.setattr(
        export_writers, "write_graph", lambda model, example, path: shutil.copyfile(whole, path)
    )


def refused(trained: Path, recipe: Path, *words: str) -> str:
    """The line that is printed; nothing may be left."""
    before = sorted(trained.parent.iterdir())
    said = heard("export", trained, "--recipe", recipe, "--output", trained.parent / "refused", *words)
    assert said.code == 4, said.err
    assert sorted(trained.parent.iterdir()) == before
    (line,) = said.err.splitlines()
    return line


@pytest.mark.usefixtures("traced")
def test_a_graph_that_is_not_the_model_leaves_nothing(trained: Path, tiny_recipe: TinyRecipe) -> None:
    line = refused(trained, tiny_recipe(), "--tolerance", "0")
    assert "logits differ from torch's by up to" in line
    assert "--tolerance" in line


def test_odd_texts_are_compared_too(
    exported: Path, trained: Path, tiny_recipe: TinyRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No validation text spells [MASK]; a graph that reads it otherwise is not the model."""
    tokenizer = Tokenizer.from_file(str(trained / "tokenizer.json"))
    mask, width = tokenizer.token_to_id("[MASK]"), tokenizer.get_vocab_size()

    def spoil(model: object, example: object, path: Path) -> None:
        graph = onnx.load(exported.with_name("student-onnx") / "model.onnx")
        (table,) = [one for one in graph.graph.initializer if list(one.dims) == [width, 32]]
        vectors = np.array(onnx.numpy_helper.to_array(table))
        vectors[mask] *= -10
        table.CopyFrom(onnx.numpy_helper.from_array(vectors, table.name))
        onnx.save(graph, path)

    monkeypatch.setattr(export_writers, "write_graph", spoil)
    assert "logits differ from torch's by up to" in refused(trained, tiny_recipe())


@pytest.mark.usefixtures("traced")
def test_int8_that_depends_on_the_batch_leaves_nothing(
    trained: Path, tiny_recipe: TinyRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_writers, "quantize", quantize_dynamic)
    line = refused(trained, tiny_recipe(), "--quantize", "int8", "--max-loss", "100")
    assert "depend on the texts that the export reads with it" in line


@pytest.mark.usefixtures("traced")
def test_a_loss_of_quality_leaves_nothing(
    trained: Path, tiny_recipe: TinyRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe()
    source = module.read_source(str(trained), load_recipe(str(recipe)))
    logits = module.answers(source.loaded.model, source, lambda count: None)
    right = np.mean(logits.argmax(-1) == np.asarray(source.rows.split.labels))
    assert right > 0.5, "then its negative is worse"

    def spoil(source: Path, target: Path) -> None:
        graph = onnx.load(source)
        (last,) = [node for node in graph.graph.node if "logits" in node.output]
        last.output[0] = "good"
        graph.graph.node.append(onnx.helper.make_node("Neg", ["good"], ["logits"]))
        onnx.save(graph, target)

    monkeypatch.setattr(export_writers, "quantize", spoil)
    line = refused(trained, recipe, "--quantize", "int8", "--max-loss", "0")
    assert "points of accuracy on 22 texts of validation" in line
    assert "--max-loss" in line


def test_what_is_there_is_left_alone_until_the_weights_change(
    exported: Path,
    trained: Path,
    tiny_recipe: TinyRecipe,
    tmp_path: Path,
    build_encoder: Callable[[int], Path],
) -> None:
    source = Path(shutil.copytree(trained, tmp_path / "own" / "student"))
    shutil.copytree(exported.with_name("student-onnx"), tmp_path / "own" / "student-onnx")
    words = ("export", source, "--recipe", tiny_recipe(), "--max-loss", 100)
    graph = tmp_path / "own" / "student-onnx" / "model.onnx"
    made = graph.stat().st_mtime_ns
    again = heard(*map(str, words))
    assert (again.code, "there already" in again.out) == (0, True)
    assert graph.stat().st_mtime_ns == made
    save_classifier(source, build_encoder(1), LABELS, seed=2)
    assert heard(*map(str, words)).code == 0
    assert graph.stat().st_mtime_ns != made
    assert [path.name for path in sorted(source.parent.iterdir())] == ["student", "student-onnx"]


def test_an_export_of_another_edition_is_made_again(
    exported: Path, trained: Path, tiny_recipe: TinyRecipe
) -> None:
    source = module.read_source(str(trained), load_recipe(str(tiny_recipe())))
    done = read_export(exported)
    assert done is not None
    wanted = module.WantedExport("onnx", "int8", Gates(tolerance=1e-4, max_loss=100))
    assert module.still_holds(done, source, wanted)
    assert not module.still_holds(replace(done, edition=1), source, wanted)


def test_what_cannot_be_exported(
    exported: Path, trained: Path, tiny_recipe: TinyRecipe, tmp_path: Path
) -> None:
    recipe = tiny_recipe()
    (tmp_path / "mine").mkdir()
    for words, code, told in (
        ((trained,), 2, "--recipe"),
        ((exported, "--recipe", recipe), 4, "is an export"),
        ((tmp_path / "none", "--recipe", recipe), 4, "is not there"),
        ((trained, "--recipe", recipe, "--output", tmp_path / "mine"), 5, "no export"),
        ((trained, "--recipe", recipe, "--format", "tflite"), 2, "tflite"),
    ):
        said = heard("export", *words)
        assert (said.code, told in said.err, len(said.err.splitlines())) == (code, True, 1), said.err


def test_exports_are_evaluated_like_any_model(
    exported: Path, trained: Path, tiny_recipe: TinyRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "measure_speeds", lambda all_of_them: measure_speeds(all_of_them, 0.0))
    said = heard("evaluate", trained.parent, "--recipe", tiny_recipe(), "--output", tmp_path)
    assert said.code == 0, said.err
    assert "format" in said.out
    (figures,) = json.loads((tmp_path / "evaluation.json").read_text())["evaluations"]
    torchs, whole, int8 = sorted(figures["models"], key=lambda one: len(one["model"]))
    assert [one["format"] for one in (torchs, whole, int8)] == ["torch fp32", "onnx fp32", "onnx int8"]
    assert torchs["metrics"] == whole["metrics"]
    assert torchs["parameters"] == int8["parameters"]
    assert int8["weights_mb"] < whole["weights_mb"]
    assert len({json.dumps(one["speed"]) for one in (torchs, whole, int8)}) == 3


def test_the_front_knows_exports_by_their_size_on_disk(
    exported: Path, trained: Path, tiny_recipe: TinyRecipe, tmp_path: Path
) -> None:
    recipe = tiny_recipe()
    assert dkd("evaluate", trained.parent, "--recipe", recipe, "--output", tmp_path, "--no-timing") == 0
    (figures,) = json.loads((tmp_path / "evaluation.json").read_text())["evaluations"]
    same = [one for one in figures["models"] if one["format"] != "onnx int8"]
    larger, smaller = sorted(same, key=lambda one: -one["weights_mb"])
    assert larger["parameters"] == smaller["parameters"]
    assert larger["metrics"] == smaller["metrics"]
    assert not larger["pareto"]


def test_an_export_does_not_teach(exported: Path) -> None:
    with pytest.raises(ModelError, match="cannot be trained, teach"):
        load_classifier(str(exported), task_data())


def test_a_damaged_export_is_refused(exported: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "damaged"))
    (folder / "model.onnx").write_bytes(b"half a fil")
    with pytest.raises(ModelError, match=r"has a damaged model\.onnx"):
        load_answering(str(folder), task_data())
    (folder / "dkd-manifest.json").unlink()
    with pytest.raises(ModelError, match="export the model again"):
        load_answering(str(folder), task_data())


def test_without_the_extra_one_line_says_so(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(SystemProblem, match=r"pip install 'dkd-cli\[onnx\]'"):
        load_answering(str(exported), task_data())


def test_the_figures_are_all_there(exported: Path) -> None:
    facts = json.loads((exported / "export.json").read_text())
    assert facts["source"] == "../student"
    assert facts["quality"]["split"] == "validation"
    assert set(facts["versions"]) == {"torch", "transformers", "onnx", "onnxruntime"}


@pytest.mark.usefixtures("traced")
def test_a_tokenizer_that_reads_otherwise_leaves_nothing(
    trained: Path, tiny_recipe: TinyRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(texts: Sequence[str], pairs: object) -> list[Encoding]:
        return Tokenizer.from_file(str(trained / "tokenizer.json")).encode_batch([f"x {t}" for t in texts])

    monkeypatch.setattr(module, "export_tokens", lambda folder, export: other)
    assert "its tokenizer reads 22 of 22 texts otherwise" in refused(trained, tiny_recipe())


@pytest.mark.usefixtures("traced")
def test_a_tokenizer_that_reads_special_tokens_otherwise_leaves_nothing(
    trained: Path, tiny_recipe: TinyRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = Tokenizer.from_file(str(trained / "tokenizer.json"))
    tokenizer.enable_truncation(16)
    tokenizer.encode_special_tokens = True
    monkeypatch.setattr(
        module, "export_tokens", lambda folder, export: lambda texts, pairs: tokenizer.encode_batch(texts)
    )
    line = refused(trained, tiny_recipe())
    assert "texts otherwise outside transformers, such as '[" in line


@pytest.mark.usefixtures("traced")
def test_an_export_cuts_the_end_that_its_tokenizer_cuts(
    trained: Path, tiny_recipe: TinyRecipe, tmp_path: Path
) -> None:
    left = tmp_path / "left"
    shutil.copytree(trained, left)
    settings = json.loads((left / "tokenizer_config.json").read_text())
    (left / "tokenizer_config.json").write_text(json.dumps(settings | {"truncation_side": "left"}))
    exporting = heard("export", left, "--recipe", tiny_recipe(), "--output", tmp_path / "left-onnx")
    assert exporting.code == 0, exporting.err
    text = "dreadful " * 30 + "superb " * 30
    (read,) = module.export_tokens(tmp_path / "left-onnx", read_export(tmp_path / "left-onnx"))([text], None)
    tokenizer = AutoTokenizer.from_pretrained(left)
    assert read.ids == tokenizer(text, truncation=True, max_length=16)["input_ids"]
    assert read.ids == tokenizer("superb " * 30, truncation=True, max_length=16)["input_ids"]


def test_a_teacher_is_found_from_wherever_the_export_is(tmp_path: Path) -> None:
    folder, staged = tmp_path / "runs" / "student", tmp_path / "staged"
    folder.mkdir(parents=True)
    staged.mkdir()
    (folder / "dkd.json").write_text('{"teacher": "../teacher", "teacher_is_local": true}')
    (folder / "recipe.yaml").write_text("name: x\n")
    module.describe_run(folder, staged, tmp_path / "elsewhere" / "deep" / "export")
    assert json.loads((staged / "dkd.json").read_text())["teacher"] == "../../../runs/teacher"
    assert (staged / "recipe.yaml").read_text() == "name: x\n"


@pytest.mark.slow
def test_a_real_encoder(pretrained: str, tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    source = save_classifier(tmp_path / "real", package_path(pretrained), LABELS, num_hidden_layers=3)
    said = heard("export", source, "--quantize", "int8", "--recipe", tiny_recipe(), "--max-loss", "100")
    assert said.code == 0, said.err
    made = read_export(tmp_path / "real-onnx-int8")
    assert made is not None
    assert made.parity.max_difference < 1e-4
    assert made.bytes < 0.3 * made.source_bytes
    assert made.quality.max_difference > made.parity.max_difference
