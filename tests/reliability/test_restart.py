"""Restarts of a whole service with a stored state: receivers are notified only of what is known."""

from __future__ import annotations

import asyncio

import pytest

from resilience.alerting import Route
from resilience.core.ports import Put
from resilience.core.verdict import Verdict
from resilience.reliability import Reliability
from resilience.rules import packs
from resilience.slo import SLO
from resilience.stores.memory import MemoryStore
from resilience.testing import ManualClock, RecordingNotifier

STEP = 5.0


class Service:
    """A service whose processes come and go over one store."""

    def __init__(self, clock: ManualClock, **options: object) -> None:
        self.clock = clock
        self.pager = RecordingNotifier("pager")
        self.store = MemoryStore()
        self.options = options
        self.rel = self.made()

    def made(self) -> Reliability:
        route = Route(to=("pager",), group_by=("alertname", "severity"), group_wait=1.0, group_interval=5.0)
        return Reliability(
            "shop",
            notifiers=[self.pager],
            route=route,
            store=self.store,
            clock=self.clock,
            interval=STEP,
            **self.options,  # type: ignore[arg-type]  # those of the tests below
        )

    async def traffic(self, seconds: float, *, errors: float, rate: int = 10) -> None:
        """Serve requests; `errors` is the ratio of those that fail."""
        for _ in range(int(seconds / STEP)):
            for number in range(int(rate * STEP)):
                failed = number < errors * rate * STEP
                code, verdict = ("500", Verdict.FAILURE) if failed else ("200", Verdict.SUCCESS)
                self.rel.sli.request("GET", "/orders", code, verdict, 0.01)
            await self.clock.advance(STEP)

    async def stop(self) -> None:
        stopping = asyncio.create_task(self.rel.stop())
        while not stopping.done():
            await self.clock.advance(0.5)
        await stopping

    async def restart(self) -> None:
        await self.stop()
        await self.clock.advance(20)
        self.rel = self.made()
        await self.rel.start()

    def told(self, alert: str, severity: str) -> list[str]:
        return [
            each.status
            for notification in self.pager.notifications
            for each in notification.alerts
            if (each.labels["alertname"], each.labels["severity"]) == (alert, severity)
        ]


@pytest.fixture
def packed(clock: ManualClock) -> Service:
    return Service(clock, rules=[*packs.load("error_rate")])


@pytest.mark.parametrize("severity", ["warning", "critical"])
async def test_a_restart_in_an_outage_tells_nobody_that_it_is_over(packed: Service, severity: str) -> None:
    await packed.rel.start()
    await packed.traffic(900, errors=0.22)
    assert set(packed.told("HighErrorRate", severity)) == {"firing"}
    for _ in range(2):
        await packed.restart()
        await packed.traffic(60, errors=0.22, rate=1)
    await packed.traffic(900, errors=0.22)
    assert set(packed.told("HighErrorRate", severity)) == {"firing"}
    await packed.stop()


@pytest.mark.parametrize("severity", ["warning", "critical"])
async def test_an_alert_resolves_after_a_restart_once_traffic_is_known_to_be_sound(
    packed: Service, severity: str
) -> None:
    await packed.rel.start()
    await packed.traffic(900, errors=0.22)
    await packed.restart()
    await packed.traffic(290, errors=0.0)
    assert set(packed.told("HighErrorRate", severity)) == {"firing"}
    await packed.traffic(60, errors=0.0)
    assert packed.told("HighErrorRate", severity)[-1] == "resolved"
    await packed.stop()


@pytest.mark.parametrize(("errors", "last"), [(0.0, "resolved"), (0.22, "firing")])
async def test_an_alert_ends_with_its_condition_in_a_service_that_restarts_more_often_than_its_window_is_long(
    packed: Service, errors: float, last: str
) -> None:
    await packed.rel.start()
    await packed.traffic(900, errors=0.22)
    for _ in range(12):
        await packed.restart()
        await packed.traffic(60, errors=errors, rate=2)
    told = packed.told("HighErrorRate", "critical")
    assert told[-1] == last
    assert told.count("resolved") == (last == "resolved")
    await packed.stop()


async def test_without_the_windows_of_the_process_before_only_a_full_window_ends_an_alert(
    packed: Service,
) -> None:
    await packed.rel.start()
    await packed.traffic(900, errors=0.22)
    for _ in range(12):
        await packed.stop()
        for key in list(await packed.store.load("shop/windows.rows")):
            await packed.store.write([Put("shop/windows.rows", key, None)])
        packed.rel = packed.made()
        await packed.rel.start()
        await packed.traffic(60, errors=0.0, rate=2)
    assert set(packed.told("HighErrorRate", "critical")) == {"firing"}
    await packed.traffic(300, errors=0.0, rate=2)
    assert packed.told("HighErrorRate", "critical")[-1] == "resolved"
    await packed.stop()


async def test_a_burn_rate_alert_outlives_a_restart_and_ends_with_its_short_window(
    clock: ManualClock,
) -> None:
    service = Service(clock, slos=[SLO("orders", service="shop", target=0.999)])
    await service.rel.start()
    await service.traffic(900, errors=0.5)
    assert "firing" in service.told("ErrorBudgetBurn", "critical")
    await service.restart()
    await service.traffic(240, errors=0.5, rate=1)
    assert "resolved" not in service.told("ErrorBudgetBurn", "critical")
    await service.traffic(3000, errors=0.0, rate=2)
    assert service.told("ErrorBudgetBurn", "critical")[-1] == "resolved"
    await service.stop()
