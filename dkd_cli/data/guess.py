"""Guesses of the text and label columns of a table, by their names and values.

Knows nothing about recipes or models.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise

from dkd_cli.reading.tables import Table

TEXT_NAMES = ("text", "body", "message", "content", "review", "comment", "tweet", "utterance", "sentence")
LATER_TEXT_NAMES = ("post", "description", "document", "question", "query", "prompt", "title", "subject")
"""Names of text columns, with those above in one order, the most telling first."""
LABEL_NAMES = ("label", "class", "category", "target", "gold")
"""Names that a label column has whatever it is about, the most telling first."""
SUBJECT_NAMES = frozenset(
    {"sentiment", "intent", "topic", "queue", "emotion", "polarity", "stance", "spam", "toxic", "department"}
    | {"genre", "stars", "rating", "score", "similarity"}
)
"""Names that say what a label is about; of two such columns neither is more telling."""
PAIR_NAMES = (
    ("premise", "hypothesis"),
    ("question", "passage"),
    ("question", "answer"),
    ("question", "sentence"),
    ("question", "context"),
    ("query", "document"),
    ("text", "text_pair"),
    ("left", "right"),
    ("first", "second"),
)
MANY_WORDS = 3.0
"""Mean words from which on a column reads like texts."""
LONGEST_LABEL = 40.0
"""Mean characters up to which a column reads like class names."""
MOST_CLASSES = 200
FEWEST_OF_A_CLASS = 3.0
"""Mean rows of each class of a column that reads like one of classes."""
MANY_NUMBERS = 20
"""Distinct numbers from which on they are a scale, not classes."""
CLEARLY_LONGER = 3.0
_NUMBERED = re.compile(r"(.+?)_?([12ab])")
_STAMP = re.compile(
    r"\d{1,4}[-/.:]\d{1,2}[-/.:]\d{1,4}.*|https?://\S+|\S+@\S+\.\S+|[0-9a-f-]{16,}", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """Statistics of a column's values; missing ones do not count."""

    name: str
    present: int
    distinct: int
    words: float
    """Mean words of a value."""
    characters: float
    numeric: bool
    """True if all values are finite numbers."""
    whole: bool
    """True if all of them are whole."""
    stamped: bool
    """True if most are dates, addresses or hashes."""

    @property
    def is_text(self) -> bool:
        """Return whether it reads like texts: several words each, which hardly repeat."""
        return (
            not self.numeric
            and not self.stamped
            and self.words >= MANY_WORDS
            and self.distinct > self.present / 2
        )

    @property
    def is_classes(self) -> bool:
        """Return whether it looks like class names or ids: short values that each occur several times."""
        if self.numeric and (not self.whole or self.distinct > 2.5 * MANY_NUMBERS):
            return False
        repeated = self.present >= FEWEST_OF_A_CLASS * self.distinct
        short = self.characters <= LONGEST_LABEL and not self.stamped
        return short and repeated and 2 <= self.distinct <= MOST_CLASSES

    @property
    def is_scale(self) -> bool:
        """Return whether it holds numbers with fractions."""
        return self.numeric and not self.whole and self.distinct > 2


@dataclass(frozen=True, slots=True)
class Guess:
    """Columns for the roles of a recipe, and what else would fit."""

    text: str | None
    text_pair: str | None
    label: str | None
    kind: str
    """`classification` or `regression`."""
    doubts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """For `text` and `label`, where several columns fit about as well: all of them, the best first."""


def guess_columns(table: Table, text: str | None = None, label: str | None = None) -> Guess:
    """Guess the columns of a table; those that are given stand."""
    facts = [column_facts(name, table.column(name) or ()) for name in table.names()]
    doubts: dict[str, Sequence[str]] = {}
    texts = [one for one in facts if one.is_text and one.name != label]
    pair = None
    if text is None:
        text, pair = _pair([one.name for one in texts])
    if text is None:
        ranked = _ranked_texts(texts)
        text = ranked[0].name if ranked else None
        if len(ranked) > 1 and not _clear_text(ranked):
            doubts["text"] = [one.name for one in ranked]
    free = [one for one in facts if one.name not in (text, pair)]
    if label is None:
        label = _label([one for one in free if one.is_classes], doubts)
        label = label or _label([one for one in free if one.is_scale], doubts)
    chosen = next((one for one in facts if one.name == label), None)
    scale = chosen is not None and chosen.is_scale
    return Guess(text, pair, label, "regression" if scale else "classification", doubts)


def column_facts(name: str, values: Sequence[object]) -> ColumnFacts:
    """Look at the values of a column."""
    shown = [str(value).strip() for value in values if value is not None]
    shown = [value for value in shown if value and value != "nan"]
    counts = Counter(shown)
    size = max(1, len(shown))
    numbers = [_number(value) for value in counts]
    numeric = bool(numbers) and all(math.isfinite(number) for number in numbers)
    return ColumnFacts(
        name,
        present=len(shown),
        distinct=len(counts),
        words=sum(len(value.split()) for value in shown) / size,
        characters=sum(map(len, shown)) / size,
        numeric=numeric,
        whole=numeric and all(number.is_integer() for number in numbers),
        stamped=sum(bool(_STAMP.fullmatch(value)) for value in shown) > size / 2,
    )


def _pair(names: Sequence[str]) -> tuple[str | None, str | None]:
    """Two text columns that belong together by their names."""
    plain = {name.casefold(): name for name in names}
    for first, second in PAIR_NAMES:
        if first in plain and second in plain:
            return plain[first], plain[second]
    for first, second in combinations(names, 2):
        left, right = _NUMBERED.fullmatch(first.casefold()), _NUMBERED.fullmatch(second.casefold())
        if left and right and left[1] == right[1] and (left[2], right[2]) in (("1", "2"), ("a", "b")):
            return first, second
    return None, None


def _ranked_texts(texts: Sequence[ColumnFacts]) -> list[ColumnFacts]:
    return sorted(texts, key=lambda one: (_text_rank(one.name), -one.characters))


def _clear_text(ranked: Sequence[ColumnFacts]) -> bool:
    """Return whether the first column is the text by its name, or is much longer than all others."""
    first, *others = ranked
    named = _text_rank(first.name) < min(_text_rank(one.name) for one in others)
    return named or all(first.characters > CLEARLY_LONGER * one.characters for one in others)


def _label(fitting: Sequence[ColumnFacts], doubts: dict[str, Sequence[str]]) -> str | None:
    ranked = sorted(fitting, key=lambda one: (_label_rank(one.name), one.distinct))
    ranks = [_label_rank(one.name) for one in ranked]
    if any(first == second for first, second in pairwise(ranks[:2])):
        doubts["label"] = [one.name for one in ranked]
    return ranked[0].name if ranked else None


def _text_rank(name: str) -> int:
    return _rank(name, (*TEXT_NAMES, *LATER_TEXT_NAMES))


def _label_rank(name: str) -> int:
    rank = _rank(name, LABEL_NAMES)
    known = rank < len(LABEL_NAMES) or not SUBJECT_NAMES.isdisjoint(_words(name))
    return rank if known else rank + 1


def _rank(name: str, known: Sequence[str]) -> int:
    """The place of a name among those that are known, or their number."""
    words = set(_words(name))
    return next((place for place, word in enumerate(known) if word in words), len(known))


def _words(name: str) -> Iterator[str]:
    """A name, its last word (as in `ticket_body` or `ticket.body`) and its singular."""
    plain = name.casefold()
    last = re.split(r"[\s._-]+", plain)[-1]
    yield from (plain, last, plain.removesuffix("s"), last.removesuffix("s"))


def _number(value: str) -> float:
    try:
        return float(value.replace(",", ".", 1) if re.fullmatch(r"-?\d+,\d+", value) else value)
    except ValueError:
        return math.nan
