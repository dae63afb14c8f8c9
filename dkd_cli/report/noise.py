"""Silence for the libraries underneath: what a run has to say, `Terminal` says."""

from __future__ import annotations

import os
import sys


def quiet_libraries() -> None:
    """Silence progress bars and advice of transformers, datasets and tokenizers; their errors still come."""
    for variable, value in {
        "TRANSFORMERS_VERBOSITY": "error",
        "DATASETS_VERBOSITY": "error",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        # stated, so that a fork brings no warning; texts are tokenised in this process alone
        "TOKENIZERS_PARALLELISM": "true",
    }.items():
        os.environ.setdefault(variable, value)
    # the variables are read on import: whoever is in already must be told
    if "transformers" in sys.modules:
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
    if "datasets" in sys.modules:
        import datasets

        datasets.logging.set_verbosity_error()
        datasets.disable_progress_bars()
