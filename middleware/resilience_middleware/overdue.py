"""Requests whose time is up: the client is answered at once, and what still works for it counts until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from anyio.to_thread import current_default_thread_limiter

from resilience.core.buckets import FIRED, OF, TASK, Entry, fire
from resilience.core.log import log
from resilience_middleware.exchange import Exchange

__all__ = ["Overdue"]

_GRACE: Final = 0.05  # seconds: who is cancelled and cleans up longer does so without its client
_LOOK: Final = 0.02  # seconds between looks whether a thread has ended, of which nobody tells


class Overdue:
    """Sees to deadlines that have come.

    The task of a request is cancelled, and answers by itself as it ends. Two kinds do not end: who waits for a plain `def` in
    a thread, which nothing can cancel, and who takes its time to clean up. Their clients are answered in their
    place. The first is not cancelled before its thread has ended, since the thread would be free from then on for all that
    anyio, and the guards of the request, know.

    Args:
        answer: answers a request in the application's place.
    """

    def __init__(self, answer: Callable[[Exchange], Awaitable[None]]) -> None:
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, entry: Entry) -> None:
        """See to one; called by the timer."""
        task: asyncio.Task[None] = entry[TASK].get_loop().create_task(self._see_to(entry))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log(__name__).error("overdue_answer_failed", error=error, exc_info=error)

    async def _see_to(self, entry: Entry) -> None:
        exchange, task = entry[OF], entry[TASK]
        if task is None:
            return  # it has ended meanwhile
        threads = current_default_thread_limiter()
        if not exchange.answerable or task not in threads.statistics().borrowers:
            fire(entry)
            await asyncio.sleep(_GRACE)
        if entry[TASK] is None or not exchange.answerable:
            return
        await self._answer(exchange)
        while entry[TASK] is task and not entry[FIRED]:
            if task not in threads.statistics().borrowers:
                fire(entry)
            await asyncio.sleep(_LOOK)
