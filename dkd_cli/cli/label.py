"""`dkd label`: its options."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from dkd_cli.cli.options import Fresh, OutputDir, Overrides, Quiet, RecipeName, Seed, typed_again
from dkd_cli.errors import RecipeError


def label(
    recipe: RecipeName = None,
    budget: Annotated[
        int | None, typer.Option("--budget", metavar="N", min=1, help="Requests at most, over all calls.")
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            "--max-cost",
            metavar="MONEY",
            min=0,
            help="Cost at most, over all calls; needs the teacher's `price`.",
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", min=1, max=20, help="Rounds; the last ends the budget.")
    ] = 5,
    growth: Annotated[
        float,
        typer.Option(
            "--growth",
            metavar="X",
            min=1.1,
            max=10,
            help="Factor by which the answers grow from a round to the next.",
        ),
    ] = 2.0,
    select: Annotated[
        str, typer.Option("--select", metavar="SCORE", help="margin, entropy, confidence or random.")
    ] = "margin",
    first: Annotated[
        str, typer.Option("--first", metavar="HOW", help="The first round: diverse or random.")
    ] = "diverse",
    explore: Annotated[
        float,
        typer.Option("--explore", metavar="SHARE", min=0, max=1, help="Random share of the later rounds."),
    ] = 0.1,
    audit: Annotated[
        int,
        typer.Option("--audit", metavar="N", min=0, help="Labelled validation texts to try the teacher on."),
    ] = 100,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Spend the budget even when the learning curve is flat.")
    ] = False,
    teacher: Annotated[
        str | None, typer.Option(metavar="NAME", help="The endpoint to ask, where the recipe has several.")
    ] = None,
    overrides: Overrides = None,
    seed: Seed = None,
    output_dir: OutputDir = None,
    fresh: Fresh = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print prompt, price and time, send nothing, then stop.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Ask a paid teacher about the training texts that teach most.

    The teacher is a language model behind an OpenAI-compatible endpoint. A small student that is trained on
    the answers so far chooses the next texts. Answers are never paid for twice: typed again after an
    interruption, the command goes on; with a larger budget it continues. Writes
    OUTPUT_DIR/NAME/labels-TEACHER.jsonl, which `dkd distill` reads.

    \b
        dkd label recipe.yaml --budget 1600 --dry-run
        dkd label recipe.yaml --budget 1600 --rounds 5
    """
    for option, value, known in (
        ("--select", select, ("margin", "entropy", "confidence", "random")),
        ("--first", first, ("diverse", "random")),
    ):
        if value not in known:
            raise RecipeError(option, f"{value!r} is unknown", f"choose {', '.join(known)}")
    from dkd_cli.recipe.loader import load_recipe
    from dkd_cli.recipe.overrides import one_seed, options
    from dkd_cli.report.terminal import Terminal

    flags = options(("--output-dir", "output_dir", output_dir))
    loaded = load_recipe(recipe, [*(overrides or []), *flags, *one_seed(seed)])
    from dkd_cli.commands.label import label as run
    from dkd_cli.labelling.room import Wanted

    chosen: Literal["margin", "entropy", "confidence", "random"] = select  # type: ignore[assignment]
    wanted = Wanted(
        teacher=teacher,
        budget=budget,
        max_cost=max_cost,
        rounds=rounds,
        growth=growth,
        select=chosen,
        diverse=first == "diverse",
        explore=explore,
        audit=audit,
        keep_going=keep_going,
        fresh=fresh,
        dry_run=dry_run,
    )
    run(loaded, wanted, terminal=Terminal(quiet), typed=typed_again(recipe, overrides, None, output_dir))
