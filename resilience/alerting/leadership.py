"""Which of several processes that share a store decides and notifies: the one that holds the lease."""

from __future__ import annotations

import asyncio
import math
from typing import Final

from resilience.core.clock import SYSTEM_CLOCK, Instant
from resilience.core.log import log
from resilience.core.ports import Clock, Store
from resilience.core.process_name import process_name
from resilience.core.validate import number, text
from resilience.errors import StoreError

__all__ = ["LEASE", "Leadership"]

LEASE: Final = 15.0
"""Seconds after which another process takes over from one that is gone, unless something else is given."""


class Leadership:
    """Lease of the leader: taken when it is free, renewed three times as often as it would expire.

    A lease that has expired by time is not held, even if nobody is known to have taken it: a process that was stopped
    and continued finds that out before it sends anything. While the store fails, the leader goes on, because a duplicate
    notification is better than a lost one. For the same reason, a process that does not lead begins to once another
    process has locked the store for as long as a lease: nobody can take the lease then, and the leader may be gone.

    Args:
        store: where the lease is.
        name: the lease's name.
        ttl: seconds after which another process takes over from one that is gone, above 0; 15 by default.
        clock: where time comes from.

    Raises:
        ConfigError: an option cannot be meant.

    Example:
        >>> import asyncio
        >>> from resilience.stores.memory import MemoryStore
        >>> async def main():
        ...     leadership = Leadership(MemoryStore(), "shop")
        ...     return await leadership.renew(), leadership.leads, await leadership.renew()
        >>> asyncio.run(main())
        (True, True, False)
    """

    def __init__(self, store: Store, name: str, *, ttl: float = LEASE, clock: Clock = SYSTEM_CLOCK) -> None:
        self.holder: str = process_name()
        self.leads: bool = False
        self._store = store
        self._name = text("name", name)
        self._ttl = number("ttl", ttl, above=0)
        self._clock = clock
        self._due: float | None = None
        self._token: int | None = None
        self.error: StoreError | None = None
        """Why the lease could not be renewed the last time."""
        self._failing_since: float | None = None
        self._alone = False  # leads without a lease
        self._until = Instant(-math.inf, -math.inf)
        # Whoever asks while a renewal is under way waits for its outcome.
        self._renewing = asyncio.Lock()

    @property
    def expired(self) -> bool:
        """True if the lease that was taken last has expired by this process's clocks."""
        # Monotonic time may stand still while the machine sleeps, and wall time may be set back.
        return self._clock.monotonic() >= self._until.monotonic or self._clock.time() >= self._until.wall

    async def renew(self) -> bool:
        """Take or renew the lease when it is time.

        Returns:
            whether what this process knows of the store is out of date: it has begun or ceased to lead, or another
            has led in between.
        """
        async with self._renewing:
            return await self._renew()

    async def _renew(self) -> bool:
        now = Instant(self._clock.monotonic(), self._clock.time())
        if self._due is not None and now.monotonic < self._due:
            return False
        first = self._due is None
        self._due = now.monotonic + self._ttl / 3
        try:
            token = await self._store.lease(self._name, self.holder, self._ttl)
        except StoreError as error:
            self._due = None if first else self._due
            return self._failed(error, now)
        alone, self._alone = self._alone, False
        self.error = self._failing_since = None
        if token is not None:
            self._until = Instant(now.monotonic + self._ttl, now.wall + self._ttl)
        led, self.leads = self.leads, token is not None
        # One more, and it ran out with nobody else to take it; two, and somebody did.
        known, self._token = self._token, token if token is not None else self._token
        missed = token is not None and known is not None and token > known + 1
        # To lead from the start is how most do: no news.
        if self.leads != (led or first):
            log(__name__).info("alerting_leads" if self.leads else "alerting_stands_by", lease=self._name)
        return first or led != self.leads or missed or alone

    def _failed(self, error: StoreError, now: Instant) -> bool:
        """Go on as before; lead without the lease once the store has been locked for as long as a lease."""
        self.error = error
        self._failing_since = now.monotonic if self._failing_since is None else self._failing_since
        if not error.locked:
            log(__name__).error("lease_not_renewed", error=str(error))
            return False
        locked_for = now.monotonic - self._failing_since
        if self.leads or locked_for < self._ttl:
            return False
        log(__name__).error("state_store_locked", seconds=round(locked_for, 3))
        self.leads = self._alone = True
        self._due = now.monotonic + self._ttl / 3
        return True

    async def last_renewal(self) -> float | None:
        """Return the Unix time at which a process took or renewed the lease last, None if none ever did.

        Raises:
            StoreError: the store cannot be read.
        """
        until = await self._store.leased_until(self._name)
        return None if until is None else until - self._ttl

    async def give_up(self) -> None:
        """Let another process lead at once."""
        if self.leads:
            self.leads, self._due = False, None
            try:
                await self._store.lease(self._name, self.holder, 0.0)
            except StoreError as error:
                log(__name__).error("lease_not_given_up", error=str(error))
