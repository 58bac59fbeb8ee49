"""State of rules, objectives and windows over restarts: rows that changed, and nothing else."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from resilience.alerting.leadership import Leadership
from resilience.core.clock import Instant
from resilience.core.log import log
from resilience.core.ports import Put, Store
from resilience.core.rows import DAMAGED, Moment, Unread, decode, encode, read_rows
from resilience.core.slices import Slicer, in_turns
from resilience.errors import StoreError
from resilience.rules.relabel import relabelled
from resilience.runtime.legacy import LegacyState

__all__ = ["SEEN_TABLE", "Part", "PersistedState", "Rows"]

SEEN_TABLE = "runtime"
"""Table of the times at which services were last seen, by their names."""

_SEEN = {"at": Moment}
_SLICE = 0.001  # seconds of reading rows after which the event loop has its turn

Rows = Mapping[str, Mapping[str, bytes]]
"""Rows by table and key."""


class Part(Protocol):
    """A part of a service that keeps its state in rows."""

    @property
    def tables(self) -> Sequence[str]:
        """Names of its tables, without the service's name."""

    def puts(self, *, everything: bool = False) -> Iterator[Put]:
        """Yield the rows that have changed since the last call, or all."""

    def restore(self, rows: Rows, now: Instant, *, down_at: float) -> Mapping[str, Unread]:
        """Take up what another process left, last seen at a Unix time; return the rows that cannot be used."""


class PersistedState:
    """Rows of the parts of one service in a store.

    Only the leader of several processes writes. Wall times alone are stored, so that a tick without a change stores nothing:
    the time at which the process was last seen is the newest of what it stored and the last renewal of its lease.

    Args:
        service: the service's name, put before the names of tables.
        parts: the parts, in the order in which they are restored.
        store: the store.
        leadership: the lease of the leader; None if the store does not outlive the process.
    """

    def __init__(
        self, service: str, parts: Sequence[Part], store: Store, leadership: Leadership | None = None
    ) -> None:
        self.closing: bool = False
        self.unread: dict[str, Unread] = {}  # by table, without the service's name
        self._service = service
        self._namespace = f"{service}/"
        self._parts = parts
        self._store = store
        self._leadership = leadership
        self._legacy = LegacyState(store, service)
        self._term: int | None = None
        self._generation = store.generation
        self._newer: set[tuple[str, str]] = set()
        self._moved: list[Put] = []
        self._written: AbstractSet[tuple[str, str]] | None = None  # while rows of another process may be left

    async def last_seen(self) -> float | None:
        """Return the Unix time at which a process of the service was last seen, None if there was none.

        Raises:
            StoreError: the store cannot be read.
        """
        found: list[float] = []

        def take(_: str, row: bytes) -> None:
            found.append(decode(row, _SEEN)["at"])

        row = await self._seen_row()
        read_rows(SEEN_TABLE, row, take)
        if not row and (legacy := await self._legacy.last_seen()) is not None:
            found.append(legacy)
        renewed = None if self._leadership is None else await self._leadership.last_renewal()
        return max((*found, *(() if renewed is None else (renewed,))), default=None)

    async def restore(self, now: Instant, *, seen: float | None, term: int | None) -> None:
        """Restore every part from what an earlier process stored; damaged rows are set aside.

        Args:
            now: when this process begins.
            seen: what `last_seen` returned before this process took the lease.
            term: the term of the leader if this process leads; see `collect`.

        Raises:
            StoreError: the store cannot be read.
        """
        self._term = term
        down_at = now.wall if seen is None else min(seen, now.wall)
        if await self._seen_row():
            rows: Rows = {table: await self._store.load(self._namespace + table) for table in self._tables()}
        else:
            rows, self.unread = await self._legacy.read()
            for table, unread in self.unread.items():
                self._set_aside(table, unread)
            self._term = None  # everything is to be written in the present form
        if not any(rows.values()):
            return  # there was no earlier process whose windows would have to fill up again
        slicer = Slicer(_SLICE)
        rows = await slicer.run(functools.partial(relabelled, rows)) or rows
        for part in self._parts:
            restore = functools.partial(part.restore, rows, now, down_at=down_at)
            for table, unread in (await slicer.run(restore) or {}).items():
                if unread:
                    self.unread[table] = unread
                    self._set_aside(self._namespace + table, unread)

    async def collect(self, at: Instant, *, term: int | None) -> list[Put]:
        """Return the rows that a tick has to store.

        Args:
            at: the tick.
            term: number of the term of the leader if this process leads, None if it does not. In a new term, and when the
                store has lost what was written, everything is written anew.
        """
        if term is None:
            self._term = self._written = None
            return []
        everything = term != self._term or self._store.generation != self._generation
        batch, self._moved = self._moved, []
        for part in self._parts:
            try:
                async for put in in_turns(part.puts(everything=everything)):
                    place = self._namespace + put.table, put.key
                    if place not in self._newer:
                        batch.append(Put(*place, put.value))
            except Exception as error:  # noqa: BLE001  what one part cannot store must not hold up alerts
                log(__name__).error("state_not_stored", tables=part.tables, error=repr(error), exc_info=error)
        if everything:
            self._term, self._generation = term, self._store.generation
            self._written = {(put.table, put.key) for put in batch}
        if self._written is not None:
            batch += await self._unknown(self._written)
        if batch or self.closing:
            batch.append(Put(SEEN_TABLE, self._service, encode({"at": at.wall})))
        return batch

    async def _seen_row(self) -> dict[str, bytes]:
        rows = await self._store.load(SEEN_TABLE)
        return {key: row for key, row in rows.items() if key == self._service}

    async def _unknown(self, written: AbstractSet[tuple[str, str]]) -> list[Put]:
        """Return the removal of rows that another process left and that this one does not have."""
        found: list[Put] = []
        try:
            for table in map(self._namespace.__add__, self._tables()):
                keys = {(table, key) for key in await self._store.load(table)}
                found += [Put(*place, None) for place in keys - written - self._newer]
        except StoreError as error:
            log(__name__).error("stored_rows_not_compared", error=str(error))
            return []
        self._written = None
        return found

    def _tables(self) -> Iterator[str]:
        for part in self._parts:
            yield from part.tables

    def _set_aside(self, table: str, unread: Unread) -> None:
        self._newer.update((table, key) for key in unread.newer)
        for key, row in unread.damaged.items():
            self._moved += [Put(table + DAMAGED, key, row), Put(table, key, None)]
