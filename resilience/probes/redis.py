"""Whether a Redis server answers."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final, Protocol

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.options import named_options
from resilience.core.ports import CheckResult, Clock, Status
from resilience.core.secret import Secret
from resilience.core.validate import number
from resilience.errors import ConfigError, MissingExtra
from resilience.probes._levels import slowness

__all__ = ["Pings", "RedisProbe"]


class Pings(Protocol):
    """What is used of `redis.asyncio.Redis`, or of any client like it."""

    def ping(self) -> Awaitable[Any] | bool:
        """Send PING."""


@named_options
class RedisProbe:
    """Sends PING through the client that the application uses, so that its pool is looked at, too.

    Args:
        client: a `redis.asyncio.Redis` or anything with an async `ping()`; it stays the caller's to close.
        degraded_above: seconds above which it is degraded; None for no such limit.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of its range.
    """

    outside: Final = True

    def __init__(
        self, client: Pings, *, degraded_above: float | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._client = client
        self._slow = None if degraded_above is None else number("degraded_above", degraded_above, above=0)
        self._clock = clock

    @classmethod
    def from_url(
        cls, url: str, *, degraded_above: float | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> RedisProbe:
        """Make one that connects anew for each look, where there is no client to look through.

        Args:
            url: `redis://`, `rediss://` or `unix://`; it may hold a password and is not shown.
            degraded_above: seconds above which it is degraded, connecting included; None for no such limit.
            clock: where time comes from.

        Raises:
            MissingExtra: redis is not installed.
            ConfigError: it is no such URL, or an option is out of its range.
        """
        return cls(_Anew(url), degraded_above=degraded_above, clock=clock)

    async def check(self) -> CheckResult:
        """Ping once.

        Raises:
            Exception: whatever the client raises.
        """
        started = self._clock.monotonic()
        answer = self._client.ping()
        pong = answer if isinstance(answer, bool) else await answer
        seconds = self._clock.monotonic() - started
        observed = {"ping_seconds": seconds}
        if not pong:
            return CheckResult(Status.UNHEALTHY, f"PING was answered {pong!r}", observed)
        return CheckResult(slowness(self._slow, seconds), observed=observed)


class _Anew:
    """A client of one PING."""

    def __init__(self, url: str) -> None:
        try:
            from redis.asyncio import Redis  # noqa: PLC0415  an extra
        except ImportError:
            raise MissingExtra("redis", "redis") from None
        self._url = Secret(url, option="url")
        self._client: Any = Redis
        try:
            Redis.from_url(url)
        except ValueError:
            raise ConfigError("url must begin with redis://, rediss:// or unix://") from None

    async def ping(self) -> bool:
        async with self._client.from_url(self._url.reveal()) as client:
            return bool(await client.ping())
