"""Retry: what is repeated, when, how often, and what is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate
from typing import Any, cast

import pytest

from resilience.core.clock import ManualClock
from resilience.core.ports import CallContext
from resilience.errors import BulkheadFull, CircuitOpen, ConfigError
from resilience.policies.backoff import Constant, Exponential
from resilience.policies.budget import RatioBudget, TokenBudget
from resilience.policies.pipeline import Pipeline
from resilience.policies.retry import Retry
from resilience.policies.retry_settings import BeforeSleep, RetryStopped
from resilience.policies.retry_switch import retries_without_waiting
from resilience.policies.timeout import Timeout


class Script:
    """A call that answers from a list; exceptions are raised, and the last answer repeats."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.calls = 0

    async def __call__(self) -> Any:
        answer = self.answers[min(self.calls, len(self.answers) - 1)]
        self.calls += 1
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def run(clock: ManualClock, awaitable: Awaitable[Any], seconds: float = 1000.0) -> Any:
    task = asyncio.ensure_future(awaitable)
    await clock.advance(seconds)
    assert task.done()
    return task.result()


def waits(retry: Retry) -> list[float]:
    delays: list[float] = []
    retry.events.subscribe(
        lambda event: delays.append(event.delay) if isinstance(event, BeforeSleep) else None
    )
    return delays


def made(clock: ManualClock, attempts: int = 3, **options: Any) -> Retry:
    return Retry(attempts, **{"backoff": Constant(1), "clock": clock, **options})


async def test_a_first_success_is_returned_and_nothing_is_repeated(clock: ManualClock) -> None:
    script = Script("ok")
    assert await made(clock).execute(script) == "ok"
    assert script.calls == 1


async def test_it_repeats_until_a_success(clock: ManualClock) -> None:
    script = Script(OSError(1), OSError(2), "ok")
    assert await run(clock, made(clock).execute(script)) == "ok"
    assert script.calls == 3


async def test_attempts_count_the_first_one_and_the_last_error_is_raised_itself_with_a_note(
    clock: ManualClock,
) -> None:
    last = OSError("third")
    script = Script(OSError("first"), OSError("second"), last)
    with pytest.raises(OSError, match="third") as caught:
        await run(clock, made(clock).execute(script))
    assert caught.value is last
    assert last.__notes__ == ["retry: gave up after 3 attempts"]
    assert script.calls == 3


async def test_an_error_object_that_is_raised_over_and_over_collects_one_note(clock: ManualClock) -> None:
    error = OSError()
    for _ in range(3):
        with pytest.raises(OSError):
            await run(clock, made(clock).execute(Script(error)))
    assert len(error.__notes__) == 1


async def test_one_attempt_leaves_no_note(clock: ManualClock) -> None:
    error = OSError()
    with pytest.raises(OSError):
        await made(clock, 1).execute(Script(error))
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize("on", [OSError, (KeyError, OSError), lambda error: isinstance(error, OSError)])
async def test_only_what_is_meant_is_retried(clock: ManualClock, on: Any) -> None:
    retry = made(clock, on=on)
    assert await run(clock, retry.execute(Script(ConnectionError(), "ok"))) == "ok"
    other = Script(ValueError())
    with pytest.raises(ValueError):
        await retry.execute(other)
    assert other.calls == 1


async def test_results_that_count_as_failed_are_retried_and_the_last_is_returned(clock: ManualClock) -> None:
    retry = made(clock, on_result=lambda status: status >= 500)
    assert await run(clock, retry.execute(Script(503, 200))) == 200
    assert await run(clock, retry.execute(Script(500, 501, 502))) == 502


@pytest.mark.parametrize("option", ["on", "on_result"])
async def test_a_raising_predicate_does_not_hide_what_the_call_came_to(
    clock: ManualClock, option: str
) -> None:
    def broken(_: object) -> bool:
        raise RuntimeError

    retry = made(clock, **{option: broken})
    if option == "on":
        with pytest.raises(OSError):
            await retry.execute(Script(OSError()))
    else:
        assert await retry.execute(Script(200)) == 200
        assert await Pipeline(retry).execute(Script(200)) == 200


@pytest.mark.parametrize("form", ["execute", "nested"])
async def test_a_pipeline_asks_of_each_result_once_and_settles_with_the_budget(
    clock: ManualClock, form: str
) -> None:
    asked: list[int] = []

    def failed(status: int) -> bool:
        asked.append(status)
        return status >= 500

    budget = TokenBudget(100, cost=5, refund=1)
    pipeline = Pipeline(made(clock, on_result=failed, budget=budget))
    call = getattr(pipeline, form)
    assert await run(clock, call(Script(503, 502, 200))) == 200
    assert asked == [503, 502, 200]
    assert budget.tokens == 95
    assert await call(Script(200)) == 200
    assert budget.tokens == 96


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), GeneratorExit()])
def test_cancellations_and_exits_are_never_retried_even_when_asked(
    clock: ManualClock, error: BaseException
) -> None:
    retry = made(clock, on=BaseException)
    assert retry.again(None, None, error, 0.0, None) is None


@pytest.mark.parametrize("rejection", [CircuitOpen("open"), BulkheadFull("full")])
async def test_rejections_are_retried_only_when_asked(clock: ManualClock, rejection: Exception) -> None:
    script = Script(rejection, "ok")
    with pytest.raises(type(rejection)):
        await made(clock).execute(script)
    assert script.calls == 1
    assert await run(clock, made(clock, retry_rejections=True).execute(Script(rejection, "ok"))) == "ok"


@pytest.mark.parametrize(("idempotent", "calls"), [(False, 1), (True, 3), (None, 3)])
async def test_what_is_not_idempotent_is_never_repeated(
    clock: ManualClock, idempotent: bool | None, calls: int
) -> None:
    script = Script(OSError())
    with pytest.raises(OSError):
        await run(clock, made(clock).execute(script, CallContext(idempotent=idempotent)))
    assert script.calls == calls


async def test_it_does_not_sleep_past_the_deadline(clock: ManualClock) -> None:
    script = Script(OSError())
    with pytest.raises(OSError):
        await made(clock).execute(script, CallContext(deadline=clock.monotonic() + 1.0))
    assert script.calls == 1
    script = Script(OSError())
    with pytest.raises(OSError):
        await run(clock, made(clock).execute(script, CallContext(deadline=clock.monotonic() + 1.5)))
    assert script.calls == 2


async def test_it_does_not_sleep_past_the_deadline_of_a_timeout_around_it(clock: ManualClock) -> None:
    script = Script(OSError())
    started = clock.monotonic()
    total = Timeout(2.5, clock=clock)
    with pytest.raises(OSError):
        await run(clock, total.execute(lambda: made(clock, 100).execute(script)), seconds=2.0)
    assert script.calls == 3
    assert clock.monotonic() == started + 2.0


async def test_no_attempt_begins_after_max_elapsed(clock: ManualClock) -> None:
    script = Script(OSError())
    retry = made(clock, 100, max_elapsed=3.0)
    started = clock.monotonic()
    with pytest.raises(OSError):
        await run(clock, retry.execute(script))
    assert script.calls == 4
    assert retry.statistics().stopped == {"elapsed": 1}
    assert started == 1000.0


class Http(Exception):
    def __init__(self, value: str) -> None:
        self.headers = {"Retry-After": value}


@pytest.mark.parametrize(
    ("said", "waited"),
    [
        ("7", 7.0),
        (formatdate(1_700_000_030, usegmt=True), 30.0),
        ("3600", 60.0),
        ("0", 1.0),
        ("soon", 1.0),
        ("-5", 1.0),
        ("nan", 1.0),
        ("9" * 400, 1.0),
    ],
)
async def test_retry_after_lengthens_the_wait_up_to_its_cap_and_bogus_is_ignored(
    clock: ManualClock, said: str, waited: float
) -> None:
    retry = made(clock)
    delays = waits(retry)
    assert await run(clock, retry.execute(Script(Http(said), "ok"))) == "ok"
    assert delays == [waited]


async def test_retry_after_can_be_ignored(clock: ManualClock) -> None:
    retry = made(clock, respect_retry_after=False)
    delays = waits(retry)
    await run(clock, retry.execute(Script(Http("7"), "ok")))
    assert delays == [1]


async def test_decorrelated_jitter_grows_from_each_calls_own_last_wait(clock: ManualClock) -> None:
    retry = made(clock, 4, backoff=Exponential(1, jitter="decorrelated", random=lambda: 1.0))
    delays = waits(retry)
    calls = [
        asyncio.ensure_future(retry.execute(Script(OSError(), OSError(), OSError(), "ok"))) for _ in range(2)
    ]
    await clock.advance(100)
    assert [call.result() for call in calls] == ["ok", "ok"]
    assert sorted(delays) == [3, 3, 9, 9, 20, 20]


async def test_listeners_hear_before_each_sleep_and_of_the_end(clock: ManualClock) -> None:
    retry = made(clock, 2, name="pay")
    heard: list[object] = []
    retry.events.subscribe(heard.append)
    first, second = OSError(1), OSError(2)
    with pytest.raises(OSError):
        await run(clock, retry.execute(Script(first, second)))
    assert heard == [
        BeforeSleep("pay", 1, 1, 0.0, first, None, observed=False),
        RetryStopped("pay", 2, "attempts", second),
    ]
    assert retry.statistics().retries == 1


async def test_observing_counts_and_reports_but_repeats_nothing(clock: ManualClock) -> None:
    budget = TokenBudget(10)
    retry = made(clock, mode="observe", budget=budget)
    heard: list[Any] = []
    retry.events.subscribe(heard.append)
    script = Script(OSError())
    with pytest.raises(OSError):
        await retry.execute(script)
    assert (script.calls, retry.statistics().retries, budget.tokens) == (1, 1, 10)
    assert heard[0].observed


async def test_a_budget_that_is_spent_stops_all_its_policies(clock: ManualClock) -> None:
    budget = TokenBudget(10, cost=5, refund=0)
    one, other = made(clock, budget=budget), made(clock, budget=budget)
    with pytest.raises(OSError):
        await run(clock, one.execute(Script(OSError())))
    script = Script(OSError())
    with pytest.raises(OSError):
        await run(clock, other.execute(script))
    assert script.calls == 1
    assert other.statistics().stopped == {"budget": 1}


async def test_a_budgets_retry_ends_with_the_call_whatever_becomes_of_it(clock: ManualClock) -> None:
    budget = RatioBudget(0.0, ttl=None, floor=5)
    retry = made(clock, 3, budget=budget, on=OSError, on_result=lambda status: status == 503)
    for answers in ([OSError(), "ok"], [OSError()], [OSError(), ValueError()], [503, 200], [503], ["ok"]):
        with suppress(OSError, ValueError):
            await run(clock, retry.execute(Script(*answers)))
        assert (budget.balance, budget._calls) == (5, 0), answers


async def test_decorated_with_a_budget_it_counts_successes_too(clock: ManualClock) -> None:
    budget = TokenBudget(10, cost=5, refund=2)
    script = Script(OSError(), "ok")

    @made(clock, budget=budget)
    async def fetch() -> object:
        return await script()

    assert budget.spend(OSError()) is not None
    assert await run(clock, fetch()) == "ok"
    assert budget.tokens == 5  # the success of the retry brings back what it cost, and no more
    assert await run(clock, fetch()) == "ok"
    assert budget.tokens == 7


async def test_decorated_it_judges_results_too(clock: ManualClock) -> None:
    script = Script(503, 200)

    @made(clock, on_result=lambda status: status == 503)
    async def fetch() -> object:
        return await script()

    assert await run(clock, fetch()) == 200


async def test_an_error_that_is_not_meant_brings_the_budget_nothing(clock: ManualClock) -> None:
    budget = TokenBudget(10, cost=5, refund=1)
    retry = made(clock, on=OSError, budget=budget)
    await run(clock, retry.execute(Script(OSError(), "ok")))
    with pytest.raises(ValueError):
        await retry.execute(Script(ValueError()))
    assert budget.tokens == 10


async def test_of_an_observed_call_the_budget_pays_nothing_but_counts_its_loss(clock: ManualClock) -> None:
    budget = TokenBudget(10, cost=5, loss=1)
    with pytest.raises(OSError):
        await made(clock, mode="observe", budget=budget).execute(Script(OSError()))
    assert budget.tokens == 9


async def test_a_later_attempts_error_does_not_drag_the_earlier_ones_along(clock: ManualClock) -> None:
    error = OSError("second")
    with pytest.raises(OSError, match="second"):
        await run(clock, made(clock, 2).execute(Script(OSError("first"), error)))
    assert error.__context__ is None


async def test_successes_fill_the_budget_again(clock: ManualClock) -> None:
    budget = TokenBudget(10, cost=5, refund=2)
    retry = made(clock, budget=budget)
    assert budget.spend(OSError()) is not None
    await run(clock, retry.execute(Script("ok")))
    assert budget.tokens == 7


async def test_cancelled_at_every_suspension_it_leaves_nothing_in_flight(clock: ManualClock) -> None:
    budget = RatioBudget(0.0, ttl=None, floor=5)
    retry = made(clock, 3, backoff=Constant(0), budget=budget)

    async def attempt() -> None:
        await asyncio.sleep(0)
        raise OSError

    for turns in range(12):
        task = asyncio.ensure_future(retry.execute(attempt))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await task
        assert (budget.balance, budget._calls) == (5, 0), turns
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_outside_cancellation_ends_the_wait(clock: ManualClock) -> None:
    task = asyncio.ensure_future(made(clock).execute(Script(OSError())))
    await clock.advance(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_later_attempt_did_not_give_up(clock: ManualClock) -> None:
    async def second_hangs() -> None:
        if clock.monotonic() == 1000.0:
            raise OSError
        await clock.sleep(60)

    task = asyncio.ensure_future(made(clock).execute(second_hangs))
    await clock.advance(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert not hasattr(caught.value, "__notes__")


# -- decorators -------------------------------------------------------------------------------------------------


async def test_a_decorated_function_keeps_its_name_and_is_called_anew_each_time(clock: ManualClock) -> None:
    seen: list[int] = []

    @Retry(3, backoff=Constant(0))
    async def fetch(number: int, *, scale: int = 1) -> int:
        seen.append(number)
        if len(seen) < 3:
            raise OSError
        return number * scale

    assert fetch.__name__ == "fetch"
    assert await fetch(2, scale=5) == 10
    assert seen == [2, 2, 2]


def test_a_plain_function_is_refused() -> None:
    with pytest.raises(ConfigError, match="async def"):
        Retry()(print)  # type: ignore[arg-type]


def numbers(failures: list[int], closed: list[int]) -> Callable[[], AsyncIterator[int]]:
    """A generator that fails once for each entry of `failures`, after so many items."""

    async def generate() -> AsyncIterator[int]:
        fails = failures.pop(0) if failures else None
        try:
            for number in range(3):
                if number == fails:
                    raise OSError
                yield number
        finally:
            closed.append(1)

    return generate


async def test_a_generator_is_retried_before_its_first_item() -> None:
    closed: list[int] = []
    generate = Retry(3, backoff=Constant(0))(numbers([0, 0], closed))
    assert [number async for number in generate()] == [0, 1, 2]
    assert len(closed) == 3


async def test_a_generator_is_not_retried_after_its_first_item() -> None:
    generate = Retry(3, backoff=Constant(0))(numbers([1], []))
    items = generate()
    assert await anext(items) == 0
    with pytest.raises(OSError):
        await anext(items)


async def test_a_generators_items_are_not_judged_as_results() -> None:
    generate = Retry(3, backoff=Constant(0), on_result=lambda _: True)(numbers([0], []))
    assert [number async for number in generate()] == [0, 1, 2]


async def test_an_empty_generator_is_no_failure() -> None:
    @Retry(3)
    async def empty() -> AsyncIterator[int]:
        return
        yield

    assert [item async for item in empty()] == []


async def test_closing_the_generator_closes_the_one_within() -> None:
    closed: list[int] = []
    items: Any = Retry(3)(numbers([], closed))()
    await anext(items)
    await items.aclose()
    assert closed == [1]


async def test_what_is_sent_to_a_generator_reaches_it() -> None:
    @Retry(2, backoff=Constant(0))
    async def echo() -> AsyncGenerator[int, int]:
        got = yield 0
        while got < 9:
            got = yield got

    items = cast("AsyncGenerator[int, int]", echo())
    assert [await anext(items), await items.asend(5), await items.asend(6)] == [0, 5, 6]
    with pytest.raises(StopAsyncIteration):
        await items.asend(9)


class Entering:
    """A context manager that cannot be entered at first, and notes how its block ended."""

    def __init__(self, failures: int, *, swallows: bool = False) -> None:
        self.entered = 0
        self.ended: list[object] = []
        self.failures = failures
        self.swallows = swallows

    async def open(self) -> AsyncIterator[str]:
        self.entered += 1
        if self.entered <= self.failures:
            raise OSError
        try:
            yield "connection"
        except BaseException as error:
            self.ended.append(error)
            if not self.swallows:
                raise
        else:
            self.ended.append(None)


@pytest.mark.parametrize(
    "error",
    [None, ValueError(1), OSError(1), StopAsyncIteration(), asyncio.CancelledError(), GeneratorExit()],
)
async def test_a_context_manager_is_retried_until_it_is_entered_and_hears_how_its_block_ended(
    error: BaseException | None,
) -> None:
    script = Entering(failures=2)
    enter = asynccontextmanager(Retry(3, backoff=Constant(0))(script.open))
    outcome: BaseException | None = None
    try:
        async with enter() as connection:
            assert connection == "connection"
            if error is not None:
                raise error
    except BaseException as raised:  # noqa: BLE001  whatever it is
        outcome = raised
    assert outcome is error
    assert script.entered == 3
    if not isinstance(error, GeneratorExit):  # which closes a generator, and is another inside it
        assert script.ended == [error]


async def test_a_context_manager_may_swallow_what_its_block_raised() -> None:
    script = Entering(failures=0, swallows=True)
    async with asynccontextmanager(Retry(3)(script.open))():
        raise ValueError
    assert [type(error) for error in script.ended] == [ValueError]


# -- the block form ---------------------------------------------------------------------------------------------


async def test_a_block_is_repeated_until_it_succeeds(clock: ManualClock) -> None:
    async def work() -> list[int]:
        seen = []
        async for attempt in made(clock).attempts():
            with attempt:
                seen.append(attempt.number)
                if attempt.number < 3:
                    raise OSError
        return seen

    assert await run(clock, work()) == [1, 2, 3]


async def test_a_block_raises_its_last_error_with_the_note(clock: ManualClock) -> None:
    async def work() -> None:
        async for attempt in made(clock).attempts():
            with attempt:
                raise OSError

    with pytest.raises(OSError) as caught:
        await run(clock, work())
    assert caught.value.__notes__ == ["retry: gave up after 3 attempts"]


async def test_blocks_of_one_policy_run_at_once_without_knowing_of_each_other(clock: ManualClock) -> None:
    retry = made(clock, 3, budget=RatioBudget(1.0, ttl=None, floor=5))

    async def work(successful: int) -> int:
        async for attempt in retry.attempts():
            with attempt:
                if attempt.number < successful:
                    raise OSError
                return attempt.number
        raise AssertionError

    tasks = [asyncio.ensure_future(work(number)) for number in (1, 2, 3)]
    await clock.advance(10)
    assert [task.result() for task in tasks] == [1, 2, 3]


async def test_the_waits_of_a_block_grow_from_its_own_last_one(clock: ManualClock) -> None:
    retry = made(clock, 4, backoff=Exponential(1, jitter="decorrelated", random=lambda: 1.0))
    delays = waits(retry)

    async def work() -> None:
        async for attempt in retry.attempts():
            with attempt:
                raise OSError

    with pytest.raises(OSError):
        await run(clock, work())
    assert delays == [3, 9, 20]


async def test_a_block_left_between_attempts_holds_nothing_of_the_budget(clock: ManualClock) -> None:
    budget = RatioBudget(0.0, ttl=None, floor=1)
    async for attempt in made(clock, budget=budget).attempts():
        with attempt:
            raise OSError
        break
    assert (attempt.number, budget.balance, budget._calls) == (1, 1, 0)


async def test_a_repeated_block_counts_as_in_flight_while_it_waits_and_runs(clock: ManualClock) -> None:
    budget = RatioBudget(0.0, ttl=None, floor=2)
    held: list[tuple[int, int]] = []

    async def work() -> None:
        async for attempt in made(clock, budget=budget).attempts():
            with attempt:
                held.append((budget.balance, budget._calls))
                if attempt.number < 3:
                    raise OSError

    task = asyncio.ensure_future(work())
    await clock.advance(0)
    held.append((budget.balance, budget._calls))
    await run(clock, task)
    assert held == [(2, 1), (1, 1), (1, 1), (1, 1)]
    assert (budget.balance, budget._calls) == (2, 0)


async def test_a_block_cancelled_in_the_wait_holds_nothing_of_the_budget(clock: ManualClock) -> None:
    budget = RatioBudget(0.0, ttl=None, floor=1)

    async def work() -> None:
        async for attempt in made(clock, budget=budget).attempts():
            with attempt:
                raise OSError

    task = asyncio.ensure_future(work())
    await clock.advance(0)
    assert (budget.balance, budget._calls) == (0, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (budget.balance, budget._calls) == (1, 0)


async def test_a_turn_without_its_with_block_is_refused(clock: ManualClock) -> None:
    with pytest.raises(ConfigError, match="with attempt"):
        async for _ in made(clock).attempts():
            pass


# -- tests of users ---------------------------------------------------------------------------------------------


async def test_waits_can_be_switched_off_and_attempts_bounded() -> None:
    script = Script(OSError())
    with retries_without_waiting(attempts=2), pytest.raises(OSError):
        await Retry(50, backoff=Constant(3600), max_elapsed=1).execute(script)
    assert script.calls == 2


async def test_without_waits_the_policys_own_bound_holds() -> None:
    script = Script(OSError())
    with retries_without_waiting(), pytest.raises(OSError):
        await Retry(4, backoff=Constant(3600)).execute(script)
    assert script.calls == 4


# -- options ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"attempts": True},
        {"attempts": 1.5},
        {"backoff": 2},
        {"on": "OSError"},
        {"on_result": 3},
        {"max_elapsed": 0},
        {"max_elapsed": float("nan")},
        {"budget": 0.2},
        {"respect_retry_after": "yes"},
        {"max_retry_after": -1},
        {"retry_rejections": 1},
        {"mode": "dry"},
        {"name": ""},
    ],
)
def test_nonsense_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Retry(**options)


async def test_options_can_be_changed_while_a_call_is_under_way(clock: ManualClock) -> None:
    retry = made(clock, 2)
    script = Script(OSError())
    task = asyncio.ensure_future(retry.execute(script))
    await clock.advance(0)
    retry.reconfigure(attempts=4)
    await clock.advance(10)
    assert isinstance(task.exception(), OSError)
    assert script.calls == 4


def test_a_bad_change_changes_nothing(clock: ManualClock) -> None:
    retry = made(clock)
    before = retry.settings
    for change in ({"attempts": 5, "max_elapsed": -1}, {"tries": 5}):
        with pytest.raises(ConfigError):
            retry.reconfigure(**change)
    assert retry.settings is before


def test_the_budget_of_calls_under_way_cannot_be_exchanged() -> None:
    budget = TokenBudget()
    retry = Retry(budget=budget)
    retry.reconfigure(budget=budget, mode="observe")
    with pytest.raises(ConfigError, match="budget"):
        retry.reconfigure(budget=TokenBudget())


async def test_an_error_whose_notes_are_its_own_is_raised_as_it_is(clock: ManualClock) -> None:
    class Terse(OSError):
        __notes__ = None

        def add_note(self, note: str) -> None:
            raise TypeError

    error = Terse("down")
    with pytest.raises(Terse) as caught:
        await run(clock, made(clock, 2).execute(Script(error, error)))
    assert caught.value is error


async def test_a_backoff_that_no_float_can_hold_waits_as_usual_and_keeps_the_error(
    clock: ManualClock,
) -> None:
    class Endless:
        def delay(self, attempt: int, previous: float) -> float:
            return 10**400

    @Retry(2, backoff=Endless(), clock=clock)
    async def fail() -> None:
        raise OSError("its own")

    call = asyncio.create_task(fail())
    await clock.advance(60)
    with pytest.raises(OSError, match="its own"):
        await call


async def test_a_budget_that_lacks_methods_grants_what_it_can_and_keeps_the_error(clock: ManualClock) -> None:
    class Half:
        def spend(self, error: BaseException | None, *, wanted: bool = True) -> int | None:
            return None

    retry = Retry(2, backoff=Constant(0), budget=cast("Any", Half()), clock=clock)

    async def fail() -> None:
        async for attempt in retry.attempts():
            with attempt:
                raise OSError("its own")

    with pytest.raises(OSError, match="its own"):
        await fail()
