"""Options of `dkd shrink`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

import typer

from dkd_cli.cli.options import NoCache, OutputDir, Overrides, Quiet, RecipeName, Seed
from dkd_cli.errors import RecipeError

MILLISECONDS: Mapping[str, float] = {"": 1.0, "ms": 1.0, "us": 1e-3, "µs": 1e-3, "s": 1e3}
MEGABYTES: Mapping[str, float] = {"": 1.0, "MB": 1.0, "kB": 1e-3, "KB": 1e-3, "GB": 1e3}


def share(option: str, text: str) -> float:
    """A share between 0 and 1, also written in percent.

    >>> share("--keep", "97%"), share("--keep", "0.97")
    (0.97, 0.97)
    """
    number = text.strip().removesuffix("%").strip()
    try:
        value = float(number) / (100 if "%" in text else 1)
    except ValueError as error:
        raise RecipeError(option, f"{text!r} is no share", "write it as 97% or 0.97") from error
    if not 0 < value <= 1:
        raise RecipeError(option, f"{text!r} is not between 0 and 1", "write it as 97% or 0.97")
    return value


def amount(option: str, text: str | None, units: Mapping[str, float]) -> float | None:
    """A positive number with one of the units; None for None.

    >>> amount("--latency", "500us", MILLISECONDS)
    0.5
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*([0-9.]+)\s*([a-zA-Zµ]*)\s*", text)
    known = ", ".join(unit for unit in units if unit)
    remedy = f"write a number and one of {known}"
    if found is None or found[2] not in units:
        raise RecipeError(option, f"{text!r} is no amount", remedy)
    try:
        value = float(found[1]) * units[found[2]]
    except ValueError as error:
        raise RecipeError(option, f"{text!r} is no amount", remedy) from error
    if value <= 0:
        raise RecipeError(option, f"{text!r} is not above 0", remedy)
    return value


def shrink(
    recipe: RecipeName = None,
    keep: Annotated[
        str, typer.Option(metavar="SHARE", help="The share of the teacher's score to keep, as 97%.")
    ] = "97%",
    confidence: Annotated[
        str, typer.Option(metavar="SHARE", help="How sure that is, over examples like the validation rows.")
    ] = "90%",
    latency: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="The most for one text, tokenisation included, on one thread, as 2ms."
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="The most for the folder to deploy, as 10MB.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Measure every rung, also those after the one that suffices.")
    ] = False,
    overrides: Overrides = None,
    seed: Seed = None,
    output_dir: OutputDir = None,
    no_cache: NoCache = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the rungs and the estimated time, then stop.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Find the smallest student that keeps most of its teacher.

    Trains the teacher if it is missing, then one student after the other from the smallest: static ones, one
    layer, two, three. Each is exported to int8 and compared with the teacher on validation rows; the first
    that keeps enough is measured on the test rows and put into OUTPUT_DIR/NAME/shrunk, ready to deploy.
    Writes shrink.json and shrink.svg. Rerun the command to resume after an interruption.

    \b
        dkd shrink quickstart --keep 97%
        dkd shrink mine.yaml --keep 98% --latency 2ms --size 10MB
        dkd shrink mine.yaml --all
    """
    from dkd_cli.recipe.loader import load_points
    from dkd_cli.recipe.overrides import one_seed, options

    shares = share("--keep", keep), share("--confidence", confidence)
    limits = amount("--latency", latency, MILLISECONDS), amount("--size", size, MEGABYTES)
    if not 0.5 <= shares[1] < 1:
        raise RecipeError("--confidence", f"{confidence!r} is not from 50% to 100%", "write it as 90%")
    flags = options(("--output-dir", "output_dir", output_dir))
    [base] = load_points(recipe, [*(overrides or []), *flags, *one_seed(seed)], keep=lambda key: False)
    from dkd_cli.commands.shrink import shrink as run
    from dkd_cli.report.terminal import Terminal
    from dkd_cli.shrinking.climb import ShrinkTarget

    wanted = ShrinkTarget(keep=shares[0], confidence=shares[1], latency_ms=limits[0], size_mb=limits[1])
    run(base, wanted, every=every, terminal=Terminal(quiet), dry_run=dry_run, cached=not no_cache)
