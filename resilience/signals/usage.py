"""What a service's users get and use up: first audio, sessions, tools, quotas, cost; under the names that rule packs use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from resilience.core.validate import text
from resilience.core.verdict import Verdict
from resilience.errors import Rejected
from resilience.signals.registry import InstrumentRegistry

__all__ = ["UsageRecorder"]

# Bounds where the packs' thresholds are, so that a percentile next to one is exact.
_FIRST_AUDIO = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
_SESSION = (10.0, 30.0, 60.0, 300.0, 600.0, 1200.0, 1800.0, 2700.0, 3600.0, 7200.0, 14_400.0, 28_800.0)
_TOOL = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0)


class UsageRecorder:
    """Records what a service's users get and use up.

    Args:
        signals: where to; instruments that exist are shared by all recorders.
        service: the value of the label `service`.

    Raises:
        ConfigError: `service` is empty.

    Example:
        >>> signals = InstrumentRegistry()
        >>> usage = UsageRecorder(signals, service="voice")
        >>> usage.first_audio(0.6)
        >>> usage.spend(0.002, kind="tokens")
        >>> with usage.session(), usage.tool("search"):
        ...     pass
        >>> signals.find("tool_calls_total")["search", "success"].current
        1.0
    """

    def __init__(self, signals: InstrumentRegistry, service: str) -> None:
        self.service: str = text("service", service)
        self._clock = signals.clock
        self._sessions: dict[object, float] = {}  # when each began; the oldest is the first
        self._first_audio = signals.histogram(
            "ttfa_seconds", "Time to first audio.", labels=("service",), buckets=_FIRST_AUDIO
        ).bind(service)
        self._session_durations = signals.histogram(
            "session_duration_seconds",
            "How long sessions lasted that ended.",
            labels=("service",),
            buckets=_SESSION,
        ).bind(service)
        self._oldest = signals.gauge(
            "session_oldest_seconds", "Age of the oldest session that is open.", labels=("service",)
        ).bind(service)
        self._tool_calls = signals.counter("tool_calls_total", "Calls of tools.", labels=("tool", "outcome"))
        self._tool_durations = signals.histogram(
            "tool_duration_seconds", "How long calls of tools took.", labels=("tool",), buckets=_TOOL
        )
        self._quota_used = signals.gauge("quota_used", "How much of a quota is used.", labels=("quota",))
        self._quota_limit = signals.gauge("quota_limit", "How much a quota allows.", labels=("quota",))
        self._cost = signals.counter("cost_usd_total", "Money spent.", labels=("service", "kind"))
        self._budget = signals.gauge(
            "cost_budget_usd", "What may be spent within 24 hours.", labels=("service",)
        )
        signals.on_tick(lambda now: self._oldest.set(self._oldest_age(now.monotonic)))

    def first_audio(self, seconds: float) -> None:
        """Take the time from the end of what a user said to the first sound of the answer.

        Args:
            seconds: zero or more; what is not is refused and counted.
        """
        self._first_audio.observe(seconds)

    @contextmanager
    def session(self) -> Iterator[None]:
        """Record one session, however it ends; the oldest that is open shows in `session_oldest_seconds`."""
        key, started = object(), self._clock.monotonic()
        self._sessions[key] = started
        try:
            yield
        finally:
            del self._sessions[key]
            self._session_durations.observe(max(0.0, self._clock.monotonic() - started))

    @contextmanager
    def tool(self, name: str) -> Iterator[None]:
        """Record one call of a tool: `success`, `failure`, or `rejected` and `cancelled`, which say nothing about it.

        Args:
            name: the tool's name.
        """
        started = self._clock.monotonic()
        outcome = Verdict.FAILURE
        try:
            yield
            outcome = Verdict.SUCCESS
        except asyncio.CancelledError:
            outcome = Verdict.CANCELLED
            raise
        except Rejected:
            outcome = Verdict.REJECTED
            raise
        finally:
            self._tool_calls[name, outcome.value].inc()
            self._tool_durations[(name,)].observe(max(0.0, self._clock.monotonic() - started))

    def quota(self, name: str, *, used: float, limit: float) -> None:
        """Show how much of a quota is used.

        Args:
            name: the quota's name.
            used: in the quota's own unit.
            limit: in the same unit.
        """
        self._quota_used[(name,)].set(used)
        self._quota_limit[(name,)].set(limit)

    def spend(self, usd: float, *, kind: str = "") -> None:
        """Count money that was spent.

        Args:
            usd: US dollars, zero or more; what is not is refused and counted.
            kind: for what, where costs are told apart.
        """
        self._cost[self.service, kind].inc(usd)

    def budget(self, usd: float) -> None:
        """Say what may be spent within 24 hours.

        Args:
            usd: US dollars.
        """
        self._budget[(self.service,)].set(usd)

    def _oldest_age(self, now: float) -> float:
        return max(0.0, now - next(iter(self._sessions.values()), now))
