"""The same rule file and the same figures through a real Prometheus and Alertmanager, and through this library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from resilience import rules
from resilience.alerting import AlertManager, alertmanager_config
from resilience.core.clock import SYSTEM_CLOCK, Instant
from resilience.core.ports import Notification
from resilience.rules import Evaluator
from resilience.signals import Signals
from resilience.stores.memory import MemoryStore
from tests import servers
from tests.waiting import until

pytestmark = [pytest.mark.server("prometheus", "prometheus-alertmanager")]

RULES = """
groups:
  - name: queues
    interval: 1s
    rules:
      - record: queue:depth:max
        expr: max by (queue) (queue_depth)
      - alert: Deep
        expr: queue:depth:max > 50
        for: 2s
        labels: {severity: critical}
        annotations: {summary: "{{ $labels.queue }} is {{ $value }} deep"}
      - alert: Growing
        expr: sum without (host) (queue_depth) > 10
        labels: {severity: warning}
        annotations: {summary: "{{ $labels.queue | toUpper }} grows"}
"""

ALERTMANAGER = """
route:
  receiver: hook
  group_by: [alertname]
  group_wait: 1s
  group_interval: 1s
  repeat_interval: 1h
inhibit_rules:
  - source_matchers: ['severity="critical"']
    target_matchers: ['severity="warning"']
    equal: [queue]
receivers:
  - name: hook
    webhook_configs: [{url: "HOOK"}]
"""

PROMETHEUS = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: ["ALERTMANAGER"]}]}]}
scrape_configs:
  - job_name: shop
    metric_relabel_configs: [{regex: "instance|job", action: labeldrop}]
    static_configs: [{targets: ["TARGET"]}]
"""

SLACK = 3.0  # seconds by which what is seen may be dated back: to when a scrape or an evaluation was due
Alert = tuple[str, str]  # its name, and the queue


class Told(NamedTuple):
    """When an alert was told to have begun and ended, in Unix time, and what it says."""

    started: float
    ended: float | None
    summary: str


@dataclass
class World:
    """What both sides look at, and what each has told of it."""

    depths: dict[tuple[str, str], float] = field(
        default_factory=lambda: {("orders", "a"): 1.0, ("orders", "b"): 5.0, ("mails", "a"): 0.0}
    )
    ours: dict[Alert, Told] = field(default_factory=dict)
    theirs: dict[Alert, Told] = field(default_factory=dict)

    def exposition(self) -> str:
        lines = [
            f'queue_depth{{queue="{queue}",host="{host}"}} {value}'
            for (queue, host), value in self.depths.items()
        ]
        return "# TYPE queue_depth gauge\n" + "\n".join(lines) + "\n"

    async def becomes(
        self, queue: str, depth: float, *, fires: Alert | None = None, ends: Alert | None = None
    ) -> None:
        """Change a figure, and wait until both sides have told what follows from it, as a thing of this time."""
        changed = SYSTEM_CLOCK.time()
        self.depths[queue, "a"] = depth
        for side in (self.ours, self.theirs):
            if fires is not None:
                await until(lambda side=side: fires in side)
                assert changed - SLACK < side[fires].started < SYSTEM_CLOCK.time() + SLACK
            if ends is not None:
                ended = await until(lambda side=side: side[ends].ended)
                assert changed - SLACK < ended < SYSTEM_CLOCK.time() + SLACK


class Recorder:
    """A channel of ours that keeps what it is told of each alert."""

    name = "hook"

    def __init__(self, told: dict[Alert, Told]) -> None:
        self.told = told

    async def send(self, notification: Notification) -> None:
        for alert in notification.alerts:
            name = (alert.labels["alertname"], alert.labels["queue"])
            self.told[name] = Told(alert.started, alert.ended, alert.annotations["summary"])


def seconds(text: str) -> float:
    return datetime.fromisoformat(text[:19] + "+00:00").timestamp()


async def test_both_tell_the_same(tmp_path: Path) -> None:
    world = World()

    async def hook(request: web.Request) -> web.Response:
        for alert in (await request.json())["alerts"]:
            name = (alert["labels"]["alertname"], alert["labels"]["queue"])
            ended = seconds(alert["endsAt"]) if alert["status"] == "resolved" else None
            world.theirs[name] = Told(seconds(alert["startsAt"]), ended, alert["annotations"]["summary"])
        return web.Response()

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(text=world.exposition(), content_type="text/plain")

    app = web.Application()
    app.router.add_post("/hook", hook)
    app.router.add_get("/metrics", metrics)
    server = TestServer(app)
    await server.start_server()
    manager_file, rule_file, config_file = (
        tmp_path / name for name in ("am.yml", "rules.yml", "prometheus.yml")
    )
    manager_file.write_text(ALERTMANAGER.replace("HOOK", str(server.make_url("/hook"))))
    rule_file.write_text(RULES)
    config = PROMETHEUS.replace("TARGET", f"{server.host}:{server.port}")
    with servers.alertmanager(manager_file) as manager:
        config_file.write_text(config.replace("ALERTMANAGER", manager.url.removeprefix("http://")))
        with servers.prometheus(config_file):
            async with our_side(world, rule_file, manager_file):
                await world.becomes("orders", 20.0, fires=("Growing", "orders"))
                await world.becomes("orders", 80.0, fires=("Deep", "orders"))
                await world.becomes("mails", 20.0, fires=("Growing", "mails"))
                await world.becomes("orders", 20.0, ends=("Deep", "orders"))
                await world.becomes("orders", 1.0, ends=("Growing", "orders"))
                await world.becomes("mails", 0.0, ends=("Growing", "mails"))
    await server.close()
    summaries = [{name: told.summary for name, told in side.items()} for side in (world.ours, world.theirs)]
    assert summaries[0] == summaries[1]
    assert summaries[0].keys() == {("Deep", "orders"), ("Growing", "mails"), ("Growing", "orders")}


@asynccontextmanager
async def our_side(world: World, rule_file: Path, manager_file: Path) -> AsyncIterator[None]:
    """Record, evaluate and tell, once a second."""
    signals = Signals()
    gauge = signals.gauge("queue_depth", labels=("queue", "host"))
    evaluator = Evaluator(rules.load(rule_file), signals.source, signals, interval=1.0, semantics=2)
    config = alertmanager_config.read(manager_file, ["hook"])
    channels = {"hook": Recorder(world.ours)}
    alerts = AlertManager(channels, store=MemoryStore(), route=config.route, inhibitions=config.inhibitions)

    async def tick() -> None:
        while True:
            now = Instant(SYSTEM_CLOCK.monotonic(), SYSTEM_CLOCK.time())
            for place, value in world.depths.items():
                gauge.bind(*place).set(value)
            signals.tick(now)
            evaluator.tick(now)
            alerts.tick(now, [*evaluator.alerts(), *evaluator.resolved()])
            await alerts.commit()
            await asyncio.sleep(1)

    tasks = [asyncio.create_task(alerts.run()), asyncio.create_task(tick())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
