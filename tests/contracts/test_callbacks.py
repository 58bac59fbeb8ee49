"""Callbacks that raise: whatever function a policy takes, an error in it never changes what the call comes to."""

from __future__ import annotations

import asyncio
import functools
import inspect
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from resilience.core.callbacks import BROKEN
from resilience.core.classify import Classifier
from resilience.core.clock import ManualClock
from resilience.core.ports import CallContext
from resilience.core.verdict import Verdict
from resilience.core.window import CountWindow
from resilience.policies import (
    AdaptiveLimiter,
    AdaptiveThrottle,
    Bulkhead,
    CircuitBreaker,
    Coalesce,
    Exponential,
    Fallback,
    FaultInjection,
    Hedge,
    Keyed,
    LoadShedder,
    OutlierEjection,
    Pipeline,
    Retry,
)
from resilience.policies.base import WrappingPolicy
from tests.contracts.test_policies import policies


class Callback:
    """A user's function that raises, in the place of an object's methods too; counts how often it was called."""

    limit = 20.0

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error
        self.calls = 0

    def __call__(self, *_args: Any, **_options: Any) -> Any:
        self.calls += 1
        raise self.error("broken callback")

    begin = spend = release = end = delay = update = record = __call__

    def start(self) -> Any:
        return self


class BrokenClassifier(Classifier):
    def __init__(self, callback: Callback) -> None:
        super().__init__(failed_result=callback)
        self.callback = callback

    def error(self, error: BaseException) -> Verdict:
        return self.callback(error)


class Count:
    """A recorder, which shows what a broken classifier comes to."""

    def __init__(self) -> None:
        self.seen: list[Verdict] = []

    def record(self, verdict: Verdict, duration: float) -> None:
        self.seen.append(verdict)


Made = Callable[[Callback, ManualClock], Any]
NO_WAIT = Exponential(1e-9, jitter="none")
OPTIONS: dict[tuple[type[WrappingPolicy], str], Made] = {
    (AdaptiveLimiter, "algorithm"): lambda broken, clock: AdaptiveLimiter(
        broken, window=1e-9, minimum_calls=1, clock=clock
    ),
    (AdaptiveLimiter, "dropped"): lambda broken, clock: AdaptiveLimiter(dropped=broken, clock=clock),
    (AdaptiveThrottle, "on"): lambda broken, clock: AdaptiveThrottle(on=broken, clock=clock),
    (AdaptiveThrottle, "ignore"): lambda broken, clock: AdaptiveThrottle(ignore=broken, clock=clock),
    (AdaptiveThrottle, "failed_result"): lambda broken, clock: AdaptiveThrottle(
        failed_result=broken, clock=clock
    ),
    (AdaptiveThrottle, "random"): lambda broken, clock: AdaptiveThrottle(
        random=broken, multiplier=1, clock=clock
    ),
    (CircuitBreaker, "on"): lambda broken, clock: CircuitBreaker(on=broken, clock=clock),
    (CircuitBreaker, "ignore"): lambda broken, clock: CircuitBreaker(ignore=broken, clock=clock),
    (CircuitBreaker, "failed_result"): lambda broken, clock: CircuitBreaker(
        failed_result=broken, clock=clock
    ),
    (CircuitBreaker, "random"): lambda broken, clock: CircuitBreaker(
        random=broken, open_jitter=0.5, open_duration=0.5, window=CountWindow(2), minimum_calls=2, clock=clock
    ),
    (Coalesce, "key"): lambda broken, clock: Coalesce(key=broken, clock=clock),
    (Fallback, "key"): lambda broken, clock: Fallback(key=broken, stale_for=60, clock=clock),
    (Fallback, "on"): lambda broken, clock: Fallback("other", on=broken, clock=clock),
    (Fallback, "on_result"): lambda broken, clock: Fallback(
        "other", on=ArithmeticError, on_result=broken, clock=clock
    ),
    (FaultInjection, "error"): lambda broken, clock: FaultInjection(
        error=broken, rate=1, enabled=True, clock=clock
    ),
    (FaultInjection, "random"): lambda broken, clock: FaultInjection(
        result="fault", random=broken, enabled=True, clock=clock
    ),
    (Hedge, "on"): lambda broken, clock: Hedge(on=broken, clock=clock),
    (Hedge, "on_result"): lambda broken, clock: Hedge(on_result=broken, clock=clock),
    (Hedge, "discard"): lambda broken, clock: Hedge(
        0, on_result=lambda result: result == "good", discard=broken, clock=clock
    ),
    (Hedge, "budget"): lambda broken, clock: Hedge(budget=broken, clock=clock),
    (Keyed, "factory"): lambda broken, clock: Keyed(broken, clock=clock),
    (Keyed, "key"): lambda broken, clock: Keyed(lambda _: Bulkhead(3, clock=clock), key=broken, clock=clock),
    (LoadShedder, "load"): lambda broken, clock: LoadShedder(load=broken, clock=clock),
    (OutlierEjection, "on"): lambda broken, clock: OutlierEjection(on=broken, clock=clock),
    (OutlierEjection, "ignore"): lambda broken, clock: OutlierEjection(ignore=broken, clock=clock),
    (OutlierEjection, "failed_result"): lambda broken, clock: OutlierEjection(
        failed_result=broken, clock=clock
    ),
    (Pipeline, "recorder"): lambda broken, clock: Pipeline(
        Bulkhead(3, clock=clock), recorder=broken, clock=clock
    ),
    (Pipeline, "classifier"): lambda broken, clock: Pipeline(
        Bulkhead(3, clock=clock), recorder=Count(), classifier=BrokenClassifier(broken), clock=clock
    ),
    (Retry, "backoff"): lambda broken, clock: Retry(2, backoff=broken, clock=clock),
    (Retry, "on"): lambda broken, clock: Retry(on=broken, backoff=NO_WAIT, clock=clock),
    (Retry, "on_result"): lambda broken, clock: Retry(
        on=ArithmeticError, on_result=broken, backoff=NO_WAIT, clock=clock
    ),
    (Retry, "budget"): lambda broken, clock: Retry(budget=broken, backoff=NO_WAIT, clock=clock),
}
# What a function of these raises is the documented outcome of the call itself.
OUTCOMES = {(Fallback, "function")}
KINDS = ("Callable", "ErrorFilter", "Backoff", "RetryBudget", "LimitAlgorithm", "Recorder", "Classifier")


def declared() -> set[tuple[type[WrappingPolicy], str]]:
    return {
        (policy, name)
        for policy in policies()
        for name, parameter in inspect.signature(policy).parameters.items()
        if any(kind in str(parameter.annotation) for kind in KINDS)
    }


def test_every_callback_option_of_every_policy_is_swept() -> None:
    assert len(declared()) > 30
    assert declared() == set(OPTIONS) | OUTCOMES


# A classifier judges errors by its `on` and `ignore`, and results by its `failed_result`; the log names the first of these.
LOGGED = {"ignore": {"on"}, "classifier": {"on", "failed_result"}}
FORMS: dict[
    str, Callable[[Any], Callable[[Callable[..., Awaitable[Any]]], Callable[..., Awaitable[Any]]]]
] = {
    "decorated": lambda policy: policy,
    "called": lambda policy: lambda function: lambda *args: policy.call(function, *args),
    "generated": lambda policy: Pipeline(policy, name="outer"),
    "nested": lambda policy: (
        lambda function: lambda *args: _nested(Pipeline(policy, name="outer"), function, *args)
    ),
}


async def _nested(pipeline: Pipeline, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    return await pipeline.nested(functools.partial(function, *args))


ERRORS = (RuntimeError, asyncio.CancelledError)
CASES = [
    (policy, option, form, error)
    for policy, option in OPTIONS
    # Only a decorated function has a key function.
    for form in (FORMS if (policy, option) != (Keyed, "key") else ["decorated"])
    # A discard may be a coroutine, which can be cancelled.
    for error in (ERRORS if option != "discard" else ERRORS[:1])
]


@pytest.mark.parametrize(
    ("policy", "option", "form", "error"),
    CASES,
    ids=[f"{policy.__name__}-{option}-{form}-{error.__name__}" for policy, option, form, error in CASES],
)
async def test_a_callback_that_raises_changes_no_outcome(
    policy: type[WrappingPolicy], option: str, form: str, error: type[BaseException], clock: ManualClock
) -> None:
    callback = Callback(error)
    subject = OPTIONS[policy, option](callback, clock)
    own = ConnectionError("the call's own")

    async def good() -> str:
        await asyncio.sleep(0)
        return "good"

    async def bad() -> str:
        raise own

    with capture_logs() as logs, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            assert await settled(FORMS[form](subject)(good)(), clock) == "good"
            assert await settled(FORMS[form](subject)(bad)(), clock) is own
    assert callback.calls
    broken = [each for each in logs if each["event"] == "callback_failed"]
    assert {each["option"] for each in broken} == LOGGED.get(option, {option})


async def settled(call: Awaitable[Any], clock: ManualClock) -> Any:
    """Wait for a call whatever it sleeps, and return its result or its error."""
    task = asyncio.ensure_future(call)
    for _ in range(100):
        await clock.advance(1)
        if task.done():
            break
    return task.exception() or task.result()


async def test_a_broken_filter_counts_as_documented(clock: ManualClock) -> None:
    callback, count = Callback(RuntimeError), Count()
    judged = Pipeline(
        Bulkhead(clock=clock), recorder=count, classifier=BrokenClassifier(callback), clock=clock
    )

    async def bad() -> None:
        raise OSError

    async def good() -> None: ...

    await judged.call(good)
    await judged.nested(good)
    for form in (judged.execute, judged.nested):
        with pytest.raises(OSError):
            await form(bad)
    assert count.seen == [Verdict.SUCCESS] * 2 + [Verdict.FAILURE] * 2


async def test_a_broken_outer_policy_keeps_what_is_inside_in_step(clock: ManualClock) -> None:
    broken = Callback(RuntimeError)
    bulkhead = Bulkhead(1, clock=clock)
    pipeline = Pipeline(
        Fallback("other", on=broken, clock=clock),
        Keyed(broken, clock=clock),
        bulkhead,
        Retry(2, on=broken, clock=clock),
        CircuitBreaker(on=broken, failed_result=broken, clock=clock),
        recorder=broken,
        clock=clock,
    )

    async def good() -> str:
        return "good"

    for _ in range(3):
        assert await pipeline.call(good) == await pipeline.nested(good, CallContext(key="a")) == "good"
    assert bulkhead.statistics().in_flight == 0


def test_cancellations_of_synchronous_callbacks_are_mistakes() -> None:
    assert asyncio.CancelledError in BROKEN
