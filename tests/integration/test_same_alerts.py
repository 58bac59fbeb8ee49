"""The same rule file and the same figures through a real Prometheus and Alertmanager, and through this library."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from resilience import rules
from resilience.alerting import AlertManager, alertmanager_config
from resilience.core.clock import SYSTEM_CLOCK, Instant
from resilience.core.ports import Notification
from resilience.rules import Evaluator
from resilience.signals import Signals
from resilience.stores.memory import MemoryStore

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

SECONDS = 24
TOLERANCE = 3.0  # a scrape, an evaluation and a tick of a second each, which start at different moments


def depths(age: float) -> dict[tuple[str, str], float]:
    """The figures at a number of seconds: one queue fills up and is drained, one only grows a little."""
    return {
        ("orders", "a"): 80.0 if 4 <= age < 14 else 1.0,
        ("orders", "b"): 5.0,
        ("mails", "a"): 20.0 if 6 <= age < 16 else 0.0,
    }


class Told(NamedTuple):
    """When an alert was told to have begun and ended, in Unix time, and what it says."""

    started: float
    ended: float | None
    summary: str


def exposition(age: float) -> str:
    lines = [
        f'queue_depth{{queue="{queue}",host="{host}"}} {value}'
        for (queue, host), value in depths(age).items()
    ]
    return "# TYPE queue_depth gauge\n" + "\n".join(lines) + "\n"


@asynccontextmanager
async def process(ready: str, *command: str) -> AsyncIterator[None]:
    found = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: ASYNC220  starts at once
    try:
        async with aiohttp.ClientSession() as session:
            for _ in range(200):
                try:
                    async with session.get(ready) as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
            else:
                pytest.fail(f"{command[0]} did not become ready")
        yield
    finally:
        found.terminate()
        found.wait(10)


class Recorder:
    """A channel of ours that keeps what it is told of each alert."""

    name = "hook"

    def __init__(self) -> None:
        self.told: dict[tuple[str, str], Told] = {}

    async def send(self, notification: Notification) -> None:
        for alert in notification.alerts:
            name = (alert.labels["alertname"], alert.labels["queue"])
            self.told[name] = Told(alert.started, alert.ended, alert.annotations["summary"])


def seconds(text: str) -> float:
    return datetime.fromisoformat(text[:19] + "+00:00").timestamp()


async def test_both_tell_the_same(tmp_path: Path) -> None:
    began = SYSTEM_CLOCK.time() + 1e9
    theirs: dict[tuple[str, str], Told] = {}

    async def hook(request: web.Request) -> web.Response:
        for alert in (await request.json())["alerts"]:
            name = (alert["labels"]["alertname"], alert["labels"]["queue"])
            ended = seconds(alert["endsAt"]) if alert["status"] == "resolved" else None
            theirs[name] = Told(seconds(alert["startsAt"]), ended, alert["annotations"]["summary"])
        return web.Response()

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(text=exposition(SYSTEM_CLOCK.time() - began), content_type="text/plain")

    app = web.Application()
    app.router.add_post("/hook", hook)
    app.router.add_get("/metrics", metrics)
    server = TestServer(app)
    await server.start_server()
    manager_port, prometheus_port = unused_port(), unused_port()
    manager_file, rule_file, config_file = (
        tmp_path / name for name in ("am.yml", "rules.yml", "prometheus.yml")
    )
    manager_file.write_text(ALERTMANAGER.replace("HOOK", str(server.make_url("/hook"))))
    rule_file.write_text(RULES)
    config = PROMETHEUS.replace("ALERTMANAGER", f"127.0.0.1:{manager_port}")
    config_file.write_text(config.replace("TARGET", f"{server.host}:{server.port}"))

    theirs_up = process(
        f"http://127.0.0.1:{manager_port}/-/ready",
        "prometheus-alertmanager",
        f"--config.file={manager_file}",
        f"--storage.path={tmp_path / 'am'}",
        f"--web.listen-address=127.0.0.1:{manager_port}",
        "--cluster.listen-address=",
        "--log.level=error",
    )
    prometheus_up = process(
        f"http://127.0.0.1:{prometheus_port}/-/ready",
        "prometheus",
        f"--config.file={config_file}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{prometheus_port}",
        "--log.level=error",
    )
    async with theirs_up, prometheus_up:
        began = SYSTEM_CLOCK.time()
        ours = await our_side(rule_file, manager_file, began)
    await server.close()

    assert set(ours) == set(theirs) == {("Deep", "orders"), ("Growing", "mails"), ("Growing", "orders")}
    for name, here in ours.items():
        there = theirs[name]
        assert here.summary == there.summary
        assert here.started == pytest.approx(there.started, abs=TOLERANCE)
        assert here.ended is not None
        assert there.ended is not None
        assert here.ended == pytest.approx(there.ended, abs=TOLERANCE)


async def our_side(rule_file: Path, manager_file: Path, began: float) -> dict[tuple[str, str], Told]:
    """Record, evaluate and tell, once a second."""
    signals = Signals()
    gauge = signals.gauge("queue_depth", labels=("queue", "host"))
    evaluator = Evaluator(rules.load(rule_file), signals.source, signals, interval=1.0, semantics=2)
    recorder = Recorder()
    config = alertmanager_config.read(manager_file, ["hook"])
    alerts = AlertManager(
        {"hook": recorder}, store=MemoryStore(), route=config.route, inhibitions=config.inhibitions
    )
    running = asyncio.create_task(alerts.run())
    for _ in range(SECONDS):
        now = Instant(SYSTEM_CLOCK.monotonic(), SYSTEM_CLOCK.time())
        for place, value in depths(now.wall - began).items():
            gauge.bind(*place).set(value)
        signals.tick(now)
        evaluator.tick(now)
        alerts.tick(now, [*evaluator.alerts(), *evaluator.resolved()])
        await alerts.commit()
        await asyncio.sleep(1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return recorder.told
