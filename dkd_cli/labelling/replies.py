"""A reply of the chat protocol -> what it says of each class; and answers -> probabilities.

A reply that names no class that was offered is unparseable: it is never guessed at. Knows nothing about how
replies come in or where answers are stored.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CODE = re.compile(
    r"[\s\"'`(\[{<*_]*(?:(?i:answer|class|code)[\s*]*[:=][\s*]*)?"
    r"([A-Z])"
    r"(?=\s*$|[\"'`)\]}>*_.,;:]|\s*[=:\n]|\s+[-(])"  # the code ends there: `A film` says no class
)
PRIOR_ERRORS, PRIOR_ROWS = 1, 10
"""A single answer's error rate before anything is measured is a tenth, as if of ten rows."""


@dataclass(frozen=True)
class Answer:
    """Probabilities of one text, by class name."""

    logprobs: Mapping[str, float] | None
    """Log-probability of each class that was among the first token's alternatives."""
    votes: Mapping[str, int]
    """Votes for each class; empty where there are log-probabilities."""

    @property
    def best(self) -> str:
        """The class with the highest probability; of equals the first said."""
        scores: Mapping[str, float] = self.logprobs if self.logprobs is not None else self.votes
        return max(scores, key=lambda name: scores[name])


@dataclass(frozen=True)
class Unparsed:
    """A reply without a class."""

    said: str
    """Its beginning."""
    none: bool = False
    """It said that no class of the shortlist fits."""


def parse(body: Any, codes: Mapping[str, str | None], *, logprobs: bool) -> Answer | Unparsed:
    """Read a chat completion.

    Args:
        body: the decoded JSON.
        codes: code -> class name; None: none of the classes shown.
        logprobs: whether log-probabilities were requested.

    Returns:
        The answer; where several choices came, the votes of those that can be parsed.

    >>> parse({"choices": [{"message": {"content": "B"}}]}, {"A": "spam", "B": "ham"}, logprobs=True)
    Answer(logprobs=None, votes={'ham': 1})
    """
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list) or not choices:
        return Unparsed("a body without choices")
    votes: Counter[str] = Counter()
    none, said = 0, ""
    for choice in choices:
        content = _content(choice)
        if logprobs and len(choices) == 1 and (top := _alternatives(choice)) is not None:
            found = _renormalised(top, codes)
            if found is not None:
                return Answer(found, {})
            return Unparsed(
                content[:40], none=_code(content, codes) in codes and _named(content, codes) is None
            )
        code = _code(content, codes)
        if code not in codes:
            said = said or content
        elif (name := codes[code]) is None:
            none += 1
        else:
            votes[name] += 1
    if not votes:
        return Unparsed(said[:40], none=none > 0)
    return Answer(None, dict(votes))


def _content(choice: Any) -> str:
    message = choice.get("message") if isinstance(choice, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else ""


def _code(content: str, codes: Mapping[str, str | None]) -> str:
    """The code that a reply begins with, or of the class that it spells out; empty if neither."""
    match = CODE.match(content)
    if match is not None and match[1] in codes:
        return match[1]
    spelt = content.strip().strip(".\"'`*").casefold()
    return next((code for code, name in codes.items() if name is not None and name.casefold() == spelt), "")


def _named(content: str, codes: Mapping[str, str | None]) -> str | None:
    return codes.get(_code(content, codes))


def _alternatives(choice: Any) -> dict[str, float] | None:
    """Token -> log-probability at the first position that is not blank; None where there are none."""
    logprobs = choice.get("logprobs") if isinstance(choice, dict) else None
    positions = logprobs.get("content") if isinstance(logprobs, dict) else None
    for position in positions if isinstance(positions, list) else ():
        if not isinstance(position, dict) or not isinstance(position.get("token"), str):
            return None
        if not position["token"].strip():
            continue
        listed = [position, *(position.get("top_logprobs") or [])]
        found: dict[str, float] = {}
        for one in listed:
            value = one.get("logprob") if isinstance(one, dict) else None
            if isinstance(value, int | float) and isinstance(one.get("token"), str) and not math.isnan(value):
                found[one["token"]] = float(value)
        return found
    return None


def _renormalised(top: Mapping[str, float], codes: Mapping[str, str | None]) -> dict[str, float] | None:
    """Class -> log-probability among the classes shown; None where the likeliest token is no class."""
    mass: dict[str, float] = {}
    for token, value in top.items():
        mass[token.strip()] = mass.get(token.strip(), 0.0) + math.exp(value)  # `A` and ` A` are one code
    likeliest = max(mass, key=lambda token: mass[token])
    if codes.get(likeliest) is None:
        return None
    shares = {name: mass[code] for code, name in codes.items() if name is not None and mass.get(code)}
    total = sum(shares.values())
    return {name: math.log(share / total) for name, share in shares.items()}


def tokens_used(body: Any) -> tuple[int, int] | None:
    """(prompt tokens, completion tokens) that a reply was billed for; None where it does not say."""
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return None
    counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        return None
    return int(counts[0]), int(counts[1])  # type: ignore[arg-type]


def error_rate(wrong: int, rows: int) -> float:
    """The error rate by which single answers are smoothed: that on labelled rows, with a weak prior.

    >>> error_rate(0, 0), round(error_rate(20, 90), 2)
    (0.1, 0.21)
    """
    return (wrong + PRIOR_ERRORS) / (rows + PRIOR_ROWS)


def probabilities(answers: Sequence[Answer], names: Sequence[str], error: float) -> NDArray[np.float64]:
    """Class probabilities, [N, C].

    Log-probabilities are exponentiated; several votes give their shares; a single answer has 1 - `error`, and
    the other classes share `error` evenly.

    >>> probabilities([Answer(None, {"ham": 1}), Answer(None, {"ham": 3, "spam": 1})], ["ham", "spam"], 0.1)
    array([[0.9 , 0.1 ],
           [0.75, 0.25]])
    """
    place = {name: index for index, name in enumerate(names)}
    found = np.zeros((len(answers), len(names)))
    for row, answer in enumerate(answers):
        if answer.logprobs is not None:
            for name, value in answer.logprobs.items():
                found[row, place[name]] = math.exp(value)
        elif sum(answer.votes.values()) == 1:
            found[row] = error / (len(names) - 1)
            found[row, place[answer.best]] = 1 - error
        else:
            for name, count in answer.votes.items():
                found[row, place[name]] = count
    shares: NDArray[np.float64] = found / found.sum(axis=1, keepdims=True)
    return shares
