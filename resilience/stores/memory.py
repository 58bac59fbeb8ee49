"""State in memory: for tests, and for services that may forget when they restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.ports import Clock, Put
from resilience.core.validate import number, text

__all__ = ["MemoryStore"]


class MemoryStore:
    """Keeps state as long as the object lives.

    Args:
        clock: where the time of leases comes from.

    Example:
        >>> async def main():
        ...     store = MemoryStore()
        ...     await store.write([Put("alerts", "a", b"1"), Put("alerts", "b", b"2"), Put("alerts", "a", None)])
        ...     return await store.load("alerts")
        >>> import asyncio; asyncio.run(main())
        {'b': b'2'}
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._tables: dict[str, dict[str, bytes]] = {}
        self._leases: dict[str, tuple[str, float, int]] = {}

    async def load(self, table: str) -> Mapping[str, bytes]:
        """Return a copy of everything in a table."""
        return dict(self._tables.get(table, {}))

    async def write(self, batch: Sequence[Put]) -> None:
        """Apply a batch; nothing can come between its parts."""
        for put in batch:
            rows = self._tables.setdefault(put.table, {})
            if put.value is None:
                rows.pop(put.key, None)
            else:
                rows[put.key] = put.value

    async def lease(self, name: str, holder: str, ttl: float) -> int | None:
        """Take or renew a lease of `ttl` seconds, 0 to give it up; see `core.ports.Store`."""
        now = self._clock.monotonic()
        number("ttl", ttl, low=0)
        owner, until, token = self._leases.get(text("name", name), ("", now, 0))
        if owner != holder:
            if now < until:
                return None
            token += 1
        elif now >= until:
            token += 1
        self._leases[name] = (holder, now + ttl, token)
        return token

    async def leased_until(self, name: str) -> float | None:
        """Return the Unix time at which a lease ends or ended; None if nobody ever took it."""
        lease = self._leases.get(name)
        return None if lease is None else self._clock.time() + lease[1] - self._clock.monotonic()

    @property
    def generation(self) -> int:
        """Zero, because memory loses nothing."""
        return 0

    async def close(self) -> None:
        """Nothing to let go of."""
