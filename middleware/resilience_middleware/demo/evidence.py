"""What must truly have happened for the demo to succeed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from resilience.core.humanize import percent
from resilience_middleware.demo.shop import CallTimes

__all__ = ["Evidence"]

REFUSAL_RATIO = 0.1


@dataclass(slots=True)
class Evidence:
    """Collects what was seen, and says what is still missing.

    Args:
        times: times of the calls to payments.
        recovered_at: when payments was healthy again, in seconds since the demo began; None before.
    """

    times: CallTimes = field(default_factory=CallTimes)
    recovered_at: float | None = None
    opened: bool = False
    closed_after_recovery: bool = False
    fired: bool = False
    resolved: bool = False
    paged: set[str] = field(default_factory=set)

    def breaker(self, state: str) -> None:
        """A breaker went into a state."""
        self.opened |= state == "open"
        self.closed_after_recovery |= state == "closed" and self.recovered_at is not None

    def alert(self, state: str) -> None:
        """An alert went into a state."""
        self.fired |= state == "firing"
        self.resolved |= state == "resolved"

    def page(self, status: str) -> None:
        """A notification arrived."""
        self.paged.add(status)

    @property
    def complete(self) -> bool:
        """Whether everything has been seen."""
        return all(seen for _, seen in self.verdicts())

    def verdicts(self) -> Iterator[tuple[str, bool]]:
        """Each thing that must have happened, and whether it has."""
        ratio = self.times.refusal_ratio
        cost = "" if ratio is None else f" ({percent(ratio, up=True)} of it)"
        yield "the breaker opened", self.opened
        yield (
            f"calls were refused in less than a tenth of a healthy call's time{cost}",
            ratio is not None and ratio < REFUSAL_RATIO,
        )
        yield "the alert fired", self.fired
        yield "its notification arrived", "firing" in self.paged
        yield "the breaker closed after the recovery", self.closed_after_recovery
        yield "the alert resolved", self.resolved
        yield "the notification of that arrived", "resolved" in self.paged
