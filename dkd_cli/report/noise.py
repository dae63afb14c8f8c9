"""Silences the output of libraries; `Terminal` prints what a run reports."""

from __future__ import annotations

import os
import sys


def quiet_libraries() -> None:
    """Silence progress bars and advice of transformers, datasets and tokenizers; errors are still shown."""
    for variable, value in {
        "TRANSFORMERS_VERBOSITY": "error",
        "DATASETS_VERBOSITY": "error",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        # set explicitly, so that a fork gives no warning; texts are tokenised in this process only
        "TOKENIZERS_PARALLELISM": "true",
    }.items():
        os.environ.setdefault(variable, value)
    # the variables are read on import: libraries that are already imported must be configured
    if "transformers" in sys.modules:
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
    if "datasets" in sys.modules:
        import datasets

        datasets.logging.set_verbosity_error()
        datasets.disable_progress_bars()
