"""The Alertmanager channel and the Alertmanager file against a real Alertmanager."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from resilience.alerting import AlertManager, RaisedAlert, Route, alertmanager_config
from resilience.core.clock import SYSTEM_CLOCK, Instant
from resilience.core.ports import Notification
from resilience.notifiers.alertmanager import AlertmanagerNotifier
from resilience.stores.memory import MemoryStore
from tests import servers
from tests.waiting import until

pytestmark = pytest.mark.server("prometheus-alertmanager")

CONFIG = """
route:
  receiver: hook
  group_by: [alertname]
  group_wait: 1s
  group_interval: 2s
  repeat_interval: 1h
  routes:
    - receiver: pager
      matchers: ['severity="critical"']
      continue: true
    - receiver: hook
inhibit_rules:
  - source_matchers: ['severity="critical"']
    target_matchers: ['severity="warning"']
    equal: [host]
receivers:
  - name: hook
    webhook_configs: [{url: "URL/hook"}]
  - name: pager
    webhook_configs: [{url: "URL/pager"}]
"""


class Hooks:
    """What a real Alertmanager told its receivers."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.told.append((request.path.strip("/"), await request.json()))
        return web.Response()


@pytest.fixture
async def hooks() -> AsyncIterator[Hooks]:
    found = Hooks()
    app = web.Application()
    app.router.add_post("/{tail:.*}", found.handle)
    server = TestServer(app)
    await server.start_server()
    found.url = str(server.make_url("")).rstrip("/")  # type: ignore[attr-defined]  # only tests have it
    yield found
    await server.close()


@pytest.fixture
async def server(hooks: Any, tmp_path: Path) -> AsyncIterator[str]:
    config = tmp_path / "alertmanager.yml"
    config.write_text(CONFIG.replace("URL", hooks.url))
    with servers.alertmanager(config) as (url, _):
        yield url


async def alerts_of(url: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v2/alerts") as answer:
        found: list[dict[str, Any]] = await answer.json()
        return found


async def test_a_real_alertmanager_takes_what_fires_and_what_is_resolved(server: str, hooks: Hooks) -> None:
    channel = AlertmanagerNotifier(
        "am", url=server, repeat_interval=3
    )  # four times as long until it ends there
    route = Route(to=("am",), group_wait=0, group_interval=0.2)
    alerts = AlertManager({"am": channel}, store=MemoryStore(), route=route)
    running = asyncio.create_task(alerts.run())
    stopped = asyncio.Event()

    async def tick() -> None:
        while not stopped.is_set():
            alerts.tick(Instant(SYSTEM_CLOCK.monotonic(), SYSTEM_CLOCK.time()), [])
            await alerts.commit()
            await asyncio.sleep(0.05)

    ticking = asyncio.create_task(tick())
    raised = alerts.send_alert(
        RaisedAlert("Down", labels={"host": "a"}, annotations={"summary": "It is down"})
    )

    [found] = await until(lambda: alerts_of(server))
    assert found["labels"] == {"alertname": "Down", "severity": "warning", "host": "a"}
    assert found["annotations"] == {"summary": "It is down"}
    assert found["fingerprint"] == raised, "our fingerprints are Alertmanager's"
    first = found["endsAt"]

    async def renewed() -> bool:
        return [each["endsAt"] for each in await alerts_of(server)] != [first]

    await until(renewed)
    await until(lambda: any(told["status"] == "firing" for _, told in hooks.told))
    alerts.resolve(raised)
    await until(lambda: any(told["status"] == "resolved" for _, told in hooks.told))
    stopped.set()
    await ticking
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await alerts.close()


class Recorder:
    """A channel of ours that keeps what it is sent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.notifications: list[Notification] = []

    async def send(self, notification: Notification) -> None:
        self.notifications.append(notification)


async def test_the_same_file_and_alerts_tell_the_same_receivers_the_same(
    server: str, hooks: Hooks, tmp_path: Path
) -> None:
    """Routes, grouping and inhibition of one file, there and here, with the same alerts posted at the same time."""
    config = alertmanager_config.read(tmp_path / "alertmanager.yml", ["hook", "pager"])
    assert len(config.unsupported) == 2  # the receivers' own settings: channels have theirs
    channels = {name: Recorder(name) for name in ("hook", "pager")}
    ours = AlertManager(channels, store=MemoryStore(), route=config.route, inhibitions=config.inhibitions)
    running = asyncio.create_task(ours.run())
    storm = [
        RaisedAlert("HostDown", severity="critical", labels={"host": "a"}),
        RaisedAlert("Slow", severity="warning", labels={"host": "a"}),
        RaisedAlert("Slow", severity="warning", labels={"host": "b"}),
        RaisedAlert("Errors", severity="warning", labels={"host": "c"}),
    ]
    ids = [ours.send_alert(each) for each in storm]
    posted = [{"labels": each.identity} for each in storm]
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{server}/api/v2/alerts", json=posted) as answer:
            assert answer.status == 200
        await told_alike(ours, channels, hooks, 4)
        ours.resolve(ids[0])
        ends = {**posted[0], "endsAt": "2020-01-01T00:00:00Z", "startsAt": "2019-01-01T00:00:00Z"}
        async with session.post(f"{server}/api/v2/alerts", json=[ends]) as answer:
            assert answer.status == 200
    seen = await told_alike(ours, channels, hooks, 7)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert sum(status == "resolved" for _, _, status, _ in seen) == 2


async def told_alike(
    ours: AlertManager, channels: dict[str, Recorder], hooks: Hooks, count: int
) -> set[tuple[str, ...]]:
    """Let time pass until so many different notifications were sent here and there: the same."""

    def told_here() -> set[tuple[str, ...]]:
        return {
            told(name, each.group, each.status, [(one.labels, one.status) for one in each.alerts])
            for name, channel in channels.items()
            for each in channel.notifications
        }

    def told_there() -> set[tuple[str, ...]]:
        return {
            told(
                name,
                each["groupLabels"],
                each["status"],
                [(one["labels"], one["status"]) for one in each["alerts"]],
            )
            for name, each in hooks.told
        }

    async def enough() -> bool:
        ours.tick(Instant(SYSTEM_CLOCK.monotonic(), SYSTEM_CLOCK.time()), [])
        await ours.commit()
        return len(told_here()) >= count <= len(told_there())

    await until(enough)
    assert told_here() == told_there()
    return told_here()


def told(
    receiver: str, group: Mapping[str, str], status: str, alerts: list[tuple[Mapping[str, str], str]]
) -> tuple[str, ...]:
    shown = sorted((labels["alertname"], labels["host"], state) for labels, state in alerts)
    return (receiver, json.dumps(dict(group)), status, json.dumps(shown))


def test_what_we_read_amtool_reads_too(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(CONFIG.replace("URL", "http://localhost"))
    checked = subprocess.run(["amtool", "check-config", str(file)], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr.decode()
    assert alertmanager_config.read(file).route.to == ("hook",)
