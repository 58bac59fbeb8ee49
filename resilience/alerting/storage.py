"""The store as alerting uses it: a service's own tables, and what could not be written, written again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TypeAlias

from resilience.alerting.shared import SharedRows
from resilience.core.log import log
from resilience.core.ports import Put, Store
from resilience.core.rows import DAMAGED, Unread
from resilience.core.slices import in_turns
from resilience.errors import StoreError

__all__ = ["Storage"]

_Rows: TypeAlias = dict[tuple[str, str], Put]


class Storage:
    """Tables of one service in a store.

    Args:
        store: the store.
        service: the service's name, put before the names of tables; empty for none.
    """

    def __init__(self, store: Store, service: str) -> None:
        self._store = store
        self._namespace = f"{service}/" if service else ""
        self._shared = SharedRows()
        # By their place: a store that is away for hours costs no more than one copy of everything.
        self._own: _Rows = {}
        self._others: _Rows = {}
        self._newer: set[tuple[str, str]] = set()
        self._failing = False  # logged once for each outage, not at each tick

    @property
    def generation(self) -> int:
        """Number that grows when the store has lost everything."""
        return self._store.generation

    async def is_empty(self, tables: Iterable[str]) -> bool:
        """Return True if there is no row in any of these tables.

        Raises:
            StoreError: the store cannot be read.
        """
        for table in tables:
            if await self._store.load(self._namespace + table):
                return False
        return True

    async def load(self, table: str) -> dict[str, bytes]:
        """Return everything in a table.

        Raises:
            StoreError: the store cannot be read.
        """
        rows = dict(await self._store.load(self._namespace + table))
        self._shared.read(table, rows)
        return rows

    async def changes(self, table: str, pending: Collection[Put]) -> Iterator[tuple[str, bytes | None]]:
        """Return what other processes have written to a table since it was read last, None for what they removed.

        Args:
            table: one of `SharedRows.TABLES`.
            pending: what this process has yet to write: its own word counts.

        Raises:
            StoreError: the store cannot be read.
        """
        rows = dict(await self._store.load(self._namespace + table))
        return self._shared.changes(table, rows, pending={*_by_place(pending), *self._own})

    async def write(self, own: Collection[Put], others: Collection[Put] = ()) -> None:
        """Write a batch in one transaction, with what could not be written before; a failure is logged.

        Args:
            own: what goes into this service's tables.
            others: what names its tables itself.
        """
        mine, self._own = self._own, {}
        theirs, self._others = self._others, {}
        try:
            async for put in in_turns(own):
                if self._may_write(put):
                    mine[put.table, put.key] = put
            async for put in in_turns(others):
                theirs[put.table, put.key] = put
            batch = [
                Put(self._namespace + put.table, put.key, put.value) async for put in in_turns(mine.values())
            ]
            batch += theirs.values()
            if batch:
                await self._store.write(batch)
        except BaseException as error:
            mine |= _by_place(put for put in own if self._may_write(put))
            self._own, self._others = {**mine, **self._own}, {**theirs, **_by_place(others), **self._others}
            if not isinstance(error, StoreError):
                raise
            if not self._failing and not error.locked:  # a lock is logged once it lasts
                log(__name__).error("alert_state_not_stored", error=str(error))
            self._failing = True
        else:
            self._failing = False
            self._shared.wrote(mine.values())

    @property
    def unwritten(self) -> tuple[Put, ...]:
        """What could not be written to this service's own tables yet."""
        return tuple(self._own.values())

    def set_aside(self, table: str, unread: Unread) -> list[Put]:
        """Return what moves damaged rows to a table of their own; rows of a newer release are not written any more."""
        self._newer.update((table, key) for key in unread.newer)
        moved = [Put(table + DAMAGED, key, row) for key, row in unread.damaged.items()]
        return [*moved, *(Put(table, key, None) for key in unread.damaged)]

    def forget(self) -> None:
        """Drop what could not be written, but for what people did: another process leads now."""
        self._own = {place: put for place, put in self._own.items() if put.table in SharedRows.TABLES}
        self._others = {}

    def _may_write(self, put: Put) -> bool:
        """True unless a newer release wrote the row; what people remove is removed all the same."""
        removed = put.value is None and put.table in SharedRows.TABLES
        return removed or (put.table, put.key) not in self._newer


def _by_place(puts: Iterable[Put]) -> _Rows:
    return {(put.table, put.key): put for put in puts}
