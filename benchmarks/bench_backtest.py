"""Replaying a combined log of 1,000 lines per second of log time, with an objective and its alerts.

Bars: at most 4 x the time of a loop that only matches the nine fields of each line and counts by status; at least 4 x
as fast as GoAccess, where that is installed; memory flat in the length of the log. A month of 1,000,000 lines with 20
objectives takes less than 10 minutes.

    python benchmarks/bench_backtest.py [--json]
    python benchmarks/bench_backtest.py --month [--json]

A script of its own: its unit is a line of a file.
"""

from __future__ import annotations

import collections
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime

import psutil

from resilience.replay import Backtest, formats
from resilience.replay.lines import blocks
from resilience.slo import SLO, Latency

LINES = 400_000
RATE = 1_000  # lines per second of log time
ROUNDS = 5
MONTH = 30 * 86_400  # seconds
MONTH_LINES = 1_000_000
OBJECTIVES = 20
MONTH_BAR = 600.0  # seconds
TARGETS = ("0.9", "0.95", "0.98", "0.99", "0.992", "0.995", "0.997", "0.998", "0.999", "0.9995")
FIELDS = re.compile(r'(\S+) (\S+) (\S+) \[([^\]]+)\] "([^"]*)" (\d{3}) (\S+) "([^"]*)" "([^"]*)"')
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0 Safari/537.36",
    "okhttp/4.12.0",
    "curl/8.5.0",
)


def write(file: pathlib.Path, lines: int, rate: float = RATE) -> None:
    """A log of a shop in which one request in 200 fails, with durations at the end of each line."""
    chance = random.Random(7)
    with file.open("w") as out:
        for number in range(lines):
            at = datetime.fromtimestamp(1_790_000_000 + number // rate, UTC).strftime(
                "%d/%b/%Y:%H:%M:%S +0000"
            )
            status = chance.choices((200, 404, 500, 429), (970, 20, 5, 5))[0]
            out.write(
                f"10.{number % 7}.{number % 251}.{number % 13} - - [{at}]"
                f' "{chance.choice(("GET", "GET", "POST"))} /orders/{chance.randrange(100_000)}?page={number % 9} HTTP/1.1"'
                f' {status} {chance.randrange(20_000)} "https://shop.example/" "{AGENTS[number % 3]}"'
                f" {chance.lognormvariate(-3, 1):.3f}\n"
            )


def bare(file: pathlib.Path) -> None:
    statuses: collections.Counter[str] = collections.Counter()
    match = FIELDS.match
    with file.open() as lines:
        for line in lines:
            found = match(line)
            if found is not None:
                statuses[found[6]] += 1


def backtest(file: pathlib.Path) -> None:
    test = Backtest("shop", slos=[SLO("ok", service="shop", target="0.999")])
    assert test.run(blocks(file), formats.make("combined")).malformed.count == 0


def objectives() -> list[SLO]:
    """Twenty objectives: availability and latency, from lax to strict."""
    available = [SLO(f"ok-{target}", service="shop", target=target) for target in TARGETS]
    fast = [
        SLO(f"fast-{target}", service="shop", target=target, sli=Latency(seconds))
        for target, seconds in zip(
            TARGETS, (0.1, 0.25, 0.25, 0.5, 0.5, 0.75, 1.0, 1.0, 2.5, 5.0), strict=True
        )
    ]
    return [*available, *fast]


def month(folder: pathlib.Path) -> dict[str, object]:
    """Replay a month, and return its row."""
    file = folder / "month.log"
    write(file, MONTH_LINES, MONTH_LINES / MONTH)
    test = Backtest("shop", slos=objectives())
    started = time.perf_counter()
    result = test.run(blocks(file), formats.make("combined"))
    taken = time.perf_counter() - started
    assert result.requests == MONTH_LINES
    assert len(result.budgets) == OBJECTIVES
    return {
        "group": "backtest",
        "name": f"a month with {OBJECTIVES} objectives",
        "lines": MONTH_LINES,
        "incidents": len(result.incidents),
        "seconds": round(taken, 1),
        "bar": MONTH_BAR,
    }


def goaccess(file: pathlib.Path) -> None:
    form = '%h %^[%d:%t %^] "%r" %s %b "%R" "%u" %T'
    subprocess.run(
        ["goaccess", file, f"--log-format={form}", "--date-format=%d/%b/%Y", "--time-format=%T", "--no-progress",
         "-o", file.with_suffix(".json")],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip


def seconds(work: Callable[[pathlib.Path], None], file: pathlib.Path) -> float:
    started = time.perf_counter()
    work(file)
    return time.perf_counter() - started


def resident() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6


def main() -> None:
    if "--month" in sys.argv:
        with tempfile.TemporaryDirectory(prefix="bench-backtest-") as folder:
            row = month(pathlib.Path(folder))
        print(
            json.dumps([row])
            if "--json" in sys.argv
            else f"backtest     {row['name']}: {row['seconds']} s (bar: {row['bar']} s)"
        )
        return
    with tempfile.TemporaryDirectory(prefix="bench-backtest-") as folder:
        file, longer = pathlib.Path(folder, "access.log"), pathlib.Path(folder, "longer.log")
        write(file, LINES)
        write(longer, 3 * LINES)
        contenders = {"bare loop": bare, "backtest": backtest}
        best = dict.fromkeys(contenders, float("inf"))
        for _ in range(ROUNDS):
            for name, work in contenders.items():
                best[name] = min(best[name], seconds(work, file))
        if shutil.which("goaccess"):
            best["GoAccess"] = seconds(goaccess, file)
        before = resident()
        backtest(longer)
        growth = resident() - before
    rows = [
        {
            "group": "backtest",
            "name": name,
            "lines_per_second": round(LINES / taken),
            "ratio": round(taken / best["bare loop"], 2),
        }
        for name, taken in best.items()
    ]
    if "--json" in sys.argv:
        print(
            json.dumps(
                [*rows, {"group": "backtest", "name": "three times the log", "megabytes": round(growth, 1)}]
            )
        )
        return
    for row in rows:
        print(
            f"backtest     {row['name']:12s} {row['lines_per_second']:10,} lines/s {row['ratio']:7.2f} x bare loop"
        )
    print(f"backtest     a log three times as long takes {growth:+.1f} MB more")


if __name__ == "__main__":
    main()
