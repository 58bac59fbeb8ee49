"""Which of several processes that share a store decides and notifies: the one that holds the lease."""

from __future__ import annotations

from uuid import uuid4

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.log import log
from resilience.core.ports import Clock, Store
from resilience.core.validate import number, text
from resilience.errors import StoreError

__all__ = ["Leadership"]


class Leadership:
    """Takes the lease when it is free, and renews it three times as often as it would run out.

    While the store fails, everything stays as it is: who leads goes on, since a notification too many is better than
    one too few.

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
        self.holder: str = uuid4().hex
        self.leads: bool = False
        self._store = store
        self._name = text("name", name)
        self._ttl = number("ttl", ttl, above=0)
        self._clock = clock
        self._due: float | None = None
        self._token: int | None = None

    async def renew(self) -> bool:
        """Take or renew the lease when it is time.

        Returns:
            whether what this process knows of the store is out of date: it has begun or ceased to lead, or another
            has led in between.
        """
        now = self._clock.monotonic()
        if self._due is not None and now < self._due:
            return False
        first = self._due is None
        self._due = now + self._ttl / 3
        try:
            token = await self._store.lease(self._name, self.holder, self._ttl)
        except StoreError as error:
            log(__name__).error("lease_not_renewed", error=str(error))
            return False
        led, self.leads = self.leads, token is not None
        # One more, and it ran out with nobody else to take it; two, and somebody did.
        known, self._token = self._token, token if token is not None else self._token
        missed = token is not None and known is not None and token > known + 1
        # To lead from the start is how most do: no news.
        if self.leads != (led or first):
            log(__name__).info("alerting_leads" if self.leads else "alerting_stands_by", lease=self._name)
        return first or led != self.leads or missed

    async def give_up(self) -> None:
        """Let another process lead at once."""
        if self.leads:
            self.leads, self._due = False, None
            try:
                await self._store.lease(self._name, self.holder, 0.0)
            except StoreError as error:
                log(__name__).error("lease_not_given_up", error=str(error))
