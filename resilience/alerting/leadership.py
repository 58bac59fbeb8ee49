"""Which of several processes that share a store decides and notifies: the one that holds the lease."""

from __future__ import annotations

import asyncio
import math

from resilience.core.clock import SYSTEM_CLOCK, Instant
from resilience.core.log import log
from resilience.core.ports import Clock, Store
from resilience.core.process_name import process_name
from resilience.core.validate import number, text
from resilience.errors import StoreError

__all__ = ["Leadership"]


class Leadership:
    """Lease of the leader: taken when it is free, renewed three times as often as it would expire.

    A lease that has expired by time is not held, even if nobody is known to have taken it: a process that was stopped
    and continued finds that out before it sends anything. While the store fails, the leader goes on, because a duplicate
    notification is better than a lost one.

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

    def __init__(self, store: Store, name: str, *, ttl: float = 15.0, clock: Clock = SYSTEM_CLOCK) -> None:
        self.holder: str = process_name()
        self.leads: bool = False
        self._store = store
        self._name = text("name", name)
        self._ttl = number("ttl", ttl, above=0)
        self._clock = clock
        self._due: float | None = None
        self._token: int | None = None
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
            log(__name__).error("lease_not_renewed", error=str(error))
            return False
        if token is not None:
            self._until = Instant(now.monotonic + self._ttl, now.wall + self._ttl)
        led, self.leads = self.leads, token is not None
        # One more, and it ran out with nobody else to take it; two, and somebody did.
        known, self._token = self._token, token if token is not None else self._token
        missed = token is not None and known is not None and token > known + 1
        # To lead from the start is how most do: no news.
        if self.leads != (led or first):
            log(__name__).info("alerting_leads" if self.leads else "alerting_stands_by", lease=self._name)
        return first or led != self.leads or missed

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
