"""Logits of a whole split, without gradient, in batches of like length."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator
from dkd_cli.engine.machine.memory import in_halves
from dkd_cli.engine.machine.precision import Compute, decide
from dkd_cli.engine.machine.processes import ALONE, Processes
from dkd_cli.engine.models.exported_model import ExportedClassifier
from dkd_cli.engine.models.models import Model, forward_names
from dkd_cli.engine.models.word_logits import answered
from dkd_cli.errors import NumericError
from dkd_cli.recipe.words import NO_WORD


def model_inputs(model: Model, batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Select a model's inputs from a collated batch: those that its architecture names, without labels."""
    names = forward_names(model) - {"labels"}
    return {name: value.to(device) for name, value in batch.items() if name in names}


def compute_for(model: Model, precision: str) -> Compute:
    """Device and precision of a model: the recipe's, except for an export, which has its own."""
    if isinstance(model, ExportedClassifier):
        return Compute(torch.device("cpu"), torch.float32, f"exported as {model.graph.width}")
    return decide(precision)


@torch.inference_mode()
def predict_logits(
    model: Model,
    encoded: EncodedSplit,
    collator: PaddingCollator,
    *,
    batch_size: int,
    precision: str,
    advance: Callable[..., None] | None = None,
    peers: Processes = ALONE,
) -> Tensor:
    """Every row once, in the order of the split: [N, C] float32 on the CPU, in each of the processes.

    Of words [N, W, C], W the most words of a row.

    Args:
        model: in eval mode; moved to the device that `precision.decide` names.
        encoded: N rows.
        collator: of the model's own tokenizer.
        batch_size: rows in each forward pass.
        precision: as in the recipe.
        advance: told how many rows each batch had.
        peers: the processes that share the batches out.

    Raises:
        NumericError: for a prediction that is not a number, naming the first example.
        SystemProblem: where memory does not suffice for one row.
    """
    assert not model.training, "predictions want eval mode"
    compute = compute_for(model, precision)
    model.to(compute.device)
    by_length = encoded.by_length()
    # On the device: fetching each batch's answers would make it wait for the host.
    shape, words = (len(encoded), model.config.num_labels), encoded.most_words
    logits = torch.zeros(shape, device=compute.device)
    if words is not None:
        assert peers.count == 1, "several processes share no tagged words"
        logits = torch.full((shape[0], words, shape[1]), NO_WORD, device=compute.device)

    def read(rows: list[int]) -> None:
        batch = collator([encoded[row] for row in rows])
        with compute.autocast():
            output = model(**model_inputs(model, batch, compute.device)).logits
        found = answered(output.float(), batch)
        if words is None:
            logits[rows] = found
        else:
            logits[rows, : found.size(1)] = found

    for start in range(peers.rank * batch_size, len(by_length), peers.count * batch_size):
        rows = by_length[start : start + batch_size].tolist()
        in_halves(read, rows, encoded.split.name)
        if advance is not None:
            advance(len(rows))
    logits = peers.sum(logits).cpu()
    bad = (~logits.isfinite()).flatten(1).any(dim=-1).nonzero().flatten()
    if bad.numel():
        example = encoded.split.example_ids[int(bad[0])]
        raise NumericError(
            f"example {example}",
            f"{bad.numel()} of {len(encoded)} predictions are not finite",
            "train again with a lower learning rate or in fp32",
        )
    return logits
