"""Inputs and results of a training run. Knows nothing of the loop between the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from dkd_cli.data.encoding import EncodedSplit, PaddingCollator
from dkd_cli.engine.machine.precision import Compute
from dkd_cli.engine.machine.processes import ALONE, Processes
from dkd_cli.engine.method.distillation import StepLoss, StudentOutput
from dkd_cli.engine.method.losses import cross_entropy
from dkd_cli.engine.method.outputs import constant_class
from dkd_cli.engine.models.models import Model
from dkd_cli.engine.teachers.alignment import Projection
from dkd_cli.engine.training.counts import Work
from dkd_cli.engine.training.pool import Pool
from dkd_cli.recipe.schema import Train

Step = Callable[[StudentOutput, Tensor | None, Tensor], StepLoss]
Metrics = Callable[[np.ndarray, np.ndarray], Mapping[str, float | None]]
Advance = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that one training run needs."""

    model: Model
    train: EncodedSplit
    validation: EncodedSplit
    collator: PaddingCollator
    step: Step
    needs_hidden_states: bool
    settings: Train
    learning_rate: float
    """The peak."""
    compute: Compute
    metrics: Metrics
    supervised: Callable[[Tensor, Tensor], Tensor] = cross_entropy
    """The loss on the labels [N] of logits [N, C], which an evaluation logs; one value for each row."""
    constant: Callable[[Tensor], int | None] = constant_class
    """Logits [N, C] -> the class that every row is given; None where they are given several."""
    metric: str
    """The one that picks the best checkpoint."""
    working: Path
    """Folder of its checkpoints; it resumes from the newest complete one."""
    advance: Advance = lambda count, **fields: None
    """Called with the number of rows gone through, and with values to show."""
    projections: Mapping[str, Projection] = field(default_factory=dict)
    """Those that `step` uses; trained with the model, and no part of it afterwards."""
    longer_epoch: int | None = None
    """Rows of an epoch, where that is more than one pass over `train`; None: one pass."""
    pool: Pool | None = None
    """Choose each training batch from so many; None: train on what comes."""
    peers: Processes = ALONE
    """The processes that share each batch."""
    say: Callable[[str], None] = lambda line: None
    """Receives a line if the run resumes."""
    warn: Callable[[str], None] = lambda line: None
    """Told, in a line, of a checkpoint that cannot be believed."""
    before_save: Callable[[], None] = lambda: None
    """Called before each checkpoint: what a continued run will look for must be on disk by then."""

    @property
    def rows_per_epoch(self) -> int:
        """Rows that an epoch goes through, repeats counted."""
        return self.longer_epoch or len(self.train)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Results of a finished run, apart from the weights, which are the best ones."""

    validation: Mapping[str, float]
    constant: int | None
    """The class that the best weights predict for every validation row; None where they predict several."""
    best_step: int
    steps: int
    work: Work
    history: list[dict[str, float]]
    seconds: float
