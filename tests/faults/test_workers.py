"""Several processes on one state file: what any of them sees is told once, and a kill -9 of the one that tells loses nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# One worker of the service: files say what it sees. Every notification is appended to a file with one write.
WORKER = """
import asyncio, json, os, sys
from resilience import AlertRule, Reliability
from resilience.alerting import Route
from resilience.stores.sqlite import SQLiteStore

folder, name = sys.argv[1:]

class Wire:
    name = "wire"
    async def send(self, notification):
        told = [[name, notification.key, notification.status, alert.labels["alertname"]] for alert in notification.alerts]
        file = os.open(f"{folder}/arrived", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, "".join(json.dumps(each) + "\\n" for each in told).encode())
        os.close(file)

def seen(what):
    return AlertRule(what, condition=lambda: os.path.exists(f"{folder}/{what}"))

async def main():
    rel = Reliability(
        "shop",
        rules=[seen("Down"), seen(f"Only{name}")],
        evaluation_interval=0.5,
        interval=0.2,
        store=SQLiteStore(f"{folder}/shop.db"),
        notifiers=[Wire()],
        route=Route(to=("wire",), group_wait=0, group_interval=0.5),
        watch=0,
    )
    async with rel:
        print("up", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


class Workers:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        command = [sys.executable, "-c", WORKER, str(self.folder), name]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.running[name] = process
        assert process.stdout is not None
        assert any(line == b"up\n" for line in process.stdout), "it did not start"

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.communicate()

    def told(self) -> list[tuple[str, str]]:
        """Status and alert of each notification, one that was sent again counted once."""
        file = self.folder / "arrived"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [(status, alert) for _, status, alert in dict.fromkeys(tuple(line[1:]) for line in lines)]

    def until(self, *expected: tuple[str, str]) -> None:
        limit = time.monotonic() + 90
        while self.told() != list(expected):
            assert time.monotonic() < limit, self.told()
            time.sleep(0.05)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    found = Workers(tmp_path)
    yield found
    for name in list(found.running):
        found.kill(name)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_one_of_them_tells_and_another_takes_over_when_it_is_killed(workers: Workers) -> None:
    down, only = workers.folder / "Down", workers.folder / "OnlyB"
    down.touch()
    workers.start("A")
    firing = [("firing", "Down")]
    workers.until(*firing)
    workers.start("B")
    only.touch()
    firing.append(("firing", "OnlyB"))
    workers.until(*firing)
    workers.kill("A")
    down.unlink()
    workers.until(*firing, ("resolved", "Down"))
    only.unlink()
    workers.until(*firing, ("resolved", "Down"), ("resolved", "OnlyB"))
    assert workers.told() == [*firing, ("resolved", "Down"), ("resolved", "OnlyB")]
