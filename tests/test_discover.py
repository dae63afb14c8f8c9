"""Which folders count as models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from dkd_cli.errors import ModelError
from dkd_cli.evaluation.discover import find_models

CLASSIFIER = ("BertForSequenceClassification",)


def model(
    folder: Path, architectures: Sequence[str] = CLASSIFIER, weights: str = "model.safetensors"
) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": architectures}))
    (folder / weights).write_bytes(b"x" * 2_000_000)
    return folder


def labels(*paths: Path) -> list[str]:
    return [found.label for found in find_models(paths).models]


def test_finds_each_model_once_with_the_shortest_name(tmp_path: Path) -> None:
    model(tmp_path / "one" / "teacher")
    model(tmp_path / "two" / "teacher")
    model(tmp_path / "two" / "student")
    assert labels(tmp_path, tmp_path / "two") == ["one/teacher", "student", "two/teacher"]
    assert labels(tmp_path / "two" / "student") == ["student"]


def test_passes_over_hidden_folders_where_training_is_under_way(tmp_path: Path) -> None:
    model(tmp_path / "good")
    state = model(tmp_path / ".better" / "checkpoint-10")
    assert labels(tmp_path) == ["good"]
    assert labels(state) == ["checkpoint-10"], "unless it is named itself"


def test_says_what_it_leaves_out(tmp_path: Path) -> None:
    model(tmp_path / "good")
    model(tmp_path / "encoder", architectures=("BertModel",))
    model(tmp_path / "pickled", weights="pytorch_model.bin")
    (tmp_path / ".student-static-seed1").mkdir()
    (tmp_path / ".student-static-seed1" / "recipe.yaml").write_text("name: x")
    found = find_models([tmp_path])
    assert [one.label for one in found.models] == ["good"]
    told = "\n".join(found.notes)
    assert "encoder is left out: config.json names no classifier" in told
    assert "pickled is left out: its weights are pickled" in told
    assert "student-static-seed1 is not finished" in told


def test_a_sharded_model_is_a_model(tmp_path: Path) -> None:
    folder = model(tmp_path / "big", weights="model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text("{}")
    found = find_models([folder]).models[0]
    assert found.role == "model"
    assert found.weights_mb == 2.0


@pytest.mark.parametrize("name", ["missing", "empty", "broken"])
def test_no_model_at_all(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    with pytest.raises(ModelError) as caught:
        find_models([tmp_path / name])
    assert caught.value.exit_code == 4
    assert name in str(caught.value)
