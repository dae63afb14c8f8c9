"""From a classifier to a file that onnxruntime runs, in float32.

Knows nothing about tasks, nor about what makes an export good enough.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from dkd_cli.engine.models.exports import OUTPUT, no_extra
from dkd_cli.engine.models.models import Model
from dkd_cli.errors import ModelError, reason

OPSET = 18
"""Opset that torch's exporter writes without converting."""


class _LogitsAlone(torch.nn.Module):
    def __init__(self, model: Model, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


def write_graph(model: Model, example: dict[str, Tensor], path: Path) -> None:
    """Write the float32 graph of a classifier; the rows of a batch and its tokens may be any number.

    Args:
        model: in eval mode, on the CPU.
        example: a padded batch of 2 rows or more, the inputs that the model reads, in their order.
        path: the file.

    Raises:
        SystemProblem: without the extra.
        ModelError: for an architecture that torch cannot export.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise no_extra(error) from error
    own = model.config._attn_implementation
    rows, tokens = torch.export.Dim("rows"), torch.export.Dim("tokens")
    try:
        # Plain attention gives the graph that onnxruntime fuses: the other one takes twice as long there.
        model.set_attn_implementation("eager")
        with _quiet():
            program = torch.onnx.export(
                _LogitsAlone(model, list(example)).eval(),
                tuple(example.values()),
                dynamo=True,
                input_names=list(example),
                output_names=[OUTPUT],
                dynamic_shapes=(tuple({0: rows, 1: tokens} for _ in example),),
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
            assert program is not None
            program.save(str(path))
    except Exception as error:  # each stage of torch's exporter has exceptions of its own
        raise ModelError(
            model.config.model_type,
            f"torch cannot export this architecture ({reason(_first_cause(error))})",
            "see --debug for the whole story",
        ) from error
    finally:
        model.set_attn_implementation(own)


def _first_cause(error: Exception) -> Exception:
    """The exception that the others were raised from; theirs are instructions for makers of exporters."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence advice about graphs and the whole traced graph; errors are raised all the same."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            Path(os.devnull).open("w") as nowhere,
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
