"""Every option of a policy has an effect: one script of calls runs under two values of it, and ends differently."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from resilience.core.classify import Classifier
from resilience.core.clock import ManualClock
from resilience.core.ports import CallContext
from resilience.errors import CircuitOpen, ConfigError
from resilience.policies import (
    Bulkhead,
    Constant,
    RateLimiter,
    RatioBudget,
    Retry,
    Timeout,
    TokenBudget,
)
from resilience.policies.identity import CallIdentity
from resilience.policies.limit_algorithms import Aimd
from tests.contracts.test_policies import make, policies

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


def by_tens(*_: object) -> int:
    return 10


def by_argument(number: int) -> int:
    return number


def low() -> float:
    return 0.1


async def outcome_of(clock: ManualClock, number: int) -> object:
    outcome, seconds = SCRIPT[number]
    if seconds:
        await clock.sleep(seconds)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


class OfRun:
    """An option that is made anew for each run, of its clock and its history."""

    def __init__(self, make: Callable[[ManualClock, list[object]], Any]) -> None:
        self._make = make

    def __call__(self, clock: ManualClock, seen: list[object]) -> Any:
        return self._make(clock, seen)


class Noted:
    """A recorder that notes the verdicts."""

    def __init__(self, seen: list[object]) -> None:
        self.seen = seen

    def record(self, verdict: object, duration: float, error: object = None) -> None:
        self.seen.append((str(verdict), duration))


def guards(kind: type, *args: object, **options: object) -> OfRun:
    return OfRun(lambda clock, _: lambda _key: kind(*args, clock=clock, **options))


def made(*makers: Callable[[ManualClock], object]) -> OfRun:
    return OfRun(lambda clock, _: [make(clock) for make in makers])


async def history(kind: Any, options: dict[str, Any]) -> list[object]:
    """Return how the calls of the script end and when, one after the other and all of them concurrently."""
    clock = ManualClock()
    seen: list[object] = []
    given = {
        name: value(clock, seen) if isinstance(value, OfRun) else value for name, value in options.items()
    }
    policies = given.pop("policies", ())
    policy = kind(*policies, **{"clock": clock, **given})

    async def call(number: int) -> None:
        async def run() -> object:
            seen.append(("called", number, clock.monotonic()))
            return await outcome_of(clock, number)

        context = CallContext(
            key=None if "key" in options else number % 3, identity=CallIdentity(run, (number % 5,), ())
        )
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
    return [*seen, *(repr(each.statistics()) for each in policies or [policy])]


RARE = {"consecutive_failures": 1, "failure_rate": None, "half_open_permits": 1, "open_duration": 1.0}
ONE = {"rate": 1.0}
STALE = {"stale_for": 60.0, "value": "spare"}
OUT = {"consecutive_failures": 1, "max_share": 1.0}
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
    "Coalesce": {
        "key": ({}, None, by_tens),
        "mode": ({}, "normal", "observe"),
    },
    "Fallback": {
        "value": ({}, "one", "other"),
        "function": ({}, lambda _: "one", lambda _: "other"),
        "stale_for": ({"value": "spare"}, None, 60.0),
        "max_stale": (STALE, 1, 5),
        "key": (STALE, None, by_tens),
        "on": ({"value": "spare"}, OSError, KeyError),
        "on_result": ({"value": "spare"}, None, is_bad),
        "mode": ({"value": "spare"}, "normal", "observe"),
    },
    "Keyed": {
        "factory": ({}, guards(Bulkhead, 1), guards(Bulkhead, 9)),
        "max_keys": ({"factory": guards(RateLimiter, 1, 60.0)}, 1, 9),
        "key": ({"factory": guards(RateLimiter, 1, 60.0)}, None, by_argument),
    },
    "OutlierEjection": {
        "consecutive_failures": ({"max_share": 1.0}, 1, 9),
        "duration": (OUT, 1.0, 60.0),
        "max_duration": ({**OUT, "duration": 1.0, "recovery": 900.0}, 1.0, 60.0),
        "recovery": ({**OUT, "duration": 1.0}, 0.1, 900.0),
        "max_share": ({"consecutive_failures": 1}, 0.1, 1.0),
        "max_hosts": (OUT, 1, 9),
        "on": (OUT, OSError, KeyError),
        "ignore": (OUT, (), OSError),
        "failed_result": (OUT, None, is_bad),
        "mode": (OUT, "normal", "observe"),
    },
    "AdaptiveThrottle": {
        "multiplier": ({"random": low}, 1.0, 9.0),
        "window": ({"random": low}, 1.0, 120.0),
        "on": ({"random": low, "multiplier": 1.0}, OSError, KeyError),
        "ignore": ({"random": low, "multiplier": 1.0}, (), OSError),
        "failed_result": ({"random": lambda: 0.01, "multiplier": 1.0, "on": KeyError}, None, is_bad),
        "mode": ({"random": low, "multiplier": 1.0}, "normal", "observe"),
        "random": ({"multiplier": 1.0}, low, lambda: 0.99),
    },
    "Pipeline": {
        "policies": (
            {},
            made(lambda clock: Timeout(2.5, clock=clock)),
            made(lambda clock: Retry(2, backoff=Constant(1), clock=clock)),
        ),
        "recorder": (
            {"policies": made(lambda clock: Timeout(9.0, clock=clock))},
            None,
            OfRun(lambda _, seen: Noted(seen)),
        ),
        "classifier": (
            {
                "policies": made(lambda clock: Timeout(9.0, clock=clock)),
                "recorder": OfRun(lambda _, seen: Noted(seen)),
            },
            None,
            Classifier(failed_result=is_bad),
        ),
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
    swept = {each.__name__: each for each in policies()}
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


# Of options that are set: the one that has no effect beside the others.
WITHOUT_EFFECT: dict[str, list[tuple[dict[str, Any], str]]] = {
    "Bulkhead": [({"max_wait": 1.0}, "max_wait"), ({"order": "lifo"}, "order")],
    "CircuitBreaker": [
        ({"slow_call_rate": 0.5}, "slow_call_rate"),
        ({"open_cap": 60.0}, "open_cap"),
    ],
    "Fallback": [
        ({"value": 1, "key": by_tens}, "key"),
        ({"value": 1, "max_stale": 5}, "max_stale"),
    ],
    "Retry": [({"respect_retry_after": False, "max_retry_after": 5.0}, "max_retry_after")],
}
USED: dict[str, dict[str, Any]] = {
    "max_wait": {"queue": 1},
    "order": {"queue": 1},
    "slow_call_rate": {"slow_call_duration": 1.0},
    "open_cap": {"open_factor": 2.0},
    "key": {"stale_for": 60.0},
    "max_stale": {"stale_for": 60.0},
    "max_retry_after": {"respect_retry_after": True},
}


@pytest.mark.parametrize(
    ("kind", "options", "option"),
    [(kind, *case) for kind, cases in WITHOUT_EFFECT.items() for case in cases],
)
def test_an_option_without_effect_is_refused(kind: str, options: dict[str, Any], option: str) -> None:
    [policy] = [each for each in policies() if each.__name__ == kind]
    with pytest.raises(ConfigError, match=f"^{option} has no effect "):
        make(policy, **options)
    others = {name: value for name, value in options.items() if name != option}
    plain = make(policy, **others)
    with pytest.raises(ConfigError, match=f"^{option} has no effect "):
        plain.reconfigure(**{option: options[option]})
    made = make(policy, **{**options, **USED[option]})
    made.reconfigure(**{name: getattr(plain.settings, name) for name in USED[option]})  # it may come back


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: Constant(0, jitter="full"), "jitter"),
        (lambda: RatioBudget(ttl=None, reserve=1.0), "reserve"),
    ],
)
def test_an_option_of_a_part_without_effect_is_refused(make: Callable[[], object], option: str) -> None:
    with pytest.raises(ConfigError, match=f"^{option} has no effect "):
        make()


@pytest.mark.parametrize("policy", policies(), ids=lambda policy: policy.__name__)
def test_an_unknown_option_is_refused_with_the_nearest_and_all_there_are(policy: Any) -> None:
    known = [
        each.name for each in inspect.signature(policy).parameters.values() if each.kind is each.KEYWORD_ONLY
    ]
    wrong = known[0][:-1] + "z"
    with pytest.raises(ConfigError) as caught:
        make(policy, **{wrong: 1})
    told = str(caught.value)
    assert told.startswith(f"{policy.__name__}: unknown option {wrong!r}, did you mean ")
    assert told.partition("there are: ")[2].split(", ")[-len(known) :] == known
