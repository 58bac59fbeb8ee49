"""Rules, objectives and what is stored of them."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from growth.harness import Cost, CountingStore, collecting, curve, uncollected
from resilience import AlertRule, Reliability
from resilience.core.clock import ManualClock
from resilience.core.verdict import Verdict
from resilience.rules import Evaluator, RuleGroup
from resilience.signals import Signals
from resilience.signals.instruments import Counter
from resilience.slo import SLO


@curve("budgets", 2, stretch=0.002, bytes_per_tick=20_000)
async def budgets(size: int) -> Cost:
    """Objectives with full periods, each with an event in each tick."""
    clock = ManualClock()
    slos = [SLO(f"objective-{number}", service=f"s{number}", target="0.99") for number in range(size)]
    rel = Reliability("shop", slos=slos, store=CountingStore(clock=clock), clock=clock)
    await rel._restore()
    for account in rel.slos._counts._accounts.values():
        for hour in range(720):
            account.ledger.add(clock.monotonic() - (720 - hour) * 3600.0, 3.0, 12345.0)
    await rel.tick()

    def change() -> None:
        for number in range(size):
            rel.slos.record_metric(f"objective-{number}", success=number % 10 > 0, duration=0.01)

    for _ in range(12):
        await collecting(rel, clock, 1, change)
    rel.signals.windowed.clear()  # the rows of windows are another curve
    return await collecting(rel, clock, 30, change)


@curve("windows", 100, stretch=0.002, bytes_per_tick=1_000_000 / 60)
async def windows(size: int) -> Cost:
    """Columns that rules read, all of which change in each tick."""
    clock = ManualClock()
    rules = [AlertRule("Busy", "sum(rate(things_total[5m])) > 1e9")]
    rel = Reliability("shop", rules=rules, store=CountingStore(clock=clock), clock=clock)
    rel.signals.max_label_sets = size + 1
    things = rel.signals.counter("things_total", labels=("n",))
    bound = [things.bind(str(number)) for number in range(size)]
    await rel._restore()

    def change() -> None:
        for each in bound:
            each.inc()

    while len(rel._windows._streams["instruments"]._blocks) < size:
        await collecting(rel, clock, 5, change)
    return await collecting(rel, clock, 60, change)


def routes(count: int) -> tuple[ManualClock, Signals, Counter]:
    """Signals with as many series of one metric."""
    clock = ManualClock()
    signals = Signals(clock, max_label_sets=2 * count + 1_000)
    counter = signals.counter("calls_total", labels=("svc", "route"))
    for number in range(count):
        counter["s", f"/r{number}"].inc()
    return clock, signals, counter


def rules_over_routes(count: int) -> list[AlertRule]:
    return [
        AlertRule(f"Busy{number}", f'rate(calls_total{{svc="s",route=~"/r{number}|/q{number}"}}[5m]) > 1')
        for number in range(count)
    ]


@curve("rules times series", 100)
async def rules_times_series(size: int) -> Cost:
    """Loading as many rules as there are series."""
    _, signals, _ = routes(size)
    rules = rules_over_routes(size)
    with uncollected():
        began = time.thread_time()
        Evaluator([RuleGroup("g", rules)], signals.source, signals)
        return Cost(time.thread_time() - began)


@curve("births", 100, exponent=0.3)
async def births(size: int) -> Cost:
    """Births of 500 series beside as many rules."""
    _, signals, counter = routes(1)
    rules = Evaluator([RuleGroup("g", rules_over_routes(size))], signals.source, signals)
    began = time.thread_time()
    for number in range(500):
        counter["s", f"/new{number}"].inc()
    assert rules.groups
    return Cost(time.thread_time() - began)


@curve("alerts that end together", 40)
async def alerts_that_end_together(size: int) -> Cost:
    """The evaluation at which as many alerts end."""
    clock = ManualClock()
    signals = Signals(clock, max_label_sets=size + 1)
    up = signals.gauge("up", labels=("job",))
    rules = Evaluator([RuleGroup("g", [AlertRule("Down", "up == 0")], interval=1)], signals.source, signals)
    for state in (0.0, 1.0):
        for number in range(size):
            up.bind(f"job-{number}").set(state)
        clock.shift(1)
        signals.tick(clock.now())
        began = time.process_time()
        assert len(await rules.evaluate(clock.now())) == size
    return Cost(time.process_time() - began)


@curve("registration", 4)
async def registration(size: int) -> Cost:
    """Objectives that are registered one by one."""
    rel = Reliability("shop", clock=ManualClock())
    slos = [
        SLO(f"registered-{size}-{number}", service=f"s{number}", target="0.999") for number in range(size)
    ]
    with uncollected():
        began = time.thread_time()
        for slo in slos:
            rel.slos.register(slo)
        return Cost(time.thread_time() - began)


@curve("reload", 4, exponent=None, stretch=0.005)
async def reload_of_one_objective(size: int) -> Cost:
    """A reload in which one objective of many has changed: the part of it that the loop does."""
    return await reloading(size, changed=1)


@curve("reload of all", 4, exponent=None, stretch=0.005)
async def reload_of_all_objectives(size: int) -> Cost:
    """A reload in which all objectives have changed."""
    return await reloading(size, changed=size)


async def reloading(size: int, *, changed: int) -> Cost:
    """The longest stretch of the loop's thread while some of the objectives of a file change."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "reliability.yaml")

        def write(target: float) -> None:
            file.write_text(
                "service: shop\nservices:\n"
                + "".join(
                    f"  - name: s{number}\n    slos: [{{id: reloaded-{number},"
                    f" target: {target if number < changed else 99.9}, sli: {{type: availability}}}}]\n"
                    for number in range(size)
                )
            )

        write(99.9)
        rel = Reliability.from_file(file, watch=0.0, clock=ManualClock())
        write(99.5)
        with uncollected():
            task = asyncio.create_task(rel.reload())
            longest, last = 0.0, time.thread_time()
            while not task.done():
                await asyncio.sleep(0.001)
                now = time.thread_time()
                longest, last = max(longest, now - last), now
            await task
        return Cost(longest, longest)


@curve("nothing changes", 20, exponent=None, bytes_per_tick=0)
async def nothing_changes(size: int) -> Cost:
    """Alerts that are pending, firing and resolved, with objectives, while nothing changes."""
    clock = ManualClock()
    ending: list[int] = []

    def found(first: int) -> Any:
        return lambda: [({"n": str(number)}, 1.0) for number in range(first, size, 3)]

    rules = [
        AlertRule("Firing", condition=found(0)),
        AlertRule("Pending", condition=found(1), for_=1e6),
        AlertRule("Resolved", condition=lambda: [] if ending else found(2)()),
    ]
    slos = [SLO(f"objective-{number}", service="shop", target="0.99") for number in range(3)]
    rel = Reliability(
        "shop", rules=rules, slos=slos, store=CountingStore(clock=clock), evaluation_interval=1, clock=clock
    )
    await rel._restore()
    for number in range(100):
        if number == 50:
            ending.append(1)
        if number < 10:
            rel.sli.request("GET", "/", "500", Verdict.FAILURE, 0.01)
        clock.shift(1)
        await rel.tick()
    assert {alert.state.value for alert in rel.rules.alerts()} == {"firing", "pending"}
    assert rel.rules.resolved()
    return await collecting(rel, clock, 60, lambda: None)
