"""Three workers on a state file that another process locks, or that is damaged."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# One worker: it appends what it notifies, and a line once it starts or leads.
WORKER = """
import asyncio, json, os, sys
from resilience import AlertRule, Reliability
from resilience.alerting import Route
from resilience.stores.sqlite import SQLiteStore

folder, name = sys.argv[1:]

def append(what, text):
    file = os.open(f"{folder}/{what}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, (text + "\\n").encode())
    os.close(file)

class Wire:
    name = "wire"
    async def send(self, notification):
        for alert in notification.alerts:
            append("arrived", json.dumps([name, notification.group_key, alert.fingerprint, alert.status, alert.labels["alertname"]]))

async def main():
    rel = Reliability(
        "shop",
        rules=[AlertRule("Down", condition=lambda: True)],
        evaluation_interval=0.5,
        interval=0.2,
        store=SQLiteStore(f"{folder}/shop.db"),
        notifiers=[Wire()],
        route=Route(to=("wire",), group_wait=0, group_interval=0.5),
        watch=0,
    )
    async with rel:
        append("up", name)
        led = False
        while True:
            await asyncio.sleep(0.1)
            if rel.alerts.leads != led:
                led = rel.alerts.leads
                append("leads", f"{name} {led}")

asyncio.run(main())
"""


class Workers:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        for name in "ABC":
            with (self.folder / f"log{name}").open("wb") as log:
                command = [sys.executable, "-c", WORKER, str(self.folder), name]
                self.running.append(subprocess.Popen(command, stdout=log, stderr=log))
        self.until(lambda: len(self.lines("up")) == 3)

    def lines(self, file: str) -> list[str]:
        path = self.folder / file
        return path.read_text().splitlines() if path.exists() else []

    @property
    def arrived(self) -> list[list[str]]:
        return [json.loads(line) for line in self.lines("arrived")]

    @property
    def leaders(self) -> set[str]:
        last = dict(line.split() for line in self.lines("leads"))
        return {name for name, leads in last.items() if leads == "True"}

    def logged(self, event: str) -> list[int]:
        """How often each worker logged an event."""
        return [sum(event in line for line in self.lines(f"log{name}")) for name in "ABC"]

    @staticmethod
    def until(condition: Callable[[], object]) -> None:
        limit = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < limit
            time.sleep(0.05)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    found = Workers(tmp_path)
    yield found
    for process in found.running:
        process.kill()
        process.wait()


def locked(file: Path) -> sqlite3.Connection:
    """Lock a file that workers have used before."""
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("PRAGMA journal_mode = WAL")
    holder.execute("CREATE TABLE IF NOT EXISTS other (a)")
    holder.execute("BEGIN IMMEDIATE")
    holder.execute("INSERT INTO other VALUES (1)")
    return holder


def test_a_lock_shorter_than_a_lease_delays_the_one_notification(workers: Workers) -> None:
    holder = locked(workers.folder / "shop.db")
    workers.start()
    time.sleep(3)
    assert workers.arrived == []
    holder.rollback()
    holder.close()
    workers.until(lambda: workers.arrived and workers.leaders)
    time.sleep(8)  # longer than workers take to see what another one has done
    assert [each[3:] for each in workers.arrived] == [["firing", "Down"]]
    assert len(workers.leaders) == 1
    assert workers.logged("state_store") == [0, 0, 0]


def test_after_one_lease_all_notify_with_the_same_keys_and_one_leads_when_the_lock_ends(
    workers: Workers,
) -> None:
    holder = locked(workers.folder / "shop.db")
    workers.start()
    workers.until(lambda: {each[0] for each in workers.arrived} == set("ABC"))
    assert len({tuple(each[1:]) for each in workers.arrived}) == 1, "one group, one fingerprint, firing"
    assert workers.logged("state_store_locked") == [1, 1, 1]
    holder.rollback()
    holder.close()
    workers.until(lambda: len(workers.leaders) == 1)
    assert {each[3] for each in workers.arrived} == {"firing"}, "nothing is resolved by that"


def test_a_damaged_file_is_set_aside_by_each_and_all_notify(workers: Workers) -> None:
    file = workers.folder / "shop.db"
    file.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    workers.start()
    expected = {(name, alert) for name in "ABC" for alert in ("Down", "ReliabilityStateNotKept")}
    workers.until(lambda: {(each[0], each[4]) for each in workers.arrived} == expected)
    assert workers.logged("state_store_set_aside") == [1, 1, 1]
    assert file.read_bytes() == b"SQLite format 3\x00" + b"\xff" * 5000
