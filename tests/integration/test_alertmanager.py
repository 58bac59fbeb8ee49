"""The Alertmanager channel and the Alertmanager file against a real Alertmanager."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from resilience.alerting import AlertManager, RaisedAlert, Route, alertmanager_config
from resilience.core.clock import SYSTEM_CLOCK, Instant
from resilience.core.ports import Notification
from resilience.notifiers.alertmanager import AlertmanagerNotifier
from resilience.stores.memory import MemoryStore

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
    port = unused_port()
    process = subprocess.Popen(  # noqa: ASYNC220  starts at once
        [
            "prometheus-alertmanager",
            f"--config.file={config}",
            f"--storage.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
            "--log.level=error",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session:
            for _ in range(100):
                try:
                    async with session.get(f"{url}/-/ready") as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
            else:
                pytest.fail("Alertmanager did not become ready")
        yield url
    finally:
        process.terminate()
        process.wait(10)


async def alerts_of(url: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v2/alerts") as answer:
        found: list[dict[str, Any]] = await answer.json()
        return found


async def until(condition: Any, seconds: float = 8.0) -> None:
    for _ in range(round(seconds / 0.05)):
        found = condition()
        if found if not asyncio.iscoroutine(found) else await found:
            return
        await asyncio.sleep(0.05)
    pytest.fail("it did not happen in time")


async def test_a_real_alertmanager_takes_what_fires_and_what_is_resolved(server: str, hooks: Hooks) -> None:
    channel = AlertmanagerNotifier("am", url=server, repeat_interval=0.5)
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

    async def known() -> bool:
        return bool(await alerts_of(server))

    await until(known)
    [found] = await alerts_of(server)
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
        for round_ in range(90):
            if round_ == 40:
                ours.resolve(ids[0])
                ends = {**posted[0], "endsAt": "2020-01-01T00:00:00Z", "startsAt": "2019-01-01T00:00:00Z"}
                async with session.post(f"{server}/api/v2/alerts", json=[ends]) as answer:
                    assert answer.status == 200
            ours.tick(Instant(SYSTEM_CLOCK.monotonic(), SYSTEM_CLOCK.time()), [])
            await ours.commit()
            await asyncio.sleep(0.1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    def order(receiver: str, payload: Any) -> tuple[str, ...]:
        group, status, alerts = payload
        shown = sorted((labels["alertname"], labels["host"], state) for labels, state in alerts)
        return (receiver, json.dumps(group), status, json.dumps(shown))

    theirs = {
        order(
            name,
            (
                told["groupLabels"],
                told["status"],
                [(each["labels"], each["status"]) for each in told["alerts"]],
            ),
        )
        for name, told in hooks.told
    }
    here = {
        order(name, (dict(told.group), told.status, [(each.labels, each.status) for each in told.alerts]))
        for name, channel in channels.items()
        for told in channel.notifications
    }
    assert here == theirs
    assert any(status == "resolved" for _, _, status, _ in here)


def test_what_we_read_amtool_reads_too(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(CONFIG.replace("URL", "http://localhost"))
    checked = subprocess.run(["amtool", "check-config", str(file)], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr.decode()
    assert alertmanager_config.read(file).route.to == ("hook",)
