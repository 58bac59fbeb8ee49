"""Whether a TCP port takes connections."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.options import named_options
from resilience.core.ports import CheckResult, Clock
from resilience.core.validate import hostname, integer, number
from resilience.probes._levels import slowness

__all__ = ["TcpProbe"]


@named_options
class TcpProbe:
    """Connects, and closes again.

    Args:
        host: a name or an address.
        port: 1 to 65535.
        degraded_above: seconds to connect above which it is degraded; None for no such limit.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of its range.
    """

    outside: Final = True

    def __init__(
        self, host: str, port: int, *, degraded_above: float | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._host = hostname("host", host)
        self._port = integer("port", port, low=1, high=65_535)
        self._slow = None if degraded_above is None else number("degraded_above", degraded_above, above=0)
        self._clock = clock

    async def check(self) -> CheckResult:
        """Connect once.

        Raises:
            OSError: it could not.
        """
        started = self._clock.monotonic()
        _, writer = await asyncio.open_connection(self._host, self._port)
        seconds = self._clock.monotonic() - started
        writer.close()
        with contextlib.suppress(OSError):  # it was open, which is all that was asked
            await writer.wait_closed()
        return CheckResult(slowness(self._slow, seconds), observed={"connect_seconds": seconds})
