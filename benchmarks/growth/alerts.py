"""Alerts that fire together, silences, objectives that pages show, and idle pipelines."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any

from growth.harness import Cost, CountingStore, Stretches, curve, uncollected
from resilience import AlertRule, Reliability
from resilience.alerting.matchers import Matchers
from resilience.core.clock import ManualClock
from resilience.slo import SLO


def service(size: int, slos: int = 0) -> tuple[Reliability, ManualClock]:
    """A service with one rule that finds as many alerts, and objectives."""
    clock = ManualClock()
    found = [({"n": str(number)}, 1.0) for number in range(size)]
    rules = [AlertRule("Firing", condition=lambda: found)] if size else []
    made = [SLO(f"grown-{number}", service=f"s{number}", target="0.99") for number in range(slos)]
    store = CountingStore(clock=clock)
    return Reliability("shop", rules=rules, slos=made, store=store, evaluation_interval=1, clock=clock), clock


def silence(rel: Reliability, clock: ManualClock) -> None:
    """Make 500 silences."""
    for number in range(500):
        matchers = Matchers([f"n={number}"])
        rel.alerts.silence(matchers, end=clock.time() + 3600, author="bench", comment="growth")


async def timed(work: Awaitable[Any]) -> Cost:
    """The cost of one coroutine."""
    stretches = Stretches()
    began = time.process_time()
    await stretches.of(work)
    return Cost(time.process_time() - began, stretches.longest)


@curve("alerts that begin together", 20, stretch=0.005)
async def alerts_that_begin_together(size: int) -> Cost:
    """The tick in which as many alerts begin, with the writing of their rows."""
    rel, clock = service(size)
    await rel._restore()
    clock.shift(1)
    with uncollected():
        return await timed(rel.tick())


@curve("silences times alerts", 20, stretch=0.005)
async def silences_times_alerts(size: int) -> Cost:
    """A tick after 500 silences were made beside as many alerts."""
    rel, clock = service(size)
    await rel._restore()
    for _ in range(3):
        clock.shift(1)
        await rel.tick()
    silence(rel, clock)
    clock.shift(1)
    with uncollected():
        return await timed(rel.tick())


@curve("reading alerts", 20)
async def reading_alerts(size: int) -> Cost:
    """One read of the firing alerts, with 500 silences."""
    rel, clock = service(size)
    await rel._restore()
    silence(rel, clock)
    clock.shift(1)
    await rel.tick()
    with uncollected():
        began = time.process_time()
        assert len(rel.alerts.active_alerts()) == size
        return Cost(time.process_time() - began)


@curve("error budgets", 4)
async def error_budgets(size: int) -> Cost:
    """The budgets and states of objectives, as a page asks for them three times."""
    rel, clock = service(0, slos=size)
    for _ in range(3):
        clock.shift(1)
        await rel.tick()
    with uncollected():
        began = time.process_time()
        for _ in range(3):
            for name in rel.slos.slos:
                rel.slos.error_budget(name)
                rel.slos.status(name)
        return Cost(time.process_time() - began)


@curve("ticks of objectives", 4)
async def ticks_of_objectives(size: int) -> Cost:
    """Twenty ticks of objectives without events, their rules included."""
    rel, clock = service(0, slos=size)
    for _ in range(3):
        clock.shift(1)
        await rel.tick()
    with uncollected():
        began = time.process_time()
        for _ in range(20):
            clock.shift(1)
            await rel.tick()
        return Cost((time.process_time() - began) / 20)


@curve("idle pipelines", 10)
async def idle_pipelines(size: int) -> Cost:
    """Creation of pipelines without calls; none takes a series of `resilience_calls_total`."""
    rel, clock = service(0)
    with uncollected():
        began = time.process_time()
        for number in range(size):
            rel.pipeline(f"p{number}")
        seconds = time.process_time() - began
    clock.shift(1)
    await rel.tick()
    calls = [family for family in rel.signals.collect() if family.name == "resilience_calls_total"]
    assert not any(family.samples for family in calls)
    return Cost(seconds)
