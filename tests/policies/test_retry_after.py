"""Retry-After: where it is found, and what is no answer."""

from __future__ import annotations

import time
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.core.clock import ManualClock
from resilience.errors import CircuitOpen
from resilience.policies.backoff import Constant
from resilience.policies.pipeline import Pipeline
from resilience.policies.retry import Retry
from resilience.policies.retry_after import parse_retry_after, retry_after_of

NOW = 1_700_000_000.0


@given(st.integers(0, 4_000_000_000))
def test_a_date_is_the_time_from_now_until_then(when: int) -> None:
    assert parse_retry_after(formatdate(when, usegmt=True), NOW) == max(0.0, when - NOW)


@given(st.text() | st.floats() | st.integers() | st.none() | st.booleans() | st.binary())
def test_anything_gives_seconds_or_nothing(value: object) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds < float("inf")


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "-1",
        "1.5",
        "1e3",
        "+5",
        "٣",
        "Mon",
        "Fri, 31 Feb 2023 00:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 +99999999999",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 +99999999999999999999999",
        True,
        float("inf"),
        float("nan"),
        b"5",
    ],
)
def test_bogus_is_as_if_nothing_had_been_said(value: object) -> None:
    assert parse_retry_after(value, NOW) is None


def test_a_date_of_unknown_place_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        seconds = parse_retry_after("Tue, 14 Nov 2023 22:13:30 -0000", NOW)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert seconds == 10.0


@pytest.mark.parametrize(
    ("source", "seconds"),
    [
        (CircuitOpen("open", retry_after=2.5), 2.5),
        (CircuitOpen("open"), None),
        (SimpleNamespace(headers={"Retry-After": "5"}), 5.0),
        (SimpleNamespace(headers={"retry-after": "5"}), 5.0),
        (SimpleNamespace(response=SimpleNamespace(headers={"Retry-After": "5"})), 5.0),
        (SimpleNamespace(retry_after="bogus", headers={"Retry-After": "5"}), 5.0),
        (SimpleNamespace(headers=None, response=None), None),
        (SimpleNamespace(headers={}), None),
        (OSError(), None),
        (None, None),
        (503, None),
    ],
)
def test_where_it_is_found(source: Any, seconds: float | None) -> None:
    assert retry_after_of(source, NOW) == seconds


class Touchy(Exception):
    @property
    def retry_after(self) -> float:
        raise RuntimeError("not to be read")


class Headers(dict[str, str]):
    def get(self, *_: object) -> Any:
        raise RuntimeError("not to be read")


class Response:
    headers = Headers()


def saying(value: object) -> Exception:
    error = OSError("the call's own")
    error.retry_after = value  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    "source",
    [saying(10**400), saying(-(10**400)), saying("9" * 5000), saying(True), Touchy(), Response()],
    ids=["huge", "hugely negative", "huge text", "a flag", "a property that raises", "headers that raise"],
)
def test_what_cannot_be_read_says_nothing(source: object) -> None:
    assert retry_after_of(source, 0.0) is None


@pytest.mark.parametrize("form", ["execute", "nested"])
async def test_an_unreadable_retry_after_leaves_the_calls_own_error(form: str, clock: ManualClock) -> None:
    for error in (saying(10**400), Touchy()):
        pipeline = Pipeline(Retry(2, backoff=Constant(0), clock=clock))
        calls = 0

        async def fail(error: Exception = error) -> None:
            nonlocal calls
            calls += 1
            raise error

        with pytest.raises(type(error)) as caught:
            await getattr(pipeline, form)(fail)
        assert (caught.value, calls) == (error, 2)
