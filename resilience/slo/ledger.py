"""What was counted, bucket by bucket, over a period."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

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

    Buckets begin at whole multiples of their length in Unix time, so that a process that restarts goes on with the bucket
    that another one began.

    Args:
        window: seconds of the period; it reaches back up to 1/720 further.
        epoch: seconds from monotonic to Unix time, as of now; it stays as it is when the wall clock is set.

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

    def __init__(self, window: float, epoch: float = 0.0) -> None:
        self.window: float = window
        self.step: float = window / BUCKETS
        self.bad: float = 0.0
        self.total: float = 0.0
        self._epoch = epoch
        self._buckets: deque[Bucket] = deque()
        self._changed: set[int] = set()

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
            self._changed.add(self._number(self._buckets.popleft()))
            expired = True
        if total:
            number = math.floor((at + self._epoch) / self.step)
            if not self._buckets or self._number(self._buckets[-1]) < number:
                self._buckets.append(Bucket(number * self.step - self._epoch))
            newest = self._buckets[-1]
            newest.bad += bad
            newest.total += total
            self.bad += bad
            self.total += total
            self._changed.add(self._number(newest))
        if expired:
            # Summed anew: taking away what was added leaves float dust.
            self.bad, self.total = self.since(-math.inf)

    def since(self, start: float) -> tuple[float, float]:
        """Return bad and all events of the buckets that begin at or after a moment."""
        kept = [bucket for bucket in self._buckets if bucket.start >= start]
        return math.fsum(bucket.bad for bucket in kept), math.fsum(bucket.total for bucket in kept)

    def clear(self) -> None:
        """Forget everything: a new period begins."""
        self._changed.update(map(self._number, self._buckets))
        self._buckets.clear()
        self.bad = self.total = 0.0

    def history(self) -> list[Bucket]:
        """Return the buckets by Unix time, oldest first."""
        return [self._dated(bucket) for bucket in self._buckets]

    def changes(self, *, everything: bool = False) -> Iterator[tuple[int, Bucket | None]]:
        """Yield the buckets that have changed since the last call, by number and Unix time; None for one that is gone.

        Args:
            everything: whether all buckets are wanted.
        """
        changed, self._changed = self._changed, set()
        if not everything and len(changed) == 1 and self._buckets:
            # Nearly always it is the newest.
            newest = self._buckets[-1]
            if changed == {self._number(newest)}:
                yield self._number(newest), self._dated(newest)
                return
        known = {self._number(bucket): bucket for bucket in list(self._buckets)}
        for number in sorted(changed.union(known) if everything else changed):
            bucket = known.get(number)
            yield number, None if bucket is None else self._dated(bucket)

    def rows(self) -> dict[int, Bucket | None]:
        """Return what `changes` yields of everything, and keep in mind what has changed."""
        return {
            **dict.fromkeys(self._changed),
            **{self._number(each): self._dated(each) for each in self._buckets},
        }

    def numbers(self, since: float) -> Iterator[int]:
        """Yield the numbers of the buckets that end after a moment, the newest first."""
        for bucket in reversed(self._buckets):
            if bucket.start + self.step <= since:
                return
            yield self._number(bucket)

    def restore(self, saved: Mapping[int, Bucket | None], at: float) -> None:
        """Take up buckets that another process left; what was counted here since stays.

        Args:
            saved: buckets by Unix time, by the number that they are stored under; None for one that is to be removed.
            at: monotonic seconds, now.
        """
        merged: dict[int, Bucket] = {}
        self._changed.update(saved)
        older = [Bucket(each.start - self._epoch, each.bad, each.total) for each in saved.values() if each]
        for bucket in (*older, *self._buckets):
            number = self._number(bucket)
            known = merged.setdefault(number, Bucket(number * self.step - self._epoch))
            known.bad += bucket.bad
            known.total += bucket.total
        self._buckets = deque(merged[number] for number in sorted(merged))
        for bucket in self._buckets:
            number = self._number(bucket)
            if self._dated(bucket) == saved.get(number):
                self._changed.discard(number)
            else:
                self._changed.add(number)
        self.bad, self.total = self.since(-math.inf)
        self.add(at, 0.0, 0.0)

    def remove(self, numbers: Iterable[int]) -> None:
        """Have the rows of these buckets removed, unless they are used again."""
        self._changed.update(numbers)

    def _number(self, bucket: Bucket) -> int:
        """Which bucket since 1970 it is; one of another length counts as the nearest."""
        return round((bucket.start + self._epoch) / self.step)

    def _dated(self, bucket: Bucket) -> Bucket:
        return Bucket(round(bucket.start + self._epoch, 3), bucket.bad, bucket.total)
