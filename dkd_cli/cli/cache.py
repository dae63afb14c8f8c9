"""Options of `dkd cache`."""

from __future__ import annotations

from typing import Annotated

import typer

cache_app = typer.Typer(rich_markup_mode=None)


@cache_app.callback(invoke_without_command=True)
def cache(context: typer.Context) -> None:
    """Show and clear the cache on disk: teachers' outputs and tokens."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@cache_app.command()
def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Show the cached entries by teacher and tokenizer, and how often they were used.

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
    """Remove cached entries, except those in use by a running command.

    \b
        dkd cache clear --older-than 30
    """
    from dkd_cli.commands.cache import clear_cache
    from dkd_cli.report.terminal import Terminal

    clear_cache(older_than, Terminal())
