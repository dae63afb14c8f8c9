"""Replies of the chat protocol: what counts as an answer, and what is never guessed at."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dkd_cli.labelling.replies import Answer, Unparsed, parse, probabilities, tokens_used

CODES = {"A": "spam", "B": "ham"}
SHORT = {**CODES, "C": None}


def body(content: str, *positions: tuple[str, dict[str, float]]) -> dict[str, Any]:
    listed = [
        {
            "token": token,
            "logprob": top.get(token, -0.1),
            "top_logprobs": [{"token": one, "logprob": value} for one, value in top.items()],
        }
        for token, top in positions
    ]
    choice: dict[str, Any] = {"message": {"content": content}}
    return {"choices": [choice | ({"logprobs": {"content": listed}} if positions else {})]}


def test_log_probabilities_are_renormalised_over_the_classes_shown() -> None:
    top = {"B": math.log(0.6), " A": math.log(0.15), "A": math.log(0.05), "The": math.log(0.2)}
    found = parse(body("B", ("B", top)), CODES, logprobs=True)
    assert isinstance(found, Answer)
    assert found.logprobs is not None
    assert {name: round(math.exp(value), 4) for name, value in found.logprobs.items()} == {
        "spam": 0.25,
        "ham": 0.75,
    }


def test_a_blank_first_token_is_passed_over() -> None:
    found = parse(body("\nA", ("\n", {"\n": 0.0}), ("A", {"A": -0.1, "B": -3.0})), CODES, logprobs=True)
    assert isinstance(found, Answer)
    assert found.best == "spam"


def test_a_likeliest_token_that_is_no_code_is_no_answer() -> None:
    found = parse(body("The", ("The", {"The": -0.1, "A": -2.0, "B": -3.0})), CODES, logprobs=True)
    assert found == Unparsed("The")


def test_without_log_probabilities_the_text_answers() -> None:
    assert parse(body("B"), CODES, logprobs=True) == Answer(None, {"ham": 1})


@pytest.mark.parametrize(
    "said", ["A", " A.", "(A)", '"A"', "Answer: A", "**A**", "A = spam", "spam", "Spam."]
)
def test_ways_to_say_a_class(said: str) -> None:
    assert parse(body(said), CODES, logprobs=False) == Answer(None, {"spam": 1})


@pytest.mark.parametrize(
    "said", ["", "Z", "All of them", "7", "I think it is spam", "Because", "A film of sorts"]
)
def test_anything_else_is_no_class(said: str) -> None:
    assert isinstance(parse(body(said), CODES, logprobs=False), Unparsed)


@pytest.mark.parametrize(
    "broken", [None, [], {}, {"choices": []}, {"choices": [None]}, {"choices": [{}]}, "A"]
)
def test_a_body_of_another_form_is_no_answer(broken: Any) -> None:
    assert isinstance(parse(broken, CODES, logprobs=True), Unparsed)


def test_none_of_these_is_told_apart_from_nonsense() -> None:
    found = parse(body("C", ("C", {"C": -0.1, "A": -3.0})), SHORT, logprobs=True)
    assert found == Unparsed("C", none=True)
    assert parse(body("C"), SHORT, logprobs=False) == Unparsed("", none=True)


def test_votes_count_the_choices_that_can_be_read() -> None:
    choices = [{"message": {"content": said}} for said in ("A", "B", "A", "no idea")]
    assert parse({"choices": choices}, CODES, logprobs=False) == Answer(None, {"spam": 2, "ham": 1})


def test_probabilities_sum_to_one() -> None:
    answers = [Answer({"ham": math.log(0.7), "spam": math.log(0.3)}, {}), Answer(None, {"ham": 1})]
    found = probabilities(answers, ["spam", "ham", "other"], 0.2)
    assert np.allclose(found, [[0.3, 0.7, 0.0], [0.1, 0.8, 0.1]])


def test_tokens_are_those_of_the_bill() -> None:
    assert tokens_used({"usage": {"prompt_tokens": 7, "completion_tokens": 1}}) == (7, 1)
    assert tokens_used({"usage": {"prompt_tokens": -1, "completion_tokens": 1}}) is None
    assert tokens_used({}) is None
