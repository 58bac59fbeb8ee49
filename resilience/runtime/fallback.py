"""Store that falls back to memory where the state of an earlier process cannot be reached."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from resilience.core.ports import Clock, Put, Store
from resilience.errors import StoreError
from resilience.stores.memory import MemoryStore

__all__ = ["FallbackStore"]

T = TypeVar("T")


class FallbackStore:
    """Store with a fallback to memory: permanent if the store cannot be opened, temporary while another process locks it.

    Until `settle`, an error other than a lock sets the store aside: nothing in it is changed, and memory is used until
    `close`. Later errors are raised, because then everything that could not be written is still in the process and is
    written once the store works again.

    Args:
        store: the store to use.
        set_aside: function of the error, called once when the store is set aside.
        clock: source of time.

    Example:
        >>> import asyncio
        >>> from resilience.core.clock import SYSTEM_CLOCK
        >>> class Damaged(MemoryStore):
        ...     async def load(self, table):
        ...         raise StoreError("file is not a database")
        >>> store = FallbackStore(Damaged(), set_aside=print, clock=SYSTEM_CLOCK)
        >>> asyncio.run(store.open())
        file is not a database
        True
    """

    def __init__(self, store: Store, *, set_aside: Callable[[BaseException], object], clock: Clock) -> None:
        self._own = store
        self._memory = MemoryStore(clock=clock)
        self._used: Store = store
        self._report = set_aside
        self._settled = False
        self._left_memory = 0

    async def open(self) -> bool:
        """Open the store, or set it aside; memory that stood in for it is left.

        Returns:
            False if another process locks it.
        """
        before, self._used = self._used, self._own
        try:
            await self.load("")
        except StoreError:  # a lock; any other error sets it aside
            self._used = before
            return False
        self._left_memory += before is self._memory and self._used is self._own
        return True

    def stand_in(self) -> None:
        """Use memory until `open` succeeds."""
        self._used = self._memory

    def set_aside(self, error: BaseException) -> None:
        """Use memory until `close`, because the store cannot be opened or what it contains cannot be restored."""
        self._used, self._settled = self._memory, True
        self._report(error)

    def settle(self) -> None:
        """Raise errors from now on: what was stored has been read."""
        self._settled = True

    async def load(self, table: str) -> Mapping[str, bytes]:
        """Return everything in a table.

        Raises:
            StoreError: it cannot be read.
        """
        return await self._call(lambda store: store.load(table))

    async def write(self, batch: Sequence[Put]) -> None:
        """Write all of a batch.

        Raises:
            StoreError: nothing was written.
        """
        await self._call(lambda store: store.write(batch))

    async def lease(self, name: str, holder: str, ttl: float) -> int | None:
        """Take or renew a lease; see `core.ports.Store`.

        Raises:
            StoreError: it cannot be written.
        """
        return await self._call(lambda store: store.lease(name, holder, ttl))

    async def leased_until(self, name: str) -> float | None:
        """Return the Unix time at which a lease ends or ended; see `core.ports.Store`.

        Raises:
            StoreError: it cannot be read.
        """
        return await self._call(lambda store: store.leased_until(name))

    @property
    def generation(self) -> int:
        """Number that grows when the store has lost what was written, also to memory that stood in for it."""
        return self._left_memory + self._own.generation

    async def close(self) -> None:
        """Close the store; a later use opens it again."""
        await self._own.close()
        self._used, self._settled = self._own, False

    async def _call(self, work: Callable[[Store], Awaitable[T]]) -> T:
        try:
            return await work(self._used)
        except StoreError as error:
            if self._settled or error.locked or self._used is self._memory:
                raise
            self.set_aside(error)
            return await work(self._used)
