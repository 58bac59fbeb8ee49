"""What becomes of a request whose deadline has not been lifted by the time that it ends."""

from __future__ import annotations

from resilience.core.buckets import FIRED, OF, OUTER, TASK, Entry, withdraw
from resilience.core.deadline import expired, live

__all__ = ["cut_short"]


def cut_short(entry: Entry, error: BaseException | None) -> bool:
    """Say whether a request ended with `error` because its time was up; called once, unless it was lifted."""
    task, entry[TASK], entry[OF] = entry[TASK], None, None
    if entry[OUTER] is not None:
        entry[OUTER] = live(entry[OUTER])
    if entry[FIRED]:
        return expired(entry, task, error)
    withdraw(entry)
    return False
