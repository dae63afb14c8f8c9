"""Writing a graph: what torch prints and raises when it cannot export an architecture."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from dkd_cli.engine.deploy.onnx_writer import write_graph
from dkd_cli.errors import ModelError


def test_an_architecture_that_torch_cannot_export(
    tiny_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("onnxscript")

    def export(*_: object, **__: object) -> None:
        logging.getLogger("torch.export").error("def forward(self, the whole graph): ...")
        print("def forward(self, the whole graph): ...")
        print("def forward(self, the whole graph): ...", file=sys.stderr)
        try:
            raise ValueError("could not guard on 8*u1 < 24\nand a page of advice")
        except ValueError as error:
            raise RuntimeError("Failed to export. \x1b[96mThis is step 1/3\x1b[0m of the export") from error

    monkeypatch.setattr(torch.onnx, "export", export)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_encoder)
    capfd.readouterr()
    logging.getLogger("torch.export").addHandler(handler := logging.StreamHandler(sys.stderr))
    try:
        with pytest.raises(ModelError) as caught:
            write_graph(model, {"input_ids": torch.ones(2, 4, dtype=torch.long)}, tmp_path / "model.onnx")
    finally:
        logging.getLogger("torch.export").removeHandler(handler)
    assert caught.value.problem == "torch cannot export this architecture (could not guard on 8*u1 < 24)"
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET
