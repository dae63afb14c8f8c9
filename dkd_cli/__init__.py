"""dkd: dynamic knowledge distillation of text classifiers.

The public functions are fetched on first use: importing this package loads neither torch nor transformers,
and `dynamic_kd_loss` needs nothing but torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from dkd_cli.version import __version__

if TYPE_CHECKING:
    from dkd_cli.api import Run, distill, evaluate, predict, train_teacher
    from dkd_cli.engine.method.losses import dynamic_kd_loss
    from dkd_cli.recipe.loader import load_recipe

__all__ = [
    "Run",
    "__version__",
    "distill",
    "dynamic_kd_loss",
    "evaluate",
    "load_recipe",
    "predict",
    "train_teacher",
]

_HOMES = {
    **dict.fromkeys(("Run", "distill", "evaluate", "predict", "train_teacher"), "dkd_cli.api"),
    "dynamic_kd_loss": "dkd_cli.engine.method.losses",
    "load_recipe": "dkd_cli.recipe.loader",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'dkd_cli' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
