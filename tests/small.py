"""What the engine's tests share: a task of a few texts, and folders with small trained classifiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from conftest import tiny_rows
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator, encode
from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.data.tasks import Task
from dkd_cli.engine.machine.precision import Compute
from dkd_cli.engine.method.outputs import OUTPUTS
from dkd_cli.engine.method.selection import Scored
from dkd_cli.engine.training.used_rows import UsedRows
from dkd_cli.recipe.schema import Train
from dkd_cli.report.noise import quiet_libraries

quiet_libraries()

CPU = Compute(torch.device("cpu"), torch.float32, "the tests")
LABELS = ("negative", "positive")
Advance = Callable[..., None]


def split(name: str, start: int, stop: int) -> Split:
    """Some of the tiny texts, cut to one to nine words; ids `row-<start>` and on."""
    rows = tiny_rows()[start:stop]
    texts = [" ".join(text.split()[: 1 + (5 * i) % 9]) for i, (text, _) in enumerate(rows)]
    labels = [LABELS.index(label) for _, label in rows]
    return Split(name, texts, None, labels, [f"row-{start + i}" for i in range(len(rows))])


def task_data(label_names: tuple[str, ...] | None = LABELS) -> TaskData:
    """48 texts to train on, 24 to validate on."""
    splits = {"train": split("train", 0, 48), "validation": split("validation", 48, 72)}
    kind = "classification" if label_names else "regression"
    return TaskData(Task("unit", kind=kind, metrics=KINDS[kind].metrics), label_names, splits, ())


def encoded(folder: Path, part: Split) -> tuple[EncodedSplit, PaddingCollator]:
    """A split in the tokens of the model in `folder`."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return encode(part, tokenizer, 16), PaddingCollator(tokenizer)


def save_classifier(
    folder: Path, encoder: Path, labels: Sequence[str] | None, seed: int = 1, **config: Any
) -> Path:
    """Put a head with weights of a trained one's size on `encoder`; `labels` None leaves LABEL_0, LABEL_1."""
    named = {"num_labels": 2} if labels is None else {"id2label": dict(enumerate(labels))}
    settings = AutoConfig.from_pretrained(encoder, **named, **config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(encoder, config=settings)
        torch.nn.init.normal_(model.classifier.weight, std=1.0)
        torch.nn.init.normal_(model.classifier.bias, std=1.0)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(encoder).save_pretrained(folder)
    return folder


def schedule(**changes: Any) -> Train:
    """A schedule of one epoch in batches of 8, with an even learning rate that is large enough to see."""
    settings: dict[str, Any] = {
        "epochs": 1.0,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "precision": "fp32",
        "warmup": 0.0,
    }
    return Train(**(settings | changes))


def random_classifier(folder: Path, encoder: Path, width: int) -> Path:
    """A classifier with `encoder`'s tokenizer and shape, but `width` hidden dimensions and random weights."""
    settings = AutoConfig.from_pretrained(encoder, id2label=dict(enumerate(LABELS)), hidden_size=width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        AutoModelForSequenceClassification.from_config(settings).save_pretrained(folder)
    AutoTokenizer.from_pretrained(encoder).save_pretrained(folder)
    return folder


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of all weights; of a token table in training all rows."""
    found = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
    rows = {name: module for name, module in model.named_modules() if isinstance(module, UsedRows)}
    return found | {f"{name}.weight": module.whole() for name, module in rows.items()}


def seen(
    logits: Tensor,
    labels: Tensor | None = None,
    teacher_logits: Tensor | None = None,
    labelled: Tensor | None = None,
) -> Scored:
    """What a selection score reads of a classifier's batch."""
    return Scored(
        output=OUTPUTS["classification"],
        logits=logits,
        labels=labels,
        teacher_logits=teacher_logits,
        labelled=labelled,
    )
