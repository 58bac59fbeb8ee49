"""The checks of the service's health."""

from __future__ import annotations

import inspect
from typing import Any

from resilience.config.source import Source
from resilience.core.validate import shown
from resilience.errors import ConfigError
from resilience.health import HealthRegistry
from resilience.health.from_config import KINDS, ONLY_CODE, CheckRecipe, Kind, Surroundings, from_config

__all__ = ["KEYS", "SCHEMA", "SECRETS", "read"]

KEYS = ("health",)
SECRETS = (
    r"health\.[^.]+\.(?:http|service|redis|sql)",
    r"health\..*(?:url|key|secret|password|token)s?",
    r"health\.[^.]+\.[^.]+\.headers\..*",
)
_ALWAYS = ("circuit_breakers", "error_budgets")  # every Reliability has them
_DURATION: dict[str, Any] = {"oneOf": [{"type": "string"}, {"type": "number", "minimum": 0}]}
_NAMES: dict[str, Any] = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_OPTIONS: dict[str, Any] = {
    "timeout": {**_DURATION, "description": "for one look; 5s by default"},
    "interval": {**_DURATION, "description": "between looks in the background; none: look when asked"},
    "retries": {
        "type": "integer",
        "minimum": 0,
        "description": "how often a failed look is repeated at once",
    },
    "failure_status": {"enum": ["unhealthy", "degraded"]},
    "tags": {**_NAMES, "description": "its groups: startup, liveness, readiness (the default), or any other"},
    "critical": {"type": "boolean", "description": "whether the whole is unhealthy where this is"},
    "depends_on": {**_NAMES, "description": "checks that stand before it, without which it says nothing"},
    "failure_threshold": {
        "type": "integer",
        "minimum": 1,
        "description": "failures in a row before it is down",
    },
    "failing_for": {**_DURATION, "description": "time in error before it is down"},
    "success_threshold": {
        "type": "integer",
        "minimum": 1,
        "description": "successes in a row before it is up",
    },
}


def read(source: Source) -> dict[str, Any]:
    """Read `health: {database: {tcp: "db:5432", interval: 15s}}`; see `resilience.health.from_config`."""
    written = source.data.get("health", {})
    if not isinstance(written, dict):
        message = f"health must be a mapping of checks by name, got {shown(written)}"
        raise source.error(message, "health")
    # Added to a registry of no use now, so that what only the whole can tell is found here, with its place.
    trial, recipes = HealthRegistry(), list[CheckRecipe]()
    for name, check in written.items():
        if source.lacks("health", name):
            continue
        with source.place("health", name):
            if name in _ALWAYS:
                raise ConfigError(f"{name!r} is the name of a check that is always there")
            recipe = from_config(name, check)
            recipe.add(trial, Surroundings())
        recipes.append(recipe)
    return {"checks": tuple(recipes)}


def _kind(kind: Kind) -> dict[str, Any]:
    parameters = inspect.signature(kind.load()).parameters.items()
    options: dict[str, Any] = {name: {} for name, _ in parameters if name not in ONLY_CODE}
    whole = {"type": "object", "properties": options, "additionalProperties": False}
    return {"oneOf": [whole, {"type": "string"} if kind.main else {"enum": [True, None]}]}


def SCHEMA() -> dict[str, Any]:  # noqa: N802  what a section offers, made only when it is asked for
    """Describe the section; it needs to know the options of every kind."""
    check = {
        "type": "object",
        "properties": {**_OPTIONS, **{word: _kind(kind) for word, kind in KINDS.items()}},
        "additionalProperties": False,
        "oneOf": [{"required": [word]} for word in KINDS],
    }
    return {
        "health": {
            "type": "object",
            "description": "checks by name: one kind each, with its options, and how it is looked at",
            "additionalProperties": check,
        }
    }
