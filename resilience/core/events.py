"""Listeners: who wants to hear of events, and a way to tell them that can never break a call."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Generic, TypeAlias, TypeVar

from resilience.core.callbacks import BROKEN
from resilience.core.log import log
from resilience.core.validate import callback

__all__ = ["Listener", "Listeners"]

E = TypeVar("E")
Listener: TypeAlias = Callable[[E], Awaitable[object] | object]
"""A function of one event; what an async one awaits runs in a task of its own."""


class Listeners(Generic[E]):
    """The subscribers of one source of events.

    Truthy when somebody listens, so that a source makes its event only then: a frozen event costs half a
    microsecond.

    Example:
        >>> heard = []
        >>> listeners = Listeners()
        >>> stop = listeners.subscribe(heard.append)
        >>> listeners.emit("opened"); stop(); listeners.emit("closed"); heard
        ['opened']
    """

    __slots__ = ("_tasks", "listeners")

    def __init__(self) -> None:
        # Public, since a refusal, where tens of nanoseconds count, asks it rather than `__bool__`.
        self.listeners: tuple[Listener[E], ...] = ()
        self._tasks: set[asyncio.Future[object]] | None = None  # 200 bytes, which few sources need

    def __bool__(self) -> bool:
        return bool(self.listeners)

    def subscribe(self, listener: Listener[E]) -> Callable[[], None]:
        """Add a listener.

        Args:
            listener: sync or async function of the event.

        Returns:
            a function that removes it again.

        Raises:
            ConfigError: it cannot be called.
        """
        self.listeners = (*self.listeners, callback("listener", listener))

        def unsubscribe() -> None:
            remaining = list(self.listeners)
            if listener in remaining:
                remaining.remove(listener)
                self.listeners = tuple(remaining)

        return unsubscribe

    def emit(self, event: E) -> None:
        """Tell everybody, in the order they subscribed; what a listener raises is logged and goes no further."""
        for listener in self.listeners:
            try:
                answer = listener(event)
                if inspect.isawaitable(answer):
                    self._hold(asyncio.ensure_future(answer))
            except BROKEN as error:
                self._complain(listener, error)

    def _hold(self, task: asyncio.Future[object]) -> None:
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Future[object]) -> None:
        if self._tasks is not None:
            self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._complain(task, error)

    @staticmethod
    def _complain(listener: object, error: BaseException) -> None:
        log(__name__).error("listener_failed", listener=listener, error=error, exc_info=error)
