"""Background tasks that fail in every way: reported, started again, and none ends another."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from structlog.testing import capture_logs

from resilience import promql
from resilience.alerting import Heartbeat, Route
from resilience.alerting.config import AlertingConfig
from resilience.alerting.delivery import Dispatcher
from resilience.alerting.heartbeat import Heart
from resilience.core.clock import ManualClock
from resilience.core.ports import Status
from resilience.core.verdict import Verdict
from resilience.errors import IntegrationError
from resilience.health import HealthRegistry
from resilience.integrations.backend import PrometheusBackend
from resilience.reliability import Reliability
from resilience.reload import Reloader
from resilience.rules import loads
from resilience.runtime.supervision import Supervisor, TaskFailed, TaskRecovered
from resilience.signals import Signals
from resilience.slo import SLO, Figures
from resilience.stores.memory import MemoryStore
from resilience.testing import RecordingNotifier
from resilience.ticker import Ticker

MEMBERS: dict[str, type[Any]] = {
    "alert_delivery": Dispatcher,
    "heartbeat": Heart,
    "health": HealthRegistry,
    "ticker": Ticker,
    "reloader": Reloader,
    "prometheus": PrometheusBackend,
}
RULES = """
groups:
  - name: shop
    interval: 1s
    rules:
      - alert: Failing
        expr: sum(rate(http_requests_total{verdict="failure"}[30s])) > 0
"""


class Panic(BaseException):
    """Stands for the panic of a Rust extension, which is no Exception."""


class Unprintable(Exception):
    def __repr__(self) -> str:
        raise TypeError("no")


FAILURES = {
    "an exception": RuntimeError("out of luck"),
    "one that cannot be shown": Unprintable(),
    "no exception": Panic("bounds"),
    "a cancellation of something else": asyncio.CancelledError(),
    "a return": None,
}


class Source:
    """A Prometheus that is never asked, as no objective is of that backend."""

    async def figures(self, slo: SLO) -> Figures:
        raise IntegrationError(slo.id)

    async def history(self, slo: SLO, **_bounds: float) -> Any:
        raise IntegrationError(slo.id)

    async def close(self) -> None:
        pass


def make(clock: ManualClock, pager: RecordingNotifier, **options: Any) -> Reliability:
    heartbeat = Heartbeat("http://heart.example/beat", interval=1e6, clock=clock)
    route = Route(to=(pager.name,), group_wait=1.0, group_interval=5.0)
    return Reliability(
        "shop",
        rules=loads(RULES),
        notifiers=[pager],
        alerting=AlertingConfig(route=route, heartbeat=heartbeat),
        prometheus=Source(),
        clock=clock,
        **options,
    )


async def stop(rel: Reliability, clock: ManualClock) -> None:
    stopping = asyncio.create_task(rel.stop())
    while not stopping.done():
        await clock.advance(1.0)
    await stopping


def total(rel: Reliability, task: str) -> float:
    found = promql.Engine(rel.signals.source).compile(f'resilience_task_failures_total{{task="{task}"}}')(
        rel.signals.last_tick.monotonic
    )
    assert isinstance(found, promql.Vector)
    return sum(found.values)


async def test_every_task_of_a_running_service_is_supervised(clock: ManualClock) -> None:
    rel = make(clock, RecordingNotifier("pager"))
    async with rel:
        await clock.advance(1)
        named = {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("resilience ")}
        assert named == {f"resilience {member}" for member in MEMBERS} | {"resilience shop"}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("member", MEMBERS)
async def test_a_task_that_fails_is_reported_and_runs_again_and_ends_no_other(
    member: str, failure: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pager, error, kind = RecordingNotifier("pager"), FAILURES[failure], MEMBERS[member]
    really, running = kind.run, 0

    async def run(self: Any) -> None:
        nonlocal running
        running += 1
        if running <= 2:
            await clock.sleep(0.5)
            if error is not None:
                raise error
            return
        await really(self)

    monkeypatch.setattr(kind, "run", run)
    rel = make(clock, pager)
    with capture_logs() as logs:
        await rel.start()
        await clock.advance(0.6)
        assert rel.supervisor.failing[member].failures == 1
        assert (await rel.health.check_all()).checks["self_monitoring"].status is Status.DEGRADED
        assert (await rel.health.check_all("readiness")).overall is Status.HEALTHY
        await clock.advance(5)
    assert running == 3, "after 1 s and after 2 s"
    assert [entry["task"] for entry in logs if entry["event"] == "task_failed"] == [member, member]
    assert total(rel, member) == 2
    for _ in range(10):
        rel.sli.request("GET", "/", "500", Verdict.FAILURE, 0.01)
        await clock.advance(1)
    told = {each.group["alertname"]: each.alerts[0].labels for each in pager.notifications}
    assert told.keys() == {"Failing", "ReliabilityTaskFailing"}
    assert told["ReliabilityTaskFailing"]["task"] == member
    await clock.advance(310)
    assert rel.supervisor.failing == {}
    assert (await rel.health.check_all()).checks["self_monitoring"].status is Status.HEALTHY
    assert not rel.alerts.active_alerts()
    await stop(rel, clock)


async def test_a_task_that_goes_on_failing_is_started_less_often_but_for_ever(clock: ManualClock) -> None:
    supervisor = Supervisor(Signals(clock), clock=clock)
    events: list[object] = []
    supervisor.events.subscribe(events.append)
    began: list[float] = []

    async def broken() -> None:
        began.append(clock.monotonic())
        raise OSError("no")

    task = asyncio.create_task(supervisor.keep("broken", broken))
    await clock.advance(200)
    waits = [round(later - earlier, 6) for earlier, later in itertools.pairwise(began)]
    assert waits == [1, 2, 4, 8, 16, *[30] * 5]
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await clock.advance(300)
    assert {type(event) for event in events[:-1]} == {TaskFailed}
    assert events[-1] == TaskRecovered("broken", clock.time() - (clock.monotonic() - began[-1] - 300))


async def test_a_task_that_may_end_ends_its_supervision(clock: ManualClock) -> None:
    supervisor, calls = Supervisor(Signals(clock), clock=clock), itertools.count(1)

    async def passing() -> None:
        if next(calls) == 1:
            raise OSError("no")

    task = asyncio.create_task(supervisor.keep("passing", passing, ends=True))
    await clock.advance(10)
    assert task.done()
    assert await task is None
    assert next(calls) == 3, "called once more after it failed, and not after it ended"


async def test_a_task_that_never_failed_is_counted_with_0(clock: ManualClock) -> None:
    async with make(clock, RecordingNotifier("pager")) as rel:
        await clock.advance(1)
        text = rel.metrics()[0].decode()
    for member in MEMBERS:
        assert f'resilience_task_failures_total{{service="shop",task="{member}"}} 0.0' in text.splitlines()


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
async def test_what_ends_the_process_is_no_failure(
    interrupt: type[BaseException], clock: ManualClock
) -> None:
    supervisor = Supervisor(Signals(clock), clock=clock)

    async def interrupted() -> None:
        raise interrupt

    with pytest.raises(interrupt):
        await supervisor.keep("interrupted", interrupted)
    assert supervisor.failing == {}


async def test_a_notifier_that_panics_loses_its_own_notification_alone(clock: ManualClock) -> None:
    class Panicking(RecordingNotifier):
        async def send(self, notification: Any) -> None:
            raise Panic("bounds") if clock.monotonic() < 1_020 else asyncio.CancelledError

    pager, broken = RecordingNotifier("pager"), Panicking("broken")
    route = Route(to=("pager", "broken"), group_wait=1.0, group_interval=5.0)
    rel = Reliability("shop", rules=loads(RULES), notifiers=[pager, broken], route=route, clock=clock)
    await rel.start()
    for _ in range(40):
        rel.sli.request("GET", "/", "500", Verdict.FAILURE, 0.01)
        await clock.advance(1)
    assert "Failing" in {each.group["alertname"] for each in pager.notifications}
    assert rel.supervisor.failing == {}
    await stop(rel, clock)


async def test_an_alert_about_a_task_of_an_earlier_process_is_resolved_at_the_start(
    clock: ManualClock,
) -> None:
    store, pager = MemoryStore(clock=clock), RecordingNotifier("pager")
    rel = make(clock, pager, store=store)
    await rel.start()
    rel.supervisor.record("ticker", OSError("no"))
    await clock.advance(10)
    assert pager.statuses == ["firing"]
    await stop(rel, clock)
    assert await store.load("shop/alerting.raised")
    again = make(clock, pager, store=store)
    await again.start()
    await clock.advance(10)
    assert pager.statuses == ["firing", "resolved"]
    await stop(again, clock)


async def test_the_first_tick_may_fail(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    rel = make(clock, RecordingNotifier("pager"), store=MemoryStore(clock=clock))
    with monkeypatch.context() as patch:
        patch.setattr(rel.slos, "tick", lambda *_: 1 / 0)
        await rel.start()
    assert rel.ready
    assert "tick" in rel.supervisor.failing
    await stop(rel, clock)
