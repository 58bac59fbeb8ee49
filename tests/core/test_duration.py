from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.core.duration import format_duration, parse_duration, parse_seconds
from resilience.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("30d", 2_592_000),
        ("1w", 604_800),
        ("1y", 31_536_000),
        ("500ms", 0.5),
        ("0", 0),
    ],
)
def test_a_duration_is_read_as_prometheus_reads_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "5 m", "-5m", "1.5h", "5x", "30m1h", "m", "1s1s", None, 30, "9" * 13 + "y"]
)
def test_anything_else_is_refused_with_its_option(text: object) -> None:
    with pytest.raises(ConfigError, match=r"^window must be a duration such as"):
        parse_duration(text, option="window")


@pytest.mark.parametrize(
    ("bare", "words"),
    [
        (30, "30s"),
        ("30", "30s"),
        (30000, "30s or 30000ms"),
        (1500.0, "1s500ms or 1500ms"),
        ("5000", "5s or 5000ms"),
    ],
)
def test_a_bare_number_is_refused_with_what_to_write(bare: object, words: str) -> None:
    with pytest.raises(ConfigError, match=f": write {words}$"):
        parse_duration(bare, option="window")


def test_a_small_bare_number_may_be_one_of_seconds() -> None:
    assert [parse_seconds(value) for value in ("2m", 0, 999.5, None, True)] == [120, 0, 999.5, None, True]
    with pytest.raises(ConfigError, match="write 1s or 1000ms"):
        parse_seconds(1000)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.5, "500ms"), (90, "1m30s"), (604_800, "1w"), (2_592_000, "30d"), (-1, "0s")],
)
def test_a_duration_is_written_in_the_shortest_exact_form(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(min_value=0, max_value=10**12))
def test_what_is_written_reads_back_to_the_millisecond(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == seconds
