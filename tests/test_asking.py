"""Asking many at once against a stand-in with faults: nothing twice, nothing overspent, nothing guessed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_rows
from stand_in import KEY, standing

from benchmarks.endpoint import Stand
from dkd_cli.errors import DkdError
from dkd_cli.labelling.answers import AnswerStore, text_key
from dkd_cli.labelling.asking import TRIES, AskingTally, Desk, ask
from dkd_cli.labelling.budget import Budget, Tariff
from dkd_cli.labelling.endpoint import Endpoint, Question
from dkd_cli.labelling.prompts import Prompt
from dkd_cli.recipe.asking import Asking
from dkd_cli.recipe.schema import Teacher

NAMES = ("negative", "positive")
TEXTS = [text for text, _ in tiny_rows()]
QUESTIONS = [Question(text_key(text, None), text, None, NAMES) for text in TEXTS]


@contextmanager
def desk(
    folder: Path, *, budget: Budget | None = None, asking: dict[str, Any] | None = None, **server: Any
) -> Iterator[tuple[Desk, Stand]]:
    """A desk at a stand-in with these faults."""
    settings = Asking(**{"concurrency": 8, "timeout": 2.0, **(asking or {})})
    prompt = Prompt(dict.fromkeys(NAMES, ""))
    with standing(**server) as (url, stand):
        teacher = Teacher(endpoint=url, model="stand-in", key_env="DKD_TEST_KEY", asking=settings)
        store, stop = AnswerStore(folder, {}, print), threading.Event()
        endpoint = Endpoint(teacher, prompt, "teachers.llm", KEY, stop)
        tariff = Tariff(1.0, 2.0)
        yield Desk(endpoint, store, budget or Budget(), tariff, prompt, settings, "run", stop), stand
        endpoint.close()
        store.close()


def asked(at: Desk, questions: list[Question] | None = None) -> AskingTally:
    tally = AskingTally()
    ask(at, QUESTIONS if questions is None else questions, tally, lambda count, budget: None)
    return tally


def test_each_text_is_asked_once(tmp_path: Path) -> None:
    with desk(tmp_path) as (at, stand):
        tally = asked(at)
        assert (tally.answered, tally.found) == (120, 0)
        assert asked(at).found == 120
        assert set(stand.asked.values()) == {1}
        assert [at.store.ledger.answers[one.key].best for one in QUESTIONS] == [
            label for _, label in tiny_rows()
        ]


FAULTS = {"429": 0.15, "500": 0.1, "half": 0.05, "json": 0.05, "class": 0.1, "nologprobs": 0.1, "empty": 0.02}


def test_all_faults_at_once_are_survived(tmp_path: Path) -> None:
    with desk(tmp_path, faults=FAULTS, budget=Budget(requests=1000)) as (at, stand):
        tally = asked(at)
        assert tally.answered + tally.given_up == 120
        assert tally.answered >= 110
        assert all(stand.made[fault] for fault in FAULTS)
        spent = at.store.ledger.spending["run"]
        assert spent.made == at.budget.made == stand.asked.total()
        assert spent.lost == tally.lost == stand.made["half"] + stand.made["json"]
        assert tally.without_logprobs > 0
        right = [at.store.ledger.answers.get(one.key) for one in QUESTIONS]
        wrong = [
            (a, label) for a, (_, label) in zip(right, tiny_rows(), strict=True) if a and a.best != label
        ]
        assert not wrong


def test_a_timeout_is_spent_and_asked_again(tmp_path: Path) -> None:
    with desk(tmp_path, faults={"timeout": 0.3}, asking={"timeout": 0.3}) as (at, stand):
        tally = asked(at, QUESTIONS[:12])
        assert tally.answered == 12
        assert tally.lost == stand.made["timeout"] > 0
        assert at.budget.made == 12 + tally.lost


def test_an_endpoint_that_answers_nothing_ends_with_a_line(tmp_path: Path) -> None:
    with desk(tmp_path, faults={"timeout": 1.0}, asking={"timeout": 0.1, "concurrency": 4}) as (at, _):
        with pytest.raises(DkdError, match="gives no answers: no answer within"):
            asked(at)
        assert at.store.ledger.spending["run"].made == at.budget.made <= 14


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
def test_what_no_repetition_helps_ends_at_once(tmp_path: Path, status: int) -> None:
    with desk(tmp_path, status=status) as (at, stand):
        with pytest.raises(DkdError, match=str(status)) as caught:
            asked(at)
        assert KEY not in str(caught.value)
        assert stand.made[str(status)] <= 8
        assert at.budget.made == at.store.ledger.spending["run"].made == 0


def test_no_server_is_a_line_and_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dkd_cli.labelling.endpoint.LONGEST_PAUSE", 0.001)
    prompt, asking = Prompt(dict.fromkeys(NAMES, "")), Asking(concurrency=2)
    teacher = Teacher(endpoint="http://127.0.0.1:9/v1", model="m", asking=asking)  # nothing listens there
    store, stop = AnswerStore(tmp_path, {}, print), threading.Event()
    endpoint = Endpoint(teacher, prompt, "teachers.llm", None, stop)
    dead = Desk(endpoint, store, Budget(), Tariff(1.0, 2.0), prompt, asking, "run", stop)
    with pytest.raises(DkdError, match="gives no answers: no connection"):
        asked(dead, QUESTIONS[:2])
    assert dead.budget.made == store.ledger.spending["run"].made == 0
    store.close()


def test_the_budget_holds_with_requests_in_flight(tmp_path: Path) -> None:
    faults = {"half": 0.1, "class": 0.1, "429": 0.1}
    with desk(tmp_path, budget=Budget(requests=50), faults=faults, asking={"concurrency": 16}) as (at, stand):
        tally = asked(at)
        assert tally.exhausted
        assert stand.asked.total() == at.budget.made == 50


def test_the_cost_limit_holds(tmp_path: Path) -> None:
    with desk(tmp_path, budget=Budget(money=0.003), asking={"concurrency": 16}) as (at, stand):
        tally = asked(at)
        assert tally.exhausted
        assert 0.002 < at.budget.spent <= 0.003
        assert stand.asked.total() == tally.answered


def test_unparseable_replies_are_counted_and_given_up(tmp_path: Path) -> None:
    with desk(tmp_path, faults={"class": 1.0}) as (at, stand):
        tally = asked(at, QUESTIONS[:5])
        assert (tally.answered, tally.given_up, tally.unparsed) == (0, 5, 5 * TRIES)
        assert not at.store.ledger.answers
        assert asked(at, QUESTIONS[:5]).unparsed == 0
        assert stand.asked.total() == 5 * TRIES


def test_votes_come_as_shares(tmp_path: Path) -> None:
    with desk(tmp_path, asking={"answers": "votes", "votes": 40}) as (at, _):
        asked(at, QUESTIONS[:3])
        answer = at.store.ledger.answers[QUESTIONS[0].key]
        assert answer.votes[answer.best] > 25
        assert sum(answer.votes.values()) == 40
