"""httpx: a transport whose calls are guarded, host by host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from resilience.errors import MissingExtra
from resilience.http.rules import blameless, transient, untrusted
from resilience_middleware.httpx_transport import GuardedTransport, Sender

try:
    import httpx
except ImportError as _error:
    raise MissingExtra("httpx", "httpx") from _error

__all__ = ["ResilientTransport"]


class ResilientTransport(GuardedTransport[httpx.Request, httpx.Response], httpx.AsyncBaseTransport):
    """Guarded calls through httpx; for the options see `httpx_transport.GuardedTransport`.

    Example:
        >>> async def main(rel, url):
        ...     async with httpx.AsyncClient(transport=ResilientTransport(rel)) as client:
        ...         return await client.get(url)
    """

    make_transport: ClassVar[Callable[[], Sender[Any, Any]]] = httpx.AsyncHTTPTransport
    release: ClassVar[Callable[[Any], Awaitable[None]]] = httpx.Response.aclose
    byte_stream: ClassVar[type] = httpx.ByteStream


@transient.register(httpx.TransportError)
def _may_pass(error: httpx.TransportError) -> bool:
    return not untrusted(error)


@transient.register(httpx.LocalProtocolError)
@transient.register(httpx.UnsupportedProtocol)
def _never_passes(error: httpx.TransportError) -> bool:  # noqa: ARG001  the dispatch is by its class
    return False


@blameless.register(httpx.LocalProtocolError)
@blameless.register(httpx.UnsupportedProtocol)
@blameless.register(httpx.InvalidURL)
def _mistake(error: Exception) -> bool:  # noqa: ARG001  the dispatch is by its class
    """Return True: the request is invalid, and was not sent."""
    return True
