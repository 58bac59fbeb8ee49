"""kill -9 at random points in a loop: a budget loses at most one tick, and burn rates come back."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

KILLS = 4
TICK = 0.2

# One process of the service. It counts, and after each tick that the store has taken it appends the totals and the burn
# rates to a file with one write.
PROCESS = """
import asyncio, json, os, sys
from resilience import SLO, Reliability
from resilience.core.verdict import Verdict
from resilience.stores.sqlite import SQLiteStore

folder, tick = sys.argv[1], float(sys.argv[2])
ids = [f"slo-{number}" for number in range(5)]
slos = [SLO(name, service="shop", target="0.99") for name in ids]

async def main():
    rel = Reliability("shop", slos=slos, store=SQLiteStore(f"{folder}/state.db"), interval=tick, evaluation_interval=1)
    file = os.open(f"{folder}/told", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def tell(what):
        budgets = {name: rel.slos.error_budget(name) for name in ids}
        found = {
            "what": what,
            "counted": {name: [budget.bad, budget.total] for name, budget in budgets.items()},
            "rates": {str(window): rate and float(rate) for window, rate in budgets[ids[0]].burn_rates.items()},
            "at": rel.signals.last_tick.wall,
        }
        os.write(file, (json.dumps(found) + "\\n").encode())

    await rel.start()
    tell("restored")
    commit = rel.alerts.commit

    async def noted(others=()):
        await commit(others)
        tell("stored")

    rel.alerts.commit = noted
    while True:
        for number in range(10):
            verdict = Verdict.FAILURE if number < 3 else Verdict.SUCCESS
            rel.sli.request("GET", "/", "500" if number < 3 else "200", verdict, 0.01)
        await asyncio.sleep(0.01)

asyncio.run(main())
"""


def told(folder: Path) -> list[dict[str, Any]]:
    file = folder / "told"
    lines = file.read_bytes().split(b"\n") if file.exists() else []
    return [json.loads(line) for line in lines[:-1]]


def wait_for(folder: Path, process: subprocess.Popen[bytes], count: int) -> None:
    until = time.monotonic() + 60
    while len(told(folder)) < count:
        if process.poll() is not None:
            raise AssertionError(process.communicate()[1].decode())
        assert time.monotonic() < until, "nothing was stored in 60 s"
        time.sleep(0.01)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_kill_loses_at_most_one_tick_of_every_budget(tmp_path: Path) -> None:
    chance = random.Random(20261130)
    for run in range(KILLS):
        before = told(tmp_path)
        process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path), str(TICK)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            # Long enough for a row of the rings in each run.
            wait_for(tmp_path, process, len(before) + 1 + int(6 / TICK))
            time.sleep(chance.uniform(0, 2 * TICK))
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        after = told(tmp_path)
        restored = after[len(before)]
        assert restored["what"] == "restored"
        if not run:
            continue
        last = before[-1]
        for name, (bad, total) in last["counted"].items():
            restored_bad, restored_total = restored["counted"][name]
            # What was stored is there; a tick that was stored and not told of may be there too.
            assert restored_total >= total
            assert restored_bad >= bad
        down = restored["at"] - last["at"]
        for window, rate in last["rates"].items():
            if float(window) > down + 60:
                assert restored["rates"][window] == pytest.approx(rate, rel=0.2), (window, run)
