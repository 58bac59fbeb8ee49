"""What a Prometheus tells of alerts, as events; and the bar for people who wait."""

from __future__ import annotations

import io
import sys

import pytest

from resilience.cli.figures import _fired, progress
from resilience.promql import Series

LABELS = (("__name__", "ALERTS"), ("alertname", "Burn"), ("alertstate", "firing"), ("slo", "ok"))


def events(*times: float) -> list[tuple[float, str]]:
    series = Series(LABELS, list(times), [1.0] * len(times))
    return [(event["at"], event["kind"]) for event in _fired(series, 10, 100)]


def test_times_become_what_fired_and_what_was_resolved() -> None:
    assert events(10, 20, 50) == [(10, "fired"), (30, "resolved"), (50, "fired"), (60, "resolved")]


def test_what_fires_at_the_end_goes_on() -> None:
    assert events(90, 100) == [(90, "fired")]
    assert events() == []


def test_an_event_carries_the_alerts_labels() -> None:
    [event, _] = _fired(Series(LABELS, [10], [1]), 10, 100)
    assert event["subject"] == "Burn"
    assert event["labels"] == {"alertname": "Burn", "slo": "ok"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "shown"), [(Terminal(), True), (io.StringIO(), False)])
def test_a_bar_is_for_terminals(stream: io.StringIO, shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress([1, 2, 3], "budgets")) == [1, 2, 3]
    assert ("budgets" in stream.getvalue()) == shown
