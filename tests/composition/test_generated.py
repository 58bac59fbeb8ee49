"""The generated form of a pipeline does what its nested definition does, whatever happens to the calls."""

from __future__ import annotations

import asyncio
import gc
import linecache
import traceback
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience.core.clock import ManualClock
from resilience.core.deadline import remaining
from resilience.core.ports import Call, CallContext
from resilience.core.verdict import Verdict
from resilience.core.window import CountWindow, TimeWindow
from resilience.errors import Rejected
from resilience.policies.backoff import Exponential
from resilience.policies.base import WrappingPolicy
from resilience.policies.budget import TokenBudget
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.order import CompositionWarning
from resilience.policies.pipeline import Pipeline
from resilience.policies.rate_limiter import RateLimiter
from resilience.policies.retry import Retry
from resilience.policies.timeout import Timeout


class Records:
    def __init__(self) -> None:
        self.seen: list[tuple[Verdict, float]] = []

    def record(self, verdict: Verdict, duration: float) -> None:
        self.seen.append((verdict, round(duration, 6)))


class Onion(WrappingPolicy):
    """A user's own wrapping policy, which suspends before and after the call."""

    kind = "onion"

    async def execute(self, call: Call[Any], context: CallContext | None = None) -> Any:
        await self.clock.sleep(0.01)
        try:
            return await call()
        finally:
            await self.clock.sleep(0.01)


class Turnstile:
    """A user's own guard: nothing but the protocol."""

    name = "turnstile"
    holds = True

    def __init__(self) -> None:
        self.inside = 0
        self.seen: list[str] = []

    def enter(self, now: float, context: CallContext | None) -> object:
        self.inside += 1
        return self

    async def wait(self, context: CallContext | None) -> object:
        raise AssertionError

    def leave(
        self, token: object, result: object, error: BaseException | None, started: float, now: float
    ) -> None:
        self.inside -= 1
        self.seen.append(f"{result!r} {error!r} {now - started:.3f}")


LAYERS: dict[str, Callable[[ManualClock], Any]] = {
    "total": lambda clock: Timeout(4.0, name="total", clock=clock),
    "limiter": lambda clock: RateLimiter(2, per=1.0, max_wait=1.5, clock=clock),
    "bulkhead": lambda clock: Bulkhead(1, queue=1, max_wait=2.0, clock=clock),
    "onion": lambda clock: Onion(clock=clock),
    "turnstile": lambda _clock: Turnstile(),
    "retry": lambda clock: Retry(
        3, backoff=Exponential(0.21, jitter="none"), budget=TokenBudget(30), clock=clock
    ),
    "results": lambda clock: Retry(
        2,
        backoff=Exponential(0.13, jitter="none"),
        on_result=lambda result: result == "bad",
        name="results",
        clock=clock,
    ),
    "breaker": lambda clock: CircuitBreaker(
        window=CountWindow(4), minimum_calls=3, open_duration=1.7, half_open_permits=1, clock=clock
    ),
    "rolling": lambda clock: CircuitBreaker(
        window=TimeWindow(3.0, buckets=3),
        minimum_calls=2,
        slow_call_duration=0.7,
        slow_call_rate=0.5,
        consecutive_failures=3,
        open_duration=0.9,
        half_open_permits=2,
        name="rolling",
        clock=clock,
    ),
    "attempt": lambda clock: Timeout(1.0, name="attempt", clock=clock),
}
STANDARD = ("total", "limiter", "bulkhead", "retry", "breaker", "attempt")

durations = st.sampled_from([0.0, 0.31, 0.77, 1.43, 5.3])
steps = st.tuples(st.sampled_from(["ok", "ok", "bad", "error", "timeout", "rejected", "swallow"]), durations)


@dataclass(frozen=True)
class Caller:
    start: float
    script: tuple[tuple[str, float], ...]
    cancelled: float | None


callers = st.builds(
    Caller,
    start=st.sampled_from([0.0, 0.05, 0.6, 2.35]),
    script=st.lists(steps, min_size=1, max_size=4).map(tuple),
    cancelled=st.one_of(st.none(), st.none(), st.sampled_from([0.02, 0.41, 1.09, 2.63])),
)


def history(names: tuple[str, ...], crowd: list[Caller], form: str) -> list[Any]:
    """Everything that can be seen of a crowd that calls through one pipeline."""

    async def main() -> list[Any]:
        clock = ManualClock()
        records = Records()
        log: list[Any] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CompositionWarning)
            pipeline = Pipeline(*(LAYERS[name](clock) for name in names), recorder=records, clock=clock)
        for policy in pipeline:
            if hasattr(policy, "events"):
                policy.events.subscribe(lambda event: log.append(str(event)))
        tasks = [
            asyncio.create_task(one(number, caller, clock, pipeline, form, log))
            for number, caller in enumerate(crowd)
        ]
        for number, caller in enumerate(crowd):
            if caller.cancelled is not None:
                clock.call_at(clock.monotonic() + caller.start + caller.cancelled, tasks[number].cancel)
        await clock.advance(60)
        assert all(task.done() for task in tasks)
        log.append([outcome(task) for task in tasks])
        log.append([task.cancelling() for task in tasks])
        log.append(records.seen)
        log.extend(standing(policy) for policy in pipeline)
        return log

    return asyncio.run(main())


async def one(  # noqa: PLR0917  what one caller does
    number: int, caller: Caller, clock: ManualClock, pipeline: Pipeline, form: str, log: list[Any]
) -> Any:
    attempts = iter(caller.script)

    async def call() -> str:
        kind, duration = next(attempts, ("ok", 0.0))
        left = remaining()
        log.append((number, "called", round(clock.monotonic(), 6), None if left is None else round(left, 6)))
        try:
            if duration:
                await clock.sleep(duration)
        except asyncio.CancelledError:
            if kind == "swallow":
                return "swallowed"
            raise
        if kind == "error":
            raise ConnectionError(number)
        if kind == "timeout":
            raise TimeoutError("its own")
        if kind == "rejected":
            raise Rejected("further inside")
        return kind

    # What falls due at one moment comes in no particular order: no two callers begin together.
    await clock.sleep(caller.start + 0.003 * number)
    result = await getattr(pipeline, form)(call)
    log.append((number, "returned", round(clock.monotonic(), 6)))
    return result


def outcome(task: asyncio.Task[Any]) -> str:
    if task.cancelled():
        return "cancelled"
    error = task.exception()
    return repr(task.result()) if error is None else f"{error!r} {getattr(error, '__notes__', '')}"


def standing(policy: Any) -> str:
    if isinstance(policy, Turnstile):
        assert policy.inside == 0
        return str(policy.seen)
    return str(policy.statistics()) if hasattr(policy, "statistics") else ""


@settings(max_examples=120, deadline=None)
@given(st.lists(callers, min_size=1, max_size=4))
def test_the_standard_pipeline(crowd: list[Caller]) -> None:
    assert history(STANDARD, crowd, "execute") == history(STANDARD, crowd, "nested")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=7, unique=True).filter(
        lambda names: (
            not ("total" in names and "attempt" in names and names.index("attempt") < names.index("total"))
        )
    ),
    st.lists(callers, min_size=1, max_size=3),
)
def test_any_pipeline(names: list[str], crowd: list[Caller]) -> None:
    layers = tuple(names)
    assert history(layers, crowd, "execute") == history(layers, crowd, "nested")


@pytest.mark.parametrize("at", range(12))
@pytest.mark.parametrize("form", ["execute", "nested"])
async def test_cancelled_at_any_suspension_it_leaves_nothing(form: str, at: int) -> None:
    bulkhead, breaker = Bulkhead(1, queue=5), CircuitBreaker(window=CountWindow(10))
    pipeline = Pipeline(Timeout(10), bulkhead, Retry(3, backoff=Exponential(1e-9, jitter="none")), breaker)
    made = 0

    async def call() -> None:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if made < 3:
            raise ConnectionError

    run: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]] = getattr(pipeline, form)
    task = asyncio.ensure_future(run(call))
    for _ in range(at):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert bulkhead.statistics().in_flight == 0
    await pipeline.call(asyncio.sleep, 0)


def test_more_layers_than_python_nests_blocks() -> None:
    async def main() -> int:
        policies = [Bulkhead(5, name=f"bulkhead {number}") for number in range(40)]
        result = await Pipeline(Timeout(5), *policies).call(asyncio.sleep, 0, 7)
        assert all(policy.statistics().in_flight == 0 for policy in policies)
        return result

    assert asyncio.run(main()) == 7


async def test_tracebacks_show_the_generated_source() -> None:
    async def fail() -> None:
        raise KeyError

    pipeline = Pipeline(Bulkhead(3), name="pay")
    with pytest.raises(KeyError) as caught:
        await pipeline.call(fail)
    text = "".join(traceback.format_exception(caught.value))
    assert "<pipeline pay" in text
    assert "result = await call()" in text


@pytest.mark.parametrize("policies", [(Timeout(5), Bulkhead(3)), (Timeout(5),)])
async def test_tracebacks_show_the_source_around_a_decorated_function(policies: tuple[Any, ...]) -> None:
    @Pipeline(*policies)
    async def fail() -> None:
        raise KeyError

    gc.collect()
    with pytest.raises(KeyError) as caught:
        await fail()
    assert "result = await function(*args, **kwargs)" in "".join(traceback.format_exception(caught.value))


async def test_tracebacks_show_the_source_around_a_function_with_a_timeout() -> None:
    @Timeout(5)
    async def fail() -> None:
        raise KeyError

    Timeout(5)(fail)
    gc.collect()
    with pytest.raises(KeyError) as caught:
        await fail()
    assert "result = await function(*args, **kwargs)" in "".join(traceback.format_exception(caught.value))


def test_the_source_goes_with_its_pipeline() -> None:
    pipeline = Pipeline(Bulkhead(3), name="short-lived")
    asyncio.run(pipeline.call(asyncio.sleep, 0))  # generated on first use
    assert any("short-lived" in name for name in linecache.cache)
    del pipeline
    gc.collect()
    assert not any("short-lived" in name for name in linecache.cache)
