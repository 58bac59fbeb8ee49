"""The published JSON Schema is current, and takes and refuses what the loader takes and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from resilience.config.schema import schema, schema_text
from resilience.errors import ConfigError
from resilience.slo.formats import json_schema
from resilience.slo.formats.native_read import from_config

PUBLISHED = Path(__file__).parents[2] / "docs" / "schema" / "reliability.schema.json"
SLO: dict[str, Any] = {"id": "ok", "target": 99.9}

GOOD: list[dict[str, Any]] = [
    SLO,
    {**SLO, "timeWindow": "7d", "sli": {"type": "latency", "threshold": "250ms"}},
    {**SLO, "calendar": "month", "budgetingMethod": "timeslices", "sliceLength": "5m", "slice_target": 95},
    {**SLO, "calendar": {"unit": "week", "timeZone": "UTC"}, "minEvents": 3},
    {**SLO, "sli": {"type": "composite", "components": {"a": 1}}, "labels": {"team": "x"}},
    {**SLO, "sli": {"total": "a", "good": "b"}, "owner": "me", "runbook": "https://example.com"},
    {**SLO, "alerting": {"burnRate": {"fast": False, "mine": {"budgetPercent": 2, "window": "1h"}}}},
    {**SLO, "alerting": {"budgetExhaustion": {"thresholds": [{"percentage": 50, "severity": "info"}]}}},
    {**SLO, "exclusions": [{"start": "2026-01-04T02:00:00Z", "duration": "1h", "every": "7d"}]},
]
BAD: list[dict[str, Any]] = [
    {"id": "ok"},
    {**SLO, "tagret": 3},
    {**SLO, "target": []},
    {**SLO, "sli": {"type": "speed"}},
    {**SLO, "sli": {"kind": "latency"}},
    {**SLO, "timeWindow": 30},
    {**SLO, "calendar": "year"},
    {**SLO, "minEvents": -1},
    {**SLO, "alerting": {"burnRate": {"mine": {"windows": "1h"}}}},
    {**SLO, "alerting": {"budgetExhaustion": {"thresholds": [{"severity": "info"}]}}},
    {**SLO, "exclusions": [{"duration": "1h"}]},
]


def document(slo: dict[str, Any]) -> dict[str, Any]:
    return {"version": "1.0", "services": [{"name": "shop", "tier": "tier-1", "slos": [slo]}]}


def test_the_published_schema_is_current() -> None:
    assert PUBLISHED.read_text() == schema_text(), (
        "run `python -m resilience.config.schema > docs/schema/reliability.schema.json`"
    )


def test_the_schema_is_one() -> None:
    validator = jsonschema.Draft202012Validator
    assert list(validator(validator.META_SCHEMA).iter_errors(json.loads(schema_text()))) == []


@pytest.mark.parametrize("slo", GOOD)
def test_what_the_loader_takes_the_schema_takes(slo: dict[str, Any]) -> None:
    assert from_config(document(slo))
    assert jsonschema.Draft202012Validator(schema()).is_valid(document(slo))


@pytest.mark.parametrize("slo", BAD)
def test_what_the_schema_refuses_the_loader_refuses(slo: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document(slo), schema())
    with pytest.raises(ConfigError):
        from_config(document(slo))


def test_every_key_is_offered_in_both_cases() -> None:
    keys = json_schema.with_camel_case(json_schema.SERVICES)["items"]["properties"]["slos"]["items"][
        "properties"
    ]
    assert {"timeWindow", "time_window", "budgetingMethod", "budgeting_method"} <= keys.keys()
