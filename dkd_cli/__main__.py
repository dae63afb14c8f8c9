"""`python -m dkd_cli`: the same as `dkd`."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from dkd_cli.cli import run

    run()


if __name__ == "__main__":
    main()
