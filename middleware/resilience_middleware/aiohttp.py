"""aiohttp: a session whose calls are guarded, host by host."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, Unpack

import aiohttp
from aiohttp.client_middlewares import ClientHandlerType, ClientMiddlewareType
from aiohttp.typedefs import LooseHeaders, StrOrURL
from multidict import CIMultiDict, istr
from yarl import URL

from resilience.core.options import named_options
from resilience.errors import ConfigError
from resilience.http.calls import CallOptions, HttpCalls
from resilience.http.context import DEADLINE_HEADER, tell
from resilience.http.preset import HostPipelines, for_http
from resilience.http.rules import (
    ELSEWHERE,
    IDEMPOTENCY_KEY,
    IDEMPOTENT,
    blameless,
    failed,
    host_key,
    host_status,
    says_later,
    transient,
    untrusted,
)
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.presets import API_CALLS, Preset
from resilience_middleware.aiohttp_retry import FirstCalls, disable_own_retry
from resilience_middleware.bodies import can_replay, rewindable

if TYPE_CHECKING:
    from aiohttp.client import _RequestOptions

    from resilience.reliability import Reliability

_Send: TypeAlias = Callable[..., Awaitable[aiohttp.ClientResponse]]

__all__ = ["GuardedResponse", "ResilientMiddleware", "ResilientSession"]


class GuardedResponse(Coroutine[Any, Any, aiohttp.ClientResponse]):
    """What `session.get(url)` returns: `await` it, `async with` it or make a task of it, as with aiohttp's own."""

    __slots__ = ("_call", "_response")

    def __init__(self, call: Coroutine[Any, Any, aiohttp.ClientResponse]) -> None:
        self._call = call
        self._response: aiohttp.ClientResponse

    def send(self, value: Any) -> Any:
        """Resume; see `collections.abc.Coroutine`."""
        return self._call.send(value)

    def throw(self, *error: Any) -> Any:
        """Raise inside; see `collections.abc.Coroutine`."""
        return self._call.throw(*error)

    def close(self) -> None:
        """Give up; see `collections.abc.Coroutine`."""
        self._call.close()

    def __await__(self) -> Generator[Any, Any, aiohttp.ClientResponse]:
        return self._call.__await__()

    async def __aenter__(self) -> aiohttp.ClientResponse:
        self._response = await self._call
        return await self._response.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._response.__aexit__(kind, error, trace)


class ResilientSession:
    """Guarded calls through an aiohttp session: `async with session.get(url) as response`.

    Every call runs under the preset's policies, of which each host (scheme, name, port) has its own. A 5xx is a failure
    to the breaker, a 4xx is not; connection errors and 429, 502, 503 and 504 are tried again where the
    method is idempotent or an `Idempotency-Key` is sent, and the body can be sent a second time. What the last
    attempt answered is returned, whatever its status; the responses before it were released.

    Args:
        rel: what names and records the policies.
        session: the session to use, which stays open; without one, it is made here and closed with this. aiohttp's own
            retry of stale connections is turned off in it.
        preset: the policies of one host.
        name: the client's label; sessions of one name share their policies.
        deadlines_to: names of the hosts that are told how long an answer is of use and how much it matters, `*.internal`
            for all below; None (default) for every host.
        retry_methods: methods that are retried without an `Idempotency-Key`; default: those that are idempotent.
        retry_unprocessed: True also retries every other method after 429, and after 503 with `Retry-After`, because such
            a request was not processed; False by default.
        options: of aiohttp's `ClientSession`, where it is made here.

    Raises:
        ConfigError: both a session and options for one were given.

    Example:
        >>> async def main(rel, url):
        ...     async with ResilientSession(rel) as session:
        ...         async with session.get(url) as response:
        ...             return await response.json()
    """

    def __init__(
        self,
        rel: Reliability,
        session: aiohttp.ClientSession | None = None,
        *,
        preset: Preset = API_CALLS,
        name: str = "http",
        deadlines_to: Collection[str] | None = None,
        retry_methods: Collection[str] = IDEMPOTENT,
        retry_unprocessed: bool = False,
        **options: Any,
    ) -> None:
        if session is not None and options:
            message = (
                f"options of a session must be given where it is made, got {', '.join(options)} and a session"
            )
            raise ConfigError(message)
        if session is not None:
            disable_own_retry(session)
        self._session = session
        self._options = options
        self._own = session is None
        # What a host is told is written anew at each hop.
        self._calls: HttpCalls[URL, aiohttp.ClientResponse] = _calls(
            rel,
            preset,
            name,
            tells=False,
            deadlines_to=deadlines_to,
            retry_methods=retry_methods,
            retry_unprocessed=retry_unprocessed,
        )
        self._methods = self._calls.retry_methods
        self._hops: dict[str, tuple[ClientMiddlewareType]] = {}  # by the key of the host that is asked first

    @property
    def session(self) -> aiohttp.ClientSession:
        """The aiohttp session below; made at first use, so that it belongs to the running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(**self._options)
            disable_own_retry(self._session)
        return self._session

    @property
    def closed(self) -> bool:
        """Whether the session below is closed."""
        return self._session is not None and self._session.closed

    async def close(self) -> None:
        """Close the session, if it was made here."""
        if self._own and self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def request(self, method: str, url: StrOrURL, **options: Unpack[_RequestOptions]) -> GuardedResponse:
        """Send a request; the options are those of aiohttp's `ClientSession.request`."""
        return self._guarded(method.upper(), url, options)

    def get(self, url: StrOrURL, **options: Unpack[_RequestOptions]) -> GuardedResponse:
        """Send a GET request."""
        return self._guarded("GET", url, options)

    def options(self, url: StrOrURL, **options: Unpack[_RequestOptions]) -> GuardedResponse:
        """Send an OPTIONS request."""
        return self._guarded("OPTIONS", url, options)

    def head(self, url: StrOrURL, **options: Unpack[_RequestOptions]) -> GuardedResponse:
        """Send a HEAD request; redirects are not followed unless asked, as with aiohttp."""
        options.setdefault("allow_redirects", False)
        return self._guarded("HEAD", url, options)

    def post(self, url: StrOrURL, **options: Unpack[_RequestOptions]) -> GuardedResponse:
        """Send a POST request."""
        return self._guarded("POST", url, options)

    def put(self, url: StrOrURL, **options: Unpack[_RequestOptions]) -> GuardedResponse:
        """Send a PUT request."""
        return self._guarded("PUT", url, options)

    def patch(self, url: StrOrURL, **options: Unpack[_RequestOptions]) -> GuardedResponse:
        """Send a PATCH request."""
        return self._guarded("PATCH", url, options)

    def delete(self, url: StrOrURL, **options: Unpack[_RequestOptions]) -> GuardedResponse:
        """Send a DELETE request."""
        return self._guarded("DELETE", url, options)

    def _guarded(self, method: str, url: StrOrURL, options: _RequestOptions) -> GuardedResponse:
        if (session := self._session) is None:
            return GuardedResponse(self._first(method, url, options))
        return GuardedResponse(self._send(session, method, url, options))

    async def _first(self, method: str, url: StrOrURL, options: _RequestOptions) -> aiohttp.ClientResponse:
        """Send a request by a session that is made when it is awaited: it belongs to the running loop."""
        return await self._send(self.session, method, url, options)

    # A plain function that returns the coroutine: one that only hands on costs as much as a policy.
    def _send(
        self, session: aiohttp.ClientSession, method: str, url: StrOrURL, options: _RequestOptions
    ) -> Coroutine[Any, Any, aiohttp.ClientResponse]:
        # What `session.request` awaits: the object in between costs as much as a policy too, and nobody sees it.
        request: Callable[..., Coroutine[Any, Any, aiohttp.ClientResponse]] = session._request  # noqa: SLF001
        try:
            url = URL(url)
        except (TypeError, ValueError):
            return request(method, url, **options)  # which says what is wrong with it
        raise_for_status = options.pop("raise_for_status", None)
        if raise_for_status is None:
            raise_for_status = session.raise_for_status
        options["raise_for_status"] = False  # an answer that is tried again must not be raised
        host = _host(session, url)
        inherited = options.get("middlewares", session._middlewares)  # noqa: SLF001  what it would use without ours
        hop = self._hops.get(host) or self._hop_of(host)
        options["middlewares"] = (*inherited, *hop) if inherited else hop
        repeatable = method in self._methods or _has_key(options.get("headers")) or _has_key(session.headers)
        replays = True
        send: _Send = functools.partial(request, method, **options)
        if (data := options.get("data")) is not None:
            send, replays = _replaying(send, data)
            repeatable = repeatable and replays
        response = self._calls.send(send, url, method, host, repeatable, replays)
        return _raising(response, raise_for_status) if raise_for_status else response

    def _hop_of(self, host: str) -> tuple[ClientMiddlewareType]:
        if len(self._hops) >= _HOPS:
            self._hops.clear()
        hop = self._hops[host] = (functools.partial(self._hop, host, self._calls.told(host)),)
        return hop

    def _hop(
        self,
        host: str,
        told: bool,  # noqa: FBT001  bound once
        request: aiohttp.ClientRequest,
        handler: ClientHandlerType,
    ) -> Awaitable[aiohttp.ClientResponse]:
        """Send one hop of a chain of redirects; one to another host is that host's breaker's business."""
        url = request.url
        other = _keys[url.scheme, url.raw_authority]
        if other == host:
            tell(request.headers, told, _HEADER)
            return handler(request)
        tell(request.headers, self._calls.told(other), _HEADER)
        return self._elsewhere(other, functools.partial(handler, request))

    async def _elsewhere(
        self, other: str, call: Callable[[], Awaitable[aiohttp.ClientResponse]]
    ) -> aiohttp.ClientResponse:
        try:
            for policy in self._calls.of(other):
                if isinstance(policy, CircuitBreaker):
                    return await policy.execute(call)
            return await call()
        except Exception as error:
            error.add_note(ELSEWHERE)
            raise


@named_options
class ResilientMiddleware:
    """The same for a session of your own: `aiohttp.ClientSession(middlewares=[ResilientMiddleware(rel)])`.

    aiohttp runs it for every hop of a chain of redirects, so each hop has its host's policies, its retries included.

    Args:
        rel: what names and records the policies.
        preset: the policies of one host.
        name: the client's label; sessions of one name share their policies.
        deadlines_to: names of the hosts that are told how long an answer is of use and how much it matters, `*.internal`
            for all below; None (default) for every host.
        retry_methods: methods that are retried without an `Idempotency-Key`; default: those that are idempotent.
        retry_unprocessed: True also retries every other method after 429, and after 503 with `Retry-After`, because such
            a request was not processed; False by default.
    """

    def __init__(
        self,
        rel: Reliability,
        *,
        preset: Preset = API_CALLS,
        name: str = "http",
        deadlines_to: Collection[str] | None = None,
        retry_methods: Collection[str] = IDEMPOTENT,
        retry_unprocessed: bool = False,
    ) -> None:
        self._calls: HttpCalls[aiohttp.ClientRequest, aiohttp.ClientResponse] = _calls(
            rel,
            preset,
            name,
            deadlines_to=deadlines_to,
            retry_methods=retry_methods,
            retry_unprocessed=retry_unprocessed,
        )
        self._methods = self._calls.retry_methods
        self._first = FirstCalls()

    # A plain function that returns the coroutine: one that only hands on costs as much as a policy.
    def __call__(
        self, request: aiohttp.ClientRequest, handler: ClientHandlerType
    ) -> Coroutine[Any, Any, aiohttp.ClientResponse]:
        """Send one request."""
        url, method, body = request.url, request.method, request.body
        replays = not body or can_replay(body)
        repeatable = replays and (method in self._methods or IDEMPOTENCY_KEY in request.headers)
        key = _keys[url.scheme, url.raw_authority]
        if self._first and (error := self._first.error_of(request)) is not None:
            raise error
        call = self._calls.send(handler, request, method, key, repeatable, replays)
        session: aiohttp.ClientSession | None = request.session
        if session is not None and disable_own_retry(session):
            return self._first.make(request, call)
        return call


def _replaying(send: _Send, data: Any) -> tuple[_Send, bool]:
    """Return what sends a request with a body, each time from its beginning, and whether it can do so more than once."""
    if (file := rewindable(data)) is not None:

        def again(url: URL) -> Awaitable[aiohttp.ClientResponse]:
            file.rewind()
            return send(url, data=file)

        return again, True
    if isinstance(data, aiohttp.FormData):
        # Made once: a form appends its parts again each time that it is asked for them.
        data = data()
    return functools.partial(send, data=data), can_replay(data)


async def _raising(
    response: Awaitable[aiohttp.ClientResponse],
    raise_for_status: bool | Callable[[aiohttp.ClientResponse], Awaitable[None]],  # noqa: FBT001  as aiohttp has it
) -> aiohttp.ClientResponse:
    """Do with the last answer what a session does that raises for a status."""
    answer = await response
    if callable(raise_for_status):
        await raise_for_status(answer)
    else:
        answer.raise_for_status()
    return answer


class _Keys(dict[tuple[str, str], str]):
    """The keys of hosts, by scheme and authority, in bounded memory."""

    _LIMIT: Final = 1_000

    def __missing__(self, origin: tuple[str, str]) -> str:
        if len(self) >= self._LIMIT:
            self.clear()
        scheme, authority = origin
        url = URL.build(scheme=scheme, authority=authority, encoded=True)
        key = self[origin] = host_key(scheme, url.raw_host or "", url.port)
        return key


_keys: Final = _Keys()


# With a hash that is ready, as the headers want it.
_HEADER: Final = istr(DEADLINE_HEADER)

_HOPS: Final = 1_000


@host_status.register(aiohttp.ClientResponse)
def _first_status(response: aiohttp.ClientResponse) -> int:
    """Return the status that the called host has answered, which is the host that redirected."""
    # `history` is worked out once: asked for within a hop, it would stay empty for the user.
    history = response._history  # noqa: SLF001  see above
    return (history[0] if history else response).status


@transient.register(aiohttp.ClientConnectionError)
def _may_pass(error: aiohttp.ClientConnectionError) -> bool:
    return not untrusted(error)


@transient.register(aiohttp.ServerFingerprintMismatch)
def _never_passes(error: aiohttp.ServerFingerprintMismatch) -> bool:  # noqa: ARG001  the dispatch is by its class
    return False


@blameless.register(aiohttp.InvalidURL)
@blameless.register(aiohttp.NonHttpUrlClientError)
@blameless.register(aiohttp.TooManyRedirects)
def _mistake(error: aiohttp.ClientError) -> bool:  # noqa: ARG001  the dispatch is by its class
    """Return True: the URL is invalid, or every host of an endless chain of redirects has answered."""
    return True


def _calls(
    rel: Reliability, preset: Preset, name: str, *, tells: bool = True, **options: Unpack[CallOptions]
) -> HttpCalls[Any, aiohttp.ClientResponse]:
    return HttpCalls(
        HostPipelines(rel.pipeline, name, for_http(preset), clock=rel.clock),
        status="status",
        release=_release,
        name=name,
        record=rel.sli.client_series,
        cleared=(says_later, failed),
        header=_HEADER,
        tells=tells,
        **options,
    )


async def _release(response: aiohttp.ClientResponse) -> None:
    # Not read to its end, the connection is closed rather than kept: a pool of one goes on at once.
    response.close() if not response.content.at_eof() else response.release()


def _has_key(headers: LooseHeaders | None) -> bool:
    return headers is not None and IDEMPOTENCY_KEY in CIMultiDict(headers)


def _host(session: aiohttp.ClientSession, url: URL) -> str:
    if not (authority := url.raw_authority) and (base := session._base_url) is not None:  # noqa: SLF001  as it does
        return _keys[base.scheme, base.raw_authority]
    return _keys[url.scheme, authority]
