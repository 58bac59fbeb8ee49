"""What users get and use up, under the names that rule packs read."""

import asyncio
from contextlib import nullcontext

import pytest

from resilience.core.clock import ManualClock
from resilience.errors import RateLimited
from resilience.signals import Signals, UsageRecorder


@pytest.fixture
def signals(clock: ManualClock) -> Signals:
    return Signals(clock)


@pytest.fixture
def usage(signals: Signals) -> UsageRecorder:
    return signals.usage("voice")


def now(signals: Signals, clock: ManualClock, name: str) -> dict[str, float]:
    signals.tick(clock.now())
    return {
        ",".join(value for key, value in labels if key != "service"): figure
        for family in signals.collect()
        for sample, labels, figure in family.samples
        if sample == name
    }


def test_one_recorder_serves_a_service(signals: Signals, usage: UsageRecorder) -> None:
    assert signals.usage("voice") is usage
    assert signals.usage("chat") is not usage


def test_the_oldest_session_is_the_one_that_began_first_of_those_open(
    signals: Signals, usage: UsageRecorder, clock: ManualClock
) -> None:
    assert now(signals, clock, "session_oldest_seconds") == {"": 0}
    first, second = usage.session(), usage.session()
    first.__enter__()
    clock.shift(10)
    second.__enter__()
    clock.shift(5)
    assert now(signals, clock, "session_oldest_seconds") == {"": 15}
    first.__exit__(None, None, None)
    assert now(signals, clock, "session_oldest_seconds") == {"": 5}
    second.__exit__(None, None, None)
    assert now(signals, clock, "session_oldest_seconds") == {"": 0}
    assert now(signals, clock, "session_duration_seconds_sum") == {"": 20}
    assert now(signals, clock, "session_duration_seconds_count") == {"": 2}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "success"),
        (ValueError(), "failure"),
        (asyncio.CancelledError(), "cancelled"),
        (RateLimited("no", policy="limit"), "rejected"),
    ],
)
def test_a_tools_outcome_is_its_verdict_and_no_error_is_kept_back(
    signals: Signals,
    usage: UsageRecorder,
    clock: ManualClock,
    error: BaseException | None,
    outcome: str,
) -> None:
    def call() -> None:
        with usage.tool("search"):
            clock.shift(2)
            if error is not None:
                raise error

    with nullcontext() if error is None else pytest.raises(type(error)):
        call()
    found = now(signals, clock, "tool_calls_total")
    assert found == {f"{outcome},search": 1}
    assert now(signals, clock, "tool_duration_seconds_sum") == {"search": 2}


def test_quota_and_cost_are_shown_as_they_are_given(
    signals: Signals, usage: UsageRecorder, clock: ManualClock
) -> None:
    usage.quota("minutes", used=930, limit=1000)
    usage.budget(50)
    usage.spend(2.5, kind="tokens")
    usage.spend(0.5, kind="tokens")
    assert now(signals, clock, "quota_used") == {"minutes": 930}
    assert now(signals, clock, "quota_limit") == {"minutes": 1000}
    assert now(signals, clock, "cost_budget_usd") == {"": 50}
    assert now(signals, clock, "cost_usd_total") == {"tokens": 3}
