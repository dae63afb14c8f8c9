"""dkd: dynamic knowledge distillation of text classifiers.

Importing this package loads neither torch nor transformers; `dynamic_kd_loss` is fetched on first use
and then needs nothing but torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dkd_cli.version import __version__

if TYPE_CHECKING:
    from dkd_cli.engine.method.losses import dynamic_kd_loss

__all__ = ["__version__", "dynamic_kd_loss"]


def __getattr__(name: str) -> object:
    if name == "dynamic_kd_loss":
        from dkd_cli.engine.method.losses import dynamic_kd_loss

        return dynamic_kd_loss
    raise AttributeError(f"module 'dkd_cli' has no attribute {name!r}")
