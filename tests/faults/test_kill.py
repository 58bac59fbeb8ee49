"""kill -9 in the middle of a storm of alerts: what a committed tick has decided still arrives."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

KILLS = 5
ALERTS = 500

# One process of the service: half of the alerts resolve in turn, every notification that arrives is appended to a
# file with one write. The alerts follow from the wall clock, so that every process sees the same storm.
PROCESS = """
import asyncio, json, os, sys, time
from resilience.alerting import AlertManager, Route
from resilience.core.clock import SYSTEM_CLOCK, Instant
from resilience.rules.state import Alert, AlertState, fingerprint
from resilience.stores.sqlite import SQLiteStore

folder, began, alerts_in_all, last = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "last"

class Wire:
    name = "wire"
    def __init__(self):
        self.file = os.open(f"{folder}/arrived", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    async def send(self, notification):
        await asyncio.sleep(0.005 if last else 0.3)
        told = {alert.labels["n"]: alert.status for alert in notification.alerts}
        os.write(self.file, (json.dumps([notification.key, told]) + "\\n").encode())

def storm(now):
    age = now.wall - began
    found = []
    for number in range(alerts_in_all):
        fires = number < age * 400 and (number % 2 or age < 2.5 + number / 400) and not last
        if fires:
            labels = {"alertname": f"A{number % 25}", "n": str(number)}
            at = Instant(now.monotonic, began)
            found.append(Alert("r", "g", labels, {}, AlertState.FIRING, 1.0, at, fingerprint(labels), at))
    return found

def resolved():
    told = {}
    with open(f"{folder}/arrived") as file:
        for line in file:
            told |= json.loads(line)[1]
    return set(told.values()) == {"resolved"}

async def main():
    store = SQLiteStore(f"{folder}/state.db")
    route = Route(to=("wire",), group_wait=0.05, group_interval=0.1, repeat_interval=60)
    alerts = AlertManager({"wire": Wire()}, store=store, route=route)
    await alerts.restore()
    running = asyncio.create_task(alerts.run())
    print("up", flush=True)
    until = SYSTEM_CLOCK.monotonic() + 60
    while not (last and (resolved() or SYSTEM_CLOCK.monotonic() > until) and await alerts.flush(10)):
        now = Instant(SYSTEM_CLOCK.monotonic(), SYSTEM_CLOCK.time())
        alerts.tick(now, storm(now))
        await alerts.commit()
        await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.close()

asyncio.run(main())
"""


def start(folder: Path, began: float, *, last: bool) -> subprocess.Popen[bytes]:
    program = textwrap.dedent(PROCESS)
    arguments = [
        sys.executable,
        "-c",
        program,
        str(folder),
        str(began),
        str(ALERTS),
        "last" if last else "storm",
    ]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n", process.communicate()[1].decode()
    return process


def decided(folder: Path) -> dict[str, dict[str, str]]:
    """What the state file says at this moment is still to be sent: key -> alert -> status."""
    connection = sqlite3.connect(folder / "state.db", timeout=30)
    try:
        rows = connection.execute("SELECT value FROM state WHERE \"table\" = 'alerting.outbox'").fetchall()
    finally:
        connection.close()
    found: dict[str, dict[str, str]] = {}
    for (row,) in rows:
        notification = json.loads(row)
        found[notification["key"]] = {
            alert["labels"]["n"]: alert["status"] for alert in notification["alerts"]
        }
    return found


def awaited_decision(folder: Path) -> dict[str, dict[str, str]]:
    """What has been decided and not yet sent, as soon as there is any: a kill before would show nothing."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if found := decided(folder):
            return found
        time.sleep(0.01)
    raise AssertionError("no notification was decided in 30 s")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_nothing_that_was_decided_is_lost(tmp_path: Path) -> None:
    chance = random.Random(20261122)
    began = time.time()
    promised: dict[str, dict[str, str]] = {}
    for _ in range(KILLS):
        process = start(tmp_path, began, last=False)
        time.sleep(chance.uniform(0.05, 0.8))
        promised |= awaited_decision(tmp_path)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        promised |= decided(tmp_path)
    final = start(tmp_path, began, last=True)
    complaint = final.communicate()[1].decode()
    assert final.returncode == 0, complaint
    lines: list[Any] = [json.loads(line) for line in (tmp_path / "arrived").read_text().splitlines()]
    arrived = dict(lines)
    assert len(promised) > 0
    assert {key: arrived.get(key) for key in promised} == promised
    told: dict[str, str] = {}
    for _, alerts in lines:
        told |= alerts
    assert set(told.values()) == {"resolved"}, "whoever was told 'firing' is told 'resolved'"
    assert decided(tmp_path) == {}
