"""State in one SQLite file: survives a restart, a kill and a power cut."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.log import log
from resilience.core.options import named_options
from resilience.core.ports import Clock, Put
from resilience.core.process_name import is_gone
from resilience.core.slices import in_turns
from resilience.core.validate import number, text
from resilience.errors import MissingExtra, StoreError

if TYPE_CHECKING:
    import aiosqlite

__all__ = ["SQLiteStore"]

T = TypeVar("T")

_VERSION = 1
"""`PRAGMA user_version` of the files that this release writes; earlier ones left it at zero."""

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS state (
    "table" TEXT NOT NULL, "key" TEXT NOT NULL, "value" BLOB NOT NULL, PRIMARY KEY ("table", "key")
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL, token INTEGER NOT NULL);
PRAGMA user_version = {_VERSION};
"""
_UPSERT = (
    'INSERT INTO state VALUES (?, ?, ?) ON CONFLICT ("table", "key") DO UPDATE SET "value" = excluded."value"'
)
_DELETE = 'DELETE FROM state WHERE "table" = ? AND "key" = ?'
_BUSY = 1.0  # seconds to wait for a lock: a transaction takes milliseconds, and ticks wait as long
_DAMAGED = ("malformed", "not a database")
# The old token lives on, so that a late writer of an earlier lease is told apart for ever.
# An end that is further away than any holder sets it was written before the clock was set back.
_LEASE = """
INSERT INTO leases VALUES (:name, :holder, :now + :ttl, :token)
ON CONFLICT (name) DO UPDATE SET
    token = token + (holder <> excluded.holder OR until <= :now), holder = excluded.holder, until = excluded.until
WHERE holder = excluded.holder OR until <= :now OR until > :now + 2 * :ttl
RETURNING token
"""

_RELEASE = "UPDATE leases SET until = :now WHERE name = :name AND holder = :other"


@named_options
class SQLiteStore:
    """Keeps state in one SQLite file in WAL mode; needs the extra `sqlite`.

    `synchronous=FULL`: what a `write` returned for is on the disk (the SQLite manual on WAL: NORMAL may lose the
    last transactions in a power cut). Every statement runs in aiosqlite's own thread, never on the loop. The file
    is opened at the first use and is readable by its owner alone, since alerts may say more than everybody should know.

    A lease whose holder is known to be dead (killed on the same machine) is free.

    A file that is deleted or replaced is noticed when a lease is taken or renewed: it is opened anew, and `generation`
    grows, so that its writers write everything again. A file of a newer release is left alone.

    Args:
        path: the file; its folder has to exist.
        clock: where the time of leases comes from; wall time, since processes share the file.

    Example:
        >>> async def main(path):
        ...     store = SQLiteStore(path)
        ...     await store.write([Put("alerts", "a", b"1")])
        ...     await store.close()
        ...     again = SQLiteStore(path)
        ...     try:
        ...         return await again.load("alerts")
        ...     finally:
        ...         await again.close()
        >>> import asyncio, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     asyncio.run(main(f"{folder}/state.db"))
        {'a': b'1'}
    """

    def __init__(self, path: str | Path, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.path: Path = Path(text("path", str(path)))
        self._clock = clock
        self._connection: aiosqlite.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._generation = 0
        self._tokens: dict[str, int] = {}
        self._yields_until = 0.0
        # Statements of two callers must not meet in one transaction; made with the first use's loop.
        self._turn = asyncio.Lock()

    async def load(self, table: str) -> Mapping[str, bytes]:
        """Return everything in a table.

        Raises:
            StoreError: the file cannot be read.
        """

        async def rows(connection: aiosqlite.Connection) -> dict[str, bytes]:
            query = 'SELECT "key", "value" FROM state WHERE "table" = ? ORDER BY "key"'
            return {key: bytes(value) for key, value in await connection.execute_fetchall(query, (table,))}

        return await self._run(rows)

    async def write(self, batch: Sequence[Put]) -> None:
        """Write all of a batch in one transaction.

        Raises:
            StoreError: nothing was written.
        """
        # Of several writes of one key the last counts: the order between puts and removals no longer matters.
        last = {(put.table, put.key): put.value async for put in in_turns(batch)}
        puts = [(*place, value) for place, value in last.items() if value is not None]
        removals = [place for place, value in last.items() if value is None]

        async def transaction(connection: aiosqlite.Connection) -> None:
            await connection.execute("BEGIN IMMEDIATE")
            await connection.executemany(_DELETE, removals)
            await connection.executemany(_UPSERT, puts)
            await connection.commit()

        if last:
            await self._run(transaction)

    async def lease(self, name: str, holder: str, ttl: float) -> int | None:
        """Take or renew a lease of `ttl` seconds, 0 to give it up; see `core.ports.Store`.

        Raises:
            StoreError: the file cannot be written.
        """
        now = self._clock.time()
        values = {
            "name": text("name", name),
            "holder": text("holder", holder),
            "now": now,
            "ttl": number("ttl", ttl, low=0),
            "token": self._tokens.get(name, 0)
            + 1,  # where the file is a new one, the token grows all the same
        }
        if await self._reopen_if_replaced() and name not in self._tokens:
            # Whoever held the lease knows most, and writes first.
            self._yields_until = now + ttl
        if now < self._yields_until:
            return None

        async def take(connection: aiosqlite.Connection) -> int | None:
            rows = list(await connection.execute_fetchall(_LEASE, values))
            if not rows and await asyncio.to_thread(is_gone, other := await _holder(connection, name)):
                # Killed: nobody has to wait for a lease that cannot be renewed.
                await connection.execute(_RELEASE, {**values, "other": other})
                rows = list(await connection.execute_fetchall(_LEASE, values))
            await connection.commit()
            return int(rows[0][0]) if rows else None

        token = await self._run(take)
        if token is None:
            self._tokens.pop(name, None)
        else:
            self._tokens[name] = token
        return token

    async def leased_until(self, name: str) -> float | None:
        """Return the Unix time at which a lease ends or ended; None if nobody ever took it.

        Raises:
            StoreError: the file cannot be read.
        """

        async def read(connection: aiosqlite.Connection) -> float | None:
            rows = list(await connection.execute_fetchall("SELECT until FROM leases WHERE name = ?", (name,)))
            return float(rows[0][0]) if rows else None

        return await self._run(read)

    @property
    def generation(self) -> int:
        """Number of times that the file was found to be another one than before."""
        return self._generation

    async def close(self) -> None:
        """Close the file; a later use opens it again."""
        async with self._turn:
            connection, self._connection = self._connection, None
            self._file = None
            if connection is not None:
                await connection.close()

    async def _reopen_if_replaced(self) -> bool:
        """Close a file that is no longer the one of its path; the next use opens that. Return whether it was so."""
        known, found = self._file, await asyncio.to_thread(_identity, self.path)
        if known is None or found == known:
            return False
        log(__name__).error(
            "state_file_replaced", path=str(self.path), reason="deleted" if found is None else "another file"
        )
        await self.close()
        self._generation += 1
        return True

    async def _run(self, work: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        # A cancelled caller must not leave a transaction half done for the next one: the work goes on to its end.
        return await asyncio.shield(self._work(work))

    async def _work(self, work: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        async with self._turn:
            try:
                if self._connection is None:
                    self._connection = await self._open()
                return await work(self._connection)
            except (sqlite3.Error, OSError, ValueError) as error:
                if self._connection is not None and self._connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        await self._connection.rollback()
                message = f"state file {str(self.path)!r}: {error}{_advice(error)}"
                raise StoreError(message, locked=_is_locked(error)) from error

    async def _open(self) -> aiosqlite.Connection:
        try:
            import aiosqlite  # noqa: PLC0415  optional
        except ImportError:
            raise MissingExtra("aiosqlite", "sqlite") from None
        await asyncio.to_thread(self.path.touch, mode=0o600)
        # aiosqlite does not wait for its thread where opening fails, and the thread then reports to a loop that may be
        # closed: the file is opened here, and aiosqlite gets what is open.
        opened = await asyncio.to_thread(_connect, self.path)
        connection = await aiosqlite.Connection(lambda: opened, iter_chunk_size=64)
        try:
            await _check_version(connection)
            await connection.execute("PRAGMA journal_mode = WAL")
            await connection.execute("PRAGMA synchronous = FULL")
            await connection.executescript(_SCHEMA)
        except BaseException:
            await connection.close()
            raise
        self._file = await asyncio.to_thread(_identity, self.path)
        return connection


def _connect(path: Path) -> sqlite3.Connection:
    # Opened in one thread and used in another, but never in two at a time.
    return sqlite3.connect(path, isolation_level=None, timeout=_BUSY, check_same_thread=False)


async def _holder(connection: aiosqlite.Connection, name: str) -> str:
    rows = list(await connection.execute_fetchall("SELECT holder FROM leases WHERE name = ?", (name,)))
    return str(rows[0][0]) if rows else ""


async def _check_version(connection: aiosqlite.Connection) -> None:
    [(version,)] = await connection.execute_fetchall("PRAGMA user_version")
    if version > _VERSION:
        message = f"written by a newer release (version {version}, this one knows {_VERSION}); left as it is"
        raise sqlite3.NotSupportedError(message)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a file, None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _is_locked(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF  # without the extension of the code
    return code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _advice(error: Exception) -> str:
    if not isinstance(error, sqlite3.DatabaseError) or not any(words in str(error) for words in _DAMAGED):
        return ""
    return " (nothing in it was changed: move it and its -wal and -shm away to start without, or try sqlite3's .recover)"
