"""What HTTP adds to a pipeline: no response is left behind, and each attempt is counted.

Both are layers that write themselves into the generated function, one round all others and one inside them: two coroutines
of their own would cost more than all policies together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from sys import modules
from typing import Generic, Protocol, TypeVar

from resilience.core.classify import rejection
from resilience.core.deadline import reason
from resilience.core.ports import Call, CallContext
from resilience.core.verdict import Verdict
from resilience.http.context import DEADLINE_HEADER, TRACING, criticality, format_budget, tell
from resilience.http.rules import LABELS, OTHER, UNKNOWN, verdict_of_status
from resilience.policies.generate import Source

__all__ = ["Attempt", "ClientRecorder", "HttpContext", "Keep", "Series"]

R = TypeVar("R")
T = TypeVar("T")


class Series(Protocol):
    """Where attempts of one kind are counted; `signals.sli.ClientSeries` is one, and says what this means."""

    columns: tuple[int, ...]
    fastest: float
    values: list[float]

    def bucket(self, seconds: float) -> int:
        """Return how far behind the sum of durations the bucket of one is counted."""

    def finish(self, seconds: float) -> None:
        """Count one attempt."""


class ClientRecorder(Protocol):
    """Finds where attempts are counted; `SliRecorder.client_series` is one. No answer is an empty code."""

    def __call__(self, client: str, host: str, method: str, code: str, verdict: Verdict, /) -> Series:
        """Return where such attempts are counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpContext(CallContext):
    """What is known of a call, made once for each host, method and leave to repeat.

    Args:
        host: the host's key.
        method: as a label.
        answers: of each status that was seen: whether nothing is wrong with it, and where it is counted.
    """

    host: str
    method: str
    answers: dict[int, tuple[bool, Series | None]] = field(default_factory=dict, repr=False, compare=False)


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
        cleared: the predicates of the policies that hold for no response whose verdict is success.
    """

    name = "keep"

    def __init__(
        self, release: Callable[[R], Awaitable[None]], cleared: Collection[Callable[[R], bool]] = ()
    ) -> None:
        self._release = release
        self._cleared = cleared

    def unroll(self, source: Source, index: int, limits: tuple[int, ...], attempt: str) -> None:
        """Write the layer into a generated pipeline; see `generate.Unrolled`."""
        source.names["release_others"] = self.release_others
        source.cleared = self._cleared
        source.line("held, result = [], None")
        with source.block("try:"):
            source.layers(index + 1, limits, attempt=attempt)
        with source.block("except BaseException:"):
            if source.sound:
                # What is sound was not held: nearly all are, and to hold one costs as much as a policy.
                source.names["hold"] = hold
                source.line("hold(held, result)")
            with source.block("if held:"):
                source.line("await release_others(held, None)")
            source.line("raise")
        with source.block("if held and (len(held) != 1 or held[0] is not result):"):
            source.line("await release_others(held, result)")

    async def release_others(self, held: list[R], kept: R | None) -> None:
        """Release all but one."""
        for response in held:
            if response is not kept:
                await self._release(response)


def hold(held: list[R], response: R | None) -> None:
    """Hold a response, if there is one that is not held yet."""
    if response is not None and all(other is not response for other in held):
        held.append(response)


class Attempt(_Layer, Generic[R]):
    """Innermost: count the attempt, once what the one before it has left behind is released.

    Args:
        client: the client's name, as a label.
        status: the attribute of a response that is its status.
        release: gives a response's connection back, unread.
        record: finds where attempts are counted; None counts none.
        told: whether the host is told how long its answer is of use; None where somebody else sees to that.
        header: the name under which it is told.
    """

    name = "attempt"
    measures = True

    def __init__(
        self,
        client: str,
        status: str,
        release: Callable[[R], Awaitable[None]],
        record: ClientRecorder | None,
        *,
        told: bool | None,
        header: str = DEADLINE_HEADER,
    ) -> None:
        self._client = client
        self._status = status
        self._release = release
        self._record = record
        self._told = told
        self._header = header
        self._budgets: dict[float, str] = {}

    def unroll(
        self,
        source: Source,
        index: int,
        limits: tuple[int, ...],
        attempt: str,  # noqa: ARG002  it would be counted in any case
    ) -> None:
        """Write the layer into a generated pipeline; see `generate.Unrolled`."""
        source.names |= {"HEADER": self._header, "attempts": self, "tell": tell}
        with source.armed(limits):
            source.line("again = len(held)")
            with source.block("if again:"):
                source.line("await attempts.drop_failed(held)")
                source.line("result = None")
                source.line("now = monotonic()")
            with source.block("try:"):
                self._tell(source, index, limits)
                source.line("result = await send(request)")
            with source.block("except BaseException as error:"):
                source.line("attempts.failed(context, error, monotonic() - now)")
                source.line("raise")
            source.line("ended = monotonic()")
            source.line(f"status = result.{self._status}")
            source.line("sound, series = context.answers.get(status) or attempts.answer(context, status)")
            if source.inside:
                source.line("held.append(result)")
            else:
                with source.block("if not sound:"):
                    source.line("held.append(result)")
            if self._record is not None:
                self._count(source)
        source.sound = True

    def _tell(self, source: Source, index: int, limits: tuple[int, ...]) -> None:
        """Write what the host is told; without a call, where that is no more than how long this attempt may take."""
        if self._told is None:
            return
        slowly = f"tell(request.headers, {self._told}, HEADER)"
        if not self._told or index - 1 not in limits:
            source.line(slowly)
            return
        source.names |= {
            "TRACING": TRACING,
            "budgets": self._budgets,
            "criticality": criticality,
            "modules": modules,
        }
        limit = f"limit{index - 1}"
        with source.block(
            f"if when is {limit} and when < NEVER and outer is None and not again"
            " and criticality.get() is None and TRACING not in modules:"
        ):
            seconds = f"timeout{index - 1}.limit"
            source.line(f"request.headers[HEADER] = budgets.get({seconds}) or attempts.budget({seconds})")
        with source.block("else:"):
            source.line(slowly)

    def budget(self, seconds: float) -> str:
        """Write a budget, which nearly all attempts have in common."""
        text = self._budgets[seconds] = format_budget(seconds)
        return text

    @staticmethod
    def _count(source: Source) -> None:
        """Write `series.finish`, without a call."""
        source.line("seconds = ended - now")
        source.line("place = 1 if seconds <= series.fastest else series.bucket(seconds)")
        # No call from here on, so no other thread comes between: see `signals.instruments.Cell`.
        source.line("values, (count, duration) = series.values, series.columns")
        with source.block("try:"):
            source.line("values[count] += 1.0")
        with source.block("except IndexError:"):
            source.line("series.finish(seconds)")
        with source.block("else:"):
            source.line("values[duration] += seconds")
            source.line("values[duration + place] += 1.0")

    async def drop_failed(self, held: list[R]) -> None:
        """Release what failed before the next attempt, or a pool of one waits for itself; a hedge's rival stays."""
        for response in held[:]:
            if verdict_of_status(getattr(response, self._status)) is not Verdict.SUCCESS:
                held.remove(response)
                await self._release(response)

    def answer(self, context: HttpContext, status: int) -> tuple[bool, Series | None]:
        """Find what is known of a status that is seen for the first time."""
        code, verdict = LABELS.get(status, UNKNOWN)
        found = verdict is Verdict.SUCCESS, self._series(context, code, verdict)
        if code != OTHER:
            context.answers[status] = found
        return found

    def failed(self, context: HttpContext, error: BaseException, seconds: float) -> None:
        """Count an attempt that raised."""
        if rejection(error) is not None:
            verdict = Verdict.REJECTED
        elif isinstance(error, asyncio.CancelledError) and reason(error) is error:
            verdict = Verdict.CANCELLED
        else:  # or the time of the attempt was up, which is the host's failure
            verdict = Verdict.FAILURE
        if (series := self._series(context, "", verdict)) is not None:
            series.finish(seconds)

    def _series(self, context: HttpContext, code: str, verdict: Verdict) -> Series | None:
        record = self._record
        return None if record is None else record(self._client, context.host, context.method, code, verdict)
