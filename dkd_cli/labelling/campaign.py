"""One labelling of a pool by one teacher: its rounds on disk, each written whole before it is asked about.

The folder has the run's id, by which the record of answers knows what this labelling has paid, and a file for
each round. Knows nothing about how texts are chosen or asked.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dkd_cli.errors import SystemProblem
from dkd_cli.files import remove, write_json

STATE, CURVE = "labelling.json", "curve.json"


@dataclass(frozen=True)
class Round:
    """The texts of one round."""

    number: int
    select: str
    example_ids: tuple[str, ...]


@dataclass
class Campaign:
    """The state of a labelling."""

    folder: Path
    run: str
    """Its id in the record of answers."""
    rounds: list[Round] = field(default_factory=list)
    curve: list[float] = field(default_factory=list)
    """Scores of the chooser after each round."""

    @property
    def asked(self) -> list[str]:
        """The example ids of all rounds, in order."""
        return [example for one in self.rounds for example in one.example_ids]

    def add(self, select: str, example_ids: Sequence[str]) -> Round:
        """Write a new round, whole or not at all."""
        one = Round(len(self.rounds) + 1, select, tuple(example_ids))
        content = {"round": one.number, "select": select, "example_ids": list(example_ids)}
        write_json(self.folder / f"round-{one.number:02d}.json", content)
        self.rounds.append(one)
        return one

    def reached(self, value: float) -> None:
        """Write down what the chooser reached after the next round."""
        self.curve.append(value)
        write_json(self.folder / CURVE, self.curve)


def open_campaign(folder: Path, facts: Mapping[str, Any], *, fresh: bool) -> Campaign:
    """Go on with the labelling in a folder, or begin one.

    Args:
        folder: its own.
        facts: what makes it this labelling (pool, prompt, endpoint); another one is refused.
        fresh: begin a new one; what was answered is found again all the same.

    Raises:
        SystemProblem: the folder holds another labelling, or a damaged one.
    """
    state = folder / STATE
    if fresh:
        remove(folder)
    if not state.exists():
        run = secrets.token_hex(8)
        write_json(state, {"run": run, "facts": dict(facts)})
        return Campaign(folder, run)
    remedy = "--fresh begins a new one; answers that were paid for are found again"
    try:
        before = json.loads(state.read_text(encoding="utf-8"))
        campaign = Campaign(folder, str(before["run"]))
        known = dict(before["facts"])
        for path in sorted(folder.glob("round-*.json")):
            content = json.loads(path.read_text(encoding="utf-8"))
            ids = tuple(map(str, content["example_ids"]))
            campaign.rounds.append(Round(int(content["round"]), str(content["select"]), ids))
        if (folder / CURVE).exists():
            campaign.curve += map(float, json.loads((folder / CURVE).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        raise SystemProblem(str(folder), "the labelling there is damaged", remedy) from None
    other = [key for key, value in facts.items() if known.get(key) != value]
    if other:
        raise SystemProblem(str(folder), f"holds a labelling with another {', '.join(other)}", remedy)
    return campaign


def look_at(folder: Path, facts: Mapping[str, Any]) -> Campaign:
    """The labelling in a folder, or an empty one; nothing is written."""
    return open_campaign(folder, facts, fresh=False) if (folder / STATE).exists() else Campaign(folder, "")
