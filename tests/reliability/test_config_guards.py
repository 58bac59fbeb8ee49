"""`guards` in the configuration: what is refused, with its place, and what the schema says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from resilience import config
from resilience.config.schema import schema
from resilience.core import yaml
from resilience.errors import ConfigError
from resilience.reliability import Reliability

GOOD = [
    "{}",
    "{timeout: 30s, bulkhead: 100, adaptive_limiter: true, trusted: [10.0.0.0/8]}",
    "{timeout: 2.5, rateLimiter: {rate: 10, burst: 20, by: client}}",
    "{rate_limiter: {rate: 10, by: {header: X-API-Key}}, circuit_breaker: {failure_threshold: 50%, by: route}}",
    "{bulkhead: 5, routes: {/a: {timeout: false, bulkhead: false, criticality: critical}}}",
]
# What is written, what is said, and whether the schema can see it.
BAD = [
    ("[]", "guards must be a mapping", True),
    ("{timeout: 30x}", r":2:19: guards.timeout must be a duration", False),
    ("{timeout: 0}", r"guards.timeout must be a number above 0, got 0", True),
    ("{retry: 3}", r"guards.retry is a policy that repeats: a request's body is read once", True),
    ("{hedge: {delay: 1s}}", r"guards.hedge is a policy that repeats", True),
    (
        "{fallback: {}}",
        r"guards.fallback must be timeout, criticality or a guard: adaptive_limiter, bulkhead",
        True,
    ),
    ("{bulkhaed: 3}", r"guards.bulkhaed must be timeout, criticality or a guard", True),
    ("{bulkhead: -1}", r"guards.bulkhead: limit must be a whole number of at least 1, got -1", False),
    ("{bulkhead: false}", r"guards.bulkhead: there is no such guard to leave out", False),
    ("{rate_limiter: {burst: 1}}", r"guards.rate_limiter.rate must be given", False),
    ("{rate_limiter: {rate: 1, by: moon}}", r"guards.rate_limiter.by must be client, route or", True),
    ("{routes: []}", r"guards.routes must be a mapping of route templates", True),
    ("{routes: {orders: {}}}", r"a route's template begins with a slash", True),
    ("{routes: {/a: 3}}", r"guards.routes./a must be a mapping", True),
    ("{routes: {/a: {retry: 2}}}", r":2:\d+: guards.routes./a.retry is a policy that repeats", True),
    ("{routes: {/a: {timeout: soon}}}", r"guards.routes./a.timeout must be a duration", False),
    ("{routes: {/a: {criticality: high}}}", r"guards.routes./a.criticality must be one of sheddable", True),
    ("{trusted: 10.0.0.0/8}", r"guards.trusted must be a list", True),
    ("{trusted: [everybody]}", r"guards.trusted must be addresses or networks", False),
]


def written(folder: Path, guards: str) -> Path:
    file = folder / "reliability.yaml"
    file.write_text(f"service: shop\nguards: {guards}\n")
    return file


def document(guards: str) -> Any:
    return yaml.load(f"service: shop\nguards: {guards}\n").data


@pytest.mark.parametrize("guards", GOOD)
def test_what_the_loader_takes_the_schema_takes(tmp_path: Path, guards: str) -> None:
    assert Reliability.from_file(written(tmp_path, guards)).guards is not None
    jsonschema.validate(document(guards), schema())


@pytest.mark.parametrize(("guards", "words", "seen"), BAD)
def test_what_cannot_be_meant_is_refused_with_its_place(
    tmp_path: Path, guards: str, words: str, seen: bool
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        config.read(written(tmp_path, guards))
    assert caught.value.line == 2
    assert jsonschema.Draft202012Validator(schema()).is_valid(document(guards)) is not seen


def test_without_guards_there_are_none(tmp_path: Path) -> None:
    file = tmp_path / "reliability.yaml"
    file.write_text("service: shop\n")
    assert Reliability.from_file(file).guards is None


def test_what_the_schema_offers_is_what_there_is() -> None:
    offered = schema()["properties"]["guards"]["properties"]
    assert {
        "rate_limiter",
        "rateLimiter",
        "bulkhead",
        "load_shedder",
        "adaptive_limiter",
        "circuit_breaker",
    } <= set(offered)
    assert not {"retry", "hedge", "keyed", "fallback"} & offered.keys()
    assert "burst" in offered["rate_limiter"]["oneOf"][1]["properties"]
