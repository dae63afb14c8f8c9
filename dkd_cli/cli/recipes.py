"""Options of `dkd recipes`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dkd_cli.cli.completion import bundled
from dkd_cli.cli.options import Overrides

recipes_app = typer.Typer(rich_markup_mode=None)


@recipes_app.callback(invoke_without_command=True)
def recipes(context: typer.Context) -> None:
    """List, show, copy and check recipes."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@recipes_app.command("list")
def list_() -> None:
    """List the bundled recipes with their models and data."""
    from dkd_cli.commands.recipes import list_recipes
    from dkd_cli.report.terminal import Terminal

    list_recipes(Terminal())


@recipes_app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A bundled recipe.", autocompletion=bundled)],
) -> None:
    """Print a bundled recipe as it is written.

    \b
        dkd recipes show quickstart
    """
    from dkd_cli.commands.recipes import show_recipe

    show_recipe(name)


@recipes_app.command()
def copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A bundled recipe.", autocompletion=bundled)],
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The file to write. Default: NAME.yaml.")
    ] = None,
) -> None:
    """Copy a bundled recipe to a file of your own.

    An existing file is never overwritten.

    \b
        dkd recipes copy quickstart mine.yaml
    """
    from dkd_cli.commands.recipes import copy_recipe
    from dkd_cli.report.terminal import Terminal

    copy_recipe(name, file, Terminal())


@recipes_app.command()
def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Recipe files or bundled names.")],
    overrides: Overrides = None,
    no_data: Annotated[
        bool, typer.Option("--no-data", help="Check the recipe alone; read neither data nor models.")
    ] = False,
) -> None:
    """Check recipes, their data and their models without training.

    Reads the texts and labels, and the models' configurations and tokenizers where they are at hand. Prints
    classes, lengths and the metric, then OK; or every problem with its line.

    \b
        dkd recipes check mine.yaml
        dkd recipes check glue-rte --no-data
    """
    from dkd_cli.commands.recipes import check_recipes
    from dkd_cli.report.terminal import Terminal

    check_recipes(files, overrides or [], data=not no_data, terminal=Terminal())
