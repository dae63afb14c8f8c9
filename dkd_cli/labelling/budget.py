"""A hard limit on requests and money, with requests in flight counted at the most they can cost.

A request counts from the moment before it is sent until the endpoint refuses it unbilled. Knows nothing about
how requests are made or recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MILLION = 1_000_000


@dataclass(frozen=True)
class Tariff:
    """Price per million tokens."""

    input: float
    output: float

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Cost of a request.

        >>> Tariff(input=0.15, output=0.60).cost(1_000_000, 500_000)
        0.45
        """
        return (prompt_tokens * self.input + completion_tokens * self.output) / MILLION


@dataclass
class Budget:
    """Limits of spending, and the amount spent.

    >>> budget = Budget(requests=2)
    >>> budget.start(0.0), budget.start(0.0), budget.may_start(0.0)
    (None, None, False)
    >>> budget.refused(0.0)
    >>> budget.may_start(0.0)
    True
    """

    requests: int | None = None
    """Requests at most; None: no limit."""
    money: float | None = None
    """Cost at most; None: no limit."""
    made: int = 0
    """Requests sent that may have been billed, those in flight included."""
    spent: float = 0.0
    """Cost of finished requests."""
    reserved: float = field(default=0.0)
    """Upper bound of the cost of requests in flight."""

    def may_start(self, worst: float) -> bool:
        """Return whether one request more, which costs `worst` at most, stays within the limits."""
        if self.requests is not None and self.made + 1 > self.requests:
            return False
        # A rounding error must not forbid the last request.
        return self.money is None or self.spent + self.reserved + worst <= self.money * (1 + 1e-9)

    def start(self, worst: float) -> None:
        """Count a request that is about to be sent."""
        self.made += 1
        self.reserved += worst

    def finished(self, worst: float, cost: float) -> None:
        """A request was answered, or lost: it costs `cost`."""
        self.reserved -= worst
        self.spent += cost

    def refused(self, worst: float) -> None:
        """A request was refused unbilled: it counts no longer."""
        self.made -= 1
        self.reserved -= worst
