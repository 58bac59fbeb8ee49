"""The label `service`: every series of a service has it, in expressions too, and earlier alerts go on under it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as PrometheusCounter
from prometheus_client import Gauge as PrometheusGauge

from resilience import CircuitBreaker, Reliability, Retry, promql
from resilience.alerting import Route
from resilience.alerting.stored import StoredAlerts
from resilience.core.clock import ManualClock
from resilience.policies import Constant
from resilience.rules import loads, packs
from resilience.rules.result import pairs
from resilience.signals.prometheus import RegistrySampler
from resilience.stores.sqlite import SQLiteStore
from resilience.testing import RecordingNotifier

STORED = Path(__file__).parent / "data" / "state_without_service_labels.sql"
RULES = """
groups:
  - name: shop
    interval: 5s
    rules:
      - record: queues:depth
        expr: sum(queue_depth)
      - alert: QueueLong
        expr: queue_depth > 10
        for: 10s
        labels: {severity: warning}
      - alert: AllQueuesLong
        expr: sum(queue_depth) > 20
        for: 10s
"""


def found(rel: Reliability, text: str) -> list[tuple[dict[str, str], float]]:
    result = promql.evaluate(text, rel.signals.source, rel.clock.monotonic())
    return [(dict(labels), value) for labels, value in pairs(result)]


async def down() -> None:
    raise ConnectionError("refused")


async def fail(rel: Reliability, clock: ManualClock, *, attempts: int = 1) -> None:
    retry = Retry(attempts, backoff=Constant(0), clock=clock)
    breaker = CircuitBreaker(
        name="bank", consecutive_failures=attempts, failure_rate=None, open_duration=3600, clock=clock
    )
    bank = rel.pipeline("bank", retry, breaker)
    with pytest.raises(ConnectionError):
        await bank.call(down)


async def test_expressions_see_the_service_of_every_series(clock: ManualClock) -> None:
    rel = Reliability("shop", clock=clock, labels={"env": "prod"})
    rel.signals.gauge("queue_depth", labels=("queue",)).bind("mail").set(3)
    rel.signals.histogram("size_bytes", buckets=(1, 2)).bind().observe(1.5)
    rel.signals.gauge("jobs", labels=("service",)).bind("till").set(2)
    await fail(rel, clock, attempts=3)
    clock.shift(1)
    await rel.tick()
    assert found(rel, "sum by (service) (retry_attempts_total)") == [({"service": "shop"}, 2.0)]
    [(labels, value)] = found(rel, 'circuit_breaker_state{service="shop",state="open"}')
    assert (labels["name"], labels["service"], value) == ("bank", "shop", 1.0)
    assert found(rel, 'queue_depth{service=~"shop|till"}') == [
        ({"__name__": "queue_depth", "queue": "mail", "service": "shop"}, 3.0)
    ]
    assert found(rel, 'size_bytes_bucket{service="shop",le="2.0"}')[0][1] == 1.0
    assert found(rel, "jobs") == [({"__name__": "jobs", "service": "till"}, 2.0)]
    assert found(rel, '{service="",__name__=~".+"}') == []
    assert found(rel, '{env="prod"}') == []
    assert 'jobs{env="prod",service="till"} 2.0' in rel.metrics()[0].decode()


async def test_metrics_of_another_registry_get_the_service_as_well(clock: ManualClock) -> None:
    registry = CollectorRegistry()
    PrometheusGauge("rooms", "Rooms.", registry=registry).set(4)
    PrometheusCounter("orders", "Orders.", ["service"], registry=registry).labels("till").inc()
    rel = Reliability("shop", clock=clock)
    RegistrySampler(rel.signals, registry)
    clock.shift(1)
    await rel.tick()
    assert found(rel, "rooms") == [({"__name__": "rooms", "service": "shop"}, 4.0)]
    assert found(rel, 'orders_total{service="till"}')[0][1] == 1.0


async def test_results_of_rules_have_the_labels_that_their_expressions_give(clock: ManualClock) -> None:
    rel = Reliability("shop", rules=loads(RULES), clock=clock)
    rel.signals.gauge("queue_depth", labels=("queue",)).bind("mail").set(30)
    clock.shift(1)
    await rel.tick()
    assert found(rel, "queues:depth") == [({"__name__": "queues:depth"}, 30.0)]
    [named] = found(rel, 'ALERTS{alertname="QueueLong"}')
    assert named[0]["service"] == "shop"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A state file of a release whose expressions did not see the service."""
    file = tmp_path / "state.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(STORED.read_text())
    return file


async def ticks(rel: Reliability, clock: ManualClock, seconds: int) -> None:
    for _ in range(seconds):
        clock.shift(1.0)
        await rel.tick()


async def test_alerts_of_an_earlier_release_go_on_under_the_service(stored: Path) -> None:
    clock, pager = ManualClock(500.0, 1700000150.0), RecordingNotifier("pager")
    store = SQLiteStore(stored, clock=clock)
    rel = Reliability(
        "shop",
        rules=[*packs.load("circuit_breaker"), *loads(RULES)],
        notifiers=[pager],
        route=Route(to=("pager",), group_wait=1.0, group_interval=5.0),
        store=store,
        clock=clock,
        labels={"zone": "a"},
    )
    depth = rel.signals.gauge("queue_depth", labels=("queue",))
    depth.bind("mail").set(30)
    depth.bind("print").set(5)
    await fail(rel, clock)
    await rel._restore()  # as a start does, without the tasks that run along
    await ticks(rel, clock, 60)
    alerts = {each.labels["alertname"]: each for each in rel.rules.alerts()}
    assert {name: alert.state.value for name, alert in alerts.items()} == dict.fromkeys(
        ("CircuitBreakerOpen", "QueueLong", "AllQueuesLong"), "firing"
    )
    assert alerts["QueueLong"].labels["service"] == "shop"
    assert alerts["QueueLong"].active_at.wall < 1700000120
    assert "service" not in alerts["AllQueuesLong"].labels
    active = {each.alert.labels["alertname"]: each.alert for each in rel.alerts.active_alerts()}
    assert len(active) == 4
    assert {(each.labels["service"], each.labels["zone"]) for each in active.values()} == {("shop", "a")}
    assert active["QueueLong"].acknowledged_by == "ann"
    events = [event for event in rel.alerts.history() if event.fingerprint]
    assert {event.kind for event in events} == {"fired", "acknowledged"}
    assert {event.labels["service"] for event in events} == {"shop"}
    assert {event.fingerprint for event in events} == {each.fingerprint for each in active.values()}
    assert rel.alerts.history(since=1700000150) == []
    depth.bind("mail").set(0)
    depth.bind("print").set(0)
    await ticks(rel, clock, 30)
    assert {each.alert.labels["alertname"] for each in rel.alerts.active_alerts()} == {
        "DiskFull",
        "CircuitBreakerOpen",
    }
    await store.close()


async def test_a_stopped_service_of_an_earlier_release_shows_its_alerts_under_the_service(
    stored: Path,
) -> None:
    store = SQLiteStore(stored)
    shown = StoredAlerts(store, "shop")
    alerts = await shown.active_alerts()
    assert {each.alert.labels["service"] for each in alerts} == {"shop"}
    events = await shown.history(alert_id=alerts[0].alert.fingerprint)
    assert {event.labels["service"] for event in events} == {"shop"}
    await shown.acknowledge(alerts[0].alert.fingerprint, "bob")
    await store.close()
