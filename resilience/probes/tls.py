"""For how long a server's certificate is valid yet."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Final

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.duration import format_duration
from resilience.core.options import named_options
from resilience.core.ports import CheckResult, Clock
from resilience.core.validate import hostname, integer
from resilience.probes._levels import Floor

__all__ = ["TlsProbe"]

_DAY: Final = 86_400.0


@named_options
class TlsProbe:
    """Makes a TLS connection as any client does, and reads when the certificate expires.

    Args:
        host: a name or an address.
        port: 443 by default.
        degraded_below: seconds of validity left below which it is degraded. 21 days by default: a certificate of 90
            days that is renewed 30 days before its end, as Let's Encrypt recommends, never gets there.
        unhealthy_below: the same for unhealthy; 3 days by default.
        server_name: the name that the certificate must bear; the host by default.
        context: whom to trust; the system's authorities by default.
        clock: where time comes from; wall time.

    Raises:
        ConfigError: an option is out of its range.
    """

    outside: Final = True

    def __init__(
        self,
        host: str,
        port: int = 443,
        *,
        degraded_below: float = 21 * _DAY,
        unhealthy_below: float = 3 * _DAY,
        server_name: str | None = None,
        context: ssl.SSLContext | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._host = hostname("host", host)
        self._port = integer("port", port, low=1, high=65_535)
        self._left = Floor(degraded_below, unhealthy_below)
        self._server_name = hostname("server_name", host if server_name is None else server_name)
        self._context = context
        self._clock = clock

    async def check(self) -> CheckResult:
        """Connect once.

        Raises:
            ssl.SSLError: the certificate is not valid, or not for this name.
            OSError: there was no connection.
        """
        # Reading the system's authorities takes some 20 ms of file access.
        context = self._context = self._context or await asyncio.to_thread(ssl.create_default_context)
        _, writer = await asyncio.open_connection(
            self._host, self._port, ssl=context, server_hostname=self._server_name
        )
        try:
            certificate = writer.get_extra_info("peercert")
        finally:
            writer.close()
            with contextlib.suppress(OSError):  # the handshake was all that was asked
                await writer.wait_closed()
        if not certificate:  # a context that verifies nothing gives none
            message = "the certificate was not verified: the context must have verify_mode CERT_REQUIRED"
            raise ssl.SSLError(message)
        left = ssl.cert_time_to_seconds(certificate["notAfter"]) - self._clock.time()
        detail = f"the certificate is valid for {format_duration(round(max(left, 0) / 60) * 60)}"
        return CheckResult(self._left.status(left), detail, {"certificate_left_seconds": left})
