"""One guarded HTTP call, whichever client makes it: a pipeline for each host, and no response left behind."""

from __future__ import annotations

import functools
import heapq
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, Generic, TypedDict, TypeVar

from resilience.core.validate import flag, integer, text
from resilience.http.context import DEADLINE_HEADER
from resilience.http.layers import Attempt, ClientRecorder, HttpContext, Keep
from resilience.http.rules import IDEMPOTENT, host_name, known_method, retried_methods, unprocessed
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.pipeline import Pipeline

__all__ = ["CallOptions", "HttpCalls"]

Q = TypeVar("Q")
R = TypeVar("R")
_HOSTS: Final = 1_000


class CallOptions(TypedDict):
    """Options of a client that are passed to `HttpCalls` unchanged."""

    deadlines_to: Collection[str] | None
    retry_methods: Collection[str]
    retry_unprocessed: bool


@dataclass(slots=True)
class _Host(Generic[Q, R]):
    """What is kept for one host: its guard, the calls made through it, what is known of them, whether it is told.

    And `turn`, which of all calls was the last one to it.
    """

    key: str
    guard: Pipeline
    execute: Callable[[Callable[[Q], Awaitable[R]], Q, HttpContext], Coroutine[Any, Any, R]]
    told: bool
    turn: int = 0
    repeatable: dict[str, HttpContext] = field(default_factory=dict)
    once: dict[str, HttpContext] = field(default_factory=dict)
    unless_processed: dict[str, HttpContext] = field(default_factory=dict)

    @property
    def barred(self) -> bool:
        """True if a breaker of the host is not closed: to forget it would admit calls again."""
        return any(isinstance(policy, CircuitBreaker) and policy.state != "closed" for policy in self.guard)

    def context(self, method: str, contexts: dict[str, HttpContext]) -> HttpContext:
        """Return what is known of such calls, from one of the tables; all methods that are none of HTTP's are one."""
        label = known_method(method)
        found = contexts.get(label)
        if found is None:
            found = contexts[label] = HttpContext(
                key=self.key,
                idempotent=contexts is self.repeatable,
                unprocessed=unprocessed if contexts is self.unless_processed else None,
                host=self.key,
                method=label,
            )
        return found


class HttpCalls(Generic[Q, R]):
    """Makes guarded calls for one client library.

    Args:
        guard: makes what guards the calls to a host, given the host's key.
        status: the attribute of a response that is its status.
        release: gives a response's connection back, unread.
        name: the client's, as a label.
        record: finds where attempts are counted; None counts none.
        cleared: the predicates of the guards that hold for no response whose verdict is success: they are not asked then.
        header: `X-Request-Deadline`, as the client's headers like it best.
        tells: whether a request has `headers`, and its host is told in them what `context.tell` says.
        hosts: hosts that are remembered; those not called for longest are forgotten first, but after them those whose
            breaker is open.
        deadlines_to: names of the hosts that are told how long an answer is of use and how much it matters, `*.internal`
            for all below; None for every host.
        retry_methods: methods that are retried without an `Idempotency-Key`.
        retry_unprocessed: also retry every other method after a response for which `rules.unprocessed` holds.

    Raises:
        ConfigError: `hosts` is not at least 1, or another option is invalid.
    """

    def __init__(
        self,
        guard: Callable[[str], Pipeline],
        *,
        status: str,
        release: Callable[[R], Awaitable[None]],
        name: str = "http",
        record: ClientRecorder | None = None,
        cleared: Collection[Callable[[R], bool]] = (),
        header: str = DEADLINE_HEADER,
        tells: bool = True,
        hosts: int = _HOSTS,
        deadlines_to: Collection[str] | None = None,
        retry_methods: Collection[str] = IDEMPOTENT,
        retry_unprocessed: bool = False,
    ) -> None:
        self._guard = guard
        self.retry_methods: frozenset[str] = retried_methods(retry_methods)
        self._retry_unprocessed = flag("retry_unprocessed", retry_unprocessed)
        self._keep = Keep(release, cleared)
        self._attempt = functools.partial(Attempt, name, status, release, record, header=header)
        self._tells = tells
        self._limit = integer("hosts", hosts)
        self._told = (
            None if deadlines_to is None else [text("deadlines_to", name).lower() for name in deadlines_to]
        )
        self._hosts: dict[str, _Host[Q, R]] = {}
        self._turn = 0

    # A plain function that returns the coroutine, here and below: one that only hands on costs as much as a policy.
    def send(  # noqa: PLR0917  as hot as a policy: keywords would cost
        self,
        attempt: Callable[[Q], Awaitable[R]],
        request: Q,
        method: str,
        host: str,
        repeatable: bool,  # noqa: FBT001  see above
        replayable: bool = False,  # noqa: FBT001, FBT002  see above
    ) -> Coroutine[Any, Any, R]:
        """Make one call; what is left of the caller's time is for all its attempts.

        Args:
            attempt: sends a request once and returns the response, its body unread.
            request: the request.
            method: upper case.
            host: the key of `rules.host_key`.
            repeatable: whether it may be sent again: its method, or key, allows that and its body can be.
            replayable: True if its body can be sent again, whatever its method.

        Returns:
            the last attempt's response, whatever its status; those of earlier attempts were released before
            the next attempt began.

        Raises:
            Rejected: a policy refused the call.
            TimeoutExceeded: its time was up.
            Exception: what the client's own attempt raised last.
        """
        found = self._hosts.get(host) or self._remember(host)
        found.turn = self._turn = self._turn + 1
        if repeatable:
            contexts = found.repeatable
        else:
            contexts = found.unless_processed if replayable and self._retry_unprocessed else found.once
        return found.execute(attempt, request, contexts.get(method) or found.context(method, contexts))

    def of(self, host: str) -> Pipeline:
        """Return what guards the calls to a host."""
        return self._remembered(host).guard

    def told(self, host: str) -> bool:
        """Whether a host is told how long an answer is of use; by `context.tell`, where its requests are not told here."""
        return self._told is None or self._remembered(host).told

    def _remembered(self, host: str) -> _Host[Q, R]:
        return self._hosts.get(host) or self._remember(host)

    def _remember(self, host: str) -> _Host[Q, R]:
        told = self._told is None or any(fnmatchcase(host_name(host), pattern) for pattern in self._told)
        guard = self._guard(host)
        attempt = self._attempt(told=told if self._tells else None)
        if len(self._hosts) >= self._limit:
            self._forget()
        found = self._hosts[host] = _Host(host, guard, guard.extended(self._keep, attempt), told, self._turn)
        return found

    def _forget(self) -> None:
        """Forget a tenth of the hosts: those not called for longest, and those with an open breaker last."""
        # Several in one go, because the search costs as much for one.
        count = max(1, self._limit // 10)
        for host in heapq.nsmallest(count, self._hosts.values(), key=lambda host: (host.barred, host.turn)):
            del self._hosts[host.key]
