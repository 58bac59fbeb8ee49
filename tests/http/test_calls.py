"""One guarded call: what is released, what is counted, what is remembered."""

from __future__ import annotations

import asyncio
import gc
import linecache
import traceback
import tracemalloc
from dataclasses import dataclass
from typing import Any

import pytest

from resilience.core.clock import ManualClock
from resilience.core.deadline import timeout
from resilience.core.verdict import Verdict
from resilience.errors import CircuitOpen, ConfigError, TimeoutExceeded
from resilience.http.calls import HttpCalls
from resilience.http.context import criticality
from resilience.http.preset import HostPipelines, for_http
from resilience.http.rules import says_later
from resilience.policies.base import WrappingPolicy
from resilience.policies.budget import TokenBudget
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.pipeline import Pipeline
from resilience.policies.presets import API_CALLS
from resilience.policies.rate_limiter import RateLimiter
from resilience.policies.retry import Retry
from resilience.policies.retry_switch import retries_without_waiting
from resilience.policies.timeout import Timeout
from resilience.reliability import Reliability
from tests.waiting import PATIENCE


@dataclass(eq=False)
class Answer:
    status: int
    released: bool = False


@dataclass
class Series:
    """Of which nobody knows the columns."""

    counted: Any
    columns: tuple[int, ...] = (1 << 62, 1 << 62)
    fastest: float = 0.0
    values: tuple[float, ...] = ()

    def bucket(self, seconds: float) -> int:
        return 1

    def finish(self, seconds: float) -> None:
        self.counted()


def calls_of(guard: Any, log: Any = None, **options: Any) -> Any:
    async def release(answer: Any) -> None:
        assert not answer.released
        answer.released = True

    def record(*seen: Any) -> Any:
        return Series(lambda: log.append(seen))

    return HttpCalls(
        lambda host: guard,
        release=release,
        record=None if log is None else record,
        **{"status": "status", "tells": False, **options},
    )


def retrying() -> Any:
    return Pipeline(Retry(3, on_result=says_later))


async def send(calls: Any, attempt: Any, *, repeatable: Any = True) -> Any:
    with retries_without_waiting():
        return await calls.send(
            lambda request: attempt(), None, method="GET", host="h", repeatable=repeatable
        )


async def test_each_failed_answer_is_released_before_the_next_attempt() -> None:
    answers = []

    async def attempt() -> Any:
        assert all(answer.released for answer in answers)
        answers.append(Answer(503))
        return answers[-1]

    last = await send(calls_of(retrying()), attempt)
    assert last is answers[-1]
    assert [answer.released for answer in answers] == [True, True, False]


async def test_an_answer_is_released_when_a_later_attempt_raises() -> None:
    first = Answer(503)
    script = [first, OSError(), OSError()]

    async def attempt() -> Any:
        outcome = script.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    with pytest.raises(OSError):
        await send(calls_of(retrying()), attempt)
    assert first.released


async def test_a_call_that_is_not_repeatable_is_made_once() -> None:
    made = []

    async def attempt() -> Any:
        made.append(Answer(503))
        return made[-1]

    assert (await send(calls_of(retrying()), attempt, repeatable=False)).status == 503
    assert len(made) == 1


async def test_attempts_are_counted_one_by_one() -> None:
    log = []
    script = [Answer(503), OSError(), Answer(200)]

    async def attempt() -> Any:
        outcome = script.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    await send(calls_of(retrying(), log, name="shop"), attempt)
    assert log == [
        ("shop", "h", "GET", "503", Verdict.FAILURE),
        ("shop", "h", "GET", "", Verdict.FAILURE),
        ("shop", "h", "GET", "200", Verdict.SUCCESS),
    ]


async def test_an_attempt_whose_time_is_up_is_a_failure_of_the_host() -> None:
    log: list[Any] = []

    async def hangs() -> Any:
        await asyncio.Event().wait()

    calls = calls_of(Pipeline(Timeout(0.01)), log)
    with pytest.raises(TimeoutExceeded):
        await send(calls, hangs)
    assert log == [("http", "h", "GET", "", Verdict.FAILURE)]


async def test_a_refusal_inside_an_attempt_is_rejected_and_a_cancellation_cancelled() -> None:
    log = []

    async def refused() -> None:
        raise CircuitOpen("open")

    async def hangs() -> None:
        await asyncio.Event().wait()

    calls = calls_of(retrying(), log)
    with pytest.raises(CircuitOpen):
        await send(calls, refused)
    task = asyncio.create_task(send(calls, hangs))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [seen[4] for seen in log] == [Verdict.REJECTED, Verdict.CANCELLED]


async def nothing(answer: Any) -> None:
    pass


async def test_the_host_forgotten_first_is_the_one_not_called_for_longest() -> None:
    made = []

    def guard(host: Any) -> Any:
        made.append(host)
        return retrying()

    async def attempt(request: Any) -> Any:
        return Answer(200)

    calls = HttpCalls(guard, status="status", release=nothing, hosts=2, tells=False)
    for host in ("a", "b", "a", "c", "a", "b"):
        await calls.send(attempt, None, method="GET", host=host, repeatable=True)
    assert made == ["a", "b", "c", "b"]


async def test_an_idle_host_whose_breaker_is_open_is_forgotten_last(clock: ManualClock) -> None:
    async def nothing(answer: Any) -> None: ...

    async def answer(request: int) -> Any:
        return Answer(request)

    def guard(host: str) -> Pipeline:
        return Pipeline(
            CircuitBreaker(
                consecutive_failures=1, failed_result=lambda answer: answer.status == 500, clock=clock
            )
        )

    calls: HttpCalls[int, Answer] = HttpCalls(guard, status="status", release=nothing, hosts=20, tells=False)
    await calls.send(answer, 500, "GET", "broken", True)
    for number in range(200):
        await calls.send(answer, 200, "GET", f"host {number}", True)
    with pytest.raises(CircuitOpen):
        await calls.send(answer, 200, "GET", "broken", True)


async def test_hosts_whose_breakers_are_open_are_bounded_too(clock: ManualClock) -> None:
    made: list[str] = []

    def guard(host: str) -> Pipeline:
        made.append(host)
        pipeline = Pipeline(breaker := CircuitBreaker(clock=clock))
        breaker.open()
        return pipeline

    calls = HttpCalls(guard, status="status", release=None, hosts=20, tells=False)  # type: ignore[arg-type]  not called
    for number in range(30):
        calls.of(f"host {number}")
    calls.of("host 0")
    assert made.count("host 0") == 2


def test_no_hosts_is_refused() -> None:
    with pytest.raises(ConfigError, match="hosts"):
        calls_of(retrying(), hosts=0)


def guarded(*policies: Any, clock: Any) -> Any:
    return Pipeline(*policies, name="guarded", clock=clock)


async def answered(calls: Any, status: int = 200) -> Any:
    async def attempt(request: Any) -> Any:
        return Answer(status)

    return await calls.send(attempt, None, "GET", "h", True)


async def test_a_predicate_that_is_cleared_is_not_asked_of_what_is_sound_and_its_successor_is() -> None:
    asked = []

    def later(answer: Any) -> bool:
        asked.append(answer.status)
        return False

    def never(answer: Any) -> bool:
        asked.append("successor")
        return False

    clock = ManualClock()
    retry = Retry(3, on_result=later, budget=TokenBudget(), clock=clock)
    breaker = CircuitBreaker(failed_result=later, clock=clock)
    calls = calls_of(guarded(retry, breaker, clock=clock), cleared=(later,))
    await answered(calls)
    asked.clear()  # the first call of a breaker opens its window
    await answered(calls)
    assert asked == []
    await answered(calls, 503)
    assert asked == [503, 503]
    asked.clear()
    retry.reconfigure(on_result=never)
    breaker.reconfigure(failed_result=never)
    await answered(calls)
    assert asked == ["successor", "successor"]


@pytest.mark.parametrize("status", [200, 503])
async def test_an_answer_is_released_once_where_a_guard_refuses_to_let_it_out(status: int) -> None:
    class Sour(Bulkhead):
        def leave(self, *ended: Any) -> None:
            raise RuntimeError("sour")

        @property
        def unrolls(self) -> bool:
            return False

    answer = Answer(status)

    async def attempt(request: Any) -> Any:
        return answer

    calls = calls_of(Pipeline(Sour(5)))
    with pytest.raises(RuntimeError, match="sour"):
        await calls.send(attempt, None, "GET", "h", True)
    assert answer.released


async def test_an_answer_inside_a_policy_of_the_users_is_released_where_it_is_not_returned() -> None:
    answers = [Answer(200), Answer(200)]
    made = list(answers)

    class Twice(WrappingPolicy):
        async def execute(self, call: Any, context: Any = None) -> Any:
            await call()
            return await call()

    async def attempt(request: Any) -> Any:
        return made.pop(0)

    calls = calls_of(Pipeline(Twice(name="twice")))
    assert await calls.send(attempt, None, "GET", "h", True) is answers[1]
    assert [answer.released for answer in answers] == [True, False]


class Told:
    """A request, and what its host was told."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}


async def budget_told(calls: Any) -> str | None:
    request = Told()

    async def attempt(request: Any) -> Any:
        return Answer(200)

    await calls.send(attempt, request, "GET", "h", True)
    return request.headers.get("X-Request-Deadline")


async def test_a_host_is_told_the_time_of_the_attempt_whatever_that_becomes() -> None:
    clock = ManualClock()
    attempt = Timeout(3.0, name="attempt", clock=clock)
    total = Timeout(10.0, clock=clock)
    calls = calls_of(guarded(total, attempt, clock=clock), tells=True)
    assert [await budget_told(calls) for _ in range(2)] == ["3000m", "3000m"]
    attempt.reconfigure(seconds=1.5)
    assert await budget_told(calls) == "1500m"
    total.reconfigure(seconds=1.0)
    assert await budget_told(calls) == "1000m"
    total.reconfigure(seconds=10.0)
    attempt.reconfigure(mode="observe")
    assert await budget_told(calls) == "10000m"


async def test_a_host_is_told_nothing_of_a_timeout_that_only_observes() -> None:
    clock = ManualClock()
    calls = calls_of(guarded(Timeout(3.0, mode="observe", clock=clock), clock=clock), tells=True)
    assert await budget_told(calls) is None


async def test_a_host_is_told_the_callers_deadline_where_that_is_nearer() -> None:
    clock = ManualClock()
    calls = calls_of(guarded(Timeout(3.0, clock=clock), clock=clock), tells=True)
    async with timeout(2.0, clock=clock):
        assert await budget_told(calls) == "2000m"


async def test_a_host_is_told_what_the_wait_before_has_left() -> None:
    clock = ManualClock()
    limiter = RateLimiter(1, per=1.0, burst=1, max_wait=5.0, clock=clock)
    calls = calls_of(guarded(Timeout(3.0, clock=clock), limiter, clock=clock), tells=True)
    assert await budget_told(calls) == "3000m"
    waiting = asyncio.ensure_future(budget_told(calls))
    await clock.advance()
    await clock.advance(1.0)
    assert await asyncio.wait_for(waiting, PATIENCE) == "2000m"


async def test_a_call_on_behalf_of_somebody_who_matters_says_so_beside_its_time() -> None:
    clock = ManualClock()
    calls = calls_of(guarded(Timeout(3.0, clock=clock), clock=clock), tells=True)
    request = Told()

    async def attempt(request: Any) -> Any:
        return Answer(200)

    token = criticality.set(3)
    try:
        await calls.send(attempt, request, "GET", "h", True)
    finally:
        criticality.reset(token)
    assert request.headers == {"X-Request-Deadline": "3000m", "X-Request-Criticality": "critical"}


async def test_a_status_that_is_none_is_not_remembered() -> None:
    log: list[Any] = []
    calls = calls_of(retrying(), log)
    for status in (71_000, 71_001, 71_000):
        await answered(calls, status)
    assert [seen[3] for seen in log] == ["_OTHER"] * 3


def test_the_pipelines_of_hosts_share_their_code_and_generate_no_more_than_they_use() -> None:
    codes = []
    for host in ("a", "b"):
        guard = Pipeline(Retry(3), name=host)
        codes.append(calls_of(guard)._remember(host).execute.__code__)
        assert "execute" not in vars(guard)
    assert codes[0] is codes[1]
    assert "result = await send(request)" in "".join(linecache.getlines(codes[0].co_filename))


async def refused(request: object) -> Any:
    raise OSError("refused")


async def test_hosts_that_share_code_share_no_policy() -> None:
    breakers = {host: CircuitBreaker(consecutive_failures=1, name=host) for host in ("other", "h")}
    calls = calls_of(None)
    calls._guard = lambda host: Pipeline(breakers[host])
    with pytest.raises(OSError, match="refused"):
        await calls.send(refused, None, "GET", "other", True)
    with pytest.raises(CircuitOpen, match="other"):
        await calls.send(refused, None, "GET", "other", True)
    assert (await answered(calls)).status == 200


async def test_a_traceback_shows_the_source_whatever_other_clients_were_made_since() -> None:
    calls = calls_of(Pipeline(Bulkhead(1)))
    await answered(calls)
    for number in range(100):  # different texts, more than are kept
        calls_of(Pipeline(Bulkhead(1)), status=f"status{number}")._remember("h")
    gc.collect()
    with pytest.raises(OSError, match="refused") as caught:
        await calls.send(refused, None, "GET", "h", True)
    assert "result = await send(request)" in "".join(traceback.format_exception(caught.value))


def test_a_new_host_takes_at_most_8_kb() -> None:
    rel = Reliability("shop")
    calls = calls_of(None)
    calls._guard = HostPipelines(rel.pipeline, "http", for_http(API_CALLS), clock=rel.clock)
    calls.of("first")  # what all have in common
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(100):
            calls.of(f"host {number}")
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 100 * 8_000
    finally:
        tracemalloc.stop()
