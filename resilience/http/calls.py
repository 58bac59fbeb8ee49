"""One guarded HTTP call, whichever client makes it: a pipeline for each host, and no response left behind."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Generic, Protocol, TypeVar

from resilience.core.ports import Call, CallContext, Clock
from resilience.core.validate import integer
from resilience.core.verdict import Verdict
from resilience.errors import Rejected
from resilience.http.rules import code_label, known_method, verdict_of_status

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

    Raises:
        ConfigError: `hosts` is not at least 1.
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
    ) -> None:
        self._guard = guard
        self._status = status
        self._release = release
        self._clock = clock
        self._name = name
        self._record = record
        self._limit = integer("hosts", hosts)
        self._hosts: OrderedDict[str, G] = OrderedDict()

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
        open_: list[R] = []
        record, status, monotonic = self._record, self._status, self._clock.monotonic
        label = known_method(method)

        async def once() -> R:
            # Before the next attempt, or a pool of one waits for itself; a hedge's rival that
            # succeeded stays.
            for earlier in open_[:]:
                if verdict_of_status(status(earlier)) is not Verdict.SUCCESS:
                    open_.remove(earlier)
                    await self._release(earlier)
            started = monotonic()
            code, verdict = "", Verdict.FAILURE
            try:
                response = await attempt()
                open_.append(response)
                code, verdict = code_label(status(response)), verdict_of_status(status(response))
                return response
            except asyncio.CancelledError:
                verdict = Verdict.CANCELLED
                raise
            except Rejected:
                verdict = Verdict.REJECTED
                raise
            finally:
                if record is not None:
                    record(self._name, host, label, code, verdict, monotonic() - started)

        kept = None
        try:
            kept = await self.of(host).execute(once, CallContext(key=host, idempotent=repeatable))
            return kept
        finally:
            for response in open_:
                if response is not kept:
                    await self._release(response)

    def of(self, host: str) -> G:
        """Return what guards the calls to a host."""
        hosts = self._hosts
        guard = hosts.get(host)
        if guard is None:
            guard = hosts[host] = self._guard(host)
            if len(hosts) > self._limit:
                hosts.popitem(last=False)
        else:
            hosts.move_to_end(host)
        return guard
