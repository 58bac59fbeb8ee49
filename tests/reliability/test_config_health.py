"""`health` in the configuration: what checks are made of it, what is refused with its place, what is kept secret."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from resilience import config
from resilience.config.schema import schema
from resilience.core import yaml
from resilience.core.clock import ManualClock
from resilience.errors import ConfigError, MissingExtra
from resilience.health import Status
from resilience.health.from_config import Surroundings, from_config
from resilience.policies import CircuitBreaker
from resilience.probes.sql import AsyncSqlProbe
from resilience.reliability import Reliability

GOOD = [
    "{}",
    "{db: {tcp: 'db:5432', interval: 15s, timeout: 2s, tags: [readiness, storage]}}",
    "{db: {tcp: {host: db, port: 5432}, retries: 2, failure_threshold: 3, failing_for: 30s, success_threshold: 2}}",
    "{web: {http: {url: 'http://a.example', statuses: 204, contains: ok, headers: {x: y}, degraded_above: 500ms}}}",
    "{other: {service: 'http://a.example/health', critical: false, failure_status: degraded}}",
    "{name: {dns: a.example, tags: startup}, cert: {tls: 'a.example', depends_on: name}}",
    "{cert: {tls: {host: a.example, degraded_below: 30d, unhealthy_below: 7d}}}",
    "{disk: {disk: /}, memory: {memory: {degraded_above: 80%, unhealthy_above: 0.9}}}",
    "{loop: {event_loop: true, tags: [liveness]}, pay: {breakers: {pipelines: [pay]}}, ok: {slo: {degraded_below: 20%}}}",
    "{cache: {redis: 'redis://cache:6379/0'}, data: {sql: {url: 'sqlite+aiosqlite://', query: SELECT 2}}}",
]
# What is written, what is said, and whether the schema can see it.
BAD = [
    ("[a]", "health must be a mapping of checks by name", True),
    ("{a: 3}", "health.a must be a mapping with one kind of check: http", True),
    ("{a: {}}", "health.a must be a mapping with one kind of check", True),
    ("{a: {disk: /, memory: {}}}", "health.a must be a mapping with one kind of check", True),
    ("{a: {ftp: x}}", "health.a must be a mapping with one kind of check", True),
    ("{a: {disk: /, intervall: 1s}}", "health.a.intervall: unknown option; there are", True),
    ("{a: {disk: /, interval: 1x}}", "health.a.interval must be a duration", False),
    ("{a: {disk: /, timeout: 0}}", "timeout must be a number above 0, got 0", False),
    ("{a: {disk: /, timeout: 5000}}", "write 5s or 5000ms", False),
    ("{a: {disk: /, retries: -1}}", "retries must be a whole number of at least 0", True),
    ("{a: {disk: /, critical: often}}", "critical must be true or false", True),
    ("{a: {disk: /, tags: [3]}}", "health.a.tags must be a list of texts", True),
    (
        "{a: {disk: /, failure_status: sick}}",
        "health.a.failure_status must be one of unhealthy, degraded",
        True,
    ),
    ("{a: {disk: /, depends_on: b}}", "depends_on must be checks that were added before, got b", False),
    (
        "{a: {disk: {path: /, degraded_above: 20s}}}",
        "health.a.disk.degraded_above must be a share such as 85%",
        False,
    ),
    (
        "{a: {disk: {path: /, degraded_above: 99%}}}",
        "health.a.disk: degraded_above must be at most unhealthy",
        False,
    ),
    ("{a: {disk: {}}}", "health.a.disk.path must be given", False),
    (
        "{a: {memory: /}}",
        "health.a.memory must be a mapping of degraded_above, unhealthy_above, got a str",
        True,
    ),
    ("{a: {tcp: db}}", "health.a.tcp.port must be given", False),
    ("{a: {tcp: 'db:x'}}", "health.a.tcp must be host:port", False),
    ("{a: {tcp: 'db:99999'}}", "health.a.tcp: port must be a whole number", False),
    ("{a: {tcp: 'db:1', tags: liveness}}", "tags of 'a' must not be liveness", False),
    ("{a: {http: {url: 'http://x', status: 200}}}", "health.a.http: unknown option 'status'", True),
    ("{a: {http: {url: 'http://x', clock: 1}}}", "health.a.http: unknown option 'clock'", True),
    (
        "{a: {http: {url: 'http://x', statuses: [ok]}}}",
        "health.a.http.statuses must be a list of numbers",
        False,
    ),
    ("{a: {http: {url: 'http://x', statuses: 99}}}", "health.a.http: statuses must be a whole number", False),
    (
        "{a: {http: {url: 'http://x', headers: [x]}}}",
        "health.a.http.headers must be a mapping of texts",
        False,
    ),
    (
        "{circuit_breakers: {breakers: {}}}",
        "'circuit_breakers' is the name of a check that is always there",
        False,
    ),
]


def written(folder: Path, health: str) -> Path:
    file = folder / "reliability.yaml"
    file.write_text(f"service: shop\nhealth: {health}\n")
    return file


def document(health: str) -> Any:
    return yaml.load(f"service: shop\nhealth: {health}\n").data


@pytest.mark.parametrize("health", GOOD)
def test_what_the_loader_takes_the_schema_takes(tmp_path: Path, health: str) -> None:
    checks = Reliability.from_file(written(tmp_path, health)).health
    built_in = {"circuit_breakers", "error_budgets", "self_monitoring"}
    assert set(document(health)["health"]) == set(checks) - built_in
    jsonschema.validate(document(health), schema())


@pytest.mark.parametrize(("health", "words", "seen"), BAD)
def test_what_cannot_be_meant_is_refused_with_its_place(
    tmp_path: Path, health: str, words: str, seen: bool
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        config.read(written(tmp_path, health))
    assert caught.value.line == 2
    assert jsonschema.Draft202012Validator(schema()).is_valid(document(health)) is not seen


@pytest.mark.parametrize(
    "url",
    [
        "redis: 'ftp://u:s3cret@h'",
        "sql: 's3cret'",
        "sql: 'oracle+none://u:s3cret@h/d'",
        "http: 'ftp://s3cret'",
    ],
)
def test_a_url_is_never_shown(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.read(written(tmp_path, f"{{a: {{{url}}}}}"))
    assert "s3cret" not in str(caught.value)


def test_secrets_are_masked_among_the_settings(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "{a: {redis: 'redis://:s3cret@h'}, b: {sql: {url: 'sqlite+aiosqlite:///s3cret'}},"
        " c: {http: {url: 'http://h/s3cret', headers: {authorization: s3cret}}}, d: {service: 'http://h/s3cret'}}",
    )
    shown = {setting.path: setting.value for setting in config.read(file).settings}
    assert "s3cret" not in str(shown)
    assert shown["health.a.redis"] == "***"


@pytest.mark.parametrize(
    ("kind", "module"), [("redis: 'redis://h'", "redis.asyncio"), ("sql: x", "sqlalchemy.exc")]
)
def test_what_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        MissingExtra, match=r"is not installed: pip install 'asyncio-resilience\[(redis|sql)\]'"
    ):
        config.read(written(tmp_path, f"{{a: {{{kind}}}}}"))


async def test_the_service_is_as_well_as_its_checks(tmp_path: Path) -> None:
    health = "{here: {disk: /}, gone: {disk: {path: /nowhere}, critical: false, tags: storage}}"
    rel = Reliability.from_file(written(tmp_path, health), clock=ManualClock())
    assert (await rel.health.check_all("readiness")).overall is Status.HEALTHY
    report = await rel.health.check_all("storage")
    assert (report.overall, report.checks["gone"].status) == (Status.DEGRADED, Status.UNHEALTHY)


async def test_failures_count_as_the_file_says(tmp_path: Path) -> None:
    health = "{gone: {disk: /nowhere, failure_threshold: 2, failing_for: 10s, failure_status: degraded}}"
    clock = ManualClock()
    rel = Reliability.from_file(written(tmp_path, health), clock=clock)
    seen = []
    for _ in range(3):
        seen.append((await rel.health.check_all("readiness")).checks["gone"].status)
        await clock.advance(6)
    assert seen == [Status.UNKNOWN, Status.UNKNOWN, Status.DEGRADED]


async def test_a_check_with_an_interval_is_looked_at_in_the_background(tmp_path: Path) -> None:
    clock = ManualClock()
    rel = Reliability.from_file(written(tmp_path, "{loop: {event_loop: {}, interval: 5s}}"), clock=clock)
    async with rel:
        for _ in range(1000):
            if (found := (await rel.health.check_all()).checks["loop"].status) is Status.HEALTHY:
                break
            await clock.advance(0.01)
        assert found is Status.HEALTHY


async def test_breakers_of_the_named_pipelines_alone_are_looked_at(tmp_path: Path) -> None:
    clock = ManualClock()
    rel = Reliability.from_file(written(tmp_path, "{pay: {breakers: {pipelines: pay}}}"), clock=clock)
    for name in ("pay", "mail"):
        rel.pipeline(name)

    async def status() -> Status:
        return (await rel.health.check_all("readiness")).overall

    for path, policy in rel.registry.policies():
        if isinstance(policy, CircuitBreaker) and path.startswith("mail"):
            policy.isolate()
    assert await status() is Status.HEALTHY
    for path, policy in rel.registry.policies():
        if isinstance(policy, CircuitBreaker) and path.startswith("pay"):
            policy.isolate()
    await clock.advance(2)
    assert await status() is Status.UNHEALTHY


async def test_budgets_of_the_named_objectives_alone_are_looked_at() -> None:
    around = Surroundings(budgets=lambda: {"spent": 0.0, "low": 0.15, "fresh": 1.0})
    found = {
        name: (
            await from_config("ok", {"slo": {"objectives": name, "degraded_below": "20%"}})
            .make(around)
            .check()
        ).status
        for name in around.budgets()
    }
    assert found == {"spent": Status.UNHEALTHY, "low": Status.DEGRADED, "fresh": Status.HEALTHY}


async def test_a_database_is_asked_on_a_connection_of_its_own() -> None:
    assert (await AsyncSqlProbe.from_url("sqlite+aiosqlite://").check()).status is Status.HEALTHY
