"""Body of the guarded transports of httpx and httpx2, which have the same interface and different classes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from resilience.core.options import named_options
from resilience.http.calls import HttpCalls
from resilience.http.preset import HostPipelines, for_http
from resilience.http.rules import IDEMPOTENCY_KEY, IDEMPOTENT, failed, host_key, says_later
from resilience.policies.presets import API_CALLS, Preset
from resilience.reliability import Reliability

__all__ = ["GuardedTransport", "Sender"]

Q = TypeVar("Q")
R = TypeVar("R")
Q_contra = TypeVar("Q_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Sender(Protocol[Q_contra, R_co]):
    """A transport of either library."""

    async def handle_async_request(self, request: Q_contra, /) -> R_co:
        """Send one request."""

    async def aclose(self) -> None:
        """Close the connections."""


@named_options
class GuardedTransport(Generic[Q, R]):
    """Guarded calls through a transport; a subclass for each library sets the class attributes.

    The rules are those of `resilience_middleware.aiohttp.ResilientSession`. httpx follows redirects above its
    transports, so each hop has its own host's policies, its retries included.

    Args:
        rel: what names and records the policies.
        transport: the transport that sends; the library's own when None. It is closed with this one.
        preset: the policies of one host.
        name: the client's label; clients of one name share their policies.
        deadlines_to: names of the hosts that are told how long an answer is of use and how much it matters, `*.internal`
            for all below; None (default) for every host.
        retry_methods: methods that are retried without an `Idempotency-Key`; default: those that are idempotent.
        retry_unprocessed: True also retries every other method after 429, and after 503 with `Retry-After`, because such
            a request was not processed; False by default.

    Raises:
        ConfigError: an option is invalid.
    """

    make_transport: ClassVar[Callable[[], Sender[Any, Any]]]
    """Constructor of the library's own transport."""

    release: ClassVar[Callable[[Any], Awaitable[None]]]
    """Function that gives a response's connection back, unread."""

    byte_stream: ClassVar[type]
    """Class of the bodies that are held in memory: bytes, forms and JSON."""

    def __init__(
        self,
        rel: Reliability,
        transport: Sender[Q, R] | None = None,
        *,
        preset: Preset = API_CALLS,
        name: str = "http",
        deadlines_to: Collection[str] | None = None,
        retry_methods: Collection[str] = IDEMPOTENT,
        retry_unprocessed: bool = False,
    ) -> None:
        kind = type(self)
        self._transport: Sender[Q, R] = kind.make_transport() if transport is None else transport
        self._calls: HttpCalls[Q, R] = HttpCalls(
            HostPipelines(rel.pipeline, name, for_http(preset), clock=rel.clock),
            status="status_code",
            release=kind.release,
            name=name,
            record=rel.sli.client_series,
            cleared=(says_later, failed),
            deadlines_to=deadlines_to,
            retry_methods=retry_methods,
            retry_unprocessed=retry_unprocessed,
        )
        self._methods = self._calls.retry_methods

    # A plain function that returns the coroutine: one that only hands on costs as much as a policy.
    def handle_async_request(self, request: Any) -> Coroutine[Any, Any, R]:
        """Send one request."""
        url, method = request.url, request.method
        replayable = isinstance(request.stream, self.byte_stream) or _rewindable(request.stream)
        return self._calls.send(
            self._transport.handle_async_request,
            request,
            method,
            host_key(url.scheme, url.host, url.port),
            replayable and (method in self._methods or IDEMPOTENCY_KEY in request.headers),
            replayable,
        )

    async def aclose(self) -> None:
        """Close the transport that sends."""
        await self._transport.aclose()


def _rewindable(stream: object) -> bool:
    """Return True for a multipart form whose files can be rewound, which httpx does itself when it sends again."""
    fields = getattr(stream, "fields", None)
    return isinstance(fields, list) and all(map(_field_rewindable, fields))


def _field_rewindable(field: object) -> bool:
    file = getattr(field, "file", None)
    if file is None or isinstance(file, bytes | str):
        return True
    seekable = getattr(file, "seekable", None)
    return callable(seekable) and bool(seekable())
