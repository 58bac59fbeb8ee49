"""A process killed in each phase of an alert: who was told is not told twice, and nobody is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from resilience import AlertRule, Reliability
from resilience.alerting import Route
from resilience.alerting.escalation import Escalation, Level
from resilience.core.clock import ManualClock
from resilience.core.ports import Notification
from resilience.core.verdict import Verdict
from resilience.errors import DeliveryError
from resilience.rules import RecordingRule
from resilience.rules.model import RuleGroup
from resilience.slo import SLO
from resilience.stores.memory import MemoryStore

ALERTS = ("Condition", "Recorded", "ErrorBudgetBurn")
GOES_WRONG, GOES_WELL, END = 60, 260, 1000  # seconds


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing wait for a thread: the manual clock moves on meanwhile, the further the slower the machine is."""

    def refused(function: Callable[..., object], *_: object) -> None:
        raise AssertionError(f"{function} was given to a thread")

    monkeypatch.setattr(asyncio, "to_thread", refused)


class Phone:
    """A channel that fails on request."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.broken = False
        self.notifications: dict[str, Notification] = {}

    async def send(self, notification: Notification) -> None:
        if self.broken:
            raise DeliveryError(f"{self.name}: answered 503")
        self.notifications.setdefault(notification.key, notification)  # receivers know a repeat by its key

    def told(self, alert: str) -> list[str]:
        return [
            notification.status
            for notification in self.notifications.values()
            for each in notification.alerts
            if each.labels["alertname"] == alert
        ]


class Service:
    """A service whose processes are killed over one store; everything it sees is switched by `wrong`."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.pager, self.boss = Phone("pager"), Phone("boss")
        self.store = MemoryStore(clock=clock)
        self.wrong = False
        self.rel = self.made()

    def made(self) -> Reliability:
        recorded = RecordingRule("queue:length:max", "max(queue_length)")
        rules = RuleGroup(
            "shop",
            (
                recorded,
                AlertRule("Recorded", "queue:length:max > 5", for_=20, no_data="resolve"),
                AlertRule("Condition", condition=lambda: self.wrong, for_=20),
            ),
            interval=5,
        )
        escalation = Escalation("oncall", [Level(("pager",), wait=60), Level(("boss",), wait=600)])
        return Reliability(
            "shop",
            rules=[rules],
            slos=[SLO("orders", service="shop", target=0.99)],
            notifiers=[self.pager, self.boss],
            route=Route(
                to=("pager",),
                group_by=("alertname", "severity"),
                group_wait=2,
                group_interval=10,
                repeat_interval=7200,
                escalation=escalation,
            ),
            store=self.store,
            evaluation_interval=5,
            watch=0,
            clock=self.clock,
        )

    async def pass_(self, seconds: int) -> None:
        queue = self.rel.signals.gauge("queue_length", "Length.").bind()
        for _ in range(seconds):
            queue.set(9 if self.wrong else 1)
            for _ in range(5):
                verdict = Verdict.FAILURE if self.wrong else Verdict.SUCCESS
                self.rel.sli.request("GET", "/orders", "500" if self.wrong else "200", verdict, 0.01)
            await self.clock.advance(1)

    async def kill(self) -> None:
        """End the process between two steps, as kill -9 does, and start the next one."""
        running = self.rel._running
        assert running is not None
        running.cancel()
        await asyncio.wait([running])
        self.rel = self.made()
        await self.rel.start()

    def ids(self) -> list[str]:
        return [each.alert.fingerprint for each in self.rel.alerts.active_alerts()]


def acknowledge(service: Service) -> None:
    for alert_id in service.ids():
        service.rel.alerts.acknowledge(alert_id, by="ann")


def silence(service: Service) -> None:
    service.rel.alerts.silence(
        ['alertname=~".+"'], end=service.clock.time() + 60, author="ann", comment="known"
    )


def break_pager(service: Service) -> None:
    service.pager.broken = True


def mend_pager(service: Service) -> None:
    service.pager.broken = False


Steps = dict[int, Callable[[Service], None]]
SCENARIOS: dict[str, tuple[Steps, int]] = {
    "pending": ({}, 75),
    "decided and not yet sent": ({80: break_pager, 120: mend_pager}, 90),
    "firing": ({}, 100),
    "acknowledged": ({100: acknowledge}, 110),
    "silenced": ({70: silence}, 110),
    "silenced after it was told": ({100: silence}, 110),
    "escalated": ({}, 160),
    "over and not yet resolved": ({}, 262),
    "resolved and not yet told": ({255: break_pager, 330: mend_pager}, 290),
    "resolved": ({}, 700),
}


async def run(service: Service, steps: Steps, kills: list[int]) -> dict[tuple[str, str], list[str]]:
    """Let it go wrong for a while; return what each receiver was told of each alert."""
    await service.rel.start()
    for second in range(END):
        service.wrong = GOES_WRONG <= second < GOES_WELL
        if second in steps:
            steps[second](service)
        if second in kills:
            await service.kill()
        await service.pass_(1)
    running = service.rel._running
    assert running is not None
    running.cancel()
    await asyncio.wait([running])
    return {
        (each.name, alert): each.told(alert) for each in (service.pager, service.boss) for alert in ALERTS
    }


@pytest.mark.parametrize("phase", SCENARIOS)
async def test_a_process_killed_in_any_phase_tells_what_it_would_have_told(phase: str) -> None:
    steps, second = SCENARIOS[phase]
    undisturbed = await run(Service(ManualClock()), steps, [])
    killed = await run(Service(ManualClock()), steps, [second])
    assert killed == undisturbed
    assert undisturbed["pager", "Condition"][-1] == "resolved"


async def test_a_process_killed_again_and_again_tells_what_it_would_have_told() -> None:
    undisturbed = await run(Service(ManualClock()), {}, [])
    killed = await run(Service(ManualClock()), {}, [*range(70, 250, 30), 270])
    assert killed == undisturbed
