"""Mistakes of a first hour: each message says what to write instead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.policies.base import WrappingPolicy
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.fallback import Fallback
from resilience.policies.keyed import Keyed
from resilience.policies.pipeline import Pipeline
from resilience.policies.presets import API_CALLS, DATABASE
from resilience.policies.recipes import recipe
from resilience.policies.retry import Retry
from resilience.policies.timeout import Timeout
from resilience.reliability import Reliability

POLICIES: list[Callable[[], WrappingPolicy]] = [
    lambda: Timeout(1),
    CircuitBreaker,
    lambda: Keyed(lambda _: Bulkhead(1), key=lambda: 1),
    lambda: Pipeline(Timeout(1)),
    lambda: Fallback(None),
    lambda: Pipeline(Fallback(None), Timeout(1)),
]


async def pay() -> int:
    return 7


def plain() -> int:
    return 7


def awaitable() -> Any:
    return pay()


@pytest.mark.parametrize("make", POLICIES)
async def test_call_names_the_form_that_it_takes(make: Callable[[], Any]) -> None:
    policy = make()
    with pytest.raises(ConfigError, match=r"write `call\(pay, \.\.\.\)`, not `call\(pay\(\.\.\.\)\)`"):
        await policy.call(pay())
    with pytest.raises(ConfigError, match="'plain' is a plain function: make it `async def`"):
        await policy.call(plain)
    assert await policy.call(awaitable) == 7


async def test_a_type_error_of_the_function_itself_stays() -> None:
    async def fail() -> None:
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        await Timeout(1).call(fail)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (CircuitBreaker(), r"write `async with policy\.guard\(\):`"),
        (Pipeline(Timeout(1)), r"write `async with policy\.guard\(\):`"),
        (Retry(), "a block cannot be repeated"),
    ],
)
async def test_a_policy_is_no_context_manager(policy: WrappingPolicy, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        async with policy:
            pass


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (
            lambda: Reliability("shop").pipeline(API_CALLS),
            r"takes a name first.*write pipeline\('name', \.\.\.\)",
        ),
        (lambda: Reliability("shop").pipeline(Timeout(1)), "takes a name first, got Timeout"),
        (lambda: API_CALLS.changed(timeout=5), r"timeout must be .*: write timeout=\{'seconds': 5\}"),
        (lambda: API_CALLS.changed(timeout={"secs": 5}), "unknown option 'secs'.* there are: seconds"),
        (lambda: API_CALLS.changed(retries={}), "unknown layer 'retries', did you mean 'retry'.* bulkhead"),
        (lambda: Retry().reconfigure(atempts=5), "unknown option 'atempts', did you mean 'attempts'"),
        (lambda: Pipeline(Retry()).reload({"retri": {}}), "unknown policy 'retri', did you mean 'retry'"),
        (lambda: Pipeline(Retry()).reload({"retry": {"atempts": 1}}), "did you mean 'attempts'"),
        (lambda: recipe({"retry": {"atempts": 1}}), "did you mean 'attempts'"),
        (lambda: Pipeline(Retry()).get(Timeout), "no Timeout; there are: retry"),
        (
            lambda: Pipeline(Timeout(2), Timeout(1)).get(Timeout),
            "several policies of Timeout, give its name; there are: timeout, attempt_timeout",
        ),
    ],
)
def test_unknown_names_and_wrong_forms_are_answered_with_what_there_is(
    mistake: Callable[[], object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        mistake()


def test_a_policy_is_found_by_its_class_and_name() -> None:
    whole, attempt = Timeout(2), Timeout(1)
    pipeline = Pipeline(whole, Retry(), attempt)
    assert pipeline.get(Timeout, "attempt_timeout") is attempt
    assert pipeline.get(Timeout, "timeout") is whole
    assert isinstance(pipeline.get(Retry), Retry)


@pytest.mark.parametrize("other", [(DATABASE,), (Timeout(2),), (Timeout(2), Retry(3))])
@pytest.mark.parametrize("first", [(API_CALLS,), (Timeout(1),), ()])
def test_a_pipeline_is_not_made_of_other_policies_under_the_same_name(first: Any, other: Any) -> None:
    rel = Reliability("shop", clock=ManualClock())
    made = rel.pipeline(
        "pay", *(type(each)(1, clock=rel.clock) if isinstance(each, Timeout) else each for each in first)
    )
    with pytest.raises(ConfigError, match="pipeline 'pay' was made of other policies before"):
        rel.pipeline("pay", *other)
    assert rel.pipeline("pay") is made


def test_a_pipeline_is_found_by_the_same_policies_again() -> None:
    rel = Reliability("shop")
    for policies in ((API_CALLS,), (Timeout(1), Retry(3))):
        name = str(len(policies))
        assert rel.pipeline(name, *policies) is rel.pipeline(name, *policies)
    assert rel.pipeline("2") is rel.pipeline("2", Timeout(1), Retry(3))


def test_decorated_functions_run_as_coroutines() -> None:
    assert asyncio.run(Pipeline(Timeout(1))(pay)()) == 7
