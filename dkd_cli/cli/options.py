"""Options shared by several commands, and the repetition of a command line in advice."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from dkd_cli.cli import completion

RecipeName = Annotated[
    str | None,
    typer.Argument(
        metavar="RECIPE",
        help="A recipe file or a bundled recipe's name; else quickstart.",
        autocompletion=completion.recipes,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUE",
        help="Set a key, as in train.epochs=2; repeatable.",
        autocompletion=completion.keys,
    ),
]
Seed = Annotated[str | None, typer.Option("--seed", metavar="N", help="The same as --set train.seed=N.")]
Sweeps = Annotated[
    list[str] | None,
    typer.Option(
        "--sweep",
        metavar="KEY=[V,V]",
        help="Try each value, as in 'train.epochs=[2,3]'; repeatable: every combination is run.",
    ),
]
Seeds = Annotated[
    str | None, typer.Option("--seed", metavar="N[,N...]", help="One seed or several; all of them are run.")
]
OutputDir = Annotated[
    str | None, typer.Option("--output-dir", metavar="FOLDER", help="The same as --set output_dir=FOLDER.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the resolved recipe and what would be written, then stop.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start over even if a run was started or finished.")]
NoCache = Annotated[
    bool,
    typer.Option("--no-cache", help="Do not read or write the cache of teachers' outputs and tokens."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")]


def typed_again(
    recipe: str | None, overrides: list[str] | None, sweeps: list[str] | None, output_dir: str | None
) -> str:
    """The arguments that a next command must repeat, with a space before them: the recipe and its overrides.

    Of swept keys, only those that change teachers: students vary in addition.
    """
    from dkd_cli.recipe.schema import decides_teachers

    words = [] if recipe is None else [recipe]
    words += [word for item in overrides or [] for word in ("--set", item)]
    words += [
        word
        for item in sweeps or []
        if decides_teachers(item.partition("=")[0].strip())
        for word in ("--sweep", item)
    ]
    words += [] if output_dir is None else ["--output-dir", output_dir]
    return "".join(f" {shlex.quote(word)}" for word in words)
