"""Output of `dkd label`: the plan, the audit, each round and the sum."""

from __future__ import annotations

from typing import Any

from dkd_cli.labelling.answers import Ledger
from dkd_cli.labelling.asking import AskingTally
from dkd_cli.labelling.audit import Audit
from dkd_cli.labelling.budget import Budget
from dkd_cli.labelling.campaign import Campaign
from dkd_cli.labelling.endpoint import shown_classes
from dkd_cli.labelling.forecast import seconds
from dkd_cli.labelling.outputs import keys_of
from dkd_cli.labelling.room import Room, audit_rows, expected_use, requests_allowed
from dkd_cli.labelling.rounds import round_sizes, sizes_left
from dkd_cli.report.terminal import Terminal, duration


def show_plan(room: Room, ledger: Ledger, budget: Budget, asked: int) -> None:
    """Print the prompt, what the rest of the labelling would cost and how long it would take.

    Args:
        room: the labelling.
        ledger: the answers so far.
        budget: its limits and what earlier calls of it have spent.
        asked: texts of its rounds so far.
    """
    setting, wanted, terminal = room.setting, room.wanted, room.terminal
    expected = expected_use(room, ledger)
    total = requests_allowed(room, expected)
    sample = room.questions(room.pool, room.bags(room.pool.take([0], "train")), [0], None)[0]
    shown = shown_classes(sample, 0, setting.teacher.asking.shortlist, setting.prompt)
    terminal.say(f"prompt, version {setting.prompt.digest}:")
    for message in setting.prompt.messages(sample.text, sample.pair, shown):
        terminal.say(f"  [{message['role']}] " + message["content"].replace("\n", "\n  "))
    audited = len(audit_rows(room))
    sizes = round_sizes(max(0, min(total - audited, len(room.pool))), wanted.rounds, wanted.growth)
    rounds, left = sizes_left(sizes, asked), max(0, total - budget.made)
    before = [["paid for before", f"{budget.made:,}, spent {budget.spent:.4f}"]] if budget.made else []
    more = "more " if before else ""
    how = "as replies said" if expected.measured else "counted with the recipe's tokenizer"
    known = sum(key in ledger.answers for key in keys_of(room.pool))
    terminal.table(
        f"{setting.teacher.model} at {setting.teacher.endpoint}",
        ["what", "value"],
        [
            ["requests at most", f"{total:,}"],
            ["for the audit", f"{audited:,} validation texts"],
            *before,
            [f"{more}rounds", ", ".join(f"{size:,}" for size in rounds) or "none"],
            ["answered before, free", f"{known:,} of {len(room.pool):,} texts"],
            ["tokens a request", f"{expected.prompt_tokens:.0f} + {expected.completion_tokens:.0f} ({how})"],
            [f"{more}cost", f"{expected.cost(left, setting.tariff):.2f}"],
            ["time at 1 s a request", duration(seconds(left, setting.teacher.asking.concurrency))],
        ],
    )


def show_audit(terminal: Terminal, found: Audit) -> None:
    """Print the audit."""
    rows: list[list[object]] = [
        ["accuracy", f"{found.accuracy:.3f} ({found.low:.3f} to {found.high:.3f})"],
        ["mean confidence", f"{found.confidence:.3f}"],
        ["calibration error", f"{found.ece:.3f}"],
    ]
    if found.shortlist_recall is not None:
        rows.append(["label on the shortlist", f"{found.shortlist_recall:.3f}"])
    rows += [[f"label {true}, answer {given}", count] for true, given, count in found.confused[:5]]
    terminal.table(f"the teacher on {found.rows} labelled texts", ["what", "value"], rows)


def progress_line(room: Room, ledger: Ledger, budget: Budget, campaign: Campaign, done: int) -> str:
    """A line on what is known after so many rounds; answers of a round that was begun come after them."""
    later = {example for one in campaign.rounds[done:] for example in one.example_ids}
    answered = sum(
        key in ledger.answers and example not in later
        for key, example in zip(keys_of(room.pool), room.pool.example_ids, strict=True)
    )
    reached = campaign.curve[done - 1]
    measured = f", chooser {reached:.3f} accuracy on validation" if reached else ""
    return f"round {done}: {answered:,} texts answered{measured}, spent {budget.spent:.4f}"


def show_summary(
    terminal: Terminal, name: str, path: str, summary: dict[str, Any], tally: AskingTally
) -> None:
    """Print what a labelling has brought and cost, and what asking met with."""
    rows: list[list[object]] = [
        [f"answers in {path}", f"{summary['answers']:,}"],
        ["requests paid for", f"{summary['requests']:,}"],
        ["of them without an answer", f"{summary['lost']:,}"],
        ["spent", f"{summary['spent']:.4f}"],
        ["found answered before", f"{tally.found:,}"],
        ["replies without a class", f"{tally.unparsed:,}"],
        ["texts given up", f"{tally.given_up:,}"],
    ]
    if tally.without_logprobs:
        rows.append(["answers without log-probabilities", f"{tally.without_logprobs:,}"])
    rows += [[f"repeated: {said}", f"{count:,}"] for said, count in tally.repeated.most_common()]
    terminal.table(f"labelling by {name}", ["what", "value"], rows)
