"""CoNLL files: a word and its tags on each line, an empty line after each sentence.

Knows nothing about what the tags mean.
"""

from __future__ import annotations

import re

from dkd_cli.errors import DataError, raise_all
from dkd_cli.reading.tables import MOST_PROBLEMS, Table
from dkd_cli.wording import counted

WORDS, TAGS = "tokens", "ner_tags"
DOCUMENT = "-DOCSTART-"
LINE_END = re.compile(r"\r\n|[\n\r]")
"""Nothing else ends a line: a word may hold what Unicode calls a line separator."""
GAP = re.compile(" +")
"""A no-break space is part of a word, such as `10 000`."""


def tagged_words(text: str, place: str) -> Table:
    """Read the sentences of a file: its first column as lists `tokens`, its last as lists `ner_tags`.

    Those between, such as parts of speech, are `column2`, `column3` and so on. Columns are separated by tabs
    where a line has one, else by spaces. A `-DOCSTART-` line is left out, and ends a sentence.

    Args:
        text: of the file.
        place: its name, for errors.

    Raises:
        DataError: a line has a single column, or more or fewer than the first; up to five.

    >>> table = tagged_words("Ada B-PER\\nmet O\\n\\nGrace B-PER\\n", "a.conll")
    >>> table.columns["tokens"], table.lines
    ([['Ada', 'met'], ['Grace']], [1, 4])
    """
    sentences: list[list[list[str]]] = []
    lines: list[int] = []
    problems: list[DataError] = []
    width, inside = 0, False
    for number, line in enumerate(LINE_END.split(text), start=1):
        cells = line.split("\t") if "\t" in line else GAP.split(line.strip(" "))
        if not line.strip() or cells[0] == DOCUMENT:
            inside = False
            continue
        width = width or len(cells)
        if len(cells) < 2 or len(cells) != width:
            problem = f"{counted(len(cells), 'column')} where {max(width, 2)} are expected"
            remedy = "write a word and its tag, and an empty line after each sentence"
            problems.append(DataError(f"{place}:{number}", problem, remedy))
            if len(problems) == MOST_PROBLEMS:
                break
            continue
        if not inside:
            sentences.append([])
            lines.append(number)
            inside = True
        sentences[-1].append([cell.strip() for cell in cells])
    raise_all(problems)
    names = [WORDS, *(f"column{one}" for one in range(2, width)), TAGS]
    columns = {
        name: [[cells[at] for cells in sentence] for sentence in sentences]
        for at, name in enumerate(names[: max(width, 2)])
    }
    return Table(place, columns, lines)
