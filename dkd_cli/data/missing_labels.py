"""Training rows without a label: refused, dropped or set aside, as `data.missing_labels` says.

Knows nothing about splits or classes.
"""

from __future__ import annotations

from dkd_cli.data.kinds import KINDS
from dkd_cli.data.labels import HIDDEN
from dkd_cli.data.tasks import Task
from dkd_cli.errors import DataError
from dkd_cli.reading.tables import Table


def without_missing(table: Table, task: Task) -> tuple[Table, Table]:
    """Divide a table of training rows into those with a label and those without.

    A label of -1 is missing only where the data set names its classes, as on the hub: in a file it may be a
    class.

    Args:
        table: has the column of the label.
        task: names the columns; no others are kept.

    Raises:
        DataError: no row has a label, or the column holds values of several types.
    """
    kind = KINDS[task.kind]
    column = kind.column(table, task.label, task.separator, False)
    missing = {None, HIDDEN} if column.class_names else {None}
    labelled = [row for row, value in enumerate(column.values) if value not in missing]
    if not labelled:
        remedy = "correct data.label, or set data.unlabelled: true"
        raise DataError(table.place, f"no row has a label in {task.label!r}", remedy)
    texts = [task.text] if task.text_pair is None else [task.text, task.text_pair]
    present = set(labelled)
    others = [row for row in range(len(table)) if row not in present]
    return table.take(labelled, [*texts, *kind.columns(task.label)]), table.take(others, texts)
