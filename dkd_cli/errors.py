"""User errors, one line each: the place, the problem, the remedy.

Knows nothing about how the lines are printed; `cli` prints them and exits with `exit_code`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

LONGEST = 500
"""Characters of a place, a problem or a remedy: a text of a megabyte is quoted in part."""


def one_line(text: str) -> str:
    """The text on one line, without control characters or lone surrogates."""
    return "".join(c if c.isprintable() else " " for c in text)


def reason(error: Exception) -> str:
    """Message of an exception of the system or a library as one line; its type if the message is empty.

    >>> reason(OSError(28, "No space left on device")), reason(ValueError("one\\ntwo")), reason(KeyError())
    ('No space left on device', 'one', 'KeyError')
    """
    said = str(getattr(error, "strerror", None) or error).strip()
    return said.splitlines()[0] if said else type(error).__name__


def _short(text: str) -> str:
    shown = one_line(text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2]} ... {shown[-LONGEST // 2 :]}"


class DkdError(Exception):
    """A problem the user can solve: `place: problem; remedy`, on one line whatever is quoted in it."""

    exit_code: ClassVar[int] = 1
    everywhere: bool = False
    """Raised alike by all processes of a run: one of them tells it."""

    def __init__(self, place: str, problem: str, remedy: str) -> None:
        self.place, self.problem, self.remedy = map(_short, (place, problem, remedy))
        super().__init__(f"{self.place}: {self.problem}; {self.remedy}")

    def __reduce__(self) -> tuple[type[DkdError], tuple[str, str, str]]:
        # To travel between processes: by itself an exception is made again from its message.
        return type(self), (self.place, self.problem, self.remedy)


class RecipeError(DkdError):
    """A recipe, an override or the command line is wrong."""

    exit_code = 2


class DataError(DkdError):
    """The data or its labels are wrong."""

    exit_code = 3


class ModelError(DkdError):
    """A model or a tokenizer is missing or does not fit."""

    exit_code = 4


class SystemProblem(DkdError):
    """The machine is in the way: a folder, a lock, the disk, the hardware."""

    exit_code = 5


class Busy(SystemProblem):
    """Another process is at work on the same folder."""


class NumericError(DkdError):
    """A number stopped being one: non-finite losses, gradients or predictions."""

    exit_code = 6


class Problems(Exception):
    """Several problems of one kind, found together and shown together, a line each."""

    everywhere: bool = False
    """As in `DkdError`."""

    def __init__(self, errors: Sequence[DkdError]) -> None:
        assert errors, "Problems needs at least one error"
        self.errors = tuple(errors)
        self.exit_code = errors[0].exit_code
        super().__init__("\n".join(str(error) for error in errors))

    def __reduce__(self) -> tuple[type[Problems], tuple[tuple[DkdError, ...]]]:
        return type(self), (self.errors,)


def raise_all(errors: Sequence[DkdError]) -> None:
    """Raise nothing, the one error, or all of them together."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise Problems(errors)


def collect(checks: Sequence[Callable[[], object]]) -> list[DkdError]:
    """Make every check; the problems of all of them."""
    found: list[DkdError] = []
    for check in checks:
        try:
            check()
        except DkdError as error:
            found.append(error)
        except Problems as several:
            found += several.errors
    return found
