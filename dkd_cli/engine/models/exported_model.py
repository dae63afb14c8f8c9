"""An exported model in the shape of transformers' classifiers: whatever scores and times those takes it too.

Knows nothing about how an export is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PretrainedConfig
from transformers.modeling_outputs import SequenceClassifierOutput

from dkd_cli.data.examples import TaskData
from dkd_cli.engine.models.export_formats import Runtime, format_of
from dkd_cli.engine.models.exports import Graph, read_export
from dkd_cli.engine.models.label_order import label_order, put_in_order
from dkd_cli.engine.models.models import (
    LoadedModel,
    load_classifier,
    load_config,
    load_tokenizer,
    refuse_damaged,
)
from dkd_cli.errors import ModelError
from dkd_cli.reading.locate import local_path


class ExportedClassifier(torch.nn.Module):
    """Computes logits through its format's runtime, on a CPU, with as many threads as torch has then."""

    def __init__(self, folder: Path, config: PretrainedConfig, format: str, graph: Graph) -> None:
        super().__init__()
        self.folder, self.config, self.format, self.graph = folder, config, format, graph
        self._runtimes: dict[int, Runtime] = {}
        self._runtime()
        self.eval()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> SequenceClassifierOutput:
        """Logits [B, C] of a padded batch [B, L]."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        inputs = {name: value.numpy() for name, value in given.items() if value is not None}
        return SequenceClassifierOutput(logits=torch.from_numpy(self._runtime().logits(inputs)))

    def _runtime(self) -> Runtime:
        # A session keeps the threads that it was opened with.
        threads = torch.get_num_threads()
        if threads not in self._runtimes:
            self._runtimes[threads] = format_of(self.format, self.folder).load(self.folder, threads)
        return self._runtimes[threads]


def load_answering(
    name: str, data: TaskData, *, labels: Sequence[str] | None = None, key: str = "model"
) -> LoadedModel:
    """As `models.load_classifier`, and exports too.

    Raises:
        ModelError: for a model that does not fit the task, or is damaged.
        SystemProblem: for an export, without onnxruntime.
    """
    folder = local_path(name, ModelError)
    export = read_export(folder) if folder.is_dir() else None
    if export is None:
        return load_classifier(name, data, labels=labels, key=key)
    refuse_damaged(str(folder), name, key)
    config = load_config(name, key, exported=True)
    order = label_order(config, data, labels, name, key)
    model = ExportedClassifier(folder, config, export.format, export.graph)
    put_in_order(model, order)
    return LoadedModel(model, load_tokenizer(name, key))
