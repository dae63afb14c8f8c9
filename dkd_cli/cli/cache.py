"""`dkd cache`: the options of its two subcommands."""

from __future__ import annotations

from typing import Annotated

import typer

cache_app = typer.Typer(rich_markup_mode=None)


@cache_app.callback(invoke_without_command=True)
def cache(context: typer.Context) -> None:
    """Show and clear what is kept on disk: teachers' answers and tokens."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@cache_app.command()
def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Show what is kept, of which teachers and tokenizers, and how often it was of use.

    The folder is $DKD_CACHE, else ~/.cache/dkd; its limit is $DKD_CACHE_LIMIT, else 20GB.

    \b
        dkd cache info
    """
    from dkd_cli.commands.cache import show_cache
    from dkd_cli.report.terminal import Terminal

    show_cache(Terminal(), as_json=as_json)


@cache_app.command()
def clear(
    older_than: Annotated[
        float, typer.Option("--older-than", metavar="DAYS", min=0, help="Only what was not used for so long.")
    ] = 0.0,
) -> None:
    """Remove what is kept; what a running command uses stays.

    \b
        dkd cache clear --older-than 30
    """
    from dkd_cli.commands.cache import clear_cache
    from dkd_cli.report.terminal import Terminal

    clear_cache(older_than, Terminal())
