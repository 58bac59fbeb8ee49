"""httpx: a transport whose calls are guarded, host by host."""

from __future__ import annotations

from collections.abc import Collection, Coroutine
from typing import Any

from resilience.errors import MissingExtra
from resilience.http.calls import HttpCalls
from resilience.http.preset import HostPipelines, for_http
from resilience.http.rules import failed, host_key, idempotent, says_later, transient
from resilience.policies.presets import API_CALLS, Preset
from resilience.reliability import Reliability

try:
    import httpx
except ImportError as _error:
    raise MissingExtra("httpx", "httpx") from _error

__all__ = ["ResilientTransport"]


@transient.register(httpx.TransportError)
def _may_pass(error: httpx.TransportError) -> bool:  # noqa: ARG001  the dispatch is by its class
    return True


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
        self._calls: HttpCalls[httpx.Request, httpx.Response] = HttpCalls(
            HostPipelines(rel.pipeline, name, for_http(preset), clock=rel.clock),
            status="status_code",
            release=httpx.Response.aclose,
            name=name,
            record=rel.sli.client_series,
            cleared=(says_later, failed),
            deadlines_to=deadlines_to,
        )

    # A plain function that returns the coroutine: one that only hands on costs as much as a policy.
    def handle_async_request(self, request: httpx.Request) -> Coroutine[Any, Any, httpx.Response]:
        """Send one request."""
        url = request.url
        return self._calls.send(
            self._transport.handle_async_request,
            request,
            method=request.method,
            host=host_key(url.scheme, url.host, url.port),
            # httpx sends bytes, forms and JSON from a ByteStream; all else is read once.
            repeatable=idempotent(request.method, request.headers)
            and isinstance(request.stream, httpx.ByteStream),
        )

    async def aclose(self) -> None:
        """Close the transport that sends."""
        await self._transport.aclose()
