"""What a generated pipeline spares the calls that are well leaves everything as the definition would."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resilience.core.clock import ManualClock
from resilience.core.window import CountWindow, TimeWindow, Window
from resilience.policies.backoff import Constant
from resilience.policies.budget import TokenBudget
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.pipeline import Pipeline
from resilience.policies.retry import Retry

STEERED = ("", "", "", "", "close", "disable", "isolate", "metrics_only", "open", "reset")
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.2, 1.1, 4.0]),  # seconds since the last call
        st.sampled_from([0.0, 0.0, 0.3, 1.0]),  # how long it takes
        st.sampled_from(["ok", "ok", "ok", "error"]),
        st.sampled_from(STEERED),  # what is done to the breaker meanwhile
    ),
    max_size=25,
)


def history(window: Window, steps: list[tuple[float, float, str, str]], form: str) -> list[Any]:
    """The standing of a breaker and a budget after each of some calls, one after the other."""
    clock = ManualClock()
    breaker = CircuitBreaker(
        window=window,
        minimum_calls=3,
        slow_call_duration=0.5,
        slow_call_rate=0.5,
        consecutive_failures=3,
        open_duration=1.0,
        half_open_permits=2,
        clock=clock,
    )
    budget = TokenBudget(10, cost=2)
    pipeline = Pipeline(Retry(2, backoff=Constant(0), budget=budget, clock=clock), breaker, clock=clock)
    seen: list[Any] = []

    async def one(seconds: float, kind: str, steered: str) -> str:
        async def call() -> str:
            clock.shift(seconds)
            if steered:
                getattr(breaker, steered)()
            if kind == "error":
                raise OSError
            return kind

        try:
            return str(await getattr(pipeline, form)(call))
        except Exception as error:  # noqa: BLE001  it is compared
            return repr(error)

    async def main() -> None:
        for pause, seconds, kind, steered in steps:
            clock.shift(pause)
            seen.append(breaker.statistics())  # who looks makes the window forget
            came = await one(seconds, kind, steered)
            seen.append((came, breaker.statistics(), budget.tokens))

    asyncio.run(main())
    return seen


@settings(max_examples=150, deadline=None)
@given(window=st.sampled_from([TimeWindow(3.0, 3), TimeWindow(60.0, 3), CountWindow(4)]), steps=STEPS)
# Failures in a row that the window has forgotten, and a success that ends the row.
@example(TimeWindow(3.0, 3), [(0.0, 0.0, "error", ""), (9.0, 0.0, "ok", ""), (0.0, 0.0, "error", "")])
# A late result of an era that is over.
@example(TimeWindow(3.0, 3), [(0.0, 0.0, "ok", ""), (0.0, 0.0, "ok", "close"), (0.0, 0.0, "ok", "reset")])
# A slow call among quick ones.
@example(TimeWindow(60.0, 3), [(0.0, 0.0, "ok", ""), (0.0, 1.0, "ok", ""), (0.0, 0.3, "ok", "")])
def test_a_call_that_is_well_leaves_breaker_and_budget_as_by_definition(
    window: Window, steps: list[tuple[float, float, str, str]]
) -> None:
    assert history(window, steps, "execute") == history(window, steps, "nested")


@pytest.mark.parametrize("form", ["execute", "nested"])
def test_a_disabled_breaker_counts_nothing(form: str) -> None:
    steps = [(0.0, 0.0, "ok", "disable"), (0.0, 0.0, "ok", ""), (0.0, 0.0, "error", "")]
    assert [breaker.calls for _, breaker, _ in history(TimeWindow(9.0), steps, form)[1::2]] == [0, 0, 0]


def test_a_breaker_that_leaves_in_a_way_of_its_own_does_so() -> None:
    left = []

    class Own(CircuitBreaker):
        def leave(self, *ended: Any) -> None:
            left.append(ended[1])
            super().leave(*ended)

    async def call() -> str:
        return "ok"

    async def main() -> None:
        pipeline = Pipeline(Own())
        for _ in range(3):
            await pipeline.execute(call)

    asyncio.run(main())
    assert left == ["ok"] * 3
