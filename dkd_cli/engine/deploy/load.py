"""Loads the classifier that a name means: exports and static students without torch, all others with it."""

from __future__ import annotations

from dkd_cli.data.kinds import KINDS
from dkd_cli.data.tags import entity_type
from dkd_cli.engine.deploy.exported_predictor import exported_predictor
from dkd_cli.engine.deploy.predictor import Predictor
from dkd_cli.engine.deploy.static_predictor import static_predictor
from dkd_cli.engine.models.exports import read_export
from dkd_cli.engine.models.static_arrays import read_static
from dkd_cli.errors import ModelError
from dkd_cli.reading.locate import local_path


def load_predictor(name: str, threads: int | None = None) -> Predictor:
    """The classifier that a folder, a hub id or `pkg://` names.

    Args:
        name: of the model.
        threads: that an export computes with; None: those that this process may use.

    Raises:
        ModelError: where there is none, or it is damaged.
        SystemProblem: for an export, without onnxruntime.
    """
    folder = local_path(name, ModelError)
    export = read_export(folder) if folder.is_dir() else None
    if export is not None:
        return exported_predictor(folder, export, threads)
    static = read_static(folder)
    if static is not None:
        return static_predictor(folder, *static)
    from dkd_cli.engine.deploy.torch_predictor import torch_predictor

    return torch_predictor(name)


def load_answering(name: str) -> Predictor:
    """The same, for answers that name a model's outputs as the model does.

    Raises:
        ModelError: also for a model of tags that are not IOB2, whose entities would be missed.
    """
    predictor = load_predictor(name)
    if KINDS[predictor.kind].by_word:
        wrong = next((tag for tag in predictor.labels or () if entity_type(tag) is None), None)
        if wrong is not None:
            remedy = "name its outputs O, B-TYPE and I-TYPE in id2label of its config.json"
            raise ModelError(name, f"tags words with {wrong!r}, which is no IOB2 tag", remedy)
    return predictor
