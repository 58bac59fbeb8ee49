"""aiohttp: a session whose calls are guarded, host by host."""

from __future__ import annotations

import functools
import io
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

import aiohttp
from aiohttp import payload
from aiohttp.client_middlewares import ClientHandlerType
from aiohttp.typedefs import LooseHeaders, StrOrURL
from multidict import CIMultiDict, istr
from yarl import URL

from resilience.errors import ConfigError
from resilience.http.calls import HttpCalls
from resilience.http.context import DEADLINE_HEADER
from resilience.http.preset import HostPipelines, for_http
from resilience.http.rules import (
    ANSWERS,
    IDEMPOTENCY_KEY,
    IDEMPOTENT,
    host_key,
    idempotent,
    replayable,
    says_later,
)
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.presets import API_CALLS, Preset

if TYPE_CHECKING:
    from aiohttp.client import _RequestOptions

    from resilience.reliability import Reliability

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
        session: the session to use, which stays open; without one, it is made here and closed with this.
        preset: the policies of one host.
        name: the client's label; sessions of one name share their policies.
        deadlines_to: names of the hosts that are told how long an answer is of use and how much it matters, `*.internal`
            for all below; None (default) for every host.
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
        **options: Any,
    ) -> None:
        if session is not None and options:
            message = (
                f"options of a session must be given where it is made, got {', '.join(options)} and a session"
            )
            raise ConfigError(message)
        self._session = session
        self._options = options
        self._own = session is None
        # What a host is told is written anew at each hop.
        self._calls: HttpCalls[StrOrURL, aiohttp.ClientResponse] = _calls(
            rel, preset, name, deadlines_to, header=None
        )

    @property
    def session(self) -> aiohttp.ClientSession:
        """The aiohttp session below; made at first use, so that it belongs to the running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(**self._options)
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
        return GuardedResponse(self._send(method.upper(), url, options))

    def get(self, url: StrOrURL, **options: Unpack[_RequestOptions]) -> GuardedResponse:
        """Send a GET request."""
        return self.request("GET", url, **options)

    def options(self, url: StrOrURL, **options: Unpack[_RequestOptions]) -> GuardedResponse:
        """Send an OPTIONS request."""
        return self.request("OPTIONS", url, **options)

    def head(self, url: StrOrURL, **options: Unpack[_RequestOptions]) -> GuardedResponse:
        """Send a HEAD request; redirects are not followed unless asked, as with aiohttp."""
        options.setdefault("allow_redirects", False)
        return self.request("HEAD", url, **options)

    def post(self, url: StrOrURL, **options: Unpack[_RequestOptions]) -> GuardedResponse:
        """Send a POST request."""
        return self.request("POST", url, **options)

    def put(self, url: StrOrURL, **options: Unpack[_RequestOptions]) -> GuardedResponse:
        """Send a PUT request."""
        return self.request("PUT", url, **options)

    def patch(self, url: StrOrURL, **options: Unpack[_RequestOptions]) -> GuardedResponse:
        """Send a PATCH request."""
        return self.request("PATCH", url, **options)

    def delete(self, url: StrOrURL, **options: Unpack[_RequestOptions]) -> GuardedResponse:
        """Send a DELETE request."""
        return self.request("DELETE", url, **options)

    async def _send(self, method: str, url: StrOrURL, options: _RequestOptions) -> aiohttp.ClientResponse:
        session = self.session
        raise_for_status = options.pop("raise_for_status", None)
        if raise_for_status is None:
            raise_for_status = session.raise_for_status
        options["raise_for_status"] = False  # an answer that is tried again must not be raised
        data = options.get("data")
        file = None
        if data is not None:
            if isinstance(data, aiohttp.FormData):
                # Made once: a form appends its parts again each time that it is asked for them.
                options["data"] = data = data()
            if file := _rewindable(data):
                options["data"] = file
        host = _host(session, url)
        inherited = options.get("middlewares", session._middlewares)  # noqa: SLF001  what it would use without ours
        options["middlewares"] = (*(inherited or ()), functools.partial(self._hop, host))

        def attempt(url: StrOrURL) -> Awaitable[aiohttp.ClientResponse]:
            if file is not None:
                file.rewind()
            return session.request(method, url, **options)

        repeatable = idempotent(method) or _has_key(options.get("headers")) or _has_key(session.headers)
        if data is not None:
            repeatable = repeatable and (file is not None or _replayable(data))
        response = await self._calls.send(attempt, url, method=method, host=host, repeatable=repeatable)
        if callable(raise_for_status):
            await raise_for_status(response)
        elif raise_for_status:
            response.raise_for_status()
        return response

    def _hop(
        self, host: str, request: aiohttp.ClientRequest, handler: ClientHandlerType
    ) -> Awaitable[aiohttp.ClientResponse]:
        """Send one hop of a chain of redirects; one to another host is that host's breaker's business."""
        url = request.url
        other = _keys[url.scheme, url.raw_authority]
        self._calls.tell(other, request.headers)
        return (
            handler(request) if other == host else self._elsewhere(other, functools.partial(handler, request))
        )

    async def _elsewhere(
        self, other: str, call: Callable[[], Awaitable[aiohttp.ClientResponse]]
    ) -> aiohttp.ClientResponse:
        try:
            for policy in self._calls.of(other):
                if isinstance(policy, CircuitBreaker):
                    return await policy.execute(call)
            return await call()
        except Exception as error:
            error.add_note(_ELSEWHERE)
            raise


class ResilientMiddleware:
    """The same for a session of your own: `aiohttp.ClientSession(middlewares=[ResilientMiddleware(rel)])`.

    aiohttp runs it for every hop of a chain of redirects, so each hop has its host's policies, its retries included.

    Args:
        rel: what names and records the policies.
        preset: the policies of one host.
        name: the client's label; sessions of one name share their policies.
        deadlines_to: names of the hosts that are told how long an answer is of use and how much it matters, `*.internal`
            for all below; None (default) for every host.
    """

    def __init__(
        self,
        rel: Reliability,
        *,
        preset: Preset = API_CALLS,
        name: str = "http",
        deadlines_to: Collection[str] | None = None,
    ) -> None:
        self._calls: HttpCalls[aiohttp.ClientRequest, aiohttp.ClientResponse] = _calls(
            rel, preset, name, deadlines_to, header=_HEADER
        )

    # A plain function that returns the coroutine: one that only hands on costs as much as a policy.
    def __call__(
        self, request: aiohttp.ClientRequest, handler: ClientHandlerType
    ) -> Coroutine[Any, Any, aiohttp.ClientResponse]:
        """Send one request."""
        url, method, body = request.url, request.method, request.body
        repeatable = (method in IDEMPOTENT or IDEMPOTENCY_KEY in request.headers) and (
            not body or _replayable(body)
        )
        return self._calls.send(handler, request, method, _keys[url.scheme, url.raw_authority], repeatable)


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

# A file in a form is closed with the form; a BytesIO is not.
_REPLAYED: Final = (payload.BytesPayload, payload.StringPayload, payload.BytesIOPayload)

# What aiohttp says of a URL that cannot be meant: no host has done anything wrong.
_MEANINGLESS: Final = (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)

# Notes on an error that a host further down a chain of redirects has caused.
_ELSEWHERE: Final = "raised by a redirect to another host"


def _calls(
    rel: Reliability, preset: Preset, name: str, deadlines_to: Collection[str] | None, *, header: str | None
) -> HttpCalls[Any, aiohttp.ClientResponse]:
    recipe = for_http(
        preset,
        says_later=says_later,
        failed=_failed,
        transient=(aiohttp.ClientConnectionError, TimeoutError),
        ignore=lambda error: isinstance(error, _MEANINGLESS) or _ELSEWHERE in getattr(error, "__notes__", ()),
    )
    return HttpCalls(
        HostPipelines(rel.pipeline, name, recipe, clock=rel.clock),
        status="status",
        release=_release,
        name=name,
        record=rel.sli.client_series,
        cleared=(says_later, _failed),
        header=header,
        deadlines_to=deadlines_to,
    )


def _failed(response: aiohttp.ClientResponse) -> bool:
    """Judge the host that was called, which is the one that redirected."""
    # `history` is worked out once: asked for within a hop, it would stay empty for the user.
    history = response._history  # noqa: SLF001  see above
    return (history[0] if history else response).status not in ANSWERS


async def _release(response: aiohttp.ClientResponse) -> None:
    # Not read to its end, the connection is closed rather than kept: a pool of one goes on at once.
    response.close() if not response.content.at_eof() else response.release()


def _has_key(headers: LooseHeaders | None) -> bool:
    return headers is not None and IDEMPOTENCY_KEY in CIMultiDict(headers)


def _host(session: aiohttp.ClientSession, url: StrOrURL) -> str:
    target = URL(url)
    base: URL | None = getattr(session, "_base_url", None)
    if base is not None and not target.is_absolute():
        target = base.join(target)
    return _keys[target.scheme, target.raw_authority]


class _RewoundFile(io.RawIOBase):
    """A file that can be sent again: aiohttp closes what it has sent."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._start = file.tell()

    def rewind(self) -> None:
        self._file.seek(self._start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content: bytes = self._file.read(size)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        position: int = self._file.seek(offset, whence)
        return position

    def tell(self) -> int:
        position: int = self._file.tell()
        return position

    def fileno(self) -> int:
        number: int = self._file.fileno()
        return number

    def close(self) -> None:
        """Leave the file to who opened it."""


def _rewindable(data: object) -> _RewoundFile | None:
    if isinstance(data, io.IOBase) and not isinstance(data, io.TextIOBase) and data.seekable():
        return _RewoundFile(data)
    return None


def _replayable(data: object) -> bool:
    """Whether aiohttp can send this again: what `rules.replayable` says, and forms of that."""
    if replayable(data):
        return True
    if isinstance(data, aiohttp.MultipartWriter):
        return all(_replayable(part) for part, _, _ in data)
    return isinstance(data, _REPLAYED)
