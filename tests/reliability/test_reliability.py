"""The composition root, driven tick by tick on a manual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from resilience import reliability
from resilience.alerting import Route
from resilience.core.ports import Put
from resilience.core.verdict import Verdict
from resilience.errors import CircuitOpen, ConfigError
from resilience.policies import CircuitBreaker, Retry
from resilience.reliability import Reliability
from resilience.rules import AlertRule, loads
from resilience.slo import SLO
from resilience.stores.memory import MemoryStore
from resilience.testing import ManualClock, RecordingNotifier

ERRORS = """
groups:
  - name: shop
    interval: 1s
    rules:
      - record: shop:errors:ratio
        expr: >
          sum(rate(http_requests_total{verdict="failure"}[30s])) / sum(rate(http_requests_total[30s]))
      - alert: HighErrorRate
        expr: shop:errors:ratio > 0.2
        for: 10s
        annotations: {summary: "{{ $value | humanizePercentage }} fail"}
"""


def make(clock: ManualClock, pager: RecordingNotifier, **options: Any) -> Reliability:
    route = Route(to=(pager.name,), group_wait=1.0, group_interval=5.0)
    return Reliability(
        "shop", **{"rules": loads(ERRORS), "notifiers": [pager], "route": route, "clock": clock, **options}
    )


@pytest.fixture
def pager() -> RecordingNotifier:
    return RecordingNotifier("pager")


@pytest.fixture
async def rel(clock: ManualClock, pager: RecordingNotifier) -> AsyncIterator[Reliability]:
    rel = make(clock, pager)
    await rel.start()
    yield rel
    await stopped(rel, clock)


async def stopped(rel: Reliability, clock: ManualClock) -> None:
    stopping = asyncio.create_task(rel.stop())
    for _ in range(30):
        await clock.advance(0.5)
        if stopping.done():
            break
    await stopping


async def traffic(rel: Reliability, clock: ManualClock, seconds: int, *, failing: float = 0.0) -> None:
    for _ in range(seconds):
        for number in range(10):
            verdict = Verdict.FAILURE if number < failing * 10 else Verdict.SUCCESS
            rel.sli.request("GET", "/orders/{id}", "500" if number < failing * 10 else "200", verdict, 0.01)
        await clock.advance(1.0)


async def test_a_failing_service_is_told_of_and_so_is_its_recovery(
    rel: Reliability, clock: ManualClock, pager: RecordingNotifier
) -> None:
    await traffic(rel, clock, 60)
    assert pager.statuses == []
    await traffic(rel, clock, 30, failing=0.5)
    assert pager.statuses == ["firing"]
    (alert,) = pager.notifications[0].alerts
    assert alert.labels == {"alertname": "HighErrorRate", "service": "shop"}
    assert alert.annotations["summary"].endswith("% fail")
    await traffic(rel, clock, 60)
    assert pager.statuses == ["firing", "resolved"]


async def test_an_alert_resolves_when_traffic_stops(
    rel: Reliability, clock: ManualClock, pager: RecordingNotifier
) -> None:
    await traffic(rel, clock, 60, failing=1.0)
    await clock.advance(60)
    assert pager.statuses == ["firing", "resolved"]


async def test_a_restart_keeps_the_hold_and_tells_nobody_that_it_is_resolved(
    clock: ManualClock, pager: RecordingNotifier
) -> None:
    store = MemoryStore()
    first = make(clock, pager, store=store)
    await first.start()
    await traffic(first, clock, 60, failing=1.0)
    assert pager.statuses == ["firing"]
    await stopped(first, clock)
    second = make(clock, pager, store=store)
    await second.start()
    assert [alert.rule for alert in second.rules.alerts()] == ["HighErrorRate"]
    await traffic(second, clock, 20, failing=1.0)
    assert pager.statuses == ["firing"]
    await traffic(second, clock, 60)
    assert pager.statuses == ["firing", "resolved"]
    await stopped(second, clock)


async def test_a_damaged_row_is_put_aside_and_the_service_starts(
    clock: ManualClock, pager: RecordingNotifier
) -> None:
    store = MemoryStore()
    await store.write([Put("rules", "shop", b'{"cut'), Put("budgets", "shop", b"[]")])
    await store.write([Put("shop/alerting.groups", "g", b"{}"), Put("shop/alerting.outbox", "k", b"{")])
    rel = make(clock, pager, store=store)
    with capture_logs() as logs:
        await rel.start()
    await traffic(rel, clock, 60, failing=1.0)
    assert pager.statuses == ["firing"]
    await stopped(rel, clock)
    assert await store.load("rules (damaged)") == {"shop": b'{"cut'}
    assert await store.load("budgets (damaged)") == {"shop": b"[]"}
    assert (await store.load("shop/alerting.outbox (damaged)")) == {"k": b"{"}
    assert (await store.load("shop/alerting.groups (damaged)")) == {"g": b"{}"}
    assert [entry["event"] for entry in logs].count("stored_row_unreadable") == 4


async def test_two_in_one_process_do_not_disturb_each_other(clock: ManualClock) -> None:
    pagers = [RecordingNotifier("a"), RecordingNotifier("b")]
    first, second = (make(clock, pager) for pager in pagers)
    await first.start()
    await second.start()
    for _ in range(60):
        first.sli.request("GET", "/", "500", Verdict.FAILURE, 0.01)
        second.sli.request("GET", "/", "200", Verdict.SUCCESS, 0.01)
        await clock.advance(1.0)
    assert [pager.statuses for pager in pagers] == [["firing"], []]
    await stopped(first, clock)
    assert second.ready
    await stopped(second, clock)


async def test_shutdown_takes_readiness_down_first_and_drains_before_the_last_tick(
    clock: ManualClock, pager: RecordingNotifier
) -> None:
    rel = make(clock, pager)
    await rel.start()
    assert rel.ready
    rel.sli.request_started()
    stopping = asyncio.create_task(rel.stop())
    await clock.advance(1.0)
    assert not rel.ready
    assert not stopping.done()
    rel.sli.request_finished()
    await clock.advance(1.0)
    await stopping
    assert not rel.running


async def test_shutdown_gives_up_draining_after_its_bound(
    clock: ManualClock, pager: RecordingNotifier
) -> None:
    rel = make(clock, pager, shutdown_timeout=2.0)
    await rel.start()
    rel.sli.request_started()
    with capture_logs() as logs:
        await stopped(rel, clock)
    assert [entry["in_flight"] for entry in logs if entry["event"] == "requests_left"] == [1]


async def test_starting_and_stopping_twice_is_once(clock: ManualClock, pager: RecordingNotifier) -> None:
    rel = make(clock, pager)
    await rel.start()
    await rel.start()
    await stopped(rel, clock)
    await rel.stop()
    assert not rel.running


async def test_a_tick_that_fails_is_logged_and_the_next_one_comes(
    rel: Reliability, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, pager: RecordingNotifier
) -> None:
    def broken(*_args: object) -> None:
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(rel.slos, "tick", broken)
        await clock.advance(2.0)
    assert [entry["event"] for entry in logs] == ["tick_failed", "tick_failed"]
    await traffic(rel, clock, 60, failing=1.0)
    assert {each.group["alertname"] for each in pager.notifications} == {
        "HighErrorRate",
        "ReliabilityTaskFailing",
    }


async def test_a_pipeline_is_bound_to_the_services_signals(rel: Reliability, clock: ManualClock) -> None:
    @rel.pipeline(
        "pay",
        Retry(2, clock=clock),
        CircuitBreaker(name="pay-breaker", minimum_calls=2, window=10, clock=clock),
    )
    async def charge(amount: int) -> int:
        if amount < 0:
            raise ValueError("negative")
        return amount

    assert await charge(5) == 5
    failing = asyncio.gather(*(charge(-1) for _ in range(3)), return_exceptions=True)
    await clock.advance(3.0)
    await failing
    with pytest.raises(CircuitOpen):
        await charge(5)
    figures = {
        tuple(value for name, value in labels if name != "service"): value
        for family in rel.signals.collect()
        if family.name in ("resilience_calls_total", "circuit_breaker_state")
        for _, labels, value in family.samples
    }
    assert figures["pipeline", "pay", "success"] == 1
    assert figures["pay-breaker", "open"] == 1


async def test_the_budget_of_an_objective_is_judged_and_shown(
    clock: ManualClock, pager: RecordingNotifier
) -> None:
    rel = make(clock, pager, slos=[SLO("ok", service="shop", target=0.9)])
    await rel.start()
    await traffic(rel, clock, 100, failing=0.1)
    remaining = rel.slos.error_budget("ok").remaining
    assert remaining is not None
    assert float(remaining) == pytest.approx(0.0, abs=0.01)
    with pytest.raises(ConfigError, match="slo_id must be one of ok, got 'nope'"):
        rel.slos.error_budget("nope")
    await stopped(rel, clock)


async def test_the_start_says_what_is_judged_and_what_is_not(clock: ManualClock) -> None:
    rel = Reliability("shop", clock=clock)
    with capture_logs() as logs:
        await rel.start()
    (started,) = [entry for entry in logs if entry["event"] == "reliability_started"]
    assert "no alert channel configured: alerts go to the log" in started["not"]
    assert started["service"] == "shop"
    await stopped(rel, clock)


def test_rules_of_every_kind_are_taken_and_nonsense_is_refused(clock: ManualClock) -> None:
    rel = Reliability("shop", rules=[AlertRule("Stuck", condition=lambda: True)], clock=clock)
    rel.register_rules([AlertRule("Down", "up == 0"), *loads(ERRORS)])
    assert [rule.name for group in rel.rules.groups for rule in group.rules] == [
        "Stuck",
        "Down",
        "shop:errors:ratio",
        "HighErrorRate",
    ]
    with pytest.raises(ConfigError, match="rules must be rule files, groups or alert rules, got 7"):
        rel.register_rules([7])  # type: ignore[list-item]  # that is the point


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"service": ""}, "service must be a non-empty string"),
        ({"interval": 0}, "interval must be a number of at least 0.05"),
        ({"interval": True}, "interval must be a number"),
        ({"token": " "}, "token must be a non-empty string"),
        (
            {"notifiers": [RecordingNotifier("a"), RecordingNotifier("a")]},
            "different names, 'a' stands twice",
        ),
    ],
)
def test_nonsense_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Reliability(**{"service": "shop", **options})


def test_the_default_is_made_once_and_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reliability, "_default", None)
    monkeypatch.setenv("RESILIENCE_SERVICE", "script")
    assert reliability.default().service == "script"
    assert reliability.default() is reliability.default()
