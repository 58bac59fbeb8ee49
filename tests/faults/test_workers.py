"""Several processes on one state file: an alert is told once, though the one that tells is killed, or stopped and continued."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# One worker of the service: files say what it sees. Every notification is appended to a file with one write. A worker
# that was stopped and continued notes what its windows say of the time between.
WORKER = """
import asyncio, json, os, sys, time
from resilience import AlertRule, Reliability, promql
from resilience.alerting import Route
from resilience.errors import DeliveryError
from resilience.stores.sqlite import SQLiteStore

folder, name = sys.argv[1:]

class Wire:
    name = "wire"
    async def send(self, notification):
        append("attempts", name + "\\n")
        if os.path.exists(f"{folder}/broken"):
            raise DeliveryError("wire: answered 503")
        told = [[name, notification.key, notification.status, alert.labels["alertname"]] for alert in notification.alerts]
        append("arrived", "".join(json.dumps(each) + "\\n" for each in told))

def append(what, text):
    file = os.open(f"{folder}/{what}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, text.encode())
    os.close(file)

async def mind_the_gap(rel):
    work = rel.signals.counter("work_total", "Work.").bind()
    ask = lambda at: len(promql.evaluate("rate(work_total[15s])", rel.signals.source, at).values)
    while not ask(time.monotonic() - 3):  # older windows are coarser
        work.inc()
        await asyncio.sleep(0.1)
    append(f"counts{name}", "yes\\n")
    while True:
        began = time.monotonic()
        await asyncio.sleep(0.1)
        work.inc()
        ended = time.monotonic()
        if ended - began > 32:
            while rel.alerts.leads:
                await asyncio.sleep(0.1)
            await asyncio.sleep(2)
            append(f"windows{name}", json.dumps([ask(began), ask((began + ended) / 2), ask(time.monotonic())]) + "\\n")

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
        await mind_the_gap(rel)

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

    def lines(self, file: str) -> list[str]:
        """The lines that workers have written to a file."""
        path = self.folder / file
        return path.read_text().splitlines() if path.exists() else []

    def told(self) -> list[tuple[str, str]]:
        """Status and alert of each notification, one that was sent again counted once."""
        lines = [json.loads(line) for line in self.lines("arrived")]
        return [(status, alert) for _, status, alert in dict.fromkeys(tuple(line[1:]) for line in lines)]

    def until_lines(self, file: str) -> list[str]:
        """Wait until workers have written to a file."""
        limit = time.monotonic() + 90
        while not self.lines(file):
            assert time.monotonic() < limit, file
            time.sleep(0.05)
        return self.lines(file)

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


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
def test_one_that_was_stopped_past_its_lease_and_continued_sends_nothing_more(workers: Workers) -> None:
    for file in ("Down", "broken"):
        (workers.folder / file).touch()
    workers.start("A")
    workers.start("B")
    assert set(workers.until_lines("attempts")) == {"A"}
    workers.until_lines("countsA")
    workers.running["A"].send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    (workers.folder / "broken").unlink()
    firing = [("firing", "Down")]
    workers.until(*firing)
    (workers.folder / "OnlyB").touch()
    firing.append(("firing", "OnlyB"))
    workers.until(*firing)
    while time.monotonic() < stopped + 34:  # longer than what windows take for a late tick
        time.sleep(0.5)
    attempts = workers.lines("attempts").count("A")
    workers.running["A"].send_signal(signal.SIGCONT)
    before, meanwhile, now = json.loads(workers.until_lines("windowsA")[0])
    assert (before, meanwhile, now) == (1, 0, 1), "nothing is known of the time in which it stood still"
    for file in ("Down", "OnlyB"):
        (workers.folder / file).unlink()
        firing.append(("resolved", file))
        workers.until(*firing)
    assert workers.lines("attempts").count("A") == attempts
    assert [json.loads(line)[0] for line in workers.lines("arrived")] == ["B"] * 4, "each once"
