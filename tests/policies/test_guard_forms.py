"""What holds for every guard, however it is used, and wherever its caller is cancelled."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from resilience.core.clock import ManualClock
from resilience.core.ports import CallContext
from resilience.errors import ConfigError, Rejected
from resilience.policies.adaptive_limiter import AdaptiveLimiter
from resilience.policies.base import GuardPolicy
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.hedge import Hedge
from resilience.policies.keyed import Keyed
from resilience.policies.limit_algorithms import Aimd
from resilience.policies.load_shedder import LoadShedder
from resilience.policies.pipeline import Pipeline
from resilience.policies.rate_limiter import RateLimiter
from resilience.policies.retry import Retry
from resilience.policies.timeout import Timeout

Function: TypeAlias = Callable[[], Awaitable[Any]]


class Recording(GuardPolicy[str]):
    """Notes what it is told."""

    kind = "recording"

    def __init__(self, *, waits: bool, refuses: bool) -> None:
        super().__init__(clock=ManualClock())
        self.waits = waits
        self.refuses = refuses
        self.told: list[object] = []

    def enter(self, now: float, context: CallContext | None) -> str | None:
        self.told.append(("enter", now, context))
        if self.refuses:
            raise Rejected("no")
        return None if self.waits else "token"

    async def wait(self, context: CallContext | None) -> str:
        self.clock.shift(1.0)  # type: ignore[attr-defined]  # a ManualClock
        return "awaited"

    def leave(
        self, token: str, result: object, error: BaseException | None, started: float, now: float
    ) -> None:
        self.told.append(("leave", token, result, repr(error), started, now))


class Open(Recording):
    """Takes no token."""

    holds = False


async def decorated(guard: GuardPolicy[Any], function: Function) -> object:
    async def named() -> object:
        return await function()

    return await guard(named)()


async def called(guard: GuardPolicy[Any], function: Function) -> object:
    return await guard.call(function)


async def blocked(guard: GuardPolicy[Any], function: Function) -> object:
    async with guard.guard():
        return await function()


async def answers() -> str:
    return "answer"


async def fails() -> str:
    raise ValueError("mine")


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize("function", [answers, fails])
@pytest.mark.parametrize("form", [decorated, blocked])
async def test_all_forms_tell_a_guard_the_same(
    form: Callable[[GuardPolicy[Any], Function], Awaitable[object]],
    function: Function,
    refuses: bool,
    waits: bool,
) -> None:
    one, other = (Recording(waits=waits, refuses=refuses) for _ in range(2))
    outcomes = [
        repr((await asyncio.gather(use(guard, function), return_exceptions=True))[0])
        for use, guard in ((called, one), (form, other))
    ]
    assert outcomes[0] == outcomes[1]
    if form is blocked:  # a block has no result
        one.told = [
            (*event[:2], None, *event[3:]) if event[0] == "leave" else event  # type: ignore[index]
            for event in one.told
        ]
    assert one.told == other.told


@pytest.mark.parametrize("waits", [False, True])
async def test_a_guard_that_holds_nothing_is_not_left(waits: bool) -> None:
    guard = Open(waits=waits, refuses=False)
    assert await decorated(guard, answers) == "answer"
    assert [event[0] for event in guard.told] == ["enter"]  # type: ignore[index]


def test_a_decorated_function_keeps_its_name_and_a_plain_one_is_refused() -> None:
    assert Bulkhead()(answers).__name__ == "answers"
    with pytest.raises(ConfigError, match="async def"):
        Bulkhead()(lambda: 1)


class Client:
    """A class whose objects are called, and return what is awaited."""

    async def __call__(self) -> str:
        return "answer"


DECORATORS: list[Any] = [Bulkhead(), Retry(), Timeout(1), CircuitBreaker(), Hedge(), Pipeline(Bulkhead())]


@pytest.mark.parametrize("policy", DECORATORS, ids=lambda policy: policy.name)
async def test_a_class_is_refused_with_what_to_write_and_its_objects_are_not(policy: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"a class: decorate its `async def __call__`, or an object made of it"
    ):
        policy(Client)
    with pytest.raises(ConfigError):
        policy(functools.partial(Client))
    assert await policy(Client())() == "answer"


GUARDS: dict[str, Callable[[ManualClock], GuardPolicy[Any]]] = {
    "breaker": lambda clock: CircuitBreaker(half_open_permits=2, clock=clock),
    "bulkhead": lambda clock: Bulkhead(1, queue=9, clock=clock),
    "bulkhead, lifo, max_wait": lambda clock: Bulkhead(1, queue=9, order="lifo", max_wait=60, clock=clock),
    "rate limiter": lambda clock: RateLimiter(1, max_wait=None, clock=clock),
    "adaptive limiter": lambda clock: AdaptiveLimiter(Aimd(initial=2, minimum=1), clock=clock),
    "load shedder": lambda clock: LoadShedder(capacity=9, clock=clock),
    "keyed": lambda clock: Keyed(lambda _: Bulkhead(1, queue=9, clock=clock), clock=clock),
}


@pytest.mark.parametrize("name", GUARDS)
@pytest.mark.parametrize("turns", range(14))
async def test_wherever_calls_are_cancelled_nothing_stays_taken(name: str, turns: int) -> None:
    clock = ManualClock()
    guard = GUARDS[name](clock)

    async def work() -> str:
        for _ in range(3):
            await asyncio.sleep(0)
        return "done"

    for victim in range(3):
        calls = [asyncio.create_task(guard.call(work)) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        calls[victim].cancel()
        await clock.advance(120)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(
            outcome == "done" or isinstance(outcome, Rejected)
            for number, outcome in enumerate(outcomes)
            if number != victim
        )
    assert await guard.call(functools.partial(work)) == "done"
    statistics = guard.statistics()  # type: ignore[attr-defined]  # each has its own
    for figures in statistics.values() if isinstance(statistics, dict) else [statistics]:
        for figure in ("in_flight", "waiting", "probes"):
            assert getattr(figures, figure, 0) == 0
