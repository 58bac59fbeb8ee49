"""Whether a URL answers as it should, and how long each phase takes."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import aiohttp

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.options import named_options
from resilience.core.ports import CheckResult, Clock, Status
from resilience.core.secret import secret_url
from resilience.core.validate import choice, integer, number, text
from resilience.http.bodies import ENCODINGS, read_body
from resilience.http.rules import METHODS
from resilience.probes._levels import slowness

__all__ = ["Answer", "HttpProbe"]

_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)  # whoever looks sets one


class Answer(NamedTuple):
    """What came back."""

    status: int
    content_type: str
    body: bytes
    observed: Mapping[str, float]


@named_options
class HttpProbe:
    """Sends one request on a new connection.

    Not through the guarded client: behind a breaker, or retried, a probe would tell of the guard and not of the server.
    The figures are blackbox_exporter's phases: `resolve_seconds`, `connect_seconds` (TLS included), `processing_seconds`
    (to the first byte), `transfer_seconds`.

    Args:
        url: an http or https URL; it may hold a secret and is not shown.
        method: upper case; GET by default.
        statuses: the codes that are good; 200 to 299 by default.
        contains: text that the body must hold.
        headers: sent with the request.
        data: the request's body.
        redirects: whether redirects are followed.
        max_body: bytes of the body that are read, as sent and as decoded.
        degraded_above: seconds for the whole above which it is degraded; None for no such limit.
        context: whom to trust; the system's authorities by default.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of its range.
    """

    outside: Final = True

    def __init__(
        self,
        url: str,
        *,
        method: str = "GET",
        statuses: Collection[int] = range(200, 300),
        contains: str | None = None,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        redirects: bool = False,
        max_body: int = 65_536,
        degraded_above: float | None = None,
        context: ssl.SSLContext | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._url = secret_url("url", url)
        self._method = choice("method", method, METHODS)
        self._statuses = frozenset(integer("statuses", each, low=100, high=599) for each in statuses)
        self._contains = None if contains is None else text("contains", contains).encode()
        self._headers = {"Accept-Encoding": ENCODINGS, **(headers or {})}
        self._data = data
        self._redirects = redirects
        self._max_body = integer("max_body", max_body, low=0)
        self._slow = None if degraded_above is None else number("degraded_above", degraded_above, above=0)
        self._context = context
        self._clock = clock

    async def check(self) -> CheckResult:
        """Ask once.

        Raises:
            aiohttp.ClientError: there was no answer.
        """
        return self.judge(await self.ask())

    def judge(self, answer: Answer) -> CheckResult:
        """Say what an answer means."""
        if answer.status not in self._statuses:
            return CheckResult(Status.UNHEALTHY, f"answered {answer.status}", answer.observed)
        if self._contains is not None and self._contains not in answer.body:
            return CheckResult(Status.UNHEALTHY, "the body does not hold what it should", answer.observed)
        status = slowness(self._slow, answer.observed["total_seconds"])
        return CheckResult(status, f"answered {answer.status}", answer.observed)

    async def ask(self) -> Answer:
        """Send the request and read the answer.

        Raises:
            aiohttp.ClientError: there was none.
        """
        phases = _Phases(self._clock)
        connector = aiohttp.TCPConnector(
            ssl=True if self._context is None else self._context, force_close=True
        )
        async with (
            aiohttp.ClientSession(
                connector=connector, trace_configs=[phases.trace()], auto_decompress=False
            ) as session,
            session.request(
                self._method,
                self._url.reveal(),
                headers=self._headers,
                data=self._data,
                allow_redirects=self._redirects,
                timeout=_NO_TIMEOUT,
            ) as response,
        ):
            phases.answered()
            body, _ = await read_body(response, self._max_body)
            return Answer(response.status, response.content_type, body, phases.done())


class _Phases:
    """How long the phases of one request take; of redirects, all hops together."""

    def __init__(self, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        self._started = clock.monotonic()
        self._marks: dict[str, float] = {}
        self._observed: dict[str, float] = {}

    def trace(self) -> aiohttp.TraceConfig:
        trace = aiohttp.TraceConfig()
        trace.on_dns_resolvehost_start.append(self._begin("resolve"))
        trace.on_dns_resolvehost_end.append(self._end("resolve"))
        trace.on_connection_create_start.append(self._begin("connect"))
        trace.on_connection_create_end.append(self._end("connect"))
        return trace

    def _begin(self, phase: str) -> Any:
        async def begin(session: aiohttp.ClientSession, context: SimpleNamespace, params: object) -> None:  # noqa: ARG001  a TraceConfig's
            self._marks[phase] = self._monotonic()

        return begin

    def _end(self, phase: str) -> Any:
        async def end(session: aiohttp.ClientSession, context: SimpleNamespace, params: object) -> None:  # noqa: ARG001  a TraceConfig's
            self._add(phase, self._monotonic() - self._marks[phase])

        return end

    def _add(self, phase: str, seconds: float) -> None:
        key = f"{phase}_seconds"
        self._observed[key] = self._observed.get(key, 0.0) + seconds

    def answered(self) -> None:
        """Note that the headers are there."""
        now = self._monotonic()
        # Resolving is part of making a connection, which aiohttp times as a whole.
        connect = self._observed.get("connect_seconds", 0.0)
        self._observed["connect_seconds"] = max(0.0, connect - self._observed.get("resolve_seconds", 0.0))
        self._observed["processing_seconds"] = max(0.0, now - self._started - connect)
        self._marks["answered"] = now

    def done(self) -> Mapping[str, float]:
        """Return the figures."""
        now = self._monotonic()
        transfer = now - self._marks["answered"]
        return {**self._observed, "transfer_seconds": transfer, "total_seconds": now - self._started}
