"""The deadline of a request: armed when it comes in, lifted with its last byte, whatever runs on after that.

`resilience.core.deadline.Timeout` without the block: what ends a request is a message, not the end of a call, and half of
what an `async with` costs is its two coroutines.
"""

from __future__ import annotations

from asyncio import current_task
from collections.abc import Callable

from resilience.core.buckets import (
    END,
    FIRED,
    NEXT,
    OF,
    OUTER,
    OWNER,
    PREVIOUS,
    START,
    TASK,
    Deadlines,
    Entry,
    deadlines_here,
    here,
)
from resilience.core.deadline import capped, expired, innermost, live
from resilience_middleware.exchange import Exchange

__all__ = ["arm", "cut_short", "lift"]


def arm(exchange: Exchange, own: Deadlines | None, late: Callable[[Entry], None]) -> Entry:
    """Give the running task `exchange.seconds` from now on.

    Args:
        exchange: whose deadline it is, which `late` finds under `OF` as long as the deadline is not over.
        own: the deadlines of an injected clock; None for those of the running loop.
        late: sees to it when it has come.
    """
    deadlines = own or here.deadlines
    task = current_task(deadlines.loop)
    if task is None:
        deadlines, task = deadlines_here()
    time = deadlines.time
    when = (exchange.started if time is exchange.monotonic else time()) + exchange.seconds
    outer = innermost.get()
    while outer is not None and outer[TASK] is None:
        outer = outer[OUTER]
    if outer is not None and outer[TASK] is not task:
        when = capped(when, outer, deadlines)
    bucket = deadlines.latest
    if bucket[OWNER] is not deadlines or not bucket[START] <= when < bucket[END]:
        bucket = deadlines.bucket(when)
    last = bucket[PREVIOUS]
    entry: Entry = [when, task, False, outer, deadlines, task.cancelling(), last, bucket, late, exchange]
    last[NEXT] = bucket[PREVIOUS] = entry
    innermost.set(entry)
    return entry


def lift(entry: Entry) -> bool:
    """Lift a deadline.

    Returns:
        False where it has fired already: what has begun is settled by `cut_short`.
    """
    if entry[FIRED]:
        return False
    previous, after = entry[PREVIOUS], entry[NEXT]
    previous[NEXT] = after
    after[PREVIOUS] = previous
    entry[TASK] = entry[PREVIOUS] = entry[NEXT] = entry[OF] = None
    if entry[OUTER] is not None:
        entry[OUTER] = live(entry[OUTER])
    return True


def cut_short(entry: Entry, error: BaseException | None) -> bool:
    """Say whether a request ended with `error` because its time was up; called once, unless it was lifted."""
    if not entry[FIRED]:
        lift(entry)
        return False
    task, entry[TASK], entry[OF] = entry[TASK], None, None
    return expired(entry, task, error)
