"""`dkd label`: ask an endpoint about the texts that teach most, within a budget."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing

import torch

from dkd_cli.data.sources import load_task_data
from dkd_cli.engine.runs.checkpoints import read_run
from dkd_cli.errors import RecipeError
from dkd_cli.evaluation.disagreements import disagreements
from dkd_cli.files import write_json
from dkd_cli.labelling.answers import AnswerStore, Ledger, digest, read_ledger
from dkd_cli.labelling.asking import AskingTally, Desk, ask
from dkd_cli.labelling.audit import Audit, answers_of, audit, logits
from dkd_cli.labelling.budget import Budget
from dkd_cli.labelling.campaign import Campaign, Round, look_at, open_campaign
from dkd_cli.labelling.chooser import Bags, Chooser, Vectors, train
from dkd_cli.labelling.choosing import next_texts, on_labels, smoothing, trained_chooser
from dkd_cli.labelling.display import progress_line, show_audit, show_plan, show_summary
from dkd_cli.labelling.endpoint import Endpoint, Question, api_key, require_client
from dkd_cli.labelling.outputs import (
    keys_of,
    read_audit_sheet,
    write_answers,
    write_audit_sheet,
    write_disagreements,
)
from dkd_cli.labelling.prompts import CODES
from dkd_cli.labelling.replies import probabilities
from dkd_cli.labelling.room import Room, Wanted, audit_rows, expected_use, requests_allowed, rows_of
from dkd_cli.labelling.rounds import flat, round_sizes
from dkd_cli.labelling.setting import endpoint_name, labels_file, resolve_setting
from dkd_cli.labelling.shortlist import recall
from dkd_cli.pipeline.answered import answer_digests
from dkd_cli.pipeline.planned import plan_student
from dkd_cli.recipe.schema import Recipe
from dkd_cli.report.noise import quiet_libraries
from dkd_cli.report.terminal import Terminal

MOST_DISAGREEMENTS = 50


def label(recipe: Recipe, wanted: Wanted, *, terminal: Terminal, typed: str) -> None:
    """Ask in rounds, each chosen by a small student that is trained on the answers so far.

    Args:
        recipe: has a teacher with an `endpoint`.
        wanted: budget and ways of choosing.
        terminal: for progress and tables.
        typed: the recipe and overrides as the user typed them, for the next command's line.

    Raises:
        RecipeError: no budget, no endpoint, or other classes than the task's.
        SystemProblem: the endpoint refuses all requests, or gives no answers.
    """
    if wanted.budget is None and wanted.max_cost is None:
        raise RecipeError("dkd label", "has no limit", "add --budget 1000, or --max-cost 5")
    name = endpoint_name(recipe, wanted.teacher)
    place = f"teachers.{name}"
    require_client(place)
    key = None if wanted.dry_run else api_key(recipe.teachers[name], place)
    quiet_libraries()
    data = load_task_data(recipe.data)
    terminal.say(", ".join(f"{len(split):,} {split.name}" for split in data.all_splits()))
    if data.label_names is None or data.task.kind != "classification":
        problem = f"names one class of a text, but the task is {data.task.kind}"
        raise RecipeError(f"{place}.endpoint", problem, "remove it")
    setting = resolve_setting(recipe, name, data.label_names)
    vectors = Vectors.load(recipe.model)
    room = Room(recipe, wanted, setting, data, vectors, terminal)
    if wanted.dry_run:
        ledger = read_ledger(setting.record, terminal.warn)
        begun = Campaign(setting.folder, "") if wanted.fresh else look_at(setting.folder, facts_of(room))
        show_plan(room, ledger, budget_of(room, ledger, begun), len(begun.asked))
        return
    store = AnswerStore(setting.record, setting.facts, terminal.warn)
    with closing(store):
        run_rounds(room, store, key)
    # A student that learnt from other answers is refused until it is made again.
    student = read_run(plan_student(recipe).folder)
    outdated = student is not None and student.teachers.get(name) != answer_digests(recipe)[name]
    terminal.say(f"next: dkd distill{typed}" + (" --fresh" if outdated else ""))


def run_rounds(room: Room, store: AnswerStore, key: str | None) -> None:
    """The audit, the rounds, and what they leave behind."""
    setting, wanted, terminal, pool = room.setting, room.wanted, room.terminal, room.pool
    campaign = open_campaign(setting.folder, facts_of(room), fresh=wanted.fresh)
    total = requests_allowed(room, expected_use(room, store.ledger))
    budget = budget_of(room, store.ledger, campaign)
    stop, tally = threading.Event(), AskingTally()
    with closing(
        Endpoint(setting.teacher, setting.prompt, setting.place, key, stop, lambda said: _count(tally, said))
    ) as endpoint:
        desk = Desk(
            endpoint=endpoint,
            store=store,
            budget=budget,
            tariff=setting.tariff,
            prompt=setting.prompt,
            asking=setting.teacher.asking,
            run=campaign.run,
            stop=stop,
        )
        try:
            audited = ask_audit(room, desk, tally)
            bags = room.bags(pool)
            chooser: Chooser | None = None
            texts = max(0, min(total - len(audit_rows(room)), len(pool)))
            sizes = round_sizes(texts, wanted.rounds, wanted.growth)
            done = 0
            while True:
                one = next_texts(room, store.ledger, budget, campaign, bags, chooser, sizes, done)
                if one is None:
                    break
                ask_pool(room, desk, bags, one, chooser, tally)
                done += 1
                if done < min(len(campaign.rounds), len(campaign.curve)):
                    continue  # an earlier call went on from here
                chooser = trained_chooser(room, store.ledger, bags)
                if done > len(campaign.curve):
                    campaign.reached(on_labels(room, chooser))
                terminal.say(progress_line(room, store.ledger, budget, campaign, done))
                if tally.exhausted:
                    terminal.say("the budget is spent")
                    break
                labelled = len(room.data.splits["validation"].labels or ())
                curve = campaign.curve[:done]
                if not wanted.keep_going and flat(curve, labelled) and sum(sizes) > len(campaign.asked):
                    terminal.say(
                        "the learning curve is flat: more answers bring little; --keep-going goes on"
                    )
                    break
        finally:
            finish(room, desk, campaign, tally)
    if chooser is not None:
        report_disagreements(room, desk, bags)
    if audited is not None:
        write_json(setting.folder / "audit.json", audited.as_json())


def facts_of(room: Room) -> dict[str, str]:
    """Identity of a labelling: its pool, and the endpoint with its prompt."""
    return {"pool": digest(sorted(room.pool.example_ids)), "teacher": room.setting.record.name}


def _count(tally: AskingTally, said: str) -> None:
    tally.repeated[said.partition(":")[0]] += 1


def budget_of(room: Room, ledger: Ledger, campaign: Campaign) -> Budget:
    """The limits, less what earlier calls of this labelling have spent."""
    budget = Budget(requests=room.wanted.budget, money=room.wanted.max_cost)
    before = ledger.spending.get(campaign.run)
    if before is not None:
        budget.made = before.made
        budget.spent = before.worst + room.setting.tariff.cost(before.prompt_tokens, before.completion_tokens)
    return budget


def ask_all(terminal: Terminal, desk: Desk, questions: list[Question], tally: AskingTally, what: str) -> None:
    """Ask some questions, showing progress and cost."""
    with terminal.progress(what, len(questions), "texts") as advance:
        ask(desk, questions, tally, lambda count, budget: advance(count, spent=budget.spent))


def ask_pool(
    room: Room, desk: Desk, bags: Bags, one: Round, chooser: Chooser | None, tally: AskingTally
) -> None:
    """Ask about the texts of a round that are not answered yet."""
    pool, keys = room.pool, keys_of(room.pool)
    every = rows_of(pool, one.example_ids)
    rows = [row for row in every if keys[row] not in desk.store.ledger.answers]
    tally.found += len(every) - len(rows)
    if rows:
        questions = room.questions(pool, bags, rows, chooser)
        ask_all(room.terminal, desk, questions, tally, f"round {one.number}, {one.select}")


def ask_audit(room: Room, desk: Desk, tally: AskingTally) -> Audit | None:
    """Ask about validation texts, and compare with their labels where there are any."""
    split, terminal = room.data.splits["validation"], room.terminal
    rows = audit_rows(room)
    if not rows:
        return None
    bags = room.bags(split)
    questions = room.questions(split, bags, rows, None)
    ask_all(terminal, desk, questions, tally, "audit")
    if split.labels is not None:
        labels = {split.example_ids[row]: int(split.labels[row]) for row in rows}
    else:
        labels = audit_sheet(room, rows)
    known = desk.store.ledger.answers
    places = [
        place
        for place, row in enumerate(rows)
        if split.example_ids[row] in labels and questions[place].key in known
    ]
    if not places:
        return None
    gold = [labels[split.example_ids[rows[place]]] for place in places]
    share = None
    if len(room.names) > len(CODES):
        ranked = [questions[place].ranked for place in places]
        share = recall(ranked, [room.names[one] for one in gold], room.setting.teacher.asking.shortlist)
    found = audit([known[questions[place].key] for place in places], gold, room.names, share)
    show_audit(terminal, found)
    return found


def audit_sheet(room: Room, rows: Sequence[int]) -> dict[str, int]:
    """The labels that a person wrote into the audit sheet; the first call writes the sheet."""
    path = room.setting.folder / "audit.csv"
    if not path.exists() and room.wanted.audit:
        write_audit_sheet(path, room.data.splits["validation"], rows[: room.wanted.audit])
        room.terminal.say(f"no labels to audit the teacher by: fill in {path} and run the same again")
        return {}
    return read_audit_sheet(path, room.names) if path.exists() else {}


def finish(room: Room, desk: Desk, campaign: Campaign, tally: AskingTally) -> None:
    """Write the answers as a file of probabilities, and print what asking met with."""
    setting, ledger, terminal = room.setting, desk.store.ledger, room.terminal
    path = labels_file(room.recipe, setting.name)
    splits = [room.pool, room.data.splits["validation"]]
    count = write_answers(path, splits, ledger.answers, room.names, smoothing(room, desk.store.ledger))
    spent = desk.budget
    summary = {
        "teacher": setting.teacher.model,
        "prompt": setting.prompt.digest,
        "answers": count,
        "requests": spent.made,
        "spent": spent.spent,
        "per_1000": 1000 * spent.spent / spent.made if spent.made else 0.0,
        "lost": ledger.spending[campaign.run].lost if campaign.run in ledger.spending else 0,
    }
    write_json(setting.folder / "summary.json", summary)
    show_summary(terminal, setting.name, str(path), summary, tally)


def report_disagreements(room: Room, desk: Desk, bags: Bags) -> None:
    """Write the answers that a chooser trained on the other half contradicts most surely."""
    places, answers = answers_of(desk.store.ledger.answers, keys_of(room.pool))
    if len(places) < 20:
        return
    error = smoothing(room, desk.store.ledger)
    targets = torch.from_numpy(probabilities(answers, room.names, error)).float()
    own = bags.take(torch.tensor(places))
    said = torch.empty_like(targets)
    halves = torch.arange(len(places)) % 2
    for half in (0, 1):
        learnt, judged = (halves != half).nonzero().flatten(), (halves == half).nonzero().flatten()
        chooser = train(room.vectors, own.take(learnt), targets[learnt], room.recipe.train.seed)
        said[judged] = torch.cat(list(chooser.logits(own.take(judged))))
    teacher = logits(answers, room.names, error)
    part = room.pool.take(places, "train")
    found = disagreements(part, said.double().numpy(), teacher, room.data.task.kind, MOST_DISAGREEMENTS)
    path = room.setting.folder / "disagreements.csv"
    write_disagreements(path, found, room.names)
    room.terminal.say(f"answers that a student contradicts most surely: {path}")
