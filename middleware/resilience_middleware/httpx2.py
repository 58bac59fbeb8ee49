"""httpx2: a transport whose calls are guarded, host by host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from resilience.errors import MissingExtra
from resilience.http.rules import blameless, transient, untrusted
from resilience_middleware.httpx_transport import GuardedTransport, Sender

try:
    import httpx2
except ImportError as _error:
    raise MissingExtra("httpx2", "httpx2") from _error

__all__ = ["ResilientTransport"]


class ResilientTransport(GuardedTransport[httpx2.Request, httpx2.Response], httpx2.AsyncBaseTransport):
    """Guarded calls through httpx2; for the options see `httpx_transport.GuardedTransport`.

    Example:
        >>> async def main(rel, url):
        ...     async with httpx2.AsyncClient(transport=ResilientTransport(rel)) as client:
        ...         return await client.get(url)
    """

    make_transport: ClassVar[Callable[[], Sender[Any, Any]]] = httpx2.AsyncHTTPTransport
    release: ClassVar[Callable[[Any], Awaitable[None]]] = httpx2.Response.aclose
    byte_stream: ClassVar[type] = httpx2.ByteStream


@transient.register(httpx2.TransportError)
def _may_pass(error: httpx2.TransportError) -> bool:
    return not untrusted(error)


@transient.register(httpx2.LocalProtocolError)
@transient.register(httpx2.UnsupportedProtocol)
def _never_passes(error: httpx2.TransportError) -> bool:  # noqa: ARG001  the dispatch is by its class
    return False


@blameless.register(httpx2.LocalProtocolError)
@blameless.register(httpx2.UnsupportedProtocol)
@blameless.register(httpx2.InvalidURL)
def _mistake(error: Exception) -> bool:  # noqa: ARG001  the dispatch is by its class
    """Return True: the request is invalid, and was not sent."""
    return True
