"""One guarded HTTP call, whichever client makes it: a pipeline for each host, and no response left behind."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Generic, Protocol, TypeVar

from resilience.core.deadline import reason
from resilience.core.ports import Call, CallContext, Clock
from resilience.core.validate import integer, text
from resilience.core.verdict import Verdict
from resilience.errors import Rejected
from resilience.http.context import travelling_headers
from resilience.http.rules import code_label, host_name, known_method, verdict_of_status

__all__ = ["ClientRecorder", "Guarding", "HttpCalls"]

R = TypeVar("R")
T = TypeVar("T")
_HOSTS: Final = 1_000


class Guarding(Protocol):
    """What guards the calls to one host: a Pipeline, or any policy."""

    async def execute(self, call: Call[T], context: CallContext | None = None) -> T:
        """Run `call` and return what it returns."""


G = TypeVar("G", bound=Guarding)


class ClientRecorder(Protocol):
    """Where attempts are counted; `SliRecorder.client` is one. No answer is an empty code."""

    def __call__(  # noqa: PLR0917  called for each attempt: keywords would cost
        self, client: str, host: str, method: str, code: str, verdict: Verdict, seconds: float, /
    ) -> None:
        """Count one attempt."""


@dataclass(frozen=True, slots=True)
class _Host(Generic[G]):
    """What is kept for one host: its guard, the contexts of calls that may not and may be repeated, what it is told."""

    guard: G
    once_only: CallContext
    again: CallContext
    told: bool


class HttpCalls(Generic[R, G]):
    """Makes guarded calls for one client library.

    Args:
        guard: makes what guards the calls to a host, given the host's key.
        status: reads a response's status.
        release: gives a response's connection back, unread.
        clock: where time comes from.
        name: the client's, as a label.
        record: counts each attempt; None counts none.
        hosts: hosts that are remembered; the one that was not called for longest is forgotten first.
        deadlines_to: names of the hosts that are told how long an answer is of use and how much it matters, `*.internal`
            for all below; None for every host.

    Raises:
        ConfigError: `hosts` is not at least 1, or `deadlines_to` holds anything but text.
    """

    def __init__(
        self,
        guard: Callable[[str], G],
        *,
        status: Callable[[R], int],
        release: Callable[[R], Awaitable[None]],
        clock: Clock,
        name: str = "http",
        record: ClientRecorder | None = None,
        hosts: int = _HOSTS,
        deadlines_to: Collection[str] | None = None,
    ) -> None:
        self._guard = guard
        self._status = status
        self._release = release
        self._clock = clock
        self._name = name
        self._record = record
        self._limit = integer("hosts", hosts)
        self._told = (
            None if deadlines_to is None else [text("deadlines_to", name).lower() for name in deadlines_to]
        )
        self._hosts: OrderedDict[str, _Host[G]] = OrderedDict()

    async def send(
        self, attempt: Callable[[], Awaitable[R]], *, method: str, host: str, repeatable: bool
    ) -> R:
        """Make one call; what is left of the caller's time is for all its attempts.

        Args:
            attempt: sends the request once and returns the response, its body unread.
            method: upper case.
            host: the key of `rules.host_key`.
            repeatable: whether it may be sent again: its method, or key, allows that and its body can be.

        Returns:
            the last attempt's response, whatever its status; those of earlier attempts were released before
            the next attempt began.

        Raises:
            Rejected: a policy refused the call.
            TimeoutExceeded: its time was up.
            Exception: what the client's own attempt raised last.
        """
        held: list[R] = []
        record, status, monotonic = self._record, self._status, self._clock.monotonic

        async def once() -> R:
            if held:
                await self._drop_failed(held)
            started = monotonic()
            code, verdict = "", Verdict.FAILURE
            try:
                response = await attempt()
                held.append(response)
                answered = status(response)
                code, verdict = code_label(answered), verdict_of_status(answered)
                return response
            except asyncio.CancelledError as error:
                if reason(error) is error:  # else the time of the attempt was up, which is the host's failure
                    verdict = Verdict.CANCELLED
                raise
            except Rejected:
                verdict = Verdict.REJECTED
                raise
            finally:
                if record is not None:
                    record(self._name, host, known_method(method), code, verdict, monotonic() - started)

        kept = None
        remembered = self._remembered(host)
        try:
            kept = await remembered.guard.execute(
                once, remembered.again if repeatable else remembered.once_only
            )
            return kept
        finally:
            if kept is None or len(held) > 1:
                for response in held:
                    if response is not kept:
                        await self._release(response)

    async def _drop_failed(self, held: list[R]) -> None:
        """Release what failed before the next attempt, or a pool of one waits for itself; a hedge's rival stays."""
        for response in held[:]:
            if verdict_of_status(self._status(response)) is not Verdict.SUCCESS:
                held.remove(response)
                await self._release(response)

    def of(self, host: str) -> G:
        """Return what guards the calls to a host."""
        return self._remembered(host).guard

    def travelling(self, host: str) -> Mapping[str, str]:
        """Return the headers for the next attempt: what a host is told of the time that is left.

        Raises:
            TimeoutExceeded: nothing is left.
        """
        headers = travelling_headers()
        return headers if self._remembered(host).told else {}

    def _remembered(self, host: str) -> _Host[G]:
        hosts = self._hosts
        found = hosts.get(host)
        if found is None:
            told = self._told is None or any(fnmatchcase(host_name(host), pattern) for pattern in self._told)
            found = hosts[host] = _Host(
                self._guard(host),
                CallContext(key=host, idempotent=False),
                CallContext(key=host, idempotent=True),
                told,
            )
            if len(hosts) > self._limit:
                hosts.popitem(last=False)
        else:
            hosts.move_to_end(host)
        return found
