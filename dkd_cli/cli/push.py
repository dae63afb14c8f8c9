"""`dkd push`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dkd_cli.cli.completion import models
from dkd_cli.cli.options import Quiet


def push(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A model folder or an export.", autocompletion=models)
    ],
    to: Annotated[str, typer.Option("--to", metavar="ORG/NAME", help="The repository on the hub.")],
    public: Annotated[bool, typer.Option("--public", help="Let anyone see it; private if left out.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be uploaded, then stop.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Upload a model to the Hugging Face hub, its card included.

    Makes the repository if it is missing: private, unless --public is given. The token is that of `hf auth
    login` or HF_TOKEN.

    \b
        dkd push checkpoints/quickstart/student-static-seed1 --to my-team/tweets --dry-run
        dkd push checkpoints/quickstart/student-static-seed1-onnx-int8 --to my-team/tweets-onnx
    """
    from dkd_cli.commands.push import push as run
    from dkd_cli.report.terminal import Terminal

    run(checkpoint, to, public=public, dry_run=dry_run, terminal=Terminal(quiet))
