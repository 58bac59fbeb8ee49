"""What a Pipeline composes, refuses, describes, reloads and holds open."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from resilience.core.classify import Classifier
from resilience.core.clock import ManualClock
from resilience.core.deadline import remaining, timeout
from resilience.core.ports import CallContext
from resilience.core.verdict import Verdict
from resilience.core.window import CountWindow
from resilience.errors import BulkheadFull, CircuitOpen, ConfigError, Rejected, TimeoutExceeded
from resilience.policies import (
    Bulkhead,
    CircuitBreaker,
    Coalesce,
    Constant,
    Exponential,
    Fallback,
    Hedge,
    OutlierEjection,
    Pipeline,
    RateLimiter,
    Retry,
    Timeout,
)
from resilience.policies.order import CompositionWarning
from resilience.policies.pipeline import Reloaded, ReloadFailed


class Records:
    def __init__(self) -> None:
        self.seen: list[tuple[Verdict, float]] = []

    def record(self, verdict: Verdict, duration: float) -> None:
        self.seen.append((verdict, duration))


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


class TestCalls:
    async def test_it_decorates_and_keeps_the_signature(self) -> None:
        @Pipeline(Timeout(2), Retry(3))
        async def add(left: int, right: int = 2) -> int:
            """Add."""
            return left + right

        assert await add(1, right=4) == 5
        assert add.__doc__ == "Add."
        assert str(inspect.signature(add)) == "(left: 'int', right: 'int' = 2) -> 'int'"
        assert inspect.iscoroutinefunction(add)

    async def test_it_calls(self) -> None:
        async def add(left: int, right: int) -> int:
            return left + right

        assert await Pipeline(Timeout(2)).call(add, 1, right=4) == 5

    def test_a_plain_function_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="async def"):
            Pipeline(Timeout(2))(len)

    async def test_a_retry_makes_the_inner_layers_run_again(self, clock: ManualClock) -> None:
        answers = iter([ConnectionError(), ConnectionError(), "ok"])

        async def flaky() -> object:
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        breaker = CircuitBreaker(window=CountWindow(10), clock=clock)
        pipeline = Pipeline(Retry(3, backoff=Exponential(0.1), clock=clock), breaker)
        task = asyncio.ensure_future(pipeline.call(flaky))
        await clock.advance(5)
        assert await task == "ok"
        assert breaker.statistics().failures == 2

    async def test_the_total_timeout_counts_as_a_failure_of_the_breaker_inside(
        self, clock: ManualClock
    ) -> None:
        breaker = CircuitBreaker(window=CountWindow(10), clock=clock)
        pipeline = Pipeline(
            Timeout(1, clock=clock), Retry(2, clock=clock), breaker, Timeout(1, name="a", clock=clock)
        )
        for form in (pipeline.execute, pipeline.nested):
            task = asyncio.ensure_future(form(for_ever))
            await clock.advance(3)
            with pytest.raises(TimeoutExceeded):
                await task
        assert breaker.statistics().failures == 2

    async def test_a_cancellation_from_outside_counts_as_nothing(self) -> None:
        breaker, records = CircuitBreaker(window=CountWindow(10)), Records()
        pipeline = Pipeline(Timeout(10), breaker, recorder=records)
        task = asyncio.ensure_future(pipeline.call(for_ever))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert breaker.statistics().failures == 0
        assert [verdict for verdict, _ in records.seen] == [Verdict.CANCELLED]

    async def test_a_rejection_inside_is_no_failure_of_the_breaker_outside(self) -> None:
        breaker = CircuitBreaker(window=CountWindow(10))
        with pytest.warns(CompositionWarning):
            pipeline = Pipeline(breaker, Bulkhead(1))
        async with pipeline["bulkhead"].guard():
            with pytest.raises(BulkheadFull):
                await pipeline.call(for_ever)
        assert breaker.statistics().failures == 0

    async def test_an_open_breaker_is_not_retried(self) -> None:
        breaker = CircuitBreaker()
        breaker.isolate()
        with pytest.raises(CircuitOpen) as caught:
            await Pipeline(Retry(3), breaker).call(for_ever)
        assert not getattr(caught.value, "__notes__", None)

    async def test_only_the_nearer_of_two_deadlines_is_seen(self, clock: ManualClock) -> None:
        async def left() -> float | None:
            return remaining()

        pipeline = Pipeline(Timeout(5, clock=clock), Retry(2, clock=clock), Timeout(2, name="a", clock=clock))
        assert await pipeline.call(left) == 2
        async with timeout(1, clock=clock):
            assert await pipeline.call(left) == 1

    async def test_identity_reaches_the_policies_that_share_results(self) -> None:
        made = 0

        async def price(item: str) -> str:
            nonlocal made
            made += 1
            await asyncio.sleep(0)
            return item

        pipeline = Pipeline(Fallback(value=None), Coalesce(), Timeout(5))
        guarded = pipeline(price)
        assert await asyncio.gather(guarded("a"), guarded("a"), guarded("b")) == ["a", "a", "b"]
        assert made == 2
        assert await asyncio.gather(*(pipeline.call(price, "c") for _ in range(3))) == ["c"] * 3
        assert made == 3

    async def test_it_records_verdicts_and_durations(self, clock: ManualClock) -> None:
        records = Records()
        pipeline = Pipeline(
            Bulkhead(1, clock=clock),
            recorder=records,
            classifier=Classifier(failed_result=lambda code: code == 503),
        )

        async def answer(code: int) -> int:
            await clock.sleep(0.5)
            return code

        for code in (200, 503):
            task = asyncio.ensure_future(pipeline.call(answer, code))
            await clock.advance(1)
            await task
        assert records.seen == [(Verdict.SUCCESS, 0.5), (Verdict.FAILURE, 0.5)]

    async def test_a_pipeline_is_a_policy_of_another(self) -> None:
        inner = Pipeline(Retry(2), name="inner")
        assert await Pipeline(Timeout(5), inner).call(asyncio.sleep, 0, 7) == 7


class TestComposition:
    @pytest.mark.parametrize(
        ("policies", "words"),
        [
            ((), "at least one"),
            ((Timeout,), "made of policies"),
            ((3,), "made of policies"),
            ((Timeout(1), Retry(2), Timeout(2)), "must be at least the 2 s"),
            ((Bulkhead(1), Bulkhead(2)), "different names"),
            ((Bulkhead(1, clock=ManualClock()), Timeout(1)), "share one clock"),
        ],
    )
    def test_nonsense_is_refused(self, policies: tuple[object, ...], words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            Pipeline(*policies)

    def test_one_policy_stands_once(self) -> None:
        bulkhead = Bulkhead(1)
        with pytest.raises(ConfigError, match="once"):
            Pipeline(bulkhead, bulkhead)

    def test_the_order_that_works_is_silent(self) -> None:
        with warnings.catch_warnings(record=True) as complaints:
            warnings.simplefilter("always")
            Pipeline(
                Fallback(value=None),
                Coalesce(),
                Timeout(10),
                RateLimiter(10),
                Bulkhead(5),
                Hedge(0.5),
                Retry(3),
                CircuitBreaker(),
                Timeout(2),
            )
            Pipeline(Bulkhead(1), Timeout(1))
            Pipeline(Retry(3), Timeout(1))
        assert complaints == []

    @pytest.mark.parametrize(
        ("policies", "words"),
        [
            ((CircuitBreaker(), Retry(3)), "circuit breaker stands outside retry"),
            ((Retry(3), Bulkhead(1)), "retry stands outside bulkhead"),
            ((Retry(3), Timeout(1), CircuitBreaker()), "attempt timeout stands outside circuit breaker"),
            ((Timeout(1), Fallback(value=1), Retry(2)), "total timeout stands outside fallback"),
            ((OutlierEjection(), Retry(2)), "outlier ejection stands outside retry"),
        ],
    )
    def test_another_order_is_warned_of(self, policies: tuple[object, ...], words: str) -> None:
        with pytest.warns(CompositionWarning, match=words):
            Pipeline(*policies)

    def test_it_describes_itself(self) -> None:
        pipeline = Pipeline(
            Bulkhead(50, queue=10), Retry(2, backoff=Constant(1)), CircuitBreaker(), name="pay"
        )
        assert pipeline.describe().splitlines() == [
            "pipeline 'pay'",
            "  bulkhead: Bulkhead(limit=50, queue=10)",
            "    retry: Retry(attempts=2, backoff=Constant(seconds=1, jitter='none'))",
            "      circuit_breaker: CircuitBreaker()",
        ]

    def test_policies_are_found_by_name(self) -> None:
        breaker = CircuitBreaker(name="pay")
        pipeline = Pipeline(Retry(3), breaker, name="pay")
        assert pipeline.names() == ("retry", "circuit_breaker")
        assert pipeline["circuit_breaker"] is breaker
        assert list(pipeline) == list(pipeline.policies)
        with pytest.raises(KeyError):
            pipeline["bulkhead"]


class TestReload:
    async def test_it_keeps_counts_and_calls_in_flight(self) -> None:
        pipeline = Pipeline(Timeout(5), Bulkhead(1), Retry(2), CircuitBreaker(window=CountWindow(10)))
        heard: list[object] = []
        pipeline.events.subscribe(heard.append)
        gate = asyncio.Event()
        task = asyncio.ensure_future(pipeline.call(gate.wait))
        await asyncio.sleep(0)
        pipeline.reload({"timeout": {"seconds": 9}, "bulkhead": {"limit": 2}, "retry": {"attempts": 7}})
        assert pipeline["bulkhead"].statistics().in_flight == 1
        await pipeline.call(asyncio.sleep, 0)
        gate.set()
        assert await task
        assert pipeline["timeout"].seconds == 9
        assert pipeline["circuit_breaker"].statistics().calls == 2
        assert isinstance(heard[0], Reloaded)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"bulkhead": {"limit": 3}, "retry": {"attempts": 0}}, "attempts"),
            ({"bulkhead": {"limit": 3}, "hedge": {"delay": 0}}, "unknown policy 'hedge'"),
            ({"bulkhead": {"limit": 3}, "retry": {"colour": 0}}, "colour"),
            ({"bulkhead": {"limit": 3}, "timeout": {"seconds": 1}}, "must be at least the 2 s"),
        ],
    )
    def test_a_failed_one_changes_nothing_and_says_so(
        self, changes: dict[str, dict[str, object]], words: str
    ) -> None:
        pipeline = Pipeline(Timeout(5), Bulkhead(1), Retry(2), Timeout(2))
        heard: list[object] = []
        pipeline.events.subscribe(heard.append)
        with pytest.raises(ConfigError, match=words):
            pipeline.reload(changes)
        assert pipeline["bulkhead"].settings.limit == 1
        assert pipeline["timeout"].seconds == 5
        assert isinstance(heard[0], ReloadFailed)

    async def test_a_shorter_timeout_holds_for_the_next_call(self, clock: ManualClock) -> None:
        pipeline = Pipeline(Timeout(5, clock=clock))
        pipeline.reload({"timeout": {"seconds": 1}})
        task = asyncio.ensure_future(pipeline.call(for_ever))
        await clock.advance(1.1)
        with pytest.raises(TimeoutExceeded, match="within 1 s"):
            await task


class TestBlocks:
    async def test_a_block_is_guarded_by_all_layers(self) -> None:
        bulkhead, records = Bulkhead(1), Records()
        pipeline = Pipeline(Timeout(5), bulkhead, recorder=records)
        async with pipeline.guard():
            assert bulkhead.statistics().in_flight == 1
            assert remaining() is not None
        assert bulkhead.statistics().in_flight == 0
        assert [verdict for verdict, _ in records.seen] == [Verdict.SUCCESS]

    async def test_a_block_cannot_be_repeated(self) -> None:
        with pytest.raises(ConfigError, match="retry"):
            async with Pipeline(Retry(2)).guard():
                pass

    async def test_a_stream_holds_its_permit_until_the_block_ends(self) -> None:
        bulkhead = Bulkhead(1)
        closed = False

        async def lines(count: int) -> AsyncIterator[int]:
            nonlocal closed
            try:
                for number in range(count):
                    yield number
            finally:
                closed = True

        async with Pipeline(Timeout(5), bulkhead).stream(lines, 5) as stream:
            assert await anext(stream) == 0
            assert bulkhead.statistics().in_flight == 1
            assert remaining() is not None
        assert bulkhead.statistics().in_flight == 0
        assert closed

    async def test_an_empty_stream_and_a_context_manager(self) -> None:
        async def nothing() -> AsyncIterator[int]:
            return
            yield 1

        @asynccontextmanager
        async def connection(name: str) -> AsyncIterator[str]:
            yield f"to {name}"

        pipeline = Pipeline(Timeout(5))
        async with pipeline.stream(nothing) as stream:
            assert [item async for item in stream] == []
        async with pipeline.stream(connection, "db") as opened:
            assert opened == "to db"

    async def test_only_the_opening_is_retried(self) -> None:
        opened = 0

        async def lines() -> AsyncIterator[int]:
            nonlocal opened
            opened += 1
            if opened < 3:
                raise ConnectionError
            yield opened
            raise ConnectionError("later")

        bulkhead = Bulkhead(1)
        pipeline = Pipeline(bulkhead, Retry(3, backoff=Exponential(1e-6)), Timeout(5))
        with pytest.raises(ConnectionError, match="later"):
            async with pipeline.stream(lines) as stream:
                assert [item async for item in stream] == [3]
        assert opened == 3
        assert bulkhead.statistics().in_flight == 0

    async def test_what_cannot_hold_a_block_is_refused(self) -> None:
        async def lines() -> AsyncIterator[int]:
            yield 1

        with pytest.raises(ConfigError, match="hedge"):
            async with Pipeline(Hedge(0.1)).stream(lines):
                pass

    async def test_what_is_no_stream_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="async generator"):
            async with Pipeline(Timeout(1)).stream(asyncio.sleep, 0):
                pass

    async def test_a_deadline_ends_the_stream(self, clock: ManualClock) -> None:
        async def lines() -> AsyncIterator[int]:
            yield 1
            await for_ever()

        async def read() -> None:
            async with Pipeline(Timeout(2, clock=clock)).stream(lines) as stream:
                async for _ in stream:
                    pass

        task = asyncio.ensure_future(read())
        await clock.advance(3)
        with pytest.raises(TimeoutExceeded):
            await task


async def test_a_context_reaches_the_guards() -> None:
    seen: list[object] = []

    class Looking:
        name = "looking"
        holds = False

        def enter(self, now: float, context: CallContext | None) -> object:
            seen.append(context)
            return self

        async def wait(self, context: CallContext | None) -> object:
            raise Rejected("never")

        def leave(
            self, token: object, result: object, error: BaseException | None, started: float, now: float
        ) -> None:
            raise AssertionError

    context = CallContext(key="tenant")
    pipeline = Pipeline(Looking())

    async def call() -> int:
        return 1

    assert await pipeline.execute(call, context) == await pipeline.nested(call, context) == 1
    assert seen == [context, context]
