"""Backoff: the curves, and what the jitter may make of them."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.errors import ConfigError
from resilience.policies.backoff import Backoff, Constant, Exponential, Fibonacci, Linear

seconds = st.floats(0.001, 1000)
jitters = st.sampled_from(["full", "equal", "decorrelated", "none"])


@st.composite
def curves(draw: st.DrawFn) -> Any:
    options: dict[str, Any] = {
        "cap": draw(seconds),
        "jitter": draw(jitters),
        "random": random.Random(draw(st.integers())).random,
    }
    base = draw(seconds)
    return draw(
        st.sampled_from(
            [
                Linear(base, draw(st.floats(0, 100)), **options),
                Exponential(base, draw(st.floats(1, 10)), **options),
                Fibonacci(base, **options),
            ]
        )
    )


@given(curves(), st.integers(1, 10_000), st.floats(0, 2000))
def test_a_wait_is_never_negative_and_never_above_the_cap(curve: Any, attempt: int, previous: float) -> None:
    assert 0 <= curve.delay(attempt, previous) <= curve.cap


@given(curves(), st.integers(1, 2000))
def test_jitter_stays_between_its_bounds(curve: Any, attempt: int) -> None:
    height = dataclasses.replace(curve, jitter="none").delay(attempt, 0.0)
    wait = curve.delay(attempt, 0.0)
    match curve.jitter:
        case "none":
            assert wait == height
        case "full":
            assert 0 <= wait <= height
        case "equal":
            assert height / 2 <= wait <= height
        case "decorrelated":
            assert min(curve.base, curve.cap) <= wait <= curve.cap


@given(curves(), st.integers(1, 2000))
def test_without_jitter_no_wait_is_shorter_than_the_one_before(curve: Any, attempt: int) -> None:
    plain = dataclasses.replace(curve, jitter="none")
    assert plain.delay(attempt, 0.0) <= plain.delay(attempt + 1, 0.0)


@given(curves(), st.floats(0, 2000))
def test_decorrelated_jitter_is_at_most_three_times_the_wait_before(curve: Any, previous: float) -> None:
    spread = dataclasses.replace(curve, jitter="decorrelated")
    low = min(spread.base, spread.cap)
    assert low <= spread.delay(5, previous) <= max(low, 3 * (previous or spread.base)) * (1 + 1e-12)


def test_decorrelated_jitter_goes_from_the_base_to_three_times_the_wait_before() -> None:
    assert Exponential(1, jitter="decorrelated", random=lambda: 0.0).delay(2, 5.0) == 1
    assert Exponential(1, jitter="decorrelated", random=lambda: 1.0).delay(2, 5.0) == 15


@pytest.mark.parametrize("curve", [Exponential, Linear, Fibonacci])
@pytest.mark.parametrize(("chance", "wait"), [(0.0, 2.0), (0.5, 4.0), (1.0, 6.0)])
def test_the_first_wait_of_decorrelated_jitter_is_up_to_three_times_the_base(
    curve: Any, chance: float, wait: float
) -> None:
    assert curve(2.0, jitter="decorrelated", random=lambda: chance).delay(1, 0.0) == wait


def test_decorrelated_jitter_is_cut_at_the_cap_as_the_source_has_it() -> None:
    # aws-arch-backoff-simulator: min(cap, uniform(base, 3 * previous)), so that much of it comes to lie at the cap.
    for chance in (0.0, 0.2, 0.9):
        wait = Exponential(1, cap=10, jitter="decorrelated", random=lambda: chance).delay(5, 10.0)  # noqa: B023
        assert wait == min(10, 1 + (30 - 1) * chance)


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        (Constant(2), [2, 2, 2, 2, 2]),
        (Linear(1, 2, jitter="none"), [1, 3, 5, 7, 9]),
        (Linear(1, cap=3, jitter="none"), [1, 2, 3, 3, 3]),
        (Exponential(1, jitter="none"), [1, 2, 4, 8, 16]),
        (Exponential(1, 3, cap=10, jitter="none"), [1, 3, 9, 10, 10]),
        (Fibonacci(1, jitter="none"), [1, 1, 2, 3, 5]),
        (Fibonacci(2, cap=5, jitter="none"), [2, 2, 4, 5, 5]),
    ],
)
def test_the_curves(backoff: Backoff, waits: list[float]) -> None:
    assert [backoff.delay(attempt, 0.0) for attempt in range(1, 6)] == waits


@pytest.mark.parametrize(
    ("jitter", "chance", "wait"), [("full", 0.25, 1.0), ("equal", 0.5, 3.0), ("none", 0.9, 4.0)]
)
def test_a_constant_wait_can_be_spread(jitter: Any, chance: float, wait: float) -> None:
    assert Constant(4.0, jitter=jitter, random=lambda: chance).delay(3, 0.0) == wait


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Constant, {"seconds": -1}),
        (Constant, {"seconds": float("nan")}),
        (Constant, {"seconds": 1, "jitter": "decorrelated"}),
        (Linear, {"base": 0}),
        (Linear, {"step": -1}),
        (Exponential, {"base": True}),
        (Exponential, {"factor": 0.5}),
        (Exponential, {"cap": 0}),
        (Exponential, {"jitter": "some"}),
        (Exponential, {"random": 4}),
        (Fibonacci, {"base": "1"}),
    ],
)
def test_nonsense_is_refused_by_name(kind: type, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=list(options)[-1]):
        kind(**options)
