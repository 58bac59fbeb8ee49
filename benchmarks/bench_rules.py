"""1,000 alerting rules over six hours of history, against a real Prometheus server. Bar: 0.1 x its time.

A call is one rule: a thousandth of an evaluation. The server's row takes as long as the server itself reports for
its last evaluation of the same group over the same data (`prometheus_rule_group_last_duration_seconds`).
"""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator

from compare import Batch, Function, Group

from resilience import promql
from resilience.core.clock import ManualClock
from resilience.signals import Signals

SERVICES = 200
HISTORY = 6 * 3600
STEP = 15
# Long and short window, and how many times too fast the budget of 99.9% is spent.
PAIRS = (("1h", "5m", 14.4), ("1h", "10m", 10), ("3h", "15m", 8), ("6h", "30m", 6), ("6h", "1h", 3))
INTERVAL = 10  # of the server's group, seconds


def rules() -> list[str]:
    """Five multiwindow burn-rate conditions for each service."""

    def too_fast(service: int, window: str, factor: float) -> str:
        errors, requests = (
            f'sum(rate({name}{{service="s{service}"}}[{window}]))'
            for name in ("errors_total", "requests_total")
        )
        return f"{errors} / {requests} > {factor} * 0.001"

    return [
        f"({too_fast(service, long, factor)}) and ({too_fast(service, short, factor)})"
        for service in range(SERVICES)
        for long, short, factor in PAIRS
    ]


def counts(service: int, step: int) -> tuple[int, int]:
    """Errors and requests of a service so far: every tenth service spends its budget too fast."""
    requests = step * (100 + service)
    return requests // (50 if service % 10 == 0 else 5000), requests


class Server:
    """A Prometheus server that evaluates the rules once in `INTERVAL` seconds."""

    def __init__(self) -> None:
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-rules-"))
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._address = f"127.0.0.1:{free.getsockname()[1]}"

    def start(self) -> None:
        for program in ("prometheus", "promtool"):
            if shutil.which(program) is None:
                raise ImportError(f"{program} is not installed")
        history = self._folder / "history.om"
        history.write_text("\n".join(self._lines()) + "\n# EOF\n")
        subprocess.run(
            ["promtool", "tsdb", "create-blocks-from", "openmetrics", history, self._folder / "data"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        group = "".join(f"  - alert: Burn{index}\n    expr: '{rule}'\n" for index, rule in enumerate(rules()))
        (self._folder / "rules.yml").write_text(
            f"groups:\n- name: bench\n  interval: {INTERVAL}s\n  rules:\n{group}"
        )
        (self._folder / "prometheus.yml").write_text("rule_files: [rules.yml]\n")
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={self._folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address={self._address}",
                "--log.level=error",
            ]
        )

    def _lines(self) -> Iterator[str]:
        # A quarter of an hour beyond now, for as long as the benchmark may take.
        now = int(time.time())
        for index, name in enumerate(("errors", "requests")):
            yield f"# TYPE {name} counter"
            for service in range(SERVICES):
                for step in range((HISTORY + 900) // STEP):
                    at = now - HISTORY + step * STEP
                    yield f'{name}_total{{service="s{service}"}} {counts(service, step)[index]} {at}'

    async def last_duration(self) -> float:
        """What the server reports; the median of three evaluations."""
        found: list[float] = []
        url = f"http://{self._address}/metrics"
        while len(found) < 3:
            await asyncio.sleep(1)
            with contextlib.suppress(OSError):
                text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
                pattern = r"^prometheus_rule_group_last_duration_seconds\{.*\} (.+)$"
                durations = [float(one) for one in re.findall(pattern, text, re.MULTILINE)]
                found += [one for one in durations if one and one not in found]
        return statistics.median(found)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        shutil.rmtree(self._folder)


server = Server()


@contextlib.asynccontextmanager
async def around() -> AsyncIterator[None]:
    try:
        yield
    finally:
        server.stop()


group = Group(reference="Prometheus", suspending=False, batches=10, around=around)


@group.row("Prometheus")
async def prometheus() -> Batch:
    await asyncio.to_thread(server.start)
    duration = await server.last_duration()

    async def batch(function: Function, calls: int) -> None:
        await asyncio.sleep(duration * calls / len(rules()))

    return batch


@group.row("promql.Engine over the rings")
def engine() -> Batch:
    clock = ManualClock()
    signals = Signals(clock)
    pairs = [
        [
            signals.counter(name, labels=("service",)).bind(f"s{service}")
            for name in ("errors_total", "requests_total")
        ]
        for service in range(SERVICES)
    ]
    for name in ("errors_total", "requests_total"):
        signals.retain(name, HISTORY)
    for second in range(HISTORY + 60):
        if second % STEP == 0:
            for service, pair in enumerate(pairs):
                for series, count in zip(pair, counts(service, second // STEP), strict=True):
                    series.inc(count - series.current)
        clock.shift(1)
        signals.tick(clock.now())
    shared = promql.Engine(signals.source)
    queries = [shared.compile(rule) for rule in rules()]
    place = 0

    async def batch(function: Function, calls: int) -> None:
        nonlocal place
        for _ in range(calls):
            if place == 0:
                clock.shift(1)
                signals.tick(clock.now())
                shared.forget()
            queries[place](clock.monotonic())
            place = (place + 1) % len(queries)
            await function()

    return batch
