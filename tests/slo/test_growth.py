"""Costs of many objectives: each budget is worked out once a tick, and windows are read without a query."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience.core.clock import ManualClock
from resilience.core.verdict import Verdict
from resilience.signals import Signals
from resilience.slo import SLO, SLOManager
from resilience.slo.counts import Counts
from resilience.slo.figures import Figures
from resilience.slo.measure import Events
from resilience.slo.meter import EventMeter
from resilience.slo.plain import plain_slo, plain_slos

OBJECTIVES = [SLO(f"ok {number}", service=f"shop {number}", target="0.9") for number in range(5)]


class Service:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.signals = Signals(self.clock)
        self.slos = SLOManager(self.signals)
        self.slos.register(*OBJECTIVES)

    def tick(self, failing: int = 0) -> None:
        for number in range(len(OBJECTIVES)):
            sli = self.signals.sli(f"shop {number}")
            verdict = Verdict.FAILURE if number < failing else Verdict.SUCCESS
            for _ in range(3):
                sli.request("GET", "/", "200", verdict, 0.01)
        self.clock.shift(1)
        self.signals.tick(self.clock.now())
        self.slos.tick(self.clock.now())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, float]]:
    """How often each window of each objective was counted."""
    asked: Counter[tuple[str, float]] = Counter()
    within = Counts.within

    def counting(self: Counts, slo: SLO, window: float) -> Any:
        asked[slo.id, window] += 1
        return within(self, slo, window)

    monkeypatch.setattr(Counts, "within", counting)
    return asked


def test_a_budget_is_worked_out_once_a_tick_however_often_it_is_asked_for(
    asked: Counter[tuple[str, float]],
) -> None:
    service = Service()
    for _ in range(3):
        asked.clear()
        service.tick()
        for _ in range(2):
            plain_slos(service.slos, OBJECTIVES)
            for slo in OBJECTIVES:
                service.slos.status(slo.id)
                service.slos.check_burn_rate_alerts(slo.id)
        assert set(asked.values()) == {1}


def test_the_next_tick_is_seen_at_once() -> None:
    service = Service()
    service.tick()
    before = service.slos.error_budget("ok 0")
    assert service.slos.error_budget("ok 0") is before
    service.tick(failing=1)
    after = service.slos.error_budget("ok 0")
    assert (before.bad, after.bad) == (0, 3)
    assert service.slos.status("ok 0").status == "breached"


def test_what_changes_between_ticks_is_seen_at_once() -> None:
    service = Service()
    service.tick()
    assert service.slos.error_budget("ok 0").total == 3
    service.slos.observe("ok 0", Figures(1.0, 10.0, {}))
    assert service.slos.error_budget("ok 0").total == 10
    service.slos.reload([SLO("ok 0", service="shop 0", target="0.8")])
    assert service.slos.status("ok 0").target == SLO("x", service="x", target="0.8").target
    earlier, later = Service(), Service()
    earlier.tick()
    rows: dict[str, dict[str, bytes]] = {}
    for put in earlier.slos.puts(everything=True):
        if put.value is not None:
            rows.setdefault(put.table, {})[put.key] = put.value
    later.clock.shift(60)
    later.tick()
    assert later.slos.error_budget("ok 1").total == 3
    later.slos.restore(rows, later.clock.now(), down_at=later.clock.time())
    assert later.slos.error_budget("ok 1").total == 6


def test_standings_ask_for_no_window_and_agree_with_the_statuses(asked: Counter[tuple[str, float]]) -> None:
    service = Service()
    for failing in (0, 2, 2):
        service.tick(failing)
        asked.clear()
        standings = service.slos.standings()
        assert not asked
        assert standings == {slo.id: service.slos.status(slo.id).status for slo in OBJECTIVES}
    assert set(standings.values()) == {"breached", "meeting"}


def test_a_burning_objective_is_at_risk_in_standings_from_the_next_write_on() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    slos = SLOManager(signals, interval=15)
    slos.register(SLO("ok", service="shop", target="0.999"))
    requests = signals.sli("shop")

    def pass_time(ticks: int, bad: int) -> None:
        for _ in range(ticks):
            for number in range(100):
                verdict = Verdict.FAILURE if number < bad else Verdict.SUCCESS
                requests.request("GET", "/", "200", verdict, 0.01)
            clock.shift(60)
            signals.tick(clock.now())
            slos.tick(clock.now())

    pass_time(1200, 0)
    assert slos.standings() == {"ok": "meeting"}
    pass_time(60, 2)
    assert slos.standings() == {"ok": "at_risk"} == {"ok": slos.status("ok").status}


def test_plain_data_of_one_is_that_of_all() -> None:
    service = Service()
    service.tick(2)
    assert [plain_slo(service.slos, slo) for slo in OBJECTIVES] == plain_slos(service.slos, OBJECTIVES)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.3, 1.0, 7.0, 61.0]), st.integers(0, 20), st.integers(0, 5), st.booleans()
        ),
        max_size=12,
    ),
    st.sampled_from([5.0, 60.0, 300.0, 3600.0]),
    st.sampled_from(["bad", "good"]),
)
def test_a_window_is_what_its_queries_come_to(
    ticks: list[tuple[float, int, int, bool]], window: float, part: str
) -> None:
    clock = ManualClock()
    signals = Signals(clock)
    counter = signals.counter("events_total", labels=("kind", "route"))
    total = "sum(increase(events_total[{{window}}]))"
    selected = f'sum(increase(events_total{{kind="{part}"}}[{{{{window}}}}]))'
    events = Events(total, bad=selected) if part == "bad" else Events(total, good=selected)
    meter = EventMeter(signals.source, events, clock.monotonic())
    for seconds, good, bad, dropped in ticks:
        if good:
            counter["good", f"/{good % 3}"].inc(good)
        if bad:
            counter["bad", "/"].inc(bad)
        clock.shift(seconds)
        signals.tick(clock.now())
        if dropped:
            counter.remove("bad", "/")
        now = clock.monotonic()
        assert meter.within(window, now) == pytest.approx(meter._queried(window, now), abs=1e-9)
