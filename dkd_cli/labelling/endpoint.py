"""One request to an OpenAI-compatible chat endpoint, and what each way it can fail means for the bill.

Refusals that cost nothing (429, 5xx, no connection) are repeated here, as `Retry-After` says or with growing,
jittered pauses. What may have been billed without an answer (a timeout, half a body) is `Lost`. What no
repetition helps (401, 402, 404, 422) is a `DkdError` that ends the command. The key is read from the
environment, sent in the header and scrubbed from every message. Knows nothing about budgets, files or the
choice of texts.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from typing import Any

from dkd_cli.errors import DkdError, RecipeError, SystemProblem, reason
from dkd_cli.labelling.prompts import CODES, Message, Prompt
from dkd_cli.labelling.replies import Answer, Unparsed, parse, tokens_used
from dkd_cli.recipe.asking import Asking
from dkd_cli.recipe.schema import Teacher

ATTEMPTS = 10
LONGEST_PAUSE = 60.0
LONGEST_RETRY_AFTER = 900.0
"""Seconds; an endpoint that asks for a longer pause ends the command instead."""
TOP_LOGPROBS = 20
TOKENS_OF_A_MESSAGE = 16
"""Beyond its text, at most."""

Sleep = Callable[[float], None]


@dataclass(frozen=True)
class Question:
    """A text to ask about."""

    key: str
    """`answers.text_key`."""
    text: str
    pair: str | None
    ranked: tuple[str, ...]
    """All class names, the likeliest first where a shortlist is shown."""


@dataclass(frozen=True)
class Reply:
    """Response to one request."""

    said: Answer | Unparsed
    tokens: tuple[int, int] | None
    """(prompt, completion); None where the endpoint does not say."""


class Lost(Exception):
    """A request that may have been billed brought no answer."""


class TextRefused(Exception):
    """The endpoint refuses this one text, unbilled: its content, or its length."""


class Unbilled(Exception):
    """The endpoint did not take the request; it can be repeated."""

    def __init__(self, problem: str, retry_after: float | None = None) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


def api_key(teacher: Teacher, place: str) -> str | None:
    """The API key from the environment; None where the recipe names no variable.

    Raises:
        RecipeError: the variable is not set.
    """
    if teacher.key_env is None:
        return None
    key = os.environ.get(teacher.key_env, "").strip()
    if not key:
        raise RecipeError(f"{place}.key_env", f"${teacher.key_env} is not set", "export it with the API key")
    return key


def request_fields(asking: Asking, model: str) -> dict[str, Any]:
    """Every field of a request but the messages."""
    temperature = asking.temperature
    if temperature is None:
        temperature = 1.0 if asking.answers == "votes" else 0.0
    fields: dict[str, Any] = {"model": model, "temperature": temperature, "max_tokens": asking.max_tokens}
    if asking.answers == "logprobs":
        fields |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
    if asking.answers == "votes":
        fields["n"] = asking.votes
    for name, written in asking.parameters.items():
        try:
            fields[name] = json.loads(written)
        except json.JSONDecodeError:
            fields[name] = written
    return {name: value for name, value in fields.items() if value is not None}


def worst_tokens(messages: Sequence[Message], asking: Asking) -> tuple[int, int]:
    """(prompt, completion) tokens that a request can take at most: a token is at least one byte."""
    prompt = sum(len(message["content"].encode()) + TOKENS_OF_A_MESSAGE for message in messages)
    samples = asking.votes if asking.answers == "votes" else 1
    return prompt, samples * asking.max_tokens


def require_client(place: str) -> None:
    """Raise SystemProblem where the extra `llm` is not installed; `place` is the teacher's key."""
    missing = [name for name in ("openai", "tenacity") if find_spec(name) is None]
    if missing:
        remedy = "install the extra: pip install 'dkd-cli[llm]'"
        raise SystemProblem(place, f"an endpoint needs the package {missing[0]}", remedy)


class Endpoint:
    """Sends questions; safe to call from several threads.

    Args:
        teacher: a teacher with an `endpoint`.
        prompt: its prompt.
        place: the teacher's place in the recipe.
        key: from `api_key`.
        stop: set to end pauses between attempts.
        repeated: called with each refusal that is repeated.

    Raises:
        SystemProblem: the extra `llm` is not installed.
    """

    def __init__(
        self,
        teacher: Teacher,
        prompt: Prompt,
        place: str,
        key: str | None,
        stop: threading.Event,
        repeated: Callable[[str], None] = lambda problem: None,
    ) -> None:
        require_client(place)
        import openai
        import tenacity

        assert teacher.endpoint is not None
        assert teacher.model is not None
        self._teacher, self._prompt, self._place = teacher, prompt, place
        self._key, self._stop, self._repeated = key, stop, repeated
        self._fields = request_fields(teacher.asking, teacher.model)
        # Its own repetition is off: each request that may be billed has to be counted.
        self._client = openai.OpenAI(
            base_url=teacher.endpoint,
            api_key=key or "none",
            timeout=teacher.asking.timeout,
            max_retries=0,
        )
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Unbilled),
            stop=tenacity.stop_after_attempt(ATTEMPTS) | tenacity.stop_when_event_set(stop),
            wait=_pause,
            sleep=tenacity.sleep_using_event(stop),
            reraise=True,
        )

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()

    def ask(self, question: Question, nones: int) -> Reply:
        """Send one request, and repeat it while the endpoint refuses it unbilled.

        Args:
            question: the text.
            nones: how many shortlists were refused before; the next one is shown.

        Raises:
            Lost: it may have been billed, and there is no answer.
            TextRefused: this text is not taken.
            Unbilled: it was refused to the last attempt, or `stop` was set.
            DkdError: no request can succeed.
        """
        shown = self.shown(question, nones)
        messages = self._prompt.messages(question.text, question.pair, shown)
        body = self._retrying.copy()(self._send, {"messages": messages, **self._fields})
        logprobs = self._teacher.asking.answers == "logprobs"
        return Reply(parse(body, self._prompt.codes(shown), logprobs=logprobs), tokens_used(body))

    def shown(self, question: Question, nones: int) -> list[str]:
        """The classes that a prompt lists, in their order: all of up to 26, else the next shortlist."""
        return shown_classes(question, nones, self._teacher.asking.shortlist, self._prompt)

    def _send(self, body: dict[str, Any]) -> Any:
        import openai

        try:
            return self._client.post("/chat/completions", body=body, cast_to=object)
        except openai.APITimeoutError as error:
            if _never_sent(error):
                raise self._unbilled(f"no connection within {self._teacher.asking.timeout:g} s") from None
            raise Lost(f"no answer within {self._teacher.asking.timeout:g} s") from None
        except openai.APIStatusError as error:
            raise self._refusal(error) from None
        except openai.APIConnectionError as error:
            problem = self._scrubbed(reason(_cause(error)))
            if _never_sent(error):
                raise self._unbilled(f"no connection ({problem})") from None
            raise Lost(f"the connection broke off ({problem})") from None
        except (openai.APIResponseValidationError, ValueError):
            raise Lost("an answer that is not JSON") from None

    def _unbilled(self, problem: str, retry_after: float | None = None) -> Unbilled:
        self._repeated(problem)
        return Unbilled(problem, retry_after)

    def _refusal(self, error: Any) -> Exception:
        """Classify an HTTP status: repeat, lost, this text, or the end."""
        status, code = int(error.status_code), str(error.code or "")
        said = f"{status}: {self._scrubbed(_message(error))}"
        if code in ("content_filter", "context_length_exceeded"):
            return TextRefused(said)
        if status in (408, 504):
            return Lost(f"the endpoint answered {said}")
        if code != "insufficient_quota" and (status in (409, 425, 429) or status >= 500):
            pause = retry_after(error.response.headers.get("retry-after"))
            if pause is not None and pause > LONGEST_RETRY_AFTER:
                problem = f"the endpoint answered {said}, and asks for a pause of {pause:.0f} s"
                return SystemProblem(f"{self._place}.endpoint", problem, "run the same again after it")
            return self._unbilled(f"the endpoint answered {said}", pause)
        return self._final(status, f"the endpoint answered {said}")

    def _final(self, status: int, problem: str) -> DkdError:
        variable = self._teacher.key_env
        key = f"check the key in ${variable}" if variable else "name the variable with your key in `key_env`"
        place = f"{self._place}.endpoint"
        if status in (401, 403):
            return SystemProblem(place, problem, key)
        if status in (402, 429):
            return SystemProblem(place, problem, "add credit there, and run the same again")
        if status == 404:
            return RecipeError(place, problem, f"check it, and `model: {self._teacher.model}`")
        return RecipeError(
            place, problem, f"check {self._place}.asking: the endpoint does not take the request"
        )

    def _scrubbed(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def shown_classes(question: Question, nones: int, shortlist: int, prompt: Prompt) -> list[str]:
    """The classes of one request, in the prompt's order; `nones` shortlists of them were refused before."""
    if len(prompt.classes) <= len(CODES):
        return list(prompt.classes)
    windows = -(-len(question.ranked) // shortlist)
    start = nones % windows * shortlist
    chosen = set(question.ranked[start : start + shortlist])
    return [name for name in prompt.classes if name in chosen]


def retry_after(header: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for, as a number or a date; None where it says nothing.

    >>> retry_after("1.5"), retry_after("soon"), retry_after("Thu, 01 Jan 1970 00:00:00 GMT")
    (1.5, None, 0.0)
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if seconds < float("inf") else None


def _pause(state: Any) -> float:
    """Seconds before the next attempt: as the endpoint says, else doubling from 0.5 s, with jitter."""
    import tenacity

    error = state.outcome.exception()
    jittered = tenacity.wait_random_exponential(multiplier=0.5, max=LONGEST_PAUSE)(state)
    asked = error.retry_after if isinstance(error, Unbilled) else None
    # All that were refused together must not come back together.
    return float(jittered) if asked is None else float(asked + min(jittered, 0.1 * asked))


def _cause(error: Exception) -> Exception:
    return error.__cause__ if isinstance(error.__cause__, Exception) else error


def _never_sent(error: Exception) -> bool:
    """Return whether there was no connection to send the request by, so that it cannot have been billed."""
    return type(_cause(error)).__name__ in (
        "ConnectError",
        "ConnectTimeout",
        "PoolTimeout",
        "UnsupportedProtocol",
    )


def _message(error: Any) -> str:
    body = error.body
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return str(body["message"])
    return str(error.message)
