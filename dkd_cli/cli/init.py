"""`dkd init`: its options, and questions on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dkd_cli.cli.options import Quiet


def init(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="The labelled texts: csv, tsv, xlsx, json, jsonl or parquet; also gzipped."
        ),
    ],
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column with the text.")] = None,
    text_pair: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column with the second text of a pair.")
    ] = None,
    label: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column with the label.")] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The encoder to start from: a hub id, a folder or pkg://."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The recipe to write; named after FILE if left out.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Take the best guess where several columns fit; never ask.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Write a recipe for a file of labelled texts.

    Looks for the columns with the text and the label, prints what is in them (classes, lengths, duplicates,
    what is missing), and writes a recipe with settings that fit the size of the data.

    \b
        dkd init tickets.csv
        dkd init tickets.csv --text body --label queue
    """
    from dkd_cli.commands.init import Wishes
    from dkd_cli.commands.init import init as run
    from dkd_cli.report.terminal import Terminal

    wishes = Wishes(text=text, text_pair=text_pair, label=label, model=model, yes=yes)
    asking = not yes and sys.stdin.isatty()
    run(file, wishes, output=output, ask=_choose if asking else None, terminal=Terminal(quiet))


def _choose(question: str, choices: Sequence[str]) -> str:
    """Ask for one of the choices, by number or name; the first one is the default."""
    typer.echo(question)
    for number, choice in enumerate(choices, start=1):
        typer.echo(f"  {number}  {choice}")
    while True:
        said: str = typer.prompt("number or name", default="1").strip()
        if said in choices:
            return said
        if said.isdecimal() and 1 <= int(said) <= len(choices):
            return choices[int(said) - 1]
        typer.echo(f"{said!r} is none of them")
