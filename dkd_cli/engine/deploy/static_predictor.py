"""From texts to logits of a static student, with NumPy alone: neither torch nor transformers is imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dkd_cli.data.kinds import kind_of_model
from dkd_cli.engine.deploy.predictor import LONGEST, Logits, Pairs, Predictor
from dkd_cli.engine.deploy.text_tokens import TextTokens
from dkd_cli.engine.models.static_arrays import StaticArrays, StaticFacts
from dkd_cli.errors import NumericError


def static_predictor(folder: Path, arrays: StaticArrays, facts: StaticFacts) -> Predictor:
    """Predict with a static student that was read from `folder`.

    Raises:
        ModelError: for a tokenizer that cannot be read.
    """
    tokens = TextTokens(folder, facts.max_length or LONGEST, None)
    nothing = tokens.empty_token(folder)

    def logits(texts: Sequence[str], pairs: Pairs) -> tuple[Logits, int]:
        encoded = tokens(texts, pairs)
        said = arrays.logits([np.array(one.ids or [nothing]) for one in encoded])
        if not np.isfinite(said).all():
            raise NumericError(str(folder), "a logit is not finite", "train again with a lower learning rate")
        return said, sum(bool(one.overflowing) for one in encoded)

    kind = kind_of_model(facts.problem_type, len(facts.labels or ("",)))
    return Predictor(facts.labels, kind, facts.text, facts.text_pair, facts.max_length or LONGEST, logits)
