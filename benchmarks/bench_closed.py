"""A circuit breaker that is closed, over a call that succeeds; and one that trips."""

from __future__ import annotations

from collections.abc import Callable

from compare import Batch, Function, Group, decorated

from resilience.core.window import CountWindow, TimeWindow
from resilience.policies.circuit_breaker import CircuitBreaker

group = Group(reference="nopanic")


@group.row("CircuitBreaker")
def product() -> Batch:
    return decorated(CircuitBreaker(window=TimeWindow(60)))


@group.row("CircuitBreaker, count window")
def counting() -> Batch:
    return decorated(CircuitBreaker(window=CountWindow(100)))


@group.row("CircuitBreaker, slow calls and results judged")
def judging() -> Batch:
    return decorated(CircuitBreaker(slow_call_duration=1.0, failed_result=lambda _: False))


@group.row("CircuitBreaker.execute")
def executed() -> Batch:
    execute = CircuitBreaker(window=TimeWindow(60)).execute

    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            await execute(function)

    return batch


@group.row("nopanic")
def nopanic() -> Batch:
    import nopanic as peer

    return decorated(peer.CircuitBreaker())


@group.row("interlock-cb")
def interlock() -> Batch:
    import interlock as peer

    config = peer.Config(window_type=peer.WindowType.TIME_BASED, window_size=60)
    return decorated(peer.CircuitBreaker(name="bench", config=config))


@group.row("circuitbreaker")
def circuitbreaker() -> Batch:
    import circuitbreaker as peer

    return decorated(peer.CircuitBreaker(name="bench"))


@group.row("hyx")
def hyx() -> Batch:
    from hyx.circuitbreaker import consecutive_breaker

    return decorated(consecutive_breaker())


tripping = Group(reference="nopanic", scene="a failure trips it, and it is closed again", suspending=False)


def tripped(decorator: Callable[[Function], Function], close: Callable[[], object]) -> Batch:
    async def failing() -> None:
        raise ConnectionError

    guarded = decorator(failing)

    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            try:
                await guarded()
            except ConnectionError:
                close()

    return batch


@tripping.row("CircuitBreaker")
def product_tripping() -> Batch:
    breaker = CircuitBreaker(minimum_calls=1)
    return tripped(breaker, breaker.close)


@tripping.row("nopanic")
def nopanic_tripping() -> Batch:
    import logging

    import nopanic as peer

    logging.getLogger("nopanic").setLevel(logging.ERROR)
    breaker = peer.CircuitBreaker(min_calls=1)
    return tripped(breaker, breaker.reset)
