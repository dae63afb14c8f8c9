"""`dkd augment`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dkd_cli.cli.options import OutputDir, Overrides, Quiet, RecipeName
from dkd_cli.errors import RecipeError


def augment(
    recipe: RecipeName = None,
    show: Annotated[
        int | None,
        typer.Option("--show", metavar="N", help="Print the copies of N texts, and make no others."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all copies to this .jsonl file.")
    ] = None,
    overrides: Overrides = None,
    output_dir: OutputDir = None,
    quiet: Quiet = False,
) -> None:
    """Make or show the augmented copies of the training texts that `data.augment` asks for.

    `dkd distill` makes them by itself; the words that may replace a word are cached.

    \b
        dkd augment --show 5 --set 'data.augment={copies: 20}'
        dkd augment my-recipe.yaml --output copies.jsonl
    """
    if show is not None and show < 1:
        raise RecipeError("--show", f"must be 1 or more, not {show}", "say how many texts to show")
    if output is not None and output.suffix != ".jsonl":
        raise RecipeError("--output", f"{output} is no .jsonl file", "name one that ends in .jsonl")
    from dkd_cli.recipe.loader import load_points
    from dkd_cli.recipe.overrides import options

    flags = options(("--output-dir", "output_dir", output_dir))
    [loaded] = load_points(recipe, [*(overrides or []), *flags], keep=lambda key: False)
    from dkd_cli.commands.augment import augment as run
    from dkd_cli.report.terminal import Terminal

    run(loaded, show=show, output=output, terminal=Terminal(quiet))
