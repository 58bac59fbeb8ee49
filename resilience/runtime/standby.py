"""Standby of a service whose store is locked: it waits for one lease, then it goes on with memory until the lock ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from resilience.core.log import log
from resilience.core.ports import Clock
from resilience.errors import ConfigError, MissingExtra, StoreError
from resilience.runtime.fallback import FallbackStore

__all__ = ["Standby"]

_RETRY: Final = 1.0  # seconds between attempts to open the store while nothing is evaluated
_RETRY_LATER: Final = 5.0  # and while memory stands in, since an attempt delays a tick


class Standby:
    """Restoration of a service's state, as soon as its store can be opened.

    A lock that is shorter than `patience` delays the first tick, and changes nothing else. After that the service
    evaluates and notifies with an empty state, because a duplicate notification is better than a lost one. When the lock
    ends, the state is restored as at a start.

    Args:
        store: the store.
        restore: restores everything from the store.
        leave: gives up the leadership that memory granted.
        patience: seconds to wait for a locked store: one lease.
        clock: source of time.
    """

    def __init__(
        self,
        store: FallbackStore,
        *,
        restore: Callable[[], Awaitable[object]],
        leave: Callable[[], Awaitable[object]],
        patience: float,
        clock: Clock,
    ) -> None:
        self._store = store
        self._restore = restore
        self._leave = leave
        self._patience = patience
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """Reset to the state before the first restoration."""
        self._began = self._due = self._clock.monotonic()
        self._restored = self._stands_in = False

    async def ready(self) -> bool:
        """Restore if it is time to; return True if ticks may evaluate.

        Raises:
            MissingExtra: the store needs a package that is not installed.
        """
        now = self._clock.monotonic()
        if self._restored or now < self._due:
            return self._restored or self._stands_in
        if await self._opened():
            self._restored = True
            self._store.settle()
        elif not self._stands_in and now - self._began >= self._patience:
            log(__name__).error("state_store_locked", seconds=round(now - self._began, 3))
            self._stands_in = True
            self._store.stand_in()
            await self._restore()
        self._due = self._clock.monotonic() + (_RETRY_LATER if self._stands_in else _RETRY)
        return self._restored or self._stands_in

    async def _opened(self) -> bool:
        try:
            if not await self._store.open():
                return False
            if self._stands_in:
                await self._leave()
            await self._restore()
        except StoreError:  # locked once more
            if self._stands_in:
                self._store.stand_in()
            return False
        except (ConfigError, MissingExtra):
            raise
        except Exception as error:  # noqa: BLE001  unforeseen; what is stored stays as it is for a later release
            self._store.set_aside(error)
            await self._restore()
        if self._stands_in:
            log(__name__).warning("state_store_unlocked")
        return True
