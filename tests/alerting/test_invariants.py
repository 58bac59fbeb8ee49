"""Generated histories of alerts: what holds whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import anyio
import anyio.abc
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience.alerting import AlertManager, Escalation, FlapDetector, Inhibition, Level, Matchers, Route
from resilience.core.clock import ManualClock
from resilience.core.ports import Notification
from resilience.errors import DeliveryError
from resilience.rules.state import Alert, AlertState, fingerprint
from resilience.stores.memory import MemoryStore

ALERTS = [
    {"alertname": name, "host": host, "severity": severity}
    for name, severity in (("Down", "critical"), ("Slow", "warning"))
    for host in ("a", "b")
]


class Channel:
    def __init__(self, name: str) -> None:
        self.name = name
        self.notifications: list[Notification] = []
        self.refuses = False

    async def send(self, notification: Notification) -> None:
        if self.refuses:
            raise DeliveryError(f"{self.name}: answered 400", retryable=False)
        self.notifications.append(notification)


def firing(labels: dict[str, str], clock: ManualClock) -> Alert:
    now = clock.now()
    return Alert(labels["alertname"], "g", labels, {}, AlertState.FIRING, 1.0, now, fingerprint(labels), now)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), st.integers(0, len(ALERTS) - 1)),
        st.tuples(st.just("wait"), st.integers(1, 20)),
        st.tuples(st.just("silence"), st.integers(1, 30)),
        st.tuples(st.just("acknowledge"), st.integers(0, len(ALERTS) - 1)),
        st.tuples(st.just("crash"), st.integers(0, 2)),
        st.tuples(st.just("reload"), st.integers(0, 2)),
        st.tuples(st.just("refuse"), st.integers(0, 2)),
    ),
    max_size=25,
)

POLICY = Escalation(
    "oncall", [Level(("pager",), wait=5), Level(("boss",), wait=5)], repeats=1, acknowledgement_timeout=9
)
ROUTES = [
    Route(to=("ops",), group_wait=2, group_interval=4, repeat_interval=8),
    Route(
        to=("ops",),
        group_by=("...",),
        group_wait=0,
        group_interval=3,
        routes=(Route(matchers=Matchers(["severity=critical"]), to=("ops",), escalation=POLICY),),
    ),
    Route(
        to=("boss",),
        group_by=("host",),
        group_wait=1,
        group_interval=5,
        routes=(
            Route(matchers=Matchers(["host=a"]), to=("pager",), proceed=True),
            Route(matchers=Matchers(["host=~a|b"]), escalation=POLICY),
        ),
    ),
]


class World:
    """Alerts, a store that outlives restarts, and the manager of the moment."""

    def __init__(self, background: anyio.abc.TaskGroup) -> None:
        self.clock = ManualClock()
        self.channels = {name: Channel(name) for name in ("ops", "pager", "boss")}
        self._background = background
        self._store = MemoryStore(clock=self.clock)
        self._on: dict[str, Alert] = {}
        self._route = ROUTES[0]
        self._scope = anyio.CancelScope()
        self.fired_at: dict[float, set[str]] = {}

    async def restart(self, number: int | None = None) -> None:
        self._route = self._route if number is None else ROUTES[number]
        self._scope.cancel()
        scope = self._scope = anyio.CancelScope()
        manager = self.manager = AlertManager(
            self.channels,
            store=self._store,
            route=self._route,
            inhibitions=[
                Inhibition(Matchers(["severity=critical"]), Matchers(["severity=warning"]), ("host",))
            ],
            flapping=FlapDetector(changes=4, window=15),
            clock=self.clock,
        )
        await manager.restore()

        async def run() -> None:
            with scope:
                await manager.run()

        self._background.start_soon(run)

    async def flip(self, number: int) -> None:
        alert = firing(ALERTS[number], self.clock)
        if self._on.pop(alert.fingerprint, None) is None:
            self._on[alert.fingerprint] = alert

    async def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.fired_at[self.clock.time()] = set(self._on)
            self.manager.tick(self.clock.now(), list(self._on.values()))
            await self.manager.commit()
            for _ in range(12):
                await asyncio.sleep(0)
            self.clock.shift(1)

    async def silence(self, seconds: int) -> None:
        self.manager.silence(["host=a"], end=self.clock.time() + seconds, author="me", comment="test")

    async def acknowledge(self, number: int) -> None:
        key = fingerprint(ALERTS[number])
        if any(each.alert.fingerprint == key for each in self.manager.active_alerts()):
            self.manager.acknowledge(key, by="me")

    async def crash(self, number: int) -> None:
        """Start again without what was not committed, and with another route tree."""
        await self.restart(number)

    async def reload(self, number: int) -> None:
        self._route = ROUTES[number]
        self.manager.prepared(self.channels, route=self._route)()

    async def refuse(self, number: int) -> None:
        """Have a channel refuse whatever it is sent, or take it again."""
        channel = list(self.channels.values())[number]
        channel.refuses = not channel.refuses

    async def end(self) -> None:
        self._on.clear()
        for channel in self.channels.values():
            channel.refuses = False
        await self.wait(400)


async def play(steps: Sequence[tuple[str, int]]) -> World:
    async with anyio.create_task_group() as background:
        world = World(background)
        await world.restart()
        for what, number in steps:
            await getattr(world, what)(number)
        await world.end()
        background.cancel_scope.cancel()
    return world


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whoever_is_told_firing_is_told_resolved_and_resolved_is_true(
    steps: list[tuple[str, int]],
) -> None:
    world = asyncio.run(play(steps))
    for channel in world.channels.values():
        told: dict[tuple[str, str], str] = {}
        seen: set[str] = set()
        for notification in channel.notifications:
            if notification.key in seen:  # at least once: a restart may repeat one
                continue
            seen.add(notification.key)
            for alert in notification.alerts:
                place = (notification.group_key, alert.fingerprint)
                if alert.status == "resolved":
                    assert told.get(place) == "firing", "a 'resolved' that nobody was told the beginning of"
                    assert alert.fingerprint not in world.fired_at[notification.at], (
                        "resolved, and yet it fires"
                    )
                told[place] = alert.status
        assert set(told.values()) <= {"resolved"}


async def watch(
    wait: float, interval: float, repeat: float, changes: dict[int, int], seconds: int
) -> list[float]:
    """When one group of always firing alerts is told, with further alerts joining at some seconds."""
    clock = ManualClock()
    channel = Channel("ops")
    route = Route(to=("ops",), group_wait=wait, group_interval=interval, repeat_interval=repeat)
    manager = AlertManager({"ops": channel}, store=MemoryStore(), route=route, clock=clock)
    on = [firing({"alertname": "Down", "n": "0"}, clock)]
    async with anyio.create_task_group() as background:
        background.start_soon(manager.run)
        for second in range(seconds):
            on += [
                firing({"alertname": "Down", "n": f"{second}.{n}"}, clock)
                for n in range(changes.get(second, 0))
            ]
            manager.tick(clock.now(), on)
            await manager.commit()
            for _ in range(4):
                await asyncio.sleep(0)
            clock.shift(1)
        background.cancel_scope.cancel()
    return [each.at - 1_700_000_000 for each in channel.notifications]


def expected(wait: int, interval: int, repeat: int, changes: dict[int, int], seconds: int) -> list[float]:
    """The definition: looks on a grid tell what changed, repeats come exactly `repeat` after what was told last."""
    times: list[float] = []
    known = 0
    count = 1
    for second in range(seconds):
        count += changes.get(second, 0)
        look = second >= wait and (second - wait) % interval == 0
        due = bool(times) and second == times[-1] + repeat
        if (look and count > known) or due:
            times.append(second)
            known = count
    return times


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 6),
    st.integers(1, 9),
    st.integers(1, 20),
    st.dictionaries(st.integers(1, 59), st.integers(1, 2), max_size=4),
)
def test_the_times_are_those_of_the_definition(
    wait: int, interval: int, repeat: int, changes: dict[int, int]
) -> None:
    told: Any = asyncio.run(watch(wait, interval, repeat, changes, 60))
    assert told == expected(wait, interval, repeat, changes, 60)
