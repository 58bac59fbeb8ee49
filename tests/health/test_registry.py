"""The registry: looks together, shared and cached, in groups, in the background, with dependencies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from resilience.core.clock import ManualClock
from resilience.core.ports import CheckResult, Status
from resilience.errors import ConfigError
from resilience.health import HealthRegistry, HealthTransition
from resilience.health.registry import LIVENESS, READINESS
from resilience.signals import Signals


class Look:
    """A check that says what it is told to, and counts."""

    def __init__(self, found: Any = True, seconds: float = 0.0, clock: ManualClock | None = None) -> None:
        self.found = found
        self.seconds = seconds
        self.clock = clock
        self.looks = 0

    async def check(self) -> Any:
        self.looks += 1
        if self.clock is not None:
            await self.clock.sleep(self.seconds)
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found


@pytest.fixture
def health(clock: ManualClock) -> HealthRegistry:
    return HealthRegistry(clock=clock)


async def status(health: HealthRegistry, name: str) -> str:
    return (await health.check_all()).checks[name].status.value


async def test_every_finding_has_its_status_and_an_exception_is_a_failure(health: HealthRegistry) -> None:
    findings: dict[str, tuple[object, str]] = {
        "result": (CheckResult(Status.DEGRADED, "late", {"jobs": 3.0}), "degraded"),
        "status": (Status.UNKNOWN, "unknown"),
        "true": (True, "healthy"),
        "false": (False, "unhealthy"),
        "nothing": (None, "healthy"),
        "nonsense": ("fine", "unhealthy"),
        "figures": (CheckResult(Status.HEALTHY, observed=[1]), "unhealthy"),  # type: ignore[arg-type]  # on purpose
        "error": (RuntimeError("no route"), "unhealthy"),
    }
    for name, (found, _) in findings.items():
        health.add_check(name, Look(found))
    report = await health.check_all()
    assert {name: check.status.value for name, check in report.checks.items()} == {
        name: expected for name, (_, expected) in findings.items()
    }
    assert report.overall is Status.UNHEALTHY
    assert report.checks["error"].detail == "RuntimeError: no route"
    assert "must return a CheckResult" in report.checks["nonsense"].detail
    assert report.checks["result"].observed == {"jobs": 3.0}


async def test_all_look_at_once_each_with_its_own_timeout(health: HealthRegistry, clock: ManualClock) -> None:
    health.add_check("quick", Look(True, 2, clock), timeout=3)
    health.add_check("hangs", Look(True, 3600, clock), timeout=4)
    asked = asyncio.create_task(health.check_all())
    await clock.advance(4)
    report = await asked
    assert (report.checks["quick"].status, report.checks["quick"].latency) == (Status.HEALTHY, 2.0)
    assert report.checks["hangs"].status is Status.UNHEALTHY
    assert report.checks["hangs"].detail == "no answer within 4 s"
    assert report.checks["hangs"].last_success is None
    assert report.checks["quick"].last_success == clock.time() - 2


async def test_a_storm_of_probes_costs_one_look(health: HealthRegistry, clock: ManualClock) -> None:
    look = Look(True, 0.5, clock)
    health.add_check("database", look)
    asked = [asyncio.create_task(health.check_all()) for _ in range(100)]
    await clock.advance(0)
    asked[0].cancel()  # a prober that hangs up ends nobody else's look
    await clock.advance(0.5)
    reports = await asyncio.gather(*asked[1:])
    assert look.looks == 1
    assert {report.overall for report in reports} == {Status.HEALTHY}
    await clock.advance(0.9)
    await health.check_all()
    assert look.looks == 1
    await clock.advance(0.1)
    again = asyncio.create_task(health.check_all())
    await clock.advance(0.5)
    await again
    assert look.looks == 2


async def test_a_look_that_nobody_waits_for_ends_and_is_no_failure(
    health: HealthRegistry, clock: ManualClock
) -> None:
    look = Look(True, 1, clock)
    health.add_check("database", look)
    asked = asyncio.create_task(health.check_all())
    await clock.advance(0.5)
    asked.cancel()
    await clock.advance(1)
    assert asked.cancelled()
    look.seconds = 0
    assert await status(health, "database") == "healthy"
    assert look.looks == 2


async def test_a_failed_look_is_repeated_where_that_is_wanted(health: HealthRegistry) -> None:
    found = [False, False, True]
    health.add_check("flaky", lambda: found.pop(0), retries=2)
    assert await status(health, "flaky") == "healthy"
    assert found == []


async def test_a_check_whose_own_wait_was_cancelled_has_failed_and_is_looked_at_again(
    health: HealthRegistry, clock: ManualClock
) -> None:
    look = Look(asyncio.CancelledError())
    health.add_check("queue", look, interval=10)
    running = asyncio.create_task(health.run())
    await clock.advance(0)
    [seen] = (await health.check_all()).checks.values()
    assert (seen.status, seen.detail) == (Status.UNHEALTHY, "what it waited for was cancelled")
    look.found = True
    await clock.advance(10)
    assert await status(health, "queue") == "healthy"
    running.cancel()
    await asyncio.wait([running])


async def test_groups_are_asked_for_by_tag(health: HealthRegistry) -> None:
    health.add_check("database", Look(False))
    health.add_check("loop", Look(True), tags=[LIVENESS])
    health.add_check("report", Look(True), tags=["batch", READINESS])
    assert (await health.check_all(tags=LIVENESS)).overall is Status.HEALTHY
    assert list((await health.check_all(tags=[READINESS])).checks) == ["database", "report"]
    assert list((await health.check_all(tags={"batch", LIVENESS})).checks) == ["loop", "report"]
    assert (await health.check_all(tags="nobody")).overall is Status.HEALTHY


async def test_what_depends_on_what_is_down_is_not_looked_at(
    health: HealthRegistry, clock: ManualClock
) -> None:
    database, orders = Look(False), Look(True)
    health.add_check("database", database, tags="storage")
    health.add_check("orders", orders, depends_on=["database"])
    report = await health.check_all(tags=READINESS)
    assert list(report.checks) == ["orders"]
    assert report.overall is Status.UNKNOWN
    assert report.checks["orders"].detail == "not looked at: it depends on database, which is unhealthy"
    assert orders.looks == 0
    database.found = Status.DEGRADED
    await clock.advance(1)
    assert await status(health, "orders") == "healthy"
    assert (database.looks, orders.looks) == (2, 1)


async def test_a_check_with_an_interval_is_looked_at_in_the_background_alone(
    health: HealthRegistry, clock: ManualClock
) -> None:
    look, late = Look(True), Look(True)
    health.add_check("slow", look, interval=10)
    assert await status(health, "slow") == "unknown"
    running = asyncio.create_task(health.run())
    await clock.advance(25)
    assert look.looks == 3
    look.found = False
    assert await status(health, "slow") == "healthy"
    health.add_check("late", late, interval=10)
    await clock.advance(10)
    assert await status(health, "slow") == "unhealthy"
    assert late.looks == 2
    health.remove_check("late")
    await clock.advance(10)
    assert late.looks == 2
    running.cancel()
    await asyncio.wait([running])
    await clock.advance(26)
    [stale] = (await health.check_all()).checks.values()
    assert (stale.status, stale.detail) == (Status.UNKNOWN, "nobody has looked for 31 s")


async def test_transitions_are_told_once_and_written_as_a_signal(clock: ManualClock) -> None:
    signals = Signals(clock)
    health = HealthRegistry(clock=clock, signals=signals, cache=0)
    told: list[HealthTransition] = []
    health.events.subscribe(told.append)
    look = Look(True)
    health.add_check("database", look, failure_status=Status.DEGRADED)
    gauge = signals.find("health_check_status")
    for found in (Status.UNKNOWN, True, True, RuntimeError("gone"), Status.UNKNOWN):
        look.found = found
        await health.check_all()
    assert [(each.previous.value, each.status.value, each.detail) for each in told] == [
        ("unknown", "healthy", ""),
        ("healthy", "degraded", "RuntimeError: gone"),
        ("degraded", "unknown", ""),
    ]
    assert gauge is not None
    assert not len(gauge)
    look.found = True
    await health.check_all()
    assert gauge.bind("database").current == 1.0
    health.remove_check("database")
    assert not len(gauge)


async def test_a_slow_look_is_reported_once_until_it_is_quick_again(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[float] = []

    class Log:
        def warning(self, event: str, **more: Any) -> None:
            reported.append(more["seconds"])

    monkeypatch.setattr("resilience.health.registry.log", lambda name: Log())
    health = HealthRegistry(clock=clock, cache=0, slow=2)
    look = Look(True, 0, clock)
    health.add_check("database", look)
    for look.seconds in (1, 2, 3, 1, 4):
        asked = asyncio.create_task(health.check_all())
        await clock.advance(look.seconds)
        await asked
    assert reported == [2, 4]


def test_names_and_options_that_cannot_be_meant_are_refused(health: HealthRegistry) -> None:
    class Outside(Look):
        outside = True

    health.add_check("database", Outside(), depends_on=())
    health.add_check("orders", Look(), depends_on="database")
    for options, says in (
        ({"name": "database"}, "there is a check 'database' already"),
        ({"name": " "}, "name must be a non-empty string"),
        ({"timeout": 0}, "timeout must be a number above 0"),
        ({"interval": -1}, "interval must be a number above 0"),
        ({"retries": -1}, "retries must be a whole number of at least 0"),
        ({"failure_status": "unknown"}, "failure_status must be Status.UNHEALTHY"),
        ({"failure_status": ""}, "failure_status must be Status.UNHEALTHY"),
        ({"critical": 1}, "critical must be true or false"),
        ({"depends_on": ["nobody"]}, "depends_on must be checks that were added before, got nobody"),
        ({"failure_threshold": 0}, "failure_threshold"),
        ({"failing_for": -1}, "failing_for"),
        ({"success_threshold": 0}, "success_threshold"),
        ({"tags": [1]}, "tags must be a non-empty string"),
        ({"check": "database"}, "check must be a function"),
        ({"check": Outside(), "tags": LIVENESS}, "must not be liveness"),
        ({"depends_on": "orders", "tags": LIVENESS}, "must not be liveness"),
    ):
        with pytest.raises(ConfigError, match=says):
            health.add_check(**{"name": "new", "check": Look(), **options})  # type: ignore[arg-type]  # on purpose
    assert list(health) == ["database", "orders"]
    assert len(health) == 2
    assert "new" not in health
    with pytest.raises(ConfigError, match="orders depends on 'database'"):
        health.remove_check("database")
    with pytest.raises(ConfigError, match="there is no check 'new'"):
        health.remove_check("new")


async def test_a_function_becomes_a_check_by_decorating_it(health: HealthRegistry) -> None:
    @health.check("queue", tags=["batch"], timeout=2)
    async def queue_is_short() -> bool:
        return False

    assert await queue_is_short() is False
    assert (await health.check_all(tags="batch")).overall is Status.UNHEALTHY


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


class Mute(Exception):
    __str__ = __repr__ = Unspeakable.__str__


ODD: list[Any] = [
    CheckResult("healthy"),  # type: ignore[arg-type]  # on purpose, here and below
    CheckResult(Status.HEALTHY, None),  # type: ignore[arg-type]
    CheckResult(Status.HEALTHY, b"late"),  # type: ignore[arg-type]
    CheckResult(Status.HEALTHY, Unspeakable()),  # type: ignore[arg-type]
    CheckResult(Status.HEALTHY, "x" * 100_000),
    CheckResult(Status.HEALTHY, "\ud800\x00"),
    CheckResult(Status.HEALTHY, "", {1: 1.0, "\ud800": 2.0, "text": "x"}),  # type: ignore[dict-item]
    CheckResult(Status.HEALTHY, "", {Unspeakable(): 1.0}),  # type: ignore[dict-item]
    CheckResult(Status.HEALTHY, "", {"huge": 10**5000, "figure": Unspeakable()}),  # type: ignore[dict-item]
    Mute(),
    RuntimeError("x" * 100_000),
    {"status": "healthy"},
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
async def test_an_odd_finding_of_one_check_leaves_the_others_alone(odd: Any, health: HealthRegistry) -> None:
    health.add_check("odd", Look(odd))
    health.add_check("well", Look(True))
    report = await health.check_all()
    assert report.checks["well"].status is Status.HEALTHY
    found = report.checks["odd"]
    assert isinstance(found.status, Status)
    assert isinstance(found.detail, str)
    assert len(found.detail) <= 1000
    assert all(isinstance(name, str) for name in found.observed)


async def test_a_check_that_asks_for_the_health_of_all_gets_its_own_last_report(
    health: HealthRegistry, clock: ManualClock
) -> None:
    looks = 0

    async def whole() -> bool:
        nonlocal looks
        looks += 1
        report = await health.check_all()
        return report.checks["database"].status is Status.HEALTHY

    health.add_check("database", Look(True))
    health.add_check("whole", whole)
    report = await health.check_all()
    assert (looks, report.checks["whole"].status) == (1, Status.HEALTHY)
    clock.shift(10)
    await health.check_all()
    assert looks == 2


@pytest.mark.parametrize("option", ["name", "tags", "depends_on"])
async def test_a_name_that_no_output_can_hold_is_refused(health: HealthRegistry, option: str) -> None:
    with pytest.raises(ConfigError, match=f"^{option} must be"):
        health.add_check(**{"name": "a", "check": Look(), option: "\ud800"})  # type: ignore[arg-type]
    assert not health


async def test_every_output_can_hold_what_a_check_found(health: HealthRegistry) -> None:
    odd = {
        "a\ud800": 1.0,
        "huge": 10**5000,
        "text": "\udfff",
        "object": ValueError("\ud800"),
        "nothing": None,
    }
    health.add_check("found", lambda: CheckResult(Status.HEALTHY, "half\ud800", odd))  # type: ignore[arg-type]
    health.add_check("mapped", lambda: {"status": "healthy", "details": "half\ud800"})
    health.add_check("raised", Look(ValueError("half\ud800")))
    checks = (await health.check_all()).checks
    assert checks["found"].observed == {
        "a\ufffd": 1.0,
        "huge": "int",
        "text": "\ufffd",
        "object": "\ufffd",
        "nothing": "None",
    }
    details = {name: check.detail for name, check in checks.items()}
    assert details == {
        "found": "half\ufffd",
        "mapped": "half\ufffd",
        "raised": "ValueError: half\ufffd",
    }
