"""Recurring exclusions keep the local time of day, whatever clocks do in between."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience.errors import ConfigError
from resilience.slo import SLO, Exclusion
from resilience.slo.formats.native_read import from_config

DAY = 86_400
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # by half an hour
    "America/Sao_Paulo",  # at midnight, until 2019
    "Africa/Casablanca",  # back for Ramadan
    "Pacific/Apia",  # left out the 30th of December 2011
)


def local(zone: str, *when: int) -> float:
    return datetime(*when, tzinfo=ZoneInfo(zone)).timestamp()  # type: ignore[misc,arg-type]


def shown(at: float, zone: str = "Europe/Berlin") -> str:
    return datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%m-%d %H:%M")


def times(exclusion: Exclusion, start: float, end: float) -> list[tuple[str, str]]:
    return [(shown(begin), shown(finish)) for begin, finish in exclusion.stretches(start, end)]


weekly = Exclusion(local("Europe/Berlin", 2026, 3, 22, 1), 7200, 7 * DAY, time_zone="Europe/Berlin")


def test_a_weekly_window_is_at_its_hour_before_and_after_clocks_are_put_forward_and_back() -> None:
    spring, autumn = local("Europe/Berlin", 2026, 3, 20), local("Europe/Berlin", 2026, 10, 23)
    assert times(weekly, spring, spring + 18 * DAY) == [
        ("03-22 01:00", "03-22 03:00"),
        ("03-29 01:00", "03-29 04:00"),  # two hours all the same
        ("04-05 01:00", "04-05 03:00"),
    ]
    assert times(weekly, autumn, autumn + 14 * DAY) == [
        ("10-25 01:00", "10-25 02:00"),
        ("11-01 01:00", "11-01 03:00"),
    ]


def test_a_beginning_that_clocks_skip_comes_later_and_one_they_show_twice_comes_first() -> None:
    nightly = Exclusion(local("Europe/Berlin", 2026, 3, 28, 2, 30), 600, DAY, time_zone="Europe/Berlin")
    spring, autumn = local("Europe/Berlin", 2026, 3, 29), local("Europe/Berlin", 2026, 10, 25)
    assert times(nightly, spring, spring + 2 * DAY - 3600) == [
        ("03-29 03:30", "03-29 03:40"),
        ("03-30 02:30", "03-30 02:40"),
    ]
    [(begin, end)] = nightly.stretches(autumn, autumn + DAY)
    assert (begin - autumn, end - begin) == (2.5 * 3600, 600)


def test_a_window_of_whole_days_ends_at_midnight_though_the_day_has_23_or_25_hours() -> None:
    sundays = Exclusion(local("Europe/Berlin", 2026, 3, 22), DAY, 7 * DAY, time_zone="Europe/Berlin")
    for day, hours in (((2026, 3, 29), 23), ((2026, 4, 5), 24), ((2026, 10, 25), 25)):
        midnight = local("Europe/Berlin", *day)
        assert [*sundays.stretches(midnight, midnight + 2 * DAY)] == [(midnight, midnight + hours * 3600)]
        assert not sundays.covers(midnight - 1)
        assert sundays.covers(midnight + hours * 3600 - 1)
        assert not sundays.covers(midnight + hours * 3600)


def test_what_is_repeated_within_a_day_counts_the_seconds() -> None:
    hourly = Exclusion(local("Europe/Berlin", 2026, 3, 28), 60, 3600, time_zone="Europe/Berlin")
    start = local("Europe/Berlin", 2026, 3, 29)
    assert [begin - start for begin, _ in hourly.stretches(start, start + 5 * 3600)] == [
        0, 3600, 7200, 10_800, 14_400
    ]  # fmt: skip


exclusions = st.builds(
    lambda zone, start, days, share: Exclusion(start, share * days * DAY, days * DAY, time_zone=zone),
    st.sampled_from(ZONES),
    st.integers(1_262_304_000, 1_830_297_600),  # 2010 to 2027
    st.sampled_from([1, 2, 7, 14]),
    st.sampled_from([0.01, 0.3, 0.5, 1]),
)


@settings(deadline=None, max_examples=200)
@given(exclusions, st.integers(0, 1200), st.integers(0, DAY))
def test_every_beginning_is_what_a_calendar_on_the_wall_says(
    exclusion: Exclusion, days: int, seconds: int
) -> None:
    zone, every = ZoneInfo(exclusion.time_zone), timedelta(seconds=exclusion.every or 0)
    first = datetime.fromtimestamp(exclusion.start, zone).replace(tzinfo=None, fold=0)
    start = exclusion.start + days * DAY + seconds
    expected = []
    for count in range((days + 80) // every.days):  # by plain counting from the first on
        at = (first + count * every).replace(tzinfo=zone).timestamp() if count else exclusion.start
        if start <= at < start + 60 * DAY:
            expected.append(at)
    got = [begin for begin, _ in exclusion.stretches(start, start + 60 * DAY) if begin > start]
    assert got == [each for each in expected if each > start]


@settings(deadline=None, max_examples=200)
@given(exclusions, st.integers(0, 1200 * DAY))
def test_a_moment_is_covered_just_where_a_stretch_has_it(exclusion: Exclusion, offset: int) -> None:
    start = exclusion.start + offset
    stretches = [*exclusion.stretches(start, start + 3 * DAY)]
    for quarter in range(3 * 96):
        at = start + quarter * 900
        assert exclusion.covers(at) == any(begin <= at < end for begin, end in stretches)


def one(**more: Any) -> SLO:
    given = {"services": [{"name": "shop", "slos": [{"id": "ok", "target": 99, **more}]}]}
    return from_config(given)[0][0]


def test_a_time_without_an_offset_is_one_of_the_time_zone() -> None:
    plan = {"start": "2026-03-22T01:00:00", "end": "2026-03-22T03:00:00", "every": "7d"}
    assert one(exclusions=[{**plan, "timeZone": "Europe/Berlin"}]).exclusions == (weekly,)
    month = {"unit": "month", "timeZone": "Europe/Berlin"}
    assert one(exclusions=[plan], calendar=month).exclusions == (weekly,)
    utc = Exclusion(local("UTC", 2026, 3, 22, 1), 7200, 7 * DAY)
    assert one(exclusions=[plan]).exclusions == (utc,)
    assert one(exclusions=[{**plan, "time_zone": "UTC"}], calendar=month).exclusions == (utc,)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"timeZone": "Mars"}, "time_zone must be a name of the IANA database"),
        ({"every": "1h"}, "every must be at least the duration"),
        ({"start": "0001-01-01T00:00:00"}, "start must be"),
        ({"every": "9999999d"}, "every must be"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        one(exclusions=[{"start": "2026-03-22T01:00:00", "duration": "2h", **given}])
