"""The programs of docs/serving.md, run as they are printed: they predict what `dkd predict` does."""

from __future__ import annotations

import csv
import importlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from command_line import heard
from conftest import tiny_rows, tiny_settings
from exported import export_both
from small import LABELS
from test_docs import STUDENT, blocks

TEXTS = [text for text, _ in tiny_rows()[:12]] + ["a", "zzz superb zzz", "word " * 40, "[SEP] odd", ""]
EXPORT = f"{STUDENT}-onnx-int8"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, tiny_csv: Path) -> Path:
    """The int8 export of an encoder."""
    student = export_both(tmp_path_factory.mktemp("served"), tiny_encoder, tiny_csv)
    return student.with_name("student-onnx-int8")


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, tiny_csv: Path) -> Path:
    """The export of a static student, whose graph has no token types."""
    folder = tmp_path_factory.mktemp("static")
    settings = tiny_settings(tiny_encoder, tiny_csv, folder / "checkpoints")
    settings["student"] = {"family": "static", "convolutions": [3], "filters": 16, "epochs": 20}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    student = folder / "checkpoints" / "tiny" / "student-none-seed1"
    for words in (("distill", folder / "tiny.yaml", "--strategy", "none"), ("export", student)):
        said = heard(*words)
        assert said.code == 0, said.err
    return student.with_name(f"{student.name}-onnx")


@pytest.fixture
def page(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the page's programs under the names in their first lines."""
    names = []
    for block in blocks("docs/serving.md"):
        first = block.body.splitlines()[0]
        if block.language == "python" and first.startswith("# "):
            names.append(first.removeprefix("# "))
            (workdir / names[-1]).write_text(block.body, encoding="utf-8")
    assert names == ["classifier.py", "server.py"]
    monkeypatch.syspath_prepend(workdir)
    yield workdir
    for name in names:
        sys.modules.pop(name.removesuffix(".py"), None)


def program(page: Path, name: str, export: Path) -> ModuleType:
    """One of the programs, with an export in the place that the page names."""
    (page / EXPORT).parent.mkdir(parents=True, exist_ok=True)
    (page / EXPORT).symlink_to(export)
    return importlib.import_module(name)


def predicted(export: Path) -> list[str]:
    said = heard("predict", export, *TEXTS)
    assert said.code == 0, said.err
    return [row["label"] for row in csv.DictReader(io.StringIO(said.out))]


@pytest.mark.parametrize("kind", ["encoder", "static"])
def test_the_program_predicts_what_dkd_predicts(
    page: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    export = request.getfixturevalue(kind)
    assert program(page, "classifier", export).classify(TEXTS) == predicted(export)


def test_the_server_answers_and_refuses_too_much(page: Path, static: Path) -> None:
    pytest.importorskip("fastapi", reason="needs fastapi, which the page's server is made with")
    client = pytest.importorskip("starlette.testclient", reason="needs httpx2").TestClient
    server = client(program(page, "server", static).app)
    answer = server.post("/classify", json={"texts": TEXTS})
    assert answer.status_code == 200
    assert answer.json() == {"labels": predicted(static)}
    assert set(answer.json()["labels"]) <= set(LABELS)
    for texts in ([], ["a"] * 65, ["a" * 20_001], [7]):
        assert server.post("/classify", json={"texts": texts}).status_code == 422


def test_the_triton_configuration_names_what_the_graph_has(encoder: Path) -> None:
    import onnxruntime

    (config,) = [one.body for one in blocks("docs/serving.md") if "# config.pbtxt" in one.body]
    session = onnxruntime.InferenceSession(encoder / "model.onnx")
    for one in (*session.get_inputs(), *session.get_outputs()):
        kind = {"tensor(int64)": "TYPE_INT64", "tensor(float)": "TYPE_FP32"}[one.type]
        (line,) = [line for line in config.splitlines() if f'"{one.name}"' in line]
        assert kind in line
        assert len(one.shape) == 2, "a batch, and one more dimension as in `dims`"
