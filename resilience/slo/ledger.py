"""What was counted, bucket by bucket, over a period."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from resilience.core.clock import Instant
from resilience.errors import ConfigError

__all__ = ["BUCKETS", "Bucket", "Ledger"]

BUCKETS = 720
"""How many make a period: one an hour for 30 days."""


@dataclass(slots=True)
class Bucket:
    """Events that were counted in one stretch of time.

    Args:
        start: monotonic seconds.
        bad: bad events.
        total: all events.
    """

    start: float
    bad: float = 0.0
    total: float = 0.0


class Ledger:
    """Counts of a rolling period; whole buckets fall out of it, so that whole events stay whole.

    Args:
        window: seconds of the period; it reaches back up to 1/720 further.

    Example:
        >>> ledger = Ledger(7200)
        >>> ledger.add(0, bad=1, total=10)
        >>> ledger.add(7200, bad=0, total=10)
        >>> ledger.bad, ledger.total
        (1.0, 20.0)
        >>> ledger.add(7300, bad=0, total=10)
        >>> ledger.bad, ledger.total
        (0.0, 20.0)
    """

    def __init__(self, window: float) -> None:
        self.window: float = window
        self.step: float = window / BUCKETS
        self.bad: float = 0.0
        self.total: float = 0.0
        self._buckets: deque[Bucket] = deque()

    @property
    def buckets(self) -> Sequence[Bucket]:
        """The buckets, oldest first; stretches without any event have none."""
        return tuple(self._buckets)

    def add(self, at: float, bad: float, total: float) -> None:
        """Count events, and let go of what is older than the period.

        Args:
            at: monotonic seconds, never before an earlier one.
            bad: bad events.
            total: all events.
        """
        expired = False
        while self._buckets and self._buckets[0].start + self.step <= at - self.window:
            self._buckets.popleft()
            expired = True
        if total:
            start = math.floor(at / self.step) * self.step
            if not self._buckets or self._buckets[-1].start < start:
                self._buckets.append(Bucket(start))
            self._buckets[-1].bad += bad
            self._buckets[-1].total += total
            self.bad += bad
            self.total += total
        if expired:
            # Summed anew: taking away what was added leaves float dust.
            self.bad, self.total = self.since(-math.inf)

    def since(self, start: float) -> tuple[float, float]:
        """Return bad and all events of the buckets that begin at or after a moment."""
        kept = [bucket for bucket in self._buckets if bucket.start >= start]
        return math.fsum(bucket.bad for bucket in kept), math.fsum(bucket.total for bucket in kept)

    def clear(self) -> None:
        """Forget everything: a new period begins."""
        self._buckets.clear()
        self.bad = self.total = 0.0

    def snapshot(self, now: Instant) -> list[list[float]]:
        """Put it into plain data, by wall time."""
        shift = now.wall - now.monotonic
        return [[round(bucket.start + shift, 3), bucket.bad, bucket.total] for bucket in self._buckets]

    def restore(self, saved: Sequence[Sequence[float]], now: Instant) -> None:
        """Take up what another process left; what was counted here since stays.

        Raises:
            ConfigError: it is no such data.
        """
        shift = now.wall - now.monotonic
        try:
            older = [Bucket(float(wall) - shift, float(bad), float(total)) for wall, bad, total in saved]
        except (TypeError, ValueError) as error:
            message = f"saved budget cannot be read: {error!r}"
            raise ConfigError(message) from error
        merged: dict[float, Bucket] = {}
        for bucket in (*older, *self._buckets):
            known = merged.setdefault(bucket.start, Bucket(bucket.start))
            known.bad += bucket.bad
            known.total += bucket.total
        self._buckets = deque(merged[start] for start in sorted(merged))
        self.bad, self.total = self.since(-math.inf)
        self.add(now.monotonic, 0.0, 0.0)
