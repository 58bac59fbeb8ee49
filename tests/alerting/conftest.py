from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest

from resilience.alerting import AlertManager, Route
from resilience.core.clock import ManualClock
from resilience.core.ports import Notification, Store
from resilience.rules.state import Alert, AlertState, fingerprint
from resilience.stores.memory import MemoryStore


class Phone:
    """A channel that keeps what it is sent, and fails while it is told to."""

    def __init__(self, name: str, clock: ManualClock) -> None:
        self.name = name
        self.clock = clock
        self.notifications: list[Notification] = []
        self.error: Exception | None = None
        self.attempts = 0

    async def send(self, notification: Notification) -> None:
        self.attempts += 1
        if self.error is not None:
            raise self.error
        self.notifications.append(notification)

    @property
    def told(self) -> list[tuple[float, str, tuple[str, ...]]]:
        """(seconds since the start, status, names of the alerts) of each notification."""
        return [
            (
                each.at - 1_700_000_000.0,
                each.status,
                tuple(alert.labels["alertname"] for alert in each.alerts),
            )
            for each in self.notifications
        ]


@dataclass
class Desk:
    """An alert manager on a manual clock, with alerts that a test switches on and off."""

    clock: ManualClock
    phones: dict[str, Phone]
    manager: AlertManager
    firing: dict[str, Alert] = field(default_factory=dict)

    def fire(self, name: str, *, ago: float = 0.0, **labels: str) -> str:
        given = {"alertname": name, **labels}
        now = self.clock.now()
        at = type(now)(now.monotonic - ago, now.wall - ago)
        alert = Alert(
            name, "g", given, {"summary": f"{name}!"}, AlertState.FIRING, 1.0, at, fingerprint(given), at
        )
        self.firing[alert.fingerprint] = alert
        return alert.fingerprint

    def stop(self, alert_id: str) -> None:
        del self.firing[alert_id]

    async def tick(self, seconds: float = 1.0) -> None:
        """Tick now, and move on."""
        self.manager.tick(self.clock.now(), list(self.firing.values()))
        await self.manager.commit()
        await self.clock.advance(seconds)

    async def pass_(self, seconds: float, step: float = 1.0) -> None:
        for _ in range(round(seconds / step)):
            await self.tick(step)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Desk]:
        async with anyio.create_task_group() as background:
            background.start_soon(self.manager.run)
            await self.clock.advance(0)
            try:
                yield self
            finally:
                background.cancel_scope.cancel()


@pytest.fixture
def make(clock: ManualClock) -> Callable[..., Desk]:
    def make(route: Route | None = None, *names: str, store: Store | None = None, **options: object) -> Desk:
        phones = {name: Phone(name, clock) for name in names or ("ops",)}
        manager = AlertManager(
            phones, store=store or MemoryStore(clock=clock), route=route, clock=clock, **options
        )
        return Desk(clock, phones, manager)

    return make
