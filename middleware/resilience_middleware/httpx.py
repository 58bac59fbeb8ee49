"""httpx: a transport whose calls are guarded, host by host."""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Collection
from typing import Final

from resilience.errors import MissingExtra
from resilience.http.calls import HttpCalls
from resilience.http.preset import HostPipelines, for_http
from resilience.http.rules import ANSWERS, RETRIED_STATUSES, host_key, idempotent
from resilience.policies.presets import API_CALLS, Preset
from resilience.reliability import Reliability

try:
    import httpx
except ImportError as _error:
    raise MissingExtra("httpx", "httpx") from _error

__all__ = ["ResilientTransport"]

_status: Final = operator.attrgetter("status_code")


class ResilientTransport(httpx.AsyncBaseTransport):
    """Guarded calls through httpx: `httpx.AsyncClient(transport=ResilientTransport(rel))`.

    The rules are those of `resilience_middleware.aiohttp.ResilientSession`. httpx follows redirects above its
    transports, so each hop has its own host's policies, its retries included.

    Args:
        rel: what names and records the policies.
        transport: what sends; httpx's own when None. It is closed with this one.
        preset: the policies of one host.
        name: the client's label; clients of one name share their policies.
        deadlines_to: names of the hosts that are told how long an answer is of use and how much it matters, `*.internal`
            for all below; None (default) for every host.

    Example:
        >>> async def main(rel, url):
        ...     async with httpx.AsyncClient(transport=ResilientTransport(rel)) as client:
        ...         return await client.get(url)
    """

    def __init__(
        self,
        rel: Reliability,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        preset: Preset = API_CALLS,
        name: str = "http",
        deadlines_to: Collection[str] | None = None,
    ) -> None:
        self._transport = httpx.AsyncHTTPTransport() if transport is None else transport
        recipe = for_http(
            preset, says_later=_says_later, failed=_failed, transient=(httpx.TransportError, TimeoutError)
        )
        self._calls: HttpCalls[httpx.Response] = HttpCalls(
            HostPipelines(rel.pipeline, name, recipe, clock=rel.clock),
            status=_status,
            release=httpx.Response.aclose,
            name=name,
            record=rel.sli.client,
            deadlines_to=deadlines_to,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        host = host_key(request.url.scheme, request.url.host, request.url.port)

        def attempt() -> Awaitable[httpx.Response]:
            self._calls.tell(host, request.headers)
            return self._transport.handle_async_request(request)

        return await self._calls.send(
            attempt,
            method=request.method,
            host=host,
            # httpx sends bytes, forms and JSON from a ByteStream; all else is read once.
            repeatable=idempotent(request.method, request.headers)
            and isinstance(request.stream, httpx.ByteStream),
        )

    async def aclose(self) -> None:
        """Close the transport that sends."""
        await self._transport.aclose()


def _says_later(response: httpx.Response) -> bool:
    return response.status_code in RETRIED_STATUSES


def _failed(response: httpx.Response) -> bool:
    return response.status_code not in ANSWERS
