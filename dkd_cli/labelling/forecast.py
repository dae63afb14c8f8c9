"""Forecast of a labelling's cost and time, from the tokens of the real prompts.

Endpoints count with tokenizers of their own. Until replies have said what they took, the recipe's tokenizer
stands for them; afterwards the forecast is scaled by what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dkd_cli.engine.models.models import Tokenizer
from dkd_cli.labelling.answers import Ledger
from dkd_cli.labelling.budget import Tariff
from dkd_cli.labelling.prompts import Message

ANSWER_TOKENS = 2.0
"""A letter and the end of the answer."""
MESSAGE_TOKENS = 4
FEWEST_MEASURED = 20
SECONDS = 1.0
"""A request, where none was measured."""


@dataclass(frozen=True)
class LabelForecast:
    """Means over requests."""

    prompt_tokens: float
    completion_tokens: float
    measured: bool
    """True if replies said so; else it is the recipe's tokenizer that counts."""

    def cost(self, requests: int, tariff: Tariff) -> float:
        """Cost of so many requests."""
        return requests * (self.prompt_tokens * tariff.input + self.completion_tokens * tariff.output) / 1e6


def forecast(
    prompts: Sequence[Sequence[Message]], tokenizer: Tokenizer, ledger: Ledger, samples: int
) -> LabelForecast:
    """Tokens of a request.

    Args:
        prompts: the messages of some requests.
        tokenizer: the recipe's.
        ledger: replies so far.
        samples: answers that each request asks for.
    """
    if ledger.counted >= FEWEST_MEASURED:
        return LabelForecast(
            ledger.prompt_tokens / ledger.counted, ledger.completion_tokens / ledger.counted, measured=True
        )
    texts = [message["content"] for messages in prompts for message in messages]
    counts = [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
    total = sum(counts) + MESSAGE_TOKENS * len(counts)
    return LabelForecast(total / max(1, len(prompts)), ANSWER_TOKENS * samples, measured=False)


def seconds(requests: int, concurrency: int) -> float:
    """Seconds that so many requests take, at `SECONDS` each.

    >>> seconds(1600, 8)
    200.0
    """
    return requests * SECONDS / concurrency
