"""What HTTP adds to a pipeline: no response is left behind, and each attempt is counted.

Both are layers that write themselves into the generated function, one round all others and one inside them: two coroutines
of their own would cost more than all policies together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from resilience.core.deadline import reason
from resilience.core.ports import Call, CallContext
from resilience.core.verdict import Verdict
from resilience.errors import Rejected
from resilience.http.rules import LABELS, UNKNOWN, verdict_of_status
from resilience.policies.generate import Source

__all__ = ["Attempt", "ClientRecorder", "HttpContext", "Keep"]

R = TypeVar("R")
T = TypeVar("T")


class ClientRecorder(Protocol):
    """Where attempts are counted; `SliRecorder.client` is one. No answer is an empty code."""

    def __call__(  # noqa: PLR0917  called for each attempt: keywords would cost
        self, client: str, host: str, method: str, code: str, verdict: Verdict, seconds: float, /
    ) -> None:
        """Count one attempt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpContext(CallContext):
    """What is known of a call, made once for each host, method and leave to repeat.

    Args:
        host: the host's key.
        method: as a label.
    """

    host: str
    method: str


class _Layer:
    """Base: a layer is no policy of its own."""

    repeats = False
    unrolls = True

    async def execute(self, call: Call[T], context: CallContext | None = None) -> T:
        """Not asked: a generated function holds it."""
        raise NotImplementedError  # pragma: no cover  see above


class Keep(_Layer, Generic[R]):
    """Outermost: of the responses that came, release all but the one that is returned.

    Args:
        release: gives a response's connection back, unread.
    """

    name = "keep"

    def __init__(self, release: Callable[[R], Awaitable[None]]) -> None:
        self._release = release

    def unroll(self, source: Source, index: int, limits: tuple[int, ...], attempt: str) -> None:
        """Write the layer into a generated pipeline; see `generate.Unrolled`."""
        source.names["release_others"] = self.release_others
        source.line("held = []")
        with source.block("try:"):
            source.layers(index + 1, limits, attempt=attempt)
        with source.block("except BaseException:"):
            with source.block("if held:"):
                source.line("await release_others(held, None)")
            source.line("raise")
        with source.block("if len(held) != 1 or held[0] is not result:"):
            source.line("await release_others(held, result)")

    async def release_others(self, held: list[R], kept: R | None) -> None:
        """Release all but one."""
        for response in held:
            if response is not kept:
                await self._release(response)


class Attempt(_Layer, Generic[R]):
    """Innermost: count the attempt, once what the one before it has left behind is released.

    Args:
        client: the client's name, as a label.
        status: reads a response's status.
        release: gives a response's connection back, unread.
        record: counts each attempt.
    """

    name = "attempt"
    measures = True

    def __init__(
        self,
        client: str,
        status: Callable[[R], int],
        release: Callable[[R], Awaitable[None]],
        record: ClientRecorder,
    ) -> None:
        self._client = client
        self._status = status
        self._release = release
        self._record = record

    def unroll(
        self,
        source: Source,
        index: int,  # noqa: ARG002  nothing is inside
        limits: tuple[int, ...],
        attempt: str,  # noqa: ARG002  it would be counted in any case
    ) -> None:
        """Write the layer into a generated pipeline; see `generate.Unrolled`."""
        source.names |= {"attempts": self}
        with source.armed(limits):
            with source.block("if held:"):
                source.line("await attempts.drop_failed(held)")
                source.line("now = monotonic()")
            with source.block("try:"):
                source.line("result = await call()")
            with source.block("except BaseException as error:"):
                source.line("attempts.failed(context, error, monotonic() - now)")
                source.line("raise")
            source.line("held.append(result)")
            source.line("ended = monotonic()")
            source.line("attempts.answered(context, result, ended - now)")

    async def drop_failed(self, held: list[R]) -> None:
        """Release what failed before the next attempt, or a pool of one waits for itself; a hedge's rival stays."""
        for response in held[:]:
            if verdict_of_status(self._status(response)) is not Verdict.SUCCESS:
                held.remove(response)
                await self._release(response)

    def answered(self, context: HttpContext, response: R, seconds: float) -> None:
        """Count an attempt that was answered."""
        code, verdict = LABELS.get(self._status(response), UNKNOWN)
        self._record(self._client, context.host, context.method, code, verdict, seconds)

    def failed(self, context: HttpContext, error: BaseException, seconds: float) -> None:
        """Count an attempt that raised."""
        if isinstance(error, Rejected):
            verdict = Verdict.REJECTED
        elif isinstance(error, asyncio.CancelledError) and reason(error) is error:
            verdict = Verdict.CANCELLED
        else:  # or the time of the attempt was up, which is the host's failure
            verdict = Verdict.FAILURE
        self._record(self._client, context.host, context.method, "", verdict, seconds)
