"""The guarded aiohttp client for the library's own calls: notifications, probes, other servers' APIs."""

from __future__ import annotations

import json as _json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.deadline import timeout as deadline
from resilience.core.ports import Clock
from resilience.core.validate import integer, number
from resilience.errors import TimeoutExceeded
from resilience.http.bodies import ENCODINGS, read_body
from resilience.http.calls import HttpCalls
from resilience.http.rules import blameless, failed, host_key, says_later, untrusted
from resilience.http.rules import idempotent as may_repeat
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.pipeline import Pipeline
from resilience.policies.retry import Retry

__all__ = ["GuardedClient", "Response"]

_TRANSIENT: Final = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError)
_MISTAKES: Final = (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, aiohttp.TooManyRedirects)
# Ours counts for the breaker and knows the caller's own deadline; two would only race.
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)


@dataclass(frozen=True, slots=True)
class Response:
    """One answer, read whole.

    Args:
        status: the status code.
        headers: case-insensitive.
        body: at most the client's `max_body` bytes.
        truncated: whether more followed that was not read.
        url: where it came from, after redirects.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool = False
    url: str = ""

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400  # noqa: PLR2004  the class of errors

    @property
    def text(self) -> str:
        """The body as UTF-8, what is not UTF-8 replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: it is none, or it was cut.
        """
        return _json.loads(self.body)


class GuardedClient:
    """Calls to other servers: retried, timed out, with a breaker for each host, bodies bounded.

    Its session is made at the first call and closed by `close()` (or `async with`).

    Args:
        timeout: seconds for one attempt, from connecting to the last byte.
        attempts: how often a call is made at most where it may be repeated.
        max_body: bytes of a response that are read, as sent and as decoded; the rest is cut off.
        headers: sent with every request.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of range.
    """

    def __init__(
        self,
        *,
        timeout: float = 10.0,
        attempts: int = 3,
        max_body: int = 1_048_576,
        headers: Mapping[str, str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._timeout = number("timeout", timeout, above=0)
        self._attempts = integer("attempts", attempts)
        self._max_body = integer("max_body", max_body, low=0)
        self._headers = {"Accept-Encoding": ENCODINGS, **(headers or {})}
        self._clock = clock
        self._calls: HttpCalls[URL, Response] = HttpCalls(
            self._guard, status="status", release=_nothing_held, cleared=(says_later, failed), tells=False
        )
        self._session: aiohttp.ClientSession | None = None

    def _guard(self, host: str) -> Pipeline:
        return Pipeline(
            Retry(
                self._attempts,
                on=_transient,
                on_result=says_later,
                clock=self._clock,
            ),
            CircuitBreaker(name=host, failed_result=failed, ignore=_blameless, clock=self._clock),
            name=f"http {host}",
            clock=self._clock,
        )

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        json: object = None,
        data: bytes | str | Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  of one attempt; the caller's own is above it
        idempotent: bool | None = None,
        redirects: bool = False,
    ) -> Response:
        """Send one request.

        Args:
            method: upper case.
            url: absolute.
            headers: beside the client's own.
            params: query parameters.
            json: sent as a JSON body.
            data: sent as it is, or as a form.
            timeout: seconds for one attempt instead of the client's.
            idempotent: whether it may be sent again; None lets the method and `Idempotency-Key` say.
            redirects: whether to follow redirects, to whatever host; off, a 3xx is returned as it is.

        Returns:
            the answer, whatever its status; no status raises.

        Raises:
            CircuitOpen: the host failed too often.
            TimeoutExceeded: no answer in time.
            aiohttp.ClientError: it could not be sent, or the connection broke.
            ValueError: the URL cannot be meant.
        """
        session = self._session
        if session is None or session.closed:
            session = self._session = aiohttp.ClientSession(
                headers=self._headers, trust_env=True, auto_decompress=False
            )
            # aiohttp's own retry of stale connections would double each attempt.
            session._retry_connection = False  # noqa: SLF001  it has no option
        sent = CIMultiDict({**self._headers, **(headers or {})})
        target = URL(url)
        seconds = self._timeout if timeout is None else number("timeout", timeout, above=0)

        async def attempt(target: URL) -> Response:
            try:
                async with (
                    deadline(seconds, clock=self._clock),
                    session.request(
                        method,
                        target,
                        headers=sent,
                        params=params,
                        json=json,
                        data=data,
                        allow_redirects=redirects,
                        timeout=_NO_TIMEOUT,
                    ) as response,
                ):
                    body, truncated = await read_body(response, self._max_body)
            except TimeoutError as error:
                message = f"{method} {target.host}: no answer within {seconds:g} s"
                raise TimeoutExceeded(message, policy="http", seconds=seconds) from error
            return Response(response.status, response.headers, body, truncated, str(response.url))

        return await self._calls.send(
            attempt,
            target,
            method=method,
            host=host_key(target.scheme, target.raw_host or "", target.port),
            repeatable=may_repeat(method, sent) if idempotent is None else idempotent,
        )

    async def get(self, url: str, **options: Any) -> Response:
        """`request("GET", ...)`."""
        return await self.request("GET", url, **options)

    async def post(self, url: str, **options: Any) -> Response:
        """`request("POST", ...)`; pass `idempotent=True` where the receiver recognises a repeat."""
        return await self.request("POST", url, **options)

    async def close(self) -> None:
        """Close the connections; the client can be used again afterwards."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _transient(error: BaseException) -> bool:
    return isinstance(error, _TRANSIENT) and not untrusted(error)


def _blameless(error: BaseException) -> bool:
    return isinstance(error, _MISTAKES) or blameless(error)


async def _nothing_held(response: Response) -> None:
    """A response that was read whole holds no connection."""
