"""From the recipe's `data` to splits that are ready to be tokenised: read, label, deduplicate, cut, cap.

Knows nothing about tokenizers or models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.kinds import KINDS, Kind
from dkd_cli.data.labels import UNSEEN, LabelColumn, Labels, check_classes
from dkd_cli.data.metric_names import with_positive
from dkd_cli.data.missing_labels import without_missing
from dkd_cli.data.split_notes import POOL, TEST, TRAIN, VALIDATION, overlaps, single_examples, unscored
from dkd_cli.data.splits import Part, cap, cap_training, cut, make_part, without_duplicates, without_empty
from dkd_cli.data.tasks import Task, resolve_task
from dkd_cli.data.transfer import Known, augmented_part, is_transfer_file, load_transfer, read_transfer
from dkd_cli.errors import DataError, DkdError, RecipeError, collect, raise_all
from dkd_cli.reading.hub import is_saved_split, load_hub_splits, read_saved_split
from dkd_cli.reading.locate import file_path
from dkd_cli.reading.readers import READERS, RENAME, is_file_name, missing_columns, read_table
from dkd_cli.reading.tables import MOST_PROBLEMS, Table
from dkd_cli.recipe.schema import Data
from dkd_cli.wording import counted


@dataclass(frozen=True, slots=True)
class Sources:
    """The tables that a recipe names, and what is to be cut out of the pool."""

    tables: dict[str, Table]
    """By split; `pool` is what splits are cut from, and the training split unless there is a `train`."""
    shares: dict[str, float]
    """The share of the pool that becomes each split to be cut."""
    transfer: list[Table]
    """Source of the transfer set."""


Augmented = Callable[[Split], tuple[list[str], list[str] | None]]
"""From the labelled training rows to the texts, and second texts, of their copies."""


def load_task_data(data: Data, augmented: Augmented | None = None) -> TaskData:
    """Load, check, deduplicate, cut and cap what the recipe names.

    Args:
        data: the recipe's section.
        augmented: makes the copies that `data.augment` asks for, which takes a model.

    Raises:
        DataError: the data or their labels are wrong (several at once as `Problems`).
        RecipeError: the recipe names an unknown task or encoding, a split where there is none, or no classes
            where the texts have no labels.
    """
    task = resolve_task(data)
    sources = _prepared(_gather(data, task), task)
    notes = [note for table in (*sources.tables.values(), *sources.transfer) for note in table.notes]
    if data.missing_labels != "refuse":
        _leave_out_missing(sources, task, data, notes)
    task, label_names, parts = _parts(sources, task, data, notes)
    kind = KINDS[task.kind]
    if kind.by_word:
        task = replace(task, tags=label_names or ())
    for name in parts:
        parts[name] = _clean(name, parts[name], notes)
    pool = parts.pop(POOL, None)
    if pool is not None:
        cuts = _cut(pool, sources.shares, data, TRAIN not in parts, notes, kind) if sources.shares else {}
        rest = cuts.pop("rest", pool)
        parts = {TRAIN: parts.pop(TRAIN, rest)} | cuts | parts
    if label_names is not None:
        notes += single_examples(label_names, parts, kind.classes_of)
    if data.unlabelled:
        parts[TRAIN] = _without_labels(parts[TRAIN], notes)
    whole = dict(parts)
    most = {TRAIN: data.max_train, VALIDATION: data.max_validation, TEST: data.max_test}
    training = partial(cap_training, classes_of=kind.classes_of)
    caps = {name: training if name == TRAIN else cap for name in parts}
    parts = {
        name: caps[name](part, most[name.split("_")[0]], data.split_seed) for name, part in parts.items()
    }
    notes += kind.notes(label_names, parts[TRAIN].labels or (), task.separator)
    if label_names is not None and not data.unlabelled:
        _check_train(label_names, parts, data, notes, kind)
    notes += [*unscored(label_names, parts, kind.classes_of), *overlaps(parts)]
    transfer = None
    if sources.transfer or data.augment.copies:
        evaluated = [part for name, part in whole.items() if name != TRAIN]
        known = Known(parts[TRAIN], whole[TRAIN], evaluated)
        copies = []
        if data.augment.copies:
            assert augmented is not None, "who asks for copies makes them"
            copies.append(augmented_part(*augmented(parts[TRAIN].to_split(TRAIN))))
        transfer = load_transfer(sources.transfer, task, label_names, known, data, notes, copies)
    order = sorted(parts, key=lambda name: ((TRAIN, VALIDATION, TEST).index(name.split("_")[0]), name))
    splits = {name: replace(parts[name].to_split(name), by_word=kind.by_word) for name in order}
    return TaskData(task, label_names, splits, tuple(notes), transfer)


def _prepared(sources: Sources, task: Task) -> Sources:
    """The same tables with texts in their text columns, whatever the kind of output reads there."""
    tables: dict[str, Table] = {}

    def prepare(name: str, table: Table) -> None:
        tables[name] = KINDS[task.kind].prepared(table, task.text, task.label)

    raise_all(collect([partial(prepare, name, table) for name, table in sources.tables.items()]))
    return replace(sources, tables=tables)


def _leave_out_missing(sources: Sources, task: Task, data: Data, notes: list[str]) -> None:
    """Take the rows without a label out of the tables that are trained on, to drop or to transfer them."""
    for name in {POOL, TRAIN} & sources.tables.keys():
        if missing_columns(sources.tables[name], KINDS[task.kind].columns(task.label)):
            continue  # an error that `_parts` reports with the others
        sources.tables[name], without = without_missing(sources.tables[name], task)
        if not len(without):
            continue
        if data.missing_labels == "transfer":
            sources.transfer.append(without)
            notes.append(f"{TRAIN}: {counted(len(without), 'row')} without a label moved to the transfer set")
        else:
            notes.append(f"{TRAIN}: {counted(len(without), 'row')} without a label left out")


def _cut(
    pool: Part, shares: Mapping[str, float], data: Data, trained_on: bool, notes: list[str], kind: Kind
) -> dict[str, Part]:
    """Cut splits out of the pool, and note what the cut had to take care of."""
    made = cut(
        pool,
        shares,
        data.split_seed,
        data.near_duplicates,
        keep_classes=trained_on,
        classes_of=kind.classes_of,
        stratified=kind.stratified,
    )
    if made.alike:
        notes.append(
            f"{counted(made.alike, 'example')} with a near-duplicate; "
            "each such group is on one side of the cut"
        )
    if made.moved:
        notes.append(f"{counted(made.moved, 'example')} moved to train so that no class is missing there")
    for name in shares:
        if not len(made.splits[name]):
            problem = f"{counted(len(pool), 'example')}, too few to cut out a {name} split"
            remedy = f"name a file in data.{name}, or raise data.{name}_share"
            raise DataError(pool.table.place, problem, remedy)
    return made.splits


def _read_file(reference: str, task: Task, data: Data) -> Table:
    if is_saved_split(reference):
        return read_saved_split(reference)
    return read_table(file_path(reference), reference, task.label, data.encoding)


def _is_table(reference: str) -> bool:
    """Return whether the recipe's value names one table, rather than a split or a data set with splits."""
    folder = Path(reference).is_dir() and not reference.startswith("pkg://")
    return is_saved_split(reference) if folder else is_file_name(reference)


def _gather(data: Data, task: Task) -> Sources:
    """Read every table that the recipe names; problems with several files are reported together."""
    wanted = {TRAIN: data.train, VALIDATION: data.validation, TEST: data.test}
    files = {name: value for name, value in wanted.items() if value is not None and _is_table(value)}
    named = {name: value for name, value in wanted.items() if value is not None and name not in files}
    one_file = data.source is not None and _is_table(data.source)
    if (data.source is None or one_file) and named:
        raise_all([_no_splits(name, value, data.source) for name, value in named.items()])
    if data.source is None or one_file:
        raise_all([_no_splits("transfer", n, data.source) for n in data.transfer if not is_transfer_file(n)])
    if data.source is None and TRAIN not in files:
        raise RecipeError("data.train", "no training data", "set data.source, or name a file in data.train")
    tables: dict[str, Table] = {}

    def read(name: str, value: str) -> None:
        tables[name] = _read_file(value, task, data)

    wanted_files = [(POOL, data.source or ""), *files.items()] if one_file else list(files.items())
    transfer: dict[str, Table] = {}

    def read_texts(name: str) -> None:
        transfer[name] = read_transfer(name, task, data.encoding)

    readings = [partial(read, name, value) for name, value in wanted_files]
    readings += [partial(read_texts, name) for name in data.transfer if is_transfer_file(name)]
    raise_all(collect(readings))
    shares: dict[str, float] = {}
    if one_file and TEST not in files and data.test_share:
        shares[TEST] = data.test_share
    if data.source is None:
        tables = {POOL: tables.pop(TRAIN)} | tables
    elif not one_file:
        splits = load_hub_splits(data.source, data.config, task.label, data.encoding)
        tables = _hub_tables(splits, named, files, data.source) | tables
        transfer |= {
            name: _named_split("transfer", name, splits, data.source)
            for name in data.transfer
            if name not in transfer
        }
    if VALIDATION not in tables:
        shares[VALIDATION] = data.validation_share
    if shares and POOL not in tables:
        raise DataError(
            data.source or "data.train",
            "there is nothing to cut a validation split from",
            "name one in data.validation",
        )
    return Sources(tables, shares, [transfer[name] for name in data.transfer])


def _no_splits(name: str, value: str, source: str | None) -> RecipeError:
    problem = f"{value!r} is no file, and {source or 'data.source: null'} has no named splits"
    return RecipeError(f"data.{name}", problem, f"name a file: {', '.join(READERS)}")


def _named_split(key: str, name: str, splits: Mapping[str, Table], source: str) -> Table:
    if name not in splits:
        raise DataError(f"data.{key}", f"{source} has no split {name!r}", f"name one of: {', '.join(splits)}")
    return splits[name]


def _hub_tables(
    splits: Mapping[str, Table], named: Mapping[str, str], files: Mapping[str, str], source: str
) -> dict[str, Table]:
    """Pick the splits that the recipe names, or those that are usual."""
    chosen = {name: _named_split(name, split, splits, source) for name, split in named.items()}
    train = named.get(TRAIN, TRAIN)
    if train not in splits and TRAIN not in files:
        raise DataError(source, "there is no split 'train'", f"name one in data.train: {', '.join(splits)}")
    tables = {POOL: splits[train]} if train in splits else {}
    for name in (VALIDATION, TEST):
        if name in chosen:
            tables[name] = chosen[name]
        elif name in splits:
            tables[name] = splits[name]
        elif f"{name}_matched" in splits:  # MNLI is evaluated on genres seen in training, and on unseen ones
            tables[name] = splits[f"{name}_matched"]
            tables[f"{name}_mismatched"] = splits[f"{name}_mismatched"]
    return tables


def _parts(
    sources: Sources, task: Task, data: Data, notes: list[str]
) -> tuple[Task, tuple[str, ...] | None, dict[str, Part]]:
    """Turn tables into examples with class ids or target values, where these are wanted.

    The task that is returned knows which class is the positive one.
    """
    tables = sources.tables
    named = [table.column(name) for table in tables.values() for name in KINDS[task.kind].columns(task.label)]
    if data.unlabelled and data.label and all(column is None for column in named):
        raise DataError(
            "data.label", f"no table has the column {data.label!r}", "leave it out, or correct the name"
        )
    wanted = [task.text] if task.text_pair is None else [task.text, task.text_pair]
    problems: list[DkdError] = []
    columns: dict[str, Any] = {}
    for name, table in tables.items():
        problems += missing_columns(table, wanted) or _not_text(table, wanted)
        try:
            columns[name] = _label_column(name, table, sources, task, data, notes)
        except DataError as error:
            problems.append(error)
    for table in sources.transfer:
        problems += missing_columns(table, wanted, RENAME) or _not_text(table, wanted)
    raise_all(problems)
    labels: dict[str, Labels]
    names_from = POOL if POOL in columns else TRAIN
    names, labels = KINDS[task.kind].read(columns, names_from, data.labels, not data.unlabelled, task.orders)
    notes += [note for name in labels if (note := _unseen(name, columns[name], labels[name]))]
    ordered = data.labels is not None or any(column.class_names for column in columns.values())
    return (
        with_positive(task, data, names, ordered=ordered),
        names,
        {
            name: make_part(
                table,
                _texts(table, task.text),
                None if task.text_pair is None else _texts(table, task.text_pair),
                labels[name],
            )
            for name, table in tables.items()
        },
    )


def _unseen(name: str, column: Any, ids: Labels) -> str | None:
    """A note on the rows whose class training lacks."""
    if not isinstance(column, LabelColumn) or not column.may_be_unseen:
        return None
    rows = [row for row, label in enumerate(ids or ()) if label <= UNSEEN]
    if not rows:
        return None
    names = sorted({str(column.values[row]) for row in rows})
    listed = ", ".join(names[:MOST_PROBLEMS]) + (", ..." if len(names) > MOST_PROBLEMS else "")
    return f"{name}: {len(rows):,} rows of classes that training lacks count as wrong: {listed}"


def _label_column(name: str, table: Table, sources: Sources, task: Task, data: Data, notes: list[str]) -> Any:
    """The labels of one table, as its kind of output reads them.

    Those of unlabelled training data are left aside, but for what is cut out.
    """
    kind = KINDS[task.kind]
    if not data.unlabelled:
        column = kind.column(table, task.label, task.separator, name.startswith(TEST))
        lenient = name.startswith(TEST) and data.unseen_labels == "count-as-wrong"
        return replace(column, may_be_unseen=lenient) if isinstance(column, LabelColumn) else column
    training = name == TRAIN or (name == POOL and TRAIN not in sources.tables)
    if training and not missing_columns(table, KINDS[task.kind].columns(task.label)):
        notes.append(f"{TRAIN}: the column {task.label!r} is left aside, as data.unlabelled says")
    if name == TRAIN or (name == POOL and not sources.shares):
        return kind.hidden(table, task.label)
    return kind.column(table, task.label, task.separator, True)


def _texts(table: Table, column: str) -> list[str]:
    return [str(text) for text in table.column(column) or ()]


def _not_text(table: Table, wanted: Sequence[str]) -> list[DkdError]:
    problems: list[DkdError] = []
    for column in wanted:
        for row, value in enumerate(table.column(column) or ()):
            if not isinstance(value, str) and len(problems) < MOST_PROBLEMS:
                problem = "is missing" if value is None else f"is {value!r}, not text"
                remedy = "write it as a string, or remove the row"
                if isinstance(value, list | tuple):
                    remedy = "set data.kind: tokens if these are words that carry tags"
                problems.append(DataError(table.where(row), f"{column!r} {problem}", remedy))
    return problems


def _clean(name: str, part: Part, notes: list[str]) -> Part:
    """Drop what cannot teach anything from training data; only count it in evaluation data."""
    training = name in (POOL, TRAIN)
    split = TRAIN if training else name
    part, empty = without_empty(part, drop=training)
    if empty:
        notes.append(f"{split}: {counted(empty, 'empty text')} {'dropped' if training else 'kept'}")
    if training:
        part, dropped, contradicting = without_duplicates(part)
        if dropped:
            notes.append(f"{split}: {counted(dropped, 'duplicate example')} dropped, {len(part):,} left")
        if contradicting:
            notes.append(f"{split}: {counted(contradicting, 'text')} with contradicting labels")
    return part


def _without_labels(part: Part, notes: list[str]) -> Part:
    """Forget the labels of training data, and with them the second copies that differed in nothing else."""
    part, dropped, _ = without_duplicates(replace(part, labels=None))
    if dropped:
        notes.append(f"{TRAIN}: {counted(dropped, 'text')} with several labels kept once")
    return part


def _check_train(
    names: tuple[str, ...], parts: Mapping[str, Part], data: Data, notes: list[str], kind: Kind
) -> None:
    """Refuse a training split of one class, or one that lacks a class which is evaluated.

    With `data.unseen_labels: count-as-wrong`, a class that a test split alone has becomes a note.
    """
    train = parts[TRAIN]
    labels: Sequence[Any] = train.labels or ()
    if kind.by_word:
        labels = [tag for tags in labels for tag in tags]
    check_classes(labels, train.table.place, lambda label: kind.shown(label, names))
    taught = {label for found in train.labels or () for label in kind.classes_of(found)}
    problems: list[DataError] = []
    for name, part in parts.items():
        first: dict[int, int] = {}
        for row, found in zip(part.rows, part.labels or (), strict=False):
            for label in kind.classes_of(found):
                if label not in taught and label > UNSEEN:
                    first.setdefault(label, row)
        if name.startswith(TEST) and data.unseen_labels == "count-as-wrong":
            untaught = sorted(names[label] for label in first)
            if untaught:
                notes.append(f"{name}: no row of training has the class {', '.join(untaught)}")
            continue
        for label, row in sorted(first.items()):
            problem = f"{name} has the class {names[label]!r}, which the training split lacks"
            remedy = "add examples of it to the training split, or remove it" + (
                "; data.unseen_labels: count-as-wrong keeps it" if name.startswith(TEST) else ""
            )
            problems.append(DataError(part.table.where(row), problem, remedy))
    raise_all(problems[:MOST_PROBLEMS])
