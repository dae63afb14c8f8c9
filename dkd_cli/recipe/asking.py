"""Schema of a teacher behind an endpoint: queries and prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

Count = Annotated[int, Ge(1)]
Weight = Annotated[float, Ge(0)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """Prices of an endpoint, in any currency; `dkd label` adds them up and keeps to `--max-cost`."""

    input: Weight = 0.0
    """Per million tokens of the prompt."""
    output: Weight = 0.0
    """Per million tokens of the answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asking:
    """Settings by which `dkd label` queries an endpoint."""

    answers: Literal["logprobs", "votes", "single"] = "logprobs"
    """How an answer becomes probabilities. `logprobs`: from the log-probabilities of its first token;
    `votes`: the shares of several sampled answers; `single`: one answer, smoothed by the error rate that is
    measured on labelled rows. An answer without log-probabilities counts as a single one."""
    votes: Annotated[int, Ge(2), Le(50)] = 5
    """`votes`: samples per text."""
    temperature: Annotated[float, Ge(0), Le(2)] | None = None
    """null: 1 for `votes`, else 0."""
    shortlist: Annotated[int, Ge(2), Le(25)] = 19
    """With more than 26 classes: candidates listed in a prompt, ranked by similarity to the text; hosted
    models give log-probabilities of 20 tokens, and one stands for `none of these`."""
    max_tokens: Count = 8
    """Tokens of an answer at most."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Further fields of each request, such as `reasoning_effort: none`. A value that is JSON is sent as such;
    `"null"` removes a field that dkd would send."""
    concurrency: Annotated[int, Ge(1), Le(256)] = 8
    """Requests in flight at most."""
    timeout: Annotated[float, Gt(0)] = 60.0
    """Seconds to wait for an answer."""
    max_characters: Count = 4000
    """Longer texts are truncated before they are sent."""
