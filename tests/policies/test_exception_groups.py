"""Exception groups are judged by the exceptions in them, in every policy alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from resilience.core.classify import Classifier
from resilience.core.clock import ManualClock
from resilience.core.verdict import Verdict
from resilience.errors import BulkheadFull, CircuitOpen, RateLimited
from resilience.policies.backoff import Constant
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.fallback import Fallback
from resilience.policies.pipeline import Pipeline
from resilience.policies.retry import Retry
from resilience_middleware.problem import problem_of

REFUSED = ExceptionGroup("calls", [CircuitOpen("open"), ExceptionGroup("inner", [BulkheadFull("full")])])
MIXED = ExceptionGroup("calls", [CircuitOpen("open"), OSError("reset")])


@pytest.mark.parametrize(
    ("error", "options", "verdict"),
    [
        (REFUSED, {}, Verdict.REJECTED),
        (REFUSED, {"ignore": Exception}, Verdict.REJECTED),
        (MIXED, {}, Verdict.FAILURE),
        (MIXED, {"on": OSError}, Verdict.FAILURE),
        (MIXED, {"on": KeyError}, Verdict.SUCCESS),
        (MIXED, {"on": ExceptionGroup}, Verdict.FAILURE),
        (MIXED, {"ignore": ExceptionGroup}, Verdict.IGNORED),
        (MIXED, {"ignore": OSError}, Verdict.IGNORED),
        (ExceptionGroup("calls", [OSError(), KeyError()]), {"ignore": OSError}, Verdict.FAILURE),
        (
            ExceptionGroup("calls", [OSError(), KeyError()]),
            {"on": lambda e: type(e) is KeyError},
            Verdict.FAILURE,
        ),
        (BaseExceptionGroup("calls", [OSError(), asyncio.CancelledError()]), {}, Verdict.CANCELLED),
    ],
)
def test_the_verdict_on_a_group_follows_from_its_exceptions(
    error: BaseException, options: dict[str, Any], verdict: Verdict
) -> None:
    assert Classifier(**options).error(error) is verdict


def failing(error: Exception) -> tuple[Callable[[], Any], list[int]]:
    made: list[int] = []

    async def fail() -> str:
        made.append(1)
        raise error

    return fail, made


async def test_a_group_of_rejections_opens_no_breaker() -> None:
    breaker = CircuitBreaker(consecutive_failures=1, clock=ManualClock())
    for policy in (breaker, Pipeline(breaker)):
        with pytest.raises(ExceptionGroup):
            await policy.call(failing(REFUSED)[0])
    assert breaker.state == "closed"


async def test_a_group_of_rejections_is_not_retried_unless_asked_for() -> None:
    for asked, attempts in ((False, 1), (True, 3)):
        retry = Retry(3, backoff=Constant(0.001), retry_rejections=asked)
        fail, made = failing(REFUSED)
        with pytest.raises(ExceptionGroup):
            await retry.call(fail)
        assert len(made) == attempts


async def test_a_group_with_an_error_of_the_retried_type_is_retried() -> None:
    for error, attempts in ((MIXED, 3), (ExceptionGroup("calls", [KeyError()]), 1)):
        fail, made = failing(error)
        with pytest.raises(ExceptionGroup):
            await Retry(3, backoff=Constant(0.001), on=OSError).call(fail)
        assert len(made) == attempts


async def test_a_fallback_answers_for_a_group_with_an_error_of_its_type() -> None:
    assert await Fallback("spare", on=CircuitOpen).call(failing(REFUSED)[0]) == "spare"


def test_a_response_to_a_group_of_rejections_is_that_to_its_first() -> None:
    problem = problem_of(ExceptionGroup("calls", [RateLimited("r", retry_after=2.0), BulkheadFull("full")]))
    assert problem is not None
    assert (problem.status, problem.retry_after) == (503, 2.0)
    assert problem_of(MIXED) is None
