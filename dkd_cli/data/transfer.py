"""The transfer set: texts without labels, which teachers alone teach to a student.

Reads the files and splits that `data.transfer` names, and drops what repeats another text of it or of the
training split, or comes too close to a validation or test text. Knows nothing about how splits are cut.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dkd_cli.data.examples import Split
from dkd_cli.data.kinds import KINDS, spelled
from dkd_cli.data.near_duplicates import near_known, normalise
from dkd_cli.data.splits import PAIR, Part, cap, make_part, without_empty
from dkd_cli.data.tasks import Task
from dkd_cli.errors import DataError, raise_all
from dkd_cli.reading.decoding import decode
from dkd_cli.reading.locate import file_path
from dkd_cli.reading.readers import file_suffix, is_file_name, missing_columns, read_bytes, read_table
from dkd_cli.reading.tables import MOST_PROBLEMS, Table
from dkd_cli.recipe.schema import Data
from dkd_cli.wording import counted

NAME = "transfer"
Names = tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Known:
    """Texts of the labelled splits, which a transfer set must not contain."""

    train: Part
    """As it is trained on."""
    all_train: Part
    """Before `data.max_train`: says which labels a text has."""
    evaluated: Sequence[Part]
    """Validation and test, before their caps, so that a cap does not change the transfer set."""


def read_transfer(reference: str, task: Task, encoding: str | None) -> Table:
    """Read one file of the transfer set; a txt file has one text a line.

    Raises:
        DataError: as `read_table`; and for a txt file where the task has pairs of texts.
    """
    if not is_text_file(reference):
        return read_table(file_path(reference), reference, task.label, encoding)
    if task.text_pair is not None:
        problem = f"has one text a line, but the task has pairs ({task.text}, {task.text_pair})"
        raise DataError(reference, problem, "use csv, tsv, json, jsonl or parquet with both columns")
    text, guessed = decode(read_bytes(file_path(reference), reference), reference, encoding)
    notes = () if guessed is None else (f"{reference}: not UTF-8, read as {guessed}",)
    # `splitlines` would also end a line where Unicode does, inside a text.
    written = io.StringIO(text, newline=None).read().split("\n")
    numbers = [number for number, line in enumerate(written, start=1) if line.strip()]
    return Table(reference, {task.text: [written[one - 1] for one in numbers]}, numbers, notes=notes)


def is_transfer_file(reference: str) -> bool:
    """Return whether an entry of `data.transfer` names a file, rather than a split of the source."""
    return is_text_file(reference) or is_file_name(reference)


def is_text_file(reference: str) -> bool:
    """Return whether a file has one text a line and nothing else, by its suffix."""
    return file_suffix(reference) == ".txt"


def load_transfer(
    tables: Sequence[Table],
    task: Task,
    names: Names,
    known: Known,
    data: Data,
    notes: list[str],
    copies: Sequence[Part] = (),
) -> Split:
    """Make a split of the tables of a transfer set, whose text columns are checked already, and of `copies`.

    Raises:
        DataError: a label contradicts the training data; nothing is left; too many texts are empty.
    """
    refuse_contradictions(tables, task, names, known, notes)
    if copies:
        notes.append(f"{NAME}: {counted(sum(map(len, copies)), 'copy')} of training texts, by data.augment")
    return transfer_split([*(transfer_part(table, task) for table in tables), *copies], known, data, notes)


def join_parts(parts: Sequence[Part]) -> Part:
    """Put several parts without labels end to end; errors then name rows of the first table only."""
    if len(parts) == 1:
        return parts[0]
    texts = [text for part in parts for text in part.texts]
    pairs = [pair for part in parts for pair in part.text_pairs or ()]
    rows = [row for part in parts for row in part.rows]
    ids = [one for part in parts for one in part.example_ids]
    return Part(parts[0].table, rows, texts, pairs if parts[0].text_pairs is not None else None, None, ids)


def transfer_split(parts: Sequence[Part], known: Known, data: Data, notes: list[str]) -> Split:
    """Clear the transfer set of what is known, and cap it.

    Texts are compared as `normalise` writes them. Of those that repeat each other the first one stays; what
    is in the training split, or at least `data.near_duplicates` alike to a validation or test text, goes.

    Args:
        parts: the texts of each source, without labels.
        known: the labelled splits.
        data: for thresholds and cap.
        notes: gets a line with the counts.

    Raises:
        DataError: nothing is left, or too many texts are empty.
    """
    whole, place = sum(map(len, parts)), ", ".join(part.table.place for part in parts)
    cleaned = [without_empty(part, drop=True) for part in parts]
    pool = join_parts([part for part, _ in cleaned])
    texts = _normalised(pool)
    first = list(dict(zip(reversed(texts), reversed(range(len(texts))), strict=True)).values())[::-1]
    trained = set(_normalised(known.train))
    new = [row for row in sorted(first) if texts[row] not in trained]
    evaluated = sorted({text for part in known.evaluated for text in _normalised(part)})
    close = near_known([texts[row] for row in new], evaluated, data.near_duplicates)
    left = [row for row, is_close in zip(new, close, strict=True) if not is_close]
    dropped = {
        "empty": sum(empty for _, empty in cleaned),
        "repeated": len(texts) - len(first),
        "in the training split": len(first) - len(new),
        "equal or close to a validation or test text": len(new) - len(left),
    }
    counts = ", ".join(f"{count:,} {why}" for why, count in dropped.items() if count)
    if not left:
        raise DataError(place, f"no transfer text is left of {whole:,} ({counts})", "name other texts")
    capped = cap(pool.take(left), data.max_transfer, data.split_seed)
    if counts:
        notes.append(f"{NAME}: {len(left):,} of {whole:,} texts are new; dropped: {counts}")
    if len(capped) < len(left):
        notes.append(f"{NAME}: {len(capped):,} of {len(left):,} are taken, as data.max_transfer says")
    return capped.to_split(NAME)


def refuse_contradictions(
    tables: Iterable[Table], task: Task, names: Names, known: Known, notes: list[str]
) -> None:
    """Note that labels in a transfer file are not used, and refuse those that the training data contradict.

    A label contradicts where the same text has only other ones in the training data; it may mean that the
    file belongs to another task.

    Raises:
        DataError: up to five contradictions of each table.
    """
    part, kind = known.all_train, KINDS[task.kind]
    labels: dict[str, set[str]] = {}
    shown: dict[str, set[str]] = {}
    for text, label in zip(part.whole_texts(), part.labels or (), strict=part.labels is not None):
        labels.setdefault(text, set()).update(kind.spellings(label, names))
        shown.setdefault(text, set()).add(str(kind.shown(label, names)))
    problems: list[DataError] = []
    for table in tables:
        if missing_columns(table, kind.columns(task.label)):
            continue
        notes.append(f"{NAME}: the labels in {table.place} are not used")
        found: list[DataError] = []
        values = kind.column(table, task.label, task.separator, True).values
        for row, (text, value) in enumerate(zip(whole_texts(table, task), values, strict=True)):
            # Without any of several labels a row may just as well be unlabelled.
            if not value or text not in labels:
                continue
            if not _agrees(spelled(value), labels[text], names):
                others = ", ".join(sorted(map(repr, shown[text])))
                written = repr(value if isinstance(value, str) else ", ".join(value))
                problem = f"the label {written} contradicts the training data, where this text has {others}"
                found.append(DataError(table.where(row), problem, "correct one of them, or remove the row"))
                if len(found) == MOST_PROBLEMS:
                    break
        problems += found
    raise_all(problems)


def whole_texts(table: Table, task: Task) -> list[str]:
    """The texts of a table, pairs joined as `Part.whole_texts` joins them."""
    texts = [str(text) for text in table.column(task.text) or ()]
    if task.text_pair is None:
        return texts
    return [
        text + PAIR + str(pair) for text, pair in zip(texts, table.column(task.text_pair) or (), strict=True)
    ]


def transfer_part(table: Table, task: Task) -> Part:
    """The rows of a table as examples without labels."""
    texts = [str(text) for text in table.column(task.text) or ()]
    pairs = None if task.text_pair is None else [str(pair) for pair in table.column(task.text_pair) or ()]
    return make_part(table, texts, pairs, None)


def augmented_part(texts: Sequence[str], text_pairs: Sequence[str] | None) -> Part:
    """Copies of training texts as examples without labels."""
    return make_part(Table("data.augment", {"text": texts}), texts, text_pairs, None)


def _normalised(part: Part) -> list[str]:
    if part.text_pairs is None:
        return list(map(normalise, part.texts))
    return [
        PAIR.join((normalise(text), normalise(pair)))
        for text, pair in zip(part.texts, part.text_pairs, strict=True)
    ]


def _agrees(value: str, known: set[str], names: Names) -> bool:
    if names is not None:
        return value in known
    try:
        return float(value) in {float(one) for one in known}
    except ValueError:
        return False
