from __future__ import annotations

import asyncio

import pytest

from resilience.core.deadline import timeout
from resilience.core.verdict import Verdict
from resilience.errors import BulkheadFull
from resilience.policies.judge import Judge


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ConnectionError(), Verdict.FAILURE),
        (ValueError(), Verdict.SUCCESS),
        (KeyError(), Verdict.IGNORED),
        (BulkheadFull(""), Verdict.REJECTED),
        (asyncio.CancelledError(), Verdict.CANCELLED),
        (KeyboardInterrupt(), Verdict.CANCELLED),
    ],
)
async def test_errors_are_judged_by_the_filters(error: BaseException, verdict: Verdict) -> None:
    assert Judge("b", on=OSError, ignore=KeyError)(None, error) is verdict


async def test_a_cancellation_by_a_timeout_around_the_call_is_a_failure() -> None:
    verdicts = []

    async def hang() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError as error:
            verdicts.append(Judge("b", on=TimeoutError)(None, error))
            raise

    with pytest.raises(TimeoutError):
        async with timeout(0.001):
            await hang()
    assert verdicts == [Verdict.FAILURE]


def test_a_predicate_that_raises_breaks_nothing() -> None:
    def broken(_: object) -> bool:
        raise RuntimeError

    judge = Judge("b", on=broken, failed_result=broken)
    assert judge("answer", None) is Verdict.SUCCESS
    assert judge(None, ValueError()) is Verdict.FAILURE
