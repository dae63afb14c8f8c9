"""Runs the command line: errors become lines on stderr and exit codes."""

from __future__ import annotations

import errno
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from dkd_cli import launch
from dkd_cli.cli.app import app
from dkd_cli.errors import DkdError, ModelError, Problems, RecipeError, SystemProblem, one_line
from dkd_cli.stopping import Stopped, listening

# Some versions of Typer contain their own copy of click: this name of UsageError works in all.
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code; an error is one line (or several) on stderr."""
    launch.hush()
    warnings.showwarning = _note
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        with listening():
            code = app([word for word in words if word != "--debug"], prog_name="dkd", standalone_mode=False)
    except Stopped as stopped:
        print(f"dkd: {_farewell(stopped, fresh='--fresh' in words)}", file=sys.stderr)
        sys.exit(stopped.exit_code)
    except (Problems, DkdError) as error:
        if _tells(error):
            _report(error.errors if isinstance(error, Problems) else [error], debug)
        sys.exit(error.exit_code)
    except USAGE_ERROR as error:
        if _tells(usage := _usage(error)):
            _report([usage], debug)
        sys.exit(RecipeError.exit_code)
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        told = (
            _disk_full(error)
            or _overflow(error)
            or DkdError(
                "dkd",
                f"unexpected {type(error).__name__}: {error}",
                "run it again with --debug and report what it prints",
            )
        )
        _report([told], debug)
        sys.exit(told.exit_code)
    if code == 130:
        print("dkd: interrupted", file=sys.stderr)
    sys.exit(code or 0)


def _note(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """Print what a recipe's old words are now called as a line; other warnings are for developers."""
    if issubclass(category, FutureWarning) and launch.leads():
        print(f"dkd: note: {message}", file=sys.stderr)


def _farewell(stopped: Stopped, *, fresh: bool) -> str:
    name = signal.Signals(stopped.number).name
    if not stopped.done:
        return f"stopped by {name}; completed work is kept"
    again = "the same command without --fresh" if fresh else "the same command"
    return f"stopped by {name}, {stopped.done}; rerun {again} to resume"


def _tells(error: DkdError | Problems) -> bool:
    """Return whether this process reports an error: of several with the same error, one does."""
    if error.everywhere:
        return launch.leads()
    # Found before the processes communicate, by all that read the same recipe.
    return error.exit_code != RecipeError.exit_code or launch.local_rank() == 0


def _overflow(error: Exception) -> DkdError | None:
    """An architecture whose own code cannot compute in bf16, such as DeBERTa's."""
    if not isinstance(error, RuntimeError) or "to type c10::BFloat16 without overflow" not in str(error):
        return None
    problem = "one of the models cannot compute in bf16, which this machine multiplies fast"
    return ModelError("train.precision", problem, "set train.precision: fp32")


def _disk_full(error: Exception) -> DkdError | None:
    """Any write may find the disk full; no place in the code could report more than this."""
    if not isinstance(error, OSError) or error.errno not in NO_ROOM:
        return None
    place = str(error.filename or "the disk")
    return SystemProblem(
        place, f"cannot be written ({error.strerror})", "free some space and rerun the command"
    )


def _usage(error: Exception) -> RecipeError:
    context: typer.Context | None = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "dkd"
    message: str = error.format_message()  # type: ignore[attr-defined]
    return RecipeError(command, message.rstrip("."), f"see `{command} --help`")


def _report(errors: Sequence[DkdError], debug: bool) -> None:
    if debug:
        # Its lines may quote data, and data may contain terminal control characters.
        print("\n".join(map(one_line, traceback.format_exc().splitlines())), file=sys.stderr)
    for error in errors:
        print(f"dkd: error: {error}", file=sys.stderr)
