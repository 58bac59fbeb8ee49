"""Whether a name resolves, and to what."""

from __future__ import annotations

import socket
from collections.abc import Collection
from typing import Final

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.options import named_options
from resilience.core.ports import CheckResult, Clock, Status
from resilience.core.validate import hostname, number, text
from resilience.probes._levels import slowness
from resilience.probes._thread import InThread

__all__ = ["DnsProbe"]


@named_options
class DnsProbe:
    """Resolves a name as the process itself would: hosts file, search domains, IPv4 and IPv6.

    Args:
        name: the name.
        expected: addresses that have to be among the answers; any answer will do by default.
        degraded_above: seconds above which it is degraded; None for no such limit.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of its range.

    Example:
        >>> import asyncio
        >>> asyncio.run(DnsProbe("localhost").check()).status
        <Status.HEALTHY: 'healthy'>
    """

    outside: Final = True

    def __init__(
        self,
        name: str,
        *,
        expected: Collection[str] = (),
        degraded_above: float | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._name = hostname("name", name)
        self._expected = frozenset(text("expected", address) for address in expected)
        self._slow = None if degraded_above is None else number("degraded_above", degraded_above, above=0)
        self._clock = clock
        self._thread = InThread()

    async def check(self) -> CheckResult:
        """Resolve once.

        Raises:
            OSError: it does not resolve.
        """
        started = self._clock.monotonic()
        found = await self._thread.run(lambda: socket.getaddrinfo(self._name, None, type=socket.SOCK_STREAM))
        seconds = self._clock.monotonic() - started
        addresses = {str(address[0]) for *_, address in found}
        observed = {"resolve_seconds": seconds, "addresses": float(len(addresses))}
        if missing := self._expected - addresses:
            detail = f"{self._name} does not resolve to {', '.join(sorted(missing))}"
            return CheckResult(Status.UNHEALTHY, detail, observed)
        return CheckResult(slowness(self._slow, seconds), observed=observed)
