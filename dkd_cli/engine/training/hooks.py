"""The private parts of transformers' Trainer that resumable training builds on, checked before a run begins.

They have no public equivalent: a checkpoint that is whole or absent, the place in an epoch, the gradient
norm just before the update. Versions 5.0 to 5.2 lack some of them and would fail at the first checkpoint.
"""

from __future__ import annotations

import transformers

from dkd_cli.errors import SystemProblem

OVERRIDDEN = (
    "_evaluate",
    "_get_grad_norm",
    "_load_rng_state",
    "_maybe_log_save_evaluate",
    "_run_epoch",
    "_save_checkpoint",
)
CALLED = ("_prepare_inputs", "_save_optimizer_and_scheduler", "_save_rng_state", "_save_scaler")
ATTRIBUTES = ("_globalstep_last_logged", "_initial_global_step", "_total_loss_scalar", "_tr_loss")
"""Set while it trains, so that only the test of this list can look for them."""
KNOWN = "5.3 to 5.23"


def check_trainer(trainer: type = transformers.Trainer) -> None:
    """Refuse a version of transformers whose Trainer lacks what training builds on.

    Raises:
        SystemProblem: names the version and the first missing part.
    """
    missing = [name for name in (*OVERRIDDEN, *CALLED) if not hasattr(trainer, name)]
    if missing:
        raise SystemProblem(
            "transformers",
            f"version {transformers.__version__} has no Trainer.{missing[0]}, which training relies on",
            f"install one that is known to work: pip install 'transformers>=5.3,<6' (tested: {KNOWN})",
        )
