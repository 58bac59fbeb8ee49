"""Recurring times, as Alertmanager reads them."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from resilience.alerting.intervals import TimeInterval, time_intervals_from_config
from resilience.errors import ConfigError


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("setting", "inside", "outside"),
    [
        ({"times": [{"start_time": "09:00", "end_time": "17:00"}]}, "2026-11-23T09:00", "2026-11-23T17:00"),
        (
            {"times": [{"start_time": "22:00", "end_time": "24:00"}]},
            "2026-11-23T23:59:59",
            "2026-11-23T21:59:59",
        ),
        ({"weekdays": ["saturday", "sunday"]}, "2026-11-22T12:00", "2026-11-23T00:00"),
        ({"weekdays": ["monday:friday"]}, "2026-11-27T23:59", "2026-11-28T00:00"),
        ({"days_of_month": ["-1"]}, "2026-02-28T12:00", "2026-02-27T12:00"),
        ({"days_of_month": ["1:7"]}, "2026-11-07T12:00", "2026-11-08T12:00"),
        ({"days_of_month": ["-3:-1"]}, "2026-11-28T12:00", "2026-11-27T12:00"),
        ({"days_of_month": ["2:-2"]}, "2026-02-27T12:00", "2026-02-28T12:00"),
        ({"weekdays": ["sunday:tuesday"]}, "2026-11-24T12:00", "2026-11-25T12:00"),
        ({"months": ["december:december", "1"]}, "2026-01-31T12:00", "2026-02-01T12:00"),
        ({"years": ["2026:2027"]}, "2026-01-01T00:00", "2028-01-01T00:00"),
        ({"weekdays": ["sunday"], "months": ["november"]}, "2026-11-22T12:00", "2026-12-06T12:00"),
    ],
)
def test_a_moment_is_inside_or_not(setting: dict[str, Any], inside: str, outside: str) -> None:
    interval = TimeInterval.from_config(setting)
    assert interval.contains(at(inside))
    assert not interval.contains(at(outside))


def test_a_location_moves_all_of_it() -> None:
    setting = {"times": [{"start_time": "09:00", "end_time": "10:00"}], "location": "Asia/Tokyo"}
    interval = TimeInterval.from_config(setting)
    assert interval.contains(at("2026-11-23T09:30", "Asia/Tokyo"))
    assert not interval.contains(at("2026-11-23T09:30"))


def test_both_forms_of_a_file_are_read() -> None:
    weekend = [{"weekdays": ["saturday"]}, {"weekdays": ["sunday"]}]
    ours = time_intervals_from_config({"weekends": weekend})
    theirs = time_intervals_from_config([{"name": "weekends", "time_intervals": weekend}])
    assert ours == theirs
    assert ours["weekends"].contains(at("2026-11-22T12:00"))
    assert not ours["weekends"].contains(at("2026-11-23T12:00"))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"colour": []}, r"must be made of times, .*\['colour'\]"),
        ("nights", "must be a mapping of times"),
        ({"times": [{"start_time": "9"}]}, "mapping of start_time and end_time"),
        ({"times": [{"start_time": "09:60", "end_time": "10:00"}]}, "time of day from 00:00 to 24:00"),
        ({"times": [{"start_time": "22:00", "end_time": "06:00"}]}, "within one day"),
        ({"times": [{"start_time": 540, "end_time": "10:00"}]}, "in quotes"),
        ({"weekdays": ["caturday"]}, "weekdays must be 0..6 or a name"),
        ({"weekdays": ["friday:monday"]}, "weekdays must be"),
        ({"days_of_month": ["0"]}, "days_of_month must be"),
        ({"days_of_month": ["32"]}, "days_of_month must be"),
        ({"days_of_month": ["-1:1"]}, "days_of_month must be"),
        ({"days_of_month": ["1:2:3"]}, "days_of_month must be"),
        (
            {"days_of_month": ["20:-20"]},
            "days_of_month must be",
        ),  # later than the end even in a month of 31 days
        ({"location": 5}, "IANA time zone"),
        ({"months": {"may": 1}}, "months must be a list"),
        ({"location": "Middle/Earth"}, "IANA time zone"),
    ],
)
def test_what_cannot_be_meant_is_refused(setting: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        time_intervals_from_config({"odd": [setting]})


@pytest.mark.parametrize("setting", [7, ["nights"], {"nights": {"weekdays": []}}])
def test_a_section_of_another_shape_is_refused(setting: object) -> None:
    with pytest.raises(ConfigError, match=r"time.interval"):
        time_intervals_from_config(setting)


def test_days_may_run_up_to_the_end_of_the_longest_month() -> None:
    found = time_intervals_from_config({"last": [{"days_of_month": ["20:-12", "28:-1"]}]})["last"]
    assert [found.contains(1_704_067_200 + day * 86_400) for day in (18, 19, 20, 27)] == [
        False,
        True,
        False,
        True,
    ]


def test_a_location_may_be_the_machines_own_or_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        morning = {"times": [{"start_time": "07:00", "end_time": "08:00"}]}  # 22:13 UTC is 07:13 in Tokyo
        found = time_intervals_from_config(
            {"local": [morning | {"location": "Local"}], "utc": [morning | {"location": ""}]}
        )
        assert found["local"].contains(1_700_000_000)
        assert not found["utc"].contains(1_700_000_000)
    finally:
        monkeypatch.undo()
        time.tzset()
