"""What was aimed at, and whether it was met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.clock import ratio

EPOCHS = 3


@dataclass(frozen=True)
class Bar:
    """One figure that is aimed at, and what was measured; None where it was not."""

    what: str
    sense: Literal["at most", "at least"]
    limit: float
    measured: float | None

    @property
    def met(self) -> bool | None:
        """None where nothing was measured."""
        if self.measured is None:
            return None
        return self.measured <= self.limit if self.sense == "at most" else self.measured >= self.limit


def bars(figures: Mapping[str, list[float]], whole: Mapping[str, Mapping[str, Any]]) -> Sequence[Bar]:
    """All bars, from the milliseconds by contestant and the measurements of whole commands."""
    steps = dict(figures)
    warm, cold = steps.get("rte/two-teachers-warm"), steps.get("rte/two-teachers-cold")
    if warm and cold:
        pairs = zip(cold, warm, strict=True)
        steps["rte/two-teachers-epochs"] = [(one + (EPOCHS - 1) * other) / EPOCHS for one, other in pairs]

    def over(above: str, below: str) -> float | None:
        found = ratio(steps, above, below)
        return None if found is None else found.median

    def of(measurement: str, key: str) -> float | None:
        return whole.get(measurement, {}).get(key)

    ran, allowed = of("sweep", "sweep"), of("sweep", "allowed for")
    table: list[tuple[str, Literal["at most", "at least"], float, float | None]] = [
        ("bare step over plain fine-tuning", "at most", 0.27, over("rte/bare", "rte/plain")),
        ("bare step over plain, short texts", "at most", 0.12, over("sst2/bare", "sst2/plain")),
        ("static, warm, over bare", "at most", 1.03, over("rte/static-warm", "rte/bare")),
        ("two teachers, warm, over bare", "at most", 1.03, over("rte/two-teachers-warm", "rte/bare")),
        ("two teachers, 3 epochs from cold", "at most", 1.35, over("rte/two-teachers-epochs", "rte/bare")),
        ("objective, warm, over bare", "at most", 1.15, over("rte/objective-warm", "rte/bare")),
        ("objective, no store, over bare", "at most", 1.6, over("rte/objective-no-store", "rte/bare")),
        ("data, r = 0.1, selected, over bare", "at most", 0.5, over("rte/data-selected-warm", "rte/bare")),
        ("naive over ours, data", "at least", 6.0, over("rte/naive-data", "rte/data-warm")),
        ("naive over ours, objective", "at least", 7.0, over("rte/naive-objective", "rte/objective-warm")),
        (
            "naive over ours, two teachers",
            "at least",
            12.0,
            over("rte/naive-two-teachers", "rte/two-teachers-warm"),
        ),
        ("sweep over 12 bare runs and one pass", "at most", 1.1, ran / allowed if ran and allowed else None),
        ("memory added by the cache, MB", "at most", 200.0, of("memory", "added by the cache")),
        (
            "select-data over the forward pass",
            "at least",
            0.9,
            of("select-data", "whole command over forward pass"),
        ),
        ("select-data, peak memory, MB", "at most", 2048.0, of("select-data", "peak")),
        ("start-up beyond the imports, s", "at most", 2.0, of("startup", "beyond the imports")),
    ]
    return [Bar(*row) for row in table]
