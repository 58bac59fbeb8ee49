"""Deadlines and criticality on their way from service to service."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.core.clock import ManualClock
from resilience.core.deadline import timeout
from resilience.errors import DeadlinePassed
from resilience.http.context import (
    criticality,
    format_budget,
    parse_budget,
    read_budget,
    read_criticality,
    tell,
)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "S",
        "1",
        "1.5S",
        "-1S",
        "+1S",
        "nan",
        "inf",
        "1e3S",
        "123456789S",
        "1s",
        " 1S",
        "1S ",
        "\uff11S",
        "0x1S",
    ],
)
def test_what_is_no_budget_is_ignored(value: str) -> None:
    assert parse_budget(value) is None


@given(st.text(max_size=20))
def test_no_text_breaks_the_parser(value: str) -> None:
    budget = parse_budget(value)
    assert budget is None or 0 <= budget <= 99_999_999 * 3600


@given(st.floats(min_value=0, max_value=1e9, allow_nan=False))
def test_a_budget_that_is_passed_on_never_grows(seconds: float) -> None:
    again = parse_budget(format_budget(seconds))
    assert again is not None
    assert again <= seconds * (1 + 1e-12)
    if seconds < 1e5:
        assert again > seconds - 0.0011


def test_the_smallest_budget_counts_and_huge_ones_are_capped() -> None:
    headers = [(b"grpc-timeout", b"5S"), (b"x-request-deadline", b"3S"), (b"x-request-deadline", b"junk")]
    assert read_budget(headers, longest=60) == 3
    assert read_budget([(b"grpc-timeout", b"99999999H")], longest=60) == 60
    assert read_budget([(b"grpc-timeout", b"\xff\xfe")], longest=60) is None
    assert read_budget([], longest=60) is None


def test_criticality_is_read_by_name() -> None:
    assert read_criticality([(b"x-request-criticality", b"Sheddable")]) == 0
    assert read_criticality([(b"x-request-criticality", b"9")]) is None
    assert read_criticality([]) is None


async def test_what_is_left_is_sent_along_and_nothing_is_sent_when_nothing_is_left(
    clock: ManualClock,
) -> None:
    headers: dict[str, str] = {}
    tell(headers)
    assert headers == {}
    token = criticality.set(3)
    try:
        async with timeout(2.0, clock=clock):
            clock.shift(0.5)
            tell(headers, told=False)
            assert headers == {}
            tell(headers)
            assert headers == {"X-Request-Deadline": "1500m", "X-Request-Criticality": "critical"}
    finally:
        criticality.reset(token)

    async def late() -> None:
        async with timeout(2.0, clock=clock):
            clock.shift(2.0)
            with pytest.raises(DeadlinePassed, match="not sent"):
                tell({})
            await asyncio.sleep(0)

    with pytest.raises(TimeoutError):
        await late()


@pytest.mark.parametrize("left", [1e-9, 1e-6, 0.0004, 0.000_999_9])
def test_less_than_a_millisecond_is_not_written_as_nothing(left: float) -> None:
    written = parse_budget(format_budget(left))
    assert written is not None
    assert 0 < written <= left


async def test_a_call_with_less_than_a_millisecond_left_does_not_say_that_nothing_is_left() -> None:
    clock = ManualClock()
    headers: dict[str, str] = {}
    async with timeout(0.0005, clock=clock):
        tell(headers)
    assert 0 < (parse_budget(headers["X-Request-Deadline"]) or 0) <= 0.0005
