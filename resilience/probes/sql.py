"""Whether a database answers a query."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, closing
from typing import Any, Final, Protocol

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.options import named_options
from resilience.core.ports import CheckResult, Clock
from resilience.core.secret import Secret
from resilience.core.validate import callback, number, text
from resilience.errors import ConfigError, MissingExtra
from resilience.probes._levels import slowness
from resilience.probes._thread import InThread

__all__ = ["AsyncEngine", "AsyncSqlProbe", "SqlProbe"]


class _Query:
    """What both forms have in common: a query, and how long it may take."""

    outside: Final = True

    def __init__(self, query: str, degraded_above: float | None, clock: Clock) -> None:
        self._query = text("query", query)
        self._slow = None if degraded_above is None else number("degraded_above", degraded_above, above=0)
        self._clock = clock

    async def _timed(self, work: Callable[[], Awaitable[None]]) -> CheckResult:
        started = self._clock.monotonic()
        await work()
        seconds = self._clock.monotonic() - started
        return CheckResult(slowness(self._slow, seconds), observed={"query_seconds": seconds})


@named_options
class SqlProbe(_Query):
    """Runs a query on a new DB-API connection (PEP 249), in a thread.

    Args:
        connect: opens a connection, which is closed after the query.
        query: `SELECT 1` by default.
        degraded_above: seconds for both above which it is degraded; None for no such limit.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of its range.

    Example:
        >>> import asyncio, sqlite3
        >>> asyncio.run(SqlProbe(lambda: sqlite3.connect(":memory:")).check()).status
        <Status.HEALTHY: 'healthy'>
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        query: str = "SELECT 1",
        *,
        degraded_above: float | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(query, degraded_above, clock)
        self._connect = callback("connect", connect)
        self._thread = InThread()

    async def check(self) -> CheckResult:
        """Connect and query once.

        Raises:
            Exception: whatever the driver raises.
        """
        return await self._timed(lambda: self._thread.run(self._run))

    def _run(self) -> None:
        with closing(self._connect()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(self._query)
            cursor.fetchone()


class AsyncEngine(Protocol):
    """What is used of SQLAlchemy's `AsyncEngine`."""

    def connect(self) -> AbstractAsyncContextManager[Any]:
        """Take a connection of the pool, whose `exec_driver_sql` runs a query."""


@named_options
class AsyncSqlProbe(_Query):
    """Runs a query through SQLAlchemy's async engine, so that the application's pool is looked at, too.

    Args:
        engine: an `AsyncEngine`; it stays the caller's to dispose of.
        query: `SELECT 1` by default.
        degraded_above: seconds above which it is degraded; None for no such limit.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of its range.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        query: str = "SELECT 1",
        *,
        degraded_above: float | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(query, degraded_above, clock)
        self._engine = engine

    @classmethod
    def from_url(
        cls,
        url: str,
        query: str = "SELECT 1",
        *,
        degraded_above: float | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> AsyncSqlProbe:
        """Make one that connects anew for each look, where there is no engine to look through.

        Args:
            url: SQLAlchemy's, with an async driver: `postgresql+asyncpg://...`; it may hold a password and is not shown.
            query: `SELECT 1` by default.
            degraded_above: seconds above which it is degraded, connecting included; None for no such limit.
            clock: where time comes from.

        Raises:
            MissingExtra: SQLAlchemy is not installed.
            ConfigError: it is no such URL, its driver is not installed, or an option is out of its range.
        """
        try:
            from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  an extra
            from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415  as above
            from sqlalchemy.pool import NullPool  # noqa: PLC0415  as above
        except ImportError:
            raise MissingExtra("sqlalchemy", "sql") from None
        try:
            engine = create_async_engine(Secret(url, option="url").reveal(), poolclass=NullPool)
        except ImportError as error:
            raise ConfigError(f"url names a driver that is not installed: {error}") from None
        except (SQLAlchemyError, ValueError):
            raise ConfigError(
                "url must be SQLAlchemy's, with an async driver: postgresql+asyncpg://..."
            ) from None
        return cls(engine, query, degraded_above=degraded_above, clock=clock)

    async def check(self) -> CheckResult:
        """Query once.

        Raises:
            Exception: whatever the driver raises.
        """
        return await self._timed(self._run)

    async def _run(self) -> None:
        async with self._engine.connect() as connection:
            await connection.exec_driver_sql(self._query)
