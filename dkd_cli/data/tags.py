"""Words that carry tags: from lists of words and tags to texts and tag ids, and the entities that tags mark.

A text is its words joined by single spaces, so that it is split, tokenised and shown as any other; a space
inside a word becomes a no-break space. Tags are IOB2: `O`, `B-` and `I-` with a type. Knows no tokenizer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dkd_cli.data.labels import (
    INTEGER,
    LabelLists,
    Labels,
    absent_labels,
    label_cells,
    label_text,
    shortened,
)
from dkd_cli.errors import DataError, RecipeError, raise_all
from dkd_cli.reading.readers import no_column
from dkd_cli.reading.tables import MOST_PROBLEMS, Table

OUTSIDE, BEGINS, INSIDE = "O", "B-", "I-"
NO_BREAK_SPACE = "\u00a0"


def words_of(text: str) -> list[str]:
    """The words of a text as `word_texts` joined them.

    >>> words_of("Ada met Grace"), words_of("")
    (['Ada', 'met', 'Grace'], [])
    """
    return text.split(" ") if text else []


def word_texts(table: Table, text: str, label: str) -> Table:
    """Join the lists of words in a table's column `text`; one without the column stays as it is.

    Raises:
        DataError: a cell is no list of words, or has more or fewer words than tags; up to five at once.
    """
    cells, tags = table.column(text), table.column(label)
    if cells is None:
        return table
    problems: list[DataError] = []
    texts: list[str] = []
    for row, cell in enumerate(cells):
        joined = _joined(cell)
        texts.append(joined if isinstance(joined, str) else "")
        wrong = (
            _other_length(joined, None if tags is None else tags[row]) if isinstance(joined, str) else joined
        )
        if wrong is not None and len(problems) < MOST_PROBLEMS:
            problems.append(DataError(table.where(row), *wrong))
    raise_all(problems)
    columns = {name: table.columns[name] for name in table.columns if name != text}
    return replace(table, columns={text: texts, **columns})


def _joined(cell: object) -> str | tuple[str, str]:
    """The text of a cell, or what is wrong with it and the remedy."""
    if not isinstance(cell, list | tuple):
        problem = "the words are missing" if cell is None else f"{shortened(cell)} is no list of words"
        return problem, "write a list such as [Ada, met, Grace], or name another column in data.text"
    words = []
    for place, word in enumerate(cell, start=1):
        if not isinstance(word, str) or not word.strip():
            return (
                f"word {place} is {shortened(word)}",
                "write each word as text, or leave it out with its tag",
            )
        words.append(NO_BREAK_SPACE.join(word.split()))
    return " ".join(words)


def _other_length(text: str, tags: object) -> tuple[str, str] | None:
    if not isinstance(tags, list | tuple):
        return None  # missing, or refused by `tag_lists`
    words = len(words_of(text))
    if words == len(tags):
        return None
    return f"{words} words and {len(tags)} tags", "give each word one tag"


def tag_lists(table: Table, label: str, separator: str, may_hide: bool) -> LabelLists:
    """Read the tags of each row's words, as names or ids.

    Raises:
        DataError: the column is missing, or a cell is no list of tags; up to five at once.
    """
    if table.column(label) is None and not may_hide:
        raise no_column(table, label, "name one of: {} in data.label")
    problems: list[DataError] = []
    values: list[tuple[str, ...] | None] = []
    for row, cell in enumerate(label_cells(table, label, may_hide)):
        found = None if cell is None else _tags(cell)
        values.append(None if isinstance(found, str) else found)
        if isinstance(found, str) and len(problems) < MOST_PROBLEMS:
            problems.append(DataError(table.where(row), found, "write a list with the tag of each word"))
    raise_all(problems)
    return LabelLists(table, values, table.class_names.get(label), may_hide)


def _tags(cell: object) -> tuple[str, ...] | str:
    """The tags in a cell, or what is wrong with it."""
    if not isinstance(cell, list | tuple):
        return f"{shortened(cell)} is no list of tags"
    texts = [None if isinstance(one, bool) else label_text(one) for one in cell]
    wrong = next((one for one, text in zip(cell, texts, strict=True) if text is None), None)
    if None in texts:
        return f"{shortened(wrong)} in a list is no tag"
    return tuple(text for text in texts if text is not None)


def hidden_tags(table: Table, label: str) -> LabelLists:
    """Tags that nobody may look at; their names are still the data set's."""
    return LabelLists(table, [None] * len(table), table.class_names.get(label), may_hide=True)


def tag_ids(
    columns: Mapping[str, LabelLists],
    names_from: str,
    declared: tuple[str, ...] | None,
    infer: bool = True,
    orders: Sequence[tuple[str, ...]] = (),
) -> tuple[tuple[str, ...], dict[str, Labels]]:
    """Give every tag an id, and every row the ids of its words' tags.

    Args:
        columns: by split.
        names_from: the split whose tags name the types of entities, where nothing else does.
        declared: the recipe's names in the order of their ids.
        infer: not read: without tags there is nothing to train on.
        orders: not read: no known task has tags.

    Raises:
        DataError: tags are missing, unknown or not IOB2; up to five per split.
        RecipeError: `data.labels` names no `O`, or what is no IOB2 tag.
    """
    known = next((column.class_names for column in columns.values() if column.class_names), None)
    readable = {
        name: column
        for name, column in columns.items()
        if not (column.may_hide and all(value is None for value in column.values))
    }
    problems: list[DataError] = []
    for column in readable.values():
        problems += absent_labels(column, hidden_is_name=True, droppable=False)
    raise_all(problems)
    names = declared or known or _names(columns[names_from])
    wrong = next((name for name in names if entity_type(name) is None), None)
    if wrong is not None or OUTSIDE not in names:
        problem = "names no O" if wrong is None else f"{wrong!r} is no IOB2 tag"
        raise RecipeError("data.labels", problem, "name O, and B-TYPE and I-TYPE of each type of entity")
    if len(names) < 2:
        remedy = "tag them with B-TYPE and I-TYPE, or correct data.label"
        raise DataError(columns[names_from].table.place, "no word is part of an entity", remedy)
    labels: dict[str, Labels] = dict.fromkeys(columns)
    for split, column in readable.items():
        labels[split], found = _ids(column, names)
        problems += found
    raise_all(problems)
    return tuple(names), labels


def entity_type(tag: str) -> str | None:
    """The type of an IOB2 tag, empty for `O`; None for what is no such tag.

    >>> entity_type("B-PER"), entity_type("O"), entity_type("NOUN")
    ('PER', '', None)
    """
    if tag == OUTSIDE:
        return ""
    return tag[2:] if tag.startswith((BEGINS, INSIDE)) and len(tag) > 2 else None


def _names(column: LabelLists) -> tuple[str, ...]:
    """`O`, then both tags of each type that occurs, by type."""
    first: dict[str, int] = {}
    for row, tags in enumerate(column.values):
        for tag in tags or ():
            first.setdefault(tag, row)
    for tag, row in first.items():
        if entity_type(tag) is None:
            raise _no_tag(column, row, tag)
    types = sorted({entity_type(tag) or "" for tag in first} - {""})
    return (OUTSIDE, *(f"{part}{one}" for one in types for part in (BEGINS, INSIDE)))


def _no_tag(column: LabelLists, row: int, tag: str) -> DataError:
    remedy = "write O, B-TYPE where an entity begins, and I-TYPE inside it"
    if INTEGER.fullmatch(tag):
        remedy = "name the tags in the order of their ids in data.labels"
    return DataError(column.table.where(row), f"{tag!r} is no IOB2 tag", remedy)


def _ids(column: LabelLists, names: Sequence[str]) -> tuple[list[tuple[int, ...]], list[DataError]]:
    """The ids of each row, and what is wrong with the first rows."""
    place = {name: index for index, name in enumerate(names)}
    own = column.class_names or names
    by_id = {str(index): place[name] for index, name in enumerate(own) if name in place}
    mapping = by_id if column.class_names is not None else by_id | place
    problems: list[DataError] = []
    rows: list[tuple[int, ...]] = []
    for row, tags in enumerate(column.values):
        unknown = next((tag for tag in tags or () if tag not in mapping), None)
        if unknown is not None:
            known = f"known are {', '.join(names)}"
            bad = (
                f"{unknown!r} is not one of the tags"
                if entity_type(unknown)
                else f"{unknown!r} is no IOB2 tag"
            )
            problems.append(DataError(column.table.where(row), bad, known))
        else:
            rows.append(tuple(mapping[tag] for tag in tags or ()))
            stray = stray_tag([names[one] for one in rows[-1]])
            if stray is not None:
                after = OUTSIDE if not stray else names[rows[-1][stray - 1]]
                at = f"word {stray + 1} is {names[rows[-1][stray]]}"
                bad = f"{at} after {after}" if stray else f"{at}, and no word is before it"
                remedy = f"begin each entity with {BEGINS}TYPE (IOB2)"
                problems.append(DataError(column.table.where(row), bad, remedy))
        if len(problems) == MOST_PROBLEMS:
            break
    return rows, problems


def stray_tag(tags: Sequence[str]) -> int | None:
    """The place of the first `I-X` that follows neither `B-X` nor `I-X`; None where all are IOB2.

    >>> stray_tag(["B-PER", "I-PER", "O"]), stray_tag(["B-PER", "I-ORG"])
    (None, 1)
    """
    before = OUTSIDE
    for place, tag in enumerate(tags):
        if tag.startswith(INSIDE) and entity_type(tag) != entity_type(before):
            return place
        before = tag
    return None


def entities(tags: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Yield the entities of a text as (first word, word after the last, type).

    An entity begins at `B-X`, and at an `I-X` that continues nothing, as a model may predict it; so counts
    conlleval, and the published scores with it.

    >>> list(entities(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"]))
    [(0, 2, 'PER'), (3, 4, 'LOC'), (4, 5, 'LOC')]
    """
    first, current = 0, ""
    for place, tag in enumerate([*tags, OUTSIDE]):
        kind = entity_type(tag) or ""
        if tag.startswith(INSIDE) and kind == current:
            continue
        if current:
            yield first, place, current
        first, current = place, kind


def types_notes(names: Sequence[str] | None, labels: Sequence[Sequence[int]], separator: str) -> list[str]:
    """Count the words and the entities of each type.

    >>> types_notes(("O", "B-PER", "I-PER"), [(1, 2, 0)], "|")
    ['3 words in train; entities: PER 1']
    """
    assert names is not None, "tags have names"
    found = Counter(kind for row in labels for _, _, kind in entities([names[one] for one in row]))
    counts = ", ".join(f"{kind} {count:,}" for kind, count in found.most_common())
    return [f"{sum(map(len, labels)):,} words in train; entities: {counts or 'none'}"]


def tags_that_occur(label: Sequence[int]) -> tuple[int, ...]:
    """The distinct tags of a text."""
    return tuple(sorted(set(label)))


def tag_names(label: Any, names: Sequence[str] | None) -> str:
    """The tag of each word, or of one id its name; that of a word that was not read is `O`.

    >>> tag_names((1, 0), ("O", "B-PER")), tag_names(1, ("O", "B-PER"))
    ('B-PER O', 'B-PER')
    """
    assert names is not None, "tags have names"
    ids = [label] if isinstance(label, int) else label
    return " ".join(names[one] if one >= 0 else OUTSIDE for one in ids)


def tag_cells(label: Sequence[int], names: Sequence[str] | None, column: str) -> dict[str, object]:
    """The cell of a data file that holds the tags of a text."""
    assert names is not None, "tags have names"
    return {column: [names[one] for one in label]}
