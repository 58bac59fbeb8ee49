"""Every option of a policy has an effect: one script of calls runs under two values of it, and ends differently."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from resilience.core.clock import ManualClock
from resilience.core.ports import CallContext
from resilience.errors import CircuitOpen
from resilience.policies import Constant, TokenBudget
from resilience.policies.limit_algorithms import Aimd
from tests.contracts.test_policies import policies

LATE = OSError("late")
LATE.retry_after = 30.0  # type: ignore[attr-defined]  # as a client's error has it
# What each call does, and after how many seconds.
SCRIPT: list[tuple[object, float]] = [
    *[("ok", 0.0), (OSError("down"), 0.0), ("bad", 0.0), (ValueError("no"), 0.0), (OSError("down"), 3.0)],
    *[(LATE, 0.0), (CircuitOpen("open"), 0.0), ("ok", 3.0), ("ok", 0.0), (OSError("down"), 0.0)],
    *[(TimeoutError("late"), 1.0), ("bad", 0.0), ("ok", 0.0), (OSError("down"), 0.0), ("ok", 0.0)],
    *[(OSError("down"), 0.0), (OSError("down"), 0.0), ("ok", 2.0), ("ok", 0.0), ("ok", 0.0)],
]


def is_bad(result: object) -> bool:
    return result == "bad"


def low() -> float:
    return 0.1


async def outcome_of(clock: ManualClock, number: int) -> object:
    outcome, seconds = SCRIPT[number]
    if seconds:
        await clock.sleep(seconds)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def history(kind: Any, options: dict[str, Any]) -> list[object]:
    """Return how the calls of the script end and when, one after the other and all of them concurrently."""
    clock = ManualClock()
    policy = kind(**{"clock": clock, **options})
    seen: list[object] = []

    async def call(number: int) -> None:
        async def run() -> object:
            seen.append(("called", number, clock.monotonic()))
            return await outcome_of(clock, number)

        context = CallContext(key=number % 3, identity=("call", number % 5))
        try:
            ended: object = await policy.execute(run, context)
        except Exception as error:  # noqa: BLE001  it is part of the history
            ended = repr(error)
        seen.append((number, str(ended), clock.monotonic()))

    async def all_of(*numbers: int) -> None:
        tasks = [asyncio.create_task(call(number)) for number in numbers]
        for _ in range(400):
            if all(task.done() for task in tasks):
                break
            await clock.advance(0.25)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    for number in range(len(SCRIPT)):
        await all_of(number)
    await all_of(*range(len(SCRIPT)))
    return [*seen, repr(policy.statistics())]


RARE = {"consecutive_failures": 1, "failure_rate": None, "half_open_permits": 1, "open_duration": 1.0}
ONE = {"rate": 1.0}
SOME = {"value": "spare", "on": OSError}
# Of each option: what else the policy is made with, and two values that must differ in effect.
CASES: dict[str, dict[str, tuple[dict[str, Any], Any, Any]]] = {
    "AdaptiveLimiter": {
        "algorithm": ({}, "aimd", "vegas"),
        "window": ({"minimum_calls": 1}, 1.0, 60.0),
        "minimum_calls": ({"algorithm": "aimd"}, 1, 50),
        "dropped": ({"algorithm": "aimd", "minimum_calls": 1}, OSError, KeyError),
        "mode": ({"algorithm": Aimd(initial=2, minimum=1)}, "normal", "observe"),
    },
    "Bulkhead": {
        "limit": ({}, 2, 3),
        "queue": ({"limit": 1}, 0, 3),
        "max_wait": ({"limit": 1, "queue": 9}, None, 1.0),
        "order": ({"limit": 1, "queue": 9}, "fifo", "lifo"),
        "mode": ({"limit": 1}, "normal", "observe"),
    },
    "CircuitBreaker": {
        "failure_rate": ({"minimum_calls": 4}, 0.3, 1.0),
        "failures": ({"minimum_calls": 4}, 2, 9),
        "window": ({"minimum_calls": 4}, 1.0, 60.0),
        "minimum_calls": ({}, 2, 8),
        "slow_call_duration": ({"minimum_calls": 4, "slow_call_rate": 0.2, "failure_rate": None}, 1.5, 9.0),
        "slow_call_rate": ({"minimum_calls": 4, "slow_call_duration": 1.0, "failure_rate": None}, 0.2, 1.0),
        "consecutive_failures": ({"failure_rate": None}, 1, 3),
        "open_duration": (RARE, 1.0, 5.0),
        "open_factor": (RARE, 1.0, 4.0),
        "open_cap": ({**RARE, "open_factor": 4.0}, 2.0, 300.0),
        "open_jitter": ({**RARE, "random": low}, 0.0, 1.0),
        "half_open_permits": (RARE, 1, 5),
        "on": ({"minimum_calls": 4}, Exception, KeyError),
        "ignore": ({"minimum_calls": 4}, (), OSError),
        "failed_result": ({"minimum_calls": 2, "failure_rate": 0.1, "on": KeyError}, None, is_bad),
        "mode": (RARE, "normal", "observe"),
        "random": ({**RARE, "open_jitter": 1.0}, low, lambda: 0.9),
    },
    "Retry": {
        "attempts": ({"backoff": Constant(1)}, 2, 4),
        "backoff": ({}, Constant(1), Constant(5)),
        "on": ({"backoff": Constant(1)}, OSError, ValueError),
        "on_result": ({"backoff": Constant(1)}, None, is_bad),
        "max_elapsed": ({"backoff": Constant(2)}, None, 1.0),
        "budget": ({"backoff": Constant(1)}, None, TokenBudget(10)),
        "respect_retry_after": ({"backoff": Constant(1)}, True, False),
        "max_retry_after": ({"backoff": Constant(1)}, 5.0, 60.0),
        "retry_rejections": ({"backoff": Constant(1)}, True, False),
        "mode": ({"backoff": Constant(1)}, "normal", "observe"),
    },
    "RateLimiter": {
        "rate": ({}, 1.0, 9.0),
        "per": (ONE, 1.0, 9.0),
        "burst": (ONE, 1, 5),
        "algorithm": ({"rate": 3.0, "per": 5.0}, "token_bucket", "sliding_window"),
        "max_wait": (ONE, 0.0, 5.0),
        "mode": (ONE, "normal", "observe"),
    },
    "Timeout": {"seconds": ({}, 2.5, 9.0), "mode": ({"seconds": 1.5}, "normal", "observe")},
    "Hedge": {
        "delay": ({}, 1.0, 2.5),
        "max_hedges": ({"delay": 0.5}, 1, 3),
        "on": ({}, OSError, KeyError),
        "on_result": ({}, None, is_bad),
        "budget": ({"delay": 0.5}, None, TokenBudget(5)),
        "mode": ({"delay": 0.5}, "normal", "observe"),
    },
    "FaultInjection": {
        "error": ({"rate": 1.0, "enabled": True}, KeyError, ValueError),
        "result": ({"rate": 1.0, "enabled": True}, "one", "other"),
        "latency": ({"rate": 1.0, "enabled": True}, 1.0, 2.0),
        "rate": ({"enabled": True, "error": KeyError, "random": low}, 0.01, 0.5),
        "enabled": ({"rate": 1.0, "error": KeyError}, False, True),
        "mode": ({"rate": 1.0, "enabled": True, "error": KeyError}, "normal", "observe"),
        "random": ({"rate": 0.5, "enabled": True, "error": KeyError}, low, lambda: 0.9),
    },
    "LoadShedder": {
        "capacity": ({}, 3, 20),
        "thresholds": ({"capacity": 10}, (0.1, 0.2, 0.3, 1.0), (0.7, 0.8, 0.9, 1.0)),
        "load": ({}, None, lambda: 2.0),
        "mode": ({"capacity": 3}, "normal", "observe"),
    },
}


# Options whose effect no outcome of the script shows; a test of the policy's own does.
ELSEWHERE = {
    ("CircuitBreaker", "half_open_concurrency"),
    ("CircuitBreaker", "half_open_max_wait"),
    ("Hedge", "discard"),
}
OF_ALL_POLICIES = {"name", "clock"}


def test_every_option_has_a_case() -> None:
    swept = {each.__name__: each for each in policies() if each.__name__ in CASES}
    assert swept.keys() == CASES.keys()
    for name, policy in swept.items():
        options = inspect.signature(policy).parameters.keys() - OF_ALL_POLICIES
        elsewhere = {option for kind, option in ELSEWHERE if kind == name}
        assert options == CASES[name].keys() | elsewhere


def option_cases() -> list[tuple[str, str]]:
    return [(kind, option) for kind, cases in CASES.items() for option in cases]


@pytest.mark.parametrize(("kind", "option"), option_cases())
async def test_each_option_has_an_effect(kind: str, option: str) -> None:
    [policy] = [each for each in policies() if each.__name__ == kind]
    base, one, other = CASES[kind][option]
    first = await history(policy, {**base, option: one})
    assert first == await history(policy, {**base, option: one})
    assert first != await history(policy, {**base, option: other})
