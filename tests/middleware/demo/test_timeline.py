from __future__ import annotations

import io
import json

import pytest

from resilience_middleware.demo.evidence import Evidence
from resilience_middleware.demo.timeline import (
    JsonTimeline,
    Moment,
    PlainTimeline,
    RichTimeline,
    timeline_for,
)

FIGURES = Moment(2.0, "figures", "40.0 requests/s", {"error_ratio": 0.5})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_show_events_at_once_and_figures_now_and_then() -> None:
    out = io.StringIO()
    with PlainTimeline(out) as timeline:
        for _ in range(6):
            timeline.show(FIGURES)
        timeline.show(Moment(3.0, "breaker", "closed -> open"))
    assert out.getvalue().splitlines() == [
        "  2.0s  figures  40.0 requests/s",
        "  2.0s  figures  40.0 requests/s",
        "  3.0s  breaker  closed -> open",
    ]


def test_json_lines_carry_every_moment_with_its_figures() -> None:
    out = io.StringIO()
    with JsonTimeline(out) as timeline:
        timeline.show(FIGURES)
    assert json.loads(out.getvalue()) == {
        "at": 2.0,
        "kind": "figures",
        "text": "40.0 requests/s",
        "error_ratio": 0.5,
    }


def test_a_terminal_gets_colours_and_others_do_not() -> None:
    assert isinstance(timeline_for(Terminal()), RichTimeline)
    assert isinstance(timeline_for(io.StringIO()), PlainTimeline)
    assert isinstance(timeline_for(Terminal(), as_json=True), JsonTimeline)


def test_a_terminal_shows_events_above_the_figures_of_this_second() -> None:
    out = Terminal()
    with timeline_for(out) as timeline:
        timeline.show(FIGURES)
        timeline.show(Moment(3.0, "breaker", "closed -> open"))
    assert "closed -> open" in out.getvalue()


def test_nothing_is_proved_by_default_and_each_thing_counts() -> None:
    evidence = Evidence()
    assert not any(seen for _, seen in evidence.verdicts())
    evidence.breaker("open")
    evidence.breaker("closed")
    assert not evidence.closed_after_recovery
    evidence.recovered_at = 20.0
    evidence.breaker("closed")
    evidence.alert("firing")
    evidence.alert("resolved")
    evidence.page("firing")
    evidence.times.healthy.extend([0.02, 0.03])
    evidence.times.refused.append(0.001)
    assert not evidence.complete
    evidence.page("resolved")
    assert evidence.complete


@pytest.mark.parametrize(("refused", "proved"), [(0.0019, True), (0.0021, False)])
def test_a_refusal_must_cost_less_than_a_tenth_of_a_healthy_call(refused: float, proved: bool) -> None:
    evidence = Evidence()
    evidence.times.healthy.append(0.02)
    evidence.times.refused.append(refused)
    ((_, seen),) = [verdict for verdict in evidence.verdicts() if "refused" in verdict[0]]
    assert seen is proved
