"""Asking many questions at once: threads send, and this one thread alone spends, records and decides.

Whatever came in meanwhile is written with one sync, together with the intents of the requests that go out
next; only then are these sent. So nothing is answered that is not on disk before the slot asks again, and a
kill loses at most the requests in flight, which the record counts as spent. Knows nothing about selection.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from dkd_cli.errors import DkdError, SystemProblem
from dkd_cli.labelling.answers import AnswerStore, Record
from dkd_cli.labelling.budget import Budget, Tariff
from dkd_cli.labelling.endpoint import (
    Endpoint,
    Lost,
    Question,
    Reply,
    TextRefused,
    Unbilled,
    shown_classes,
    worst_tokens,
)
from dkd_cli.labelling.prompts import Prompt
from dkd_cli.labelling.replies import Answer
from dkd_cli.recipe.asking import Asking
from dkd_cli.stopping import Stopped, finishing
from dkd_cli.stopping import asked as asked_to_stop

TRIES = 3
"""Replies without a class after which a text is given up."""
LOST_IN_A_ROW = 10
"""Requests lost without one answered in between (or twice those in flight, if more), after which the endpoint
is taken for dead."""
PATIENCE = 0.2
"""Seconds between two looks at whether the command is to stop."""

Progress = Callable[[int, Budget], None]
"""So many texts more are settled; the budget as it is now."""


@dataclass
class AskingTally:
    """Events of one call of `ask`."""

    answered: int = 0
    found: int = 0
    """Texts whose answer was there before."""
    unparsed: int = 0
    """Replies without a class."""
    given_up: int = 0
    """Texts without an answer after `TRIES` replies, or that the endpoint refuses."""
    lost: int = 0
    without_logprobs: int = 0
    """Answers that lack the log-probabilities that were requested."""
    repeated: Counter[str] = field(default_factory=Counter)
    """Unbilled refusals that were repeated, by what they said."""
    exhausted: bool = False
    """The budget ended before the questions."""


@dataclass(frozen=True)
class Desk:
    """Everything that asking needs but the questions."""

    endpoint: Endpoint
    store: AnswerStore
    budget: Budget
    tariff: Tariff
    prompt: Prompt
    asking: Asking
    run: str
    """The labelling run that pays, as the record names it."""
    stop: threading.Event
    """Ends pauses between attempts."""


def open_questions(questions: Iterable[Question], store: AnswerStore) -> list[Question]:
    """The questions that are neither answered nor given up."""
    ledger = store.ledger
    return [
        question
        for question in questions
        if question.key not in ledger.answers and ledger.unparsed[question.key] < TRIES
    ]


def ask(desk: Desk, questions: Sequence[Question], tally: AskingTally, progress: Progress) -> None:
    """Ask each question once, unless its answer is there, as far as the budget goes.

    Args:
        desk: endpoint, record and budget.
        questions: with distinct keys.
        tally: is added to.
        progress: called for each text that is settled.

    Raises:
        DkdError: no request can succeed; what was in flight is recorded first.
        Stopped: a signal asked for an end; what was in flight is recorded first.
    """
    waiting = deque(open_questions(questions, desk.store))
    found = len(questions) - len(waiting)
    tally.found += found
    progress(found, desk.budget)
    with finishing(), ThreadPoolExecutor(desk.asking.concurrency) as pool:
        _Session(desk, waiting, tally, progress, pool).run()
        number = asked_to_stop()
        if number is not None:
            raise Stopped(number, f"with {len(desk.store.ledger.answers):,} answers on disk")


class _Session:
    """The questions of one call on their way."""

    def __init__(
        self,
        desk: Desk,
        waiting: deque[Question],
        tally: AskingTally,
        progress: Progress,
        pool: ThreadPoolExecutor,
    ) -> None:
        self.desk, self.waiting, self.tally, self.progress, self.pool = desk, waiting, tally, progress, pool
        self.flying: dict[Future[Reply], tuple[Question, float]] = {}
        self.landed: SimpleQueue[Future[Reply]] = SimpleQueue()
        self.lost_in_a_row = 0
        self.failed: DkdError | None = None

    def run(self) -> None:
        """Until nothing waits or flies."""
        records: list[Record] = []
        while True:
            starting = self._start(records)
            self.desk.store.append(records)
            for question, worst in starting:
                nones = self.desk.store.ledger.nones[question.key]
                future = self.pool.submit(self.desk.endpoint.ask, question, nones)
                self.flying[future] = question, worst
                future.add_done_callback(self.landed.put)
            if not self.flying:
                break
            records = [record for future in self._landed() for record in self._settle(future)]
        if self.failed is not None:
            raise self.failed

    def _start(self, records: list[Record]) -> list[tuple[Question, float]]:
        """Take the questions that may be sent now; their intents are added to `records`."""
        starting: list[tuple[Question, float]] = []
        desk = self.desk
        ending = self.failed is not None or asked_to_stop() is not None
        if ending:
            desk.stop.set()
        while self.waiting and not ending and len(self.flying) + len(starting) < desk.asking.concurrency:
            question = self.waiting[0]
            worst = worst_cost(desk, question)
            if not desk.budget.may_start(worst):
                # What is in flight may turn out cheaper, or be refused unbilled.
                self.tally.exhausted = not self.flying and not starting
                break
            self.waiting.popleft()
            desk.budget.start(worst)
            records.append({"kind": "asked", "key": question.key, "run": desk.run, "worst": worst})
            starting.append((question, worst))
        return starting

    def _landed(self) -> list[Future[Reply]]:
        """Wait for one request at least; a signal is noticed meanwhile."""
        found: list[Future[Reply]] = []
        while not found:
            if asked_to_stop() is not None:
                self.desk.stop.set()
            try:
                found.append(self.landed.get(timeout=PATIENCE))
                while True:
                    found.append(self.landed.get_nowait())
            except Empty:
                continue
        return found

    def _settle(self, future: Future[Reply]) -> list[Record]:
        """Record a finished request; a text that has to be queried again is put back."""
        question, worst = self.flying.pop(future)
        desk, tally = self.desk, self.tally
        base: Record = {"key": question.key, "run": desk.run}
        try:
            reply = future.result()
        except Lost as error:
            desk.budget.finished(worst, worst)
            tally.lost += 1
            self.lost_in_a_row += 1
            self.waiting.append(question)
            if self.lost_in_a_row >= max(LOST_IN_A_ROW, 2 * desk.asking.concurrency):
                self.failed = self._dead(str(error))
            return []
        except TextRefused:
            desk.budget.refused(worst)
            tally.given_up += 1
            self.progress(1, desk.budget)
            refused = {"kind": "unparsed", **base, "said": "refused"}
            return [{"kind": "unbilled", **base}, *[refused] * TRIES]
        except Unbilled as error:
            desk.budget.refused(worst)
            if asked_to_stop() is None and self.failed is None:
                self.failed = self._dead(str(error))
            return [{"kind": "unbilled", **base}]
        except DkdError as error:
            desk.budget.refused(worst)
            self.failed = self.failed or error
            return [{"kind": "unbilled", **base}]
        self.lost_in_a_row = 0
        desk.budget.finished(worst, worst if reply.tokens is None else desk.tariff.cost(*reply.tokens))
        if isinstance(reply.said, Answer):
            return [self._answered(base, reply, reply.said)]
        tally.unparsed += 1
        if desk.store.ledger.unparsed[question.key] + 1 < TRIES:
            self.waiting.append(question)
        else:
            tally.given_up += 1
            self.progress(1, desk.budget)
        said = {"said": reply.said.said, "none": reply.said.none}
        return [{"kind": "unparsed", **base, **said, "tokens": reply.tokens}]

    def _answered(self, base: Record, reply: Reply, answer: Answer) -> Record:
        self.tally.answered += 1
        self.tally.without_logprobs += self.desk.asking.answers == "logprobs" and answer.logprobs is None
        self.progress(1, self.desk.budget)
        said: Record = {"votes": answer.votes} if answer.logprobs is None else {"logprobs": answer.logprobs}
        return {"kind": "answer", **base, **said, "tokens": reply.tokens}

    def _dead(self, problem: str) -> SystemProblem:
        return SystemProblem(
            "the endpoint", f"gives no answers: {problem}", "see to it, and run the same again: it goes on"
        )


def worst_cost(desk: Desk, question: Question) -> float:
    """Upper bound of the cost of the next request about a text."""
    nones = desk.store.ledger.nones[question.key]
    shown = shown_classes(question, nones, desk.asking.shortlist, desk.prompt)
    messages = desk.prompt.messages(question.text, question.pair, shown)
    return desk.tariff.cost(*worst_tokens(messages, desk.asking))
