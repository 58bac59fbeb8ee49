"""Packs over live signals, recorded as services record them: each alert fires here as it does in a unit test."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from resilience import Reliability
from resilience.policies.pipeline import Pipeline
from resilience.policies.presets import API_CALLS, DATABASE, EXTERNAL_SERVICES, Preset
from resilience.rules import packs
from resilience.testing import Lab

Record = Callable[[Reliability, int], object]


def first_audio(rel: Reliability, minute: int) -> None:
    for _ in range(10):
        rel.signals.usage("lab").first_audio(1.9)


def tools(rel: Reliability, minute: int) -> None:
    with rel.signals.usage("lab").tool("search"):
        pass
    with pytest.raises(ValueError, match="no"), rel.signals.usage("lab").tool("search"):
        raise ValueError("no")


def cost(rel: Reliability, minute: int) -> None:
    usage = rel.signals.usage("lab")
    usage.budget(10)
    usage.spend(0.5, kind="tokens")


def quota(rel: Reliability, minute: int) -> None:
    rel.signals.usage("lab").quota("maps", used=95, limit=100)


def gauges(*named: tuple[str, float]) -> Record:
    def record(rel: Reliability, minute: int) -> None:
        for name, value in named:
            rel.signals.gauge(name).bind().set(value)

    return record


def probes(rel: Reliability, minute: int) -> None:
    success = rel.signals.gauge("probe_success", labels=("check", "location"))
    for location in ("fra", "iad"):
        success["home", location].set(0)


CASES: list[tuple[str, Record, int, set[str]]] = [
    ("ttfa", first_audio, 15, {"HighTimeToFirstAudio"}),
    ("tool_execution", tools, 30, {"ToolFailing"}),
    ("quota", quota, 20, {"QuotaNearlyUsed"}),
    ("cost", cost, 30, {"CostBudgetNearlySpent", "CostBudgetSpent"}),
    (
        "memory",
        gauges(("process_resident_memory_bytes", 95), ("process_memory_limit_bytes", 100)),
        5,
        {"HighMemory"},
    ),
    ("event_loop", gauges(("event_loop_lag_seconds", 0.5)), 5, {"EventLoopLag"}),
    ("api_availability", probes, 8, {"ProbeDown", "AvailabilityLow"}),
    (
        "self_monitoring",
        gauges(("reliability_config_last_reload_successful", 0)),
        2,
        {"ConfigReloadFailed"},
    ),
    ("watchdog", gauges(), 1, {"Watchdog"}),
]
# Those that tests below hold, with policies at the presets' values among them.
BELOW = {"circuit_breaker", "error_rate", "retry_storm", "session_duration"}


def test_every_pack_is_tested_over_live_signals() -> None:
    assert {name for name, *_ in CASES} | BELOW == set(packs.names())


@pytest.mark.parametrize(
    ("name", "record", "minutes", "expected"),
    CASES,
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_pack_alerts_over_live_signals(
    lab: Lab, name: str, record: Record, minutes: int, expected: set[str]
) -> None:
    rel = lab.use(rules=packs.load(name))
    for minute in range(minutes):
        record(rel, minute)
        await lab.wait(minutes=1)
    assert lab.firing == expected
    assert not rel.rules.failures()


async def test_a_session_that_stays_open_alerts_and_so_does_one_that_was_too_long(lab: Lab) -> None:
    usage = lab.use(rules=packs.load("session_duration")).signals.usage("lab")
    with usage.session():
        await lab.wait(hours=4)
        assert not lab.firing
        await lab.wait(minutes=10)
        assert lab.firing == {"OldSession"}
    await lab.wait(minutes=10)
    assert lab.firing == {"LongSessions"}


async def test_what_probes_saw_long_ago_still_counts(lab: Lab) -> None:
    rel = lab.use(rules=packs.load("api_availability"), evaluation_interval=60.0)
    success = rel.signals.gauge("probe_success", labels=("check", "location")).bind("home", "fra")
    for up, hours in ((1, 2), (0, 0.5), (1, 30)):
        success.set(up)
        await lab.wait(hours=hours)
    [active] = rel.alerts.active_alerts()
    assert active.alert.labels["alertname"] == "AvailabilityLow"
    assert active.alert.value == pytest.approx(1 - 0.5 / 32.5, abs=0.002)


@pytest.mark.parametrize(
    "options", [{}, {"rules": packs.load("error_rate", prefix="rel_", threshold=0.1)}], ids=["all", "one"]
)
async def test_signals_with_a_prefix_are_found(lab: Lab, options: dict[str, Any]) -> None:
    lab.use(prefix="rel_", **options)
    await lab.traffic(errors=0.5, minutes=5)
    assert lab.firing == {"HighErrorRate"}


class Dependency:
    """A server that is called once in a while, through a pipeline."""

    def __init__(self, lab: Lab, pipeline: Pipeline, *, every: float) -> None:
        self.lab, self.pipeline, self.every = lab, pipeline, every
        self.up = True

    async def answer(self) -> None:
        if not self.up:
            raise ConnectionError("refused")

    async def call(self, seconds: float) -> None:
        for _ in range(int(seconds / self.every)):
            call = asyncio.ensure_future(self.pipeline.call(self.answer))
            await self.lab.wait(seconds=self.every)
            while not call.done():  # between two attempts
                await self.lab.wait(seconds=self.every)
            call.exception()


@pytest.mark.parametrize("preset", [API_CALLS, DATABASE, EXTERNAL_SERVICES])
async def test_the_breaker_of_a_preset_alerts_once_in_a_total_outage_and_not_when_nobody_calls_it(
    lab: Lab, preset: Preset
) -> None:
    rel = lab.use(rules=packs.load("circuit_breaker"))
    bank = Dependency(lab, rel.pipeline("bank", preset), every=1.0)
    await bank.call(60)
    bank.up = False
    await bank.call(240)
    assert lab.firing == {"CircuitBreakerOpen"}
    [fired] = [event for event in rel.alerts.history() if event.kind == "fired"]
    assert fired.labels["name"] == "bank"
    await lab.wait(minutes=8)
    assert lab.firing == {"CircuitBreakerOpen"}
    await lab.wait(minutes=3)
    assert not lab.firing


async def test_a_breaker_that_closes_and_opens_again_flaps(lab: Lab) -> None:
    rel = lab.use(rules=packs.load("circuit_breaker"))
    bank = Dependency(lab, rel.pipeline("bank", API_CALLS), every=1.0)
    for _ in range(3):
        bank.up = False
        await bank.call(40)
        bank.up = True
        await bank.call(60)
    assert lab.firing == {"CircuitBreakerFlapping"}


class Flaky(Dependency):
    """A server that refuses the first of each few attempts."""

    refuses_each: int | None = None
    _attempts = 0

    async def answer(self) -> None:
        self._attempts += 1
        if self.refuses_each and self._attempts % self.refuses_each == 1:
            raise ConnectionError("refused")


@pytest.mark.parametrize("preset", [API_CALLS, DATABASE, EXTERNAL_SERVICES])
async def test_the_retries_of_a_preset_alert_when_each_third_call_needs_one(lab: Lab, preset: Preset) -> None:
    rel = lab.use(rules=packs.load("retry_storm"))
    bank = Flaky(lab, rel.pipeline("bank", preset), every=2.0)
    bank.refuses_each = 11
    await bank.call(600)
    assert not lab.firing
    bank.refuses_each = 4
    await bank.call(720)
    assert lab.firing == {"RetryStorm"}
    assert not rel.rules.failures()
