"""Options of `dkd compare`."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from dkd_cli.cli.options import NoCache, OutputDir, Overrides, Quiet, RecipeName, typed_again
from dkd_cli.errors import RecipeError

MORE_SEEDS = 5


def compare(
    recipe: RecipeName = None,
    number: Annotated[
        int | None, typer.Option("--seeds", metavar="N", min=1, help="Seeds 1 to N. Default: 3.")
    ] = None,
    seed: Annotated[
        str | None, typer.Option("--seed", metavar="N[,N...]", help="These seeds instead of 1 to N.")
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="In addition to none and static, as in `dkd distill`, or `random`: dynamic-data with random "
            "selection; repeatable. Default: all that the recipe allows.",
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=[V,V]",
            help="Settings to try, as in 'train.learning_rate=[1e-4,3e-4]', of which each strategy gets the "
            "best by its mean over seeds on the validation split; repeatable, and every combination is run.",
        ),
    ] = None,
    overrides: Overrides = None,
    output_dir: OutputDir = None,
    no_cache: NoCache = False,
    exports: Annotated[
        bool,
        typer.Option(
            "--exports",
            help="Also compare the teacher and the best student of each strategy as int8 exports, about half "
            "a minute each: score, size and time of a text.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the runs and their estimated time, then stop.")
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="Train the students again whose texts, labels or teachers have changed since, instead of "
            "refusing them.",
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Find out whether distillation is worth it on a task.

    Trains missing teachers and students by every strategy, with the same budget and several seeds, and
    compares them on test examples that were not used for any choice: means, 95 % intervals, p values, costs
    and a verdict. Writes comparison.html, a page to send, and comparison.json with every figure into the
    recipe's folder. Rerun the command to resume after an interruption.

    \b
        dkd compare quickstart --seeds 3
        dkd compare mine.yaml --strategy dynamic-objective --grid 'train.learning_rate=[1e-4,3e-4]'
    """
    if number is not None and seed is not None:
        raise RecipeError("--seed", "contradicts --seeds", "give one of the two")
    from dkd_cli.recipe.contenders import ComparisonRequest, load_contenders
    from dkd_cli.recipe.overrides import options, parse_seeds
    from dkd_cli.report.terminal import Terminal

    seeds = tuple(range(1, (number or 3) + 1)) if seed is None else parse_seeds(seed)
    flags = options(("--output-dir", "output_dir", output_dir))
    asked = ComparisonRequest(recipe, [*(overrides or []), *flags], grid or [], seeds, tuple(strategy or ()))
    load_contenders(asked)  # what is wrong with a recipe is said at once, before torch is loaded
    from dkd_cli.commands.compare import compare

    words = [word for name in strategy or () for word in ("--strategy", name)]
    words += [word for item in grid or () for word in ("--grid", item)]
    words += ["--seeds", str(max(MORE_SEEDS, 2 * len(seeds)))]
    more = f"dkd compare{typed_again(recipe, overrides, None, output_dir)} {shlex.join(words)}"
    compare(
        asked,
        dry_run=dry_run,
        terminal=Terminal(quiet),
        cached=not no_cache,
        exports=exports,
        fresh=fresh,
        more_seeds=more if seed is None else None,
    )
