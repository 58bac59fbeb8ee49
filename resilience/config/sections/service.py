"""The service itself: its name, its token, and how it keeps time."""

from __future__ import annotations

from typing import Any

from resilience.config.source import Source
from resilience.core.duration import parse_duration
from resilience.core.labels import label_set
from resilience.core.validate import host_names, number, public_url, text
from resilience.errors import ConfigError

__all__ = ["KEYS", "SCHEMA", "SECRETS", "read"]

_DURATIONS = ("interval", "evaluation_interval", "shutdown_delay", "shutdown_timeout")
_VERSIONS = ("1.0",)
KEYS = (
    "version",
    "service",
    "token",
    "allowed_hosts",
    "external_url",
    "prefix",
    "memory_limit",
    "labels",
    *_DURATIONS,
)
SECRETS = ("token",)
SCHEMA: dict[str, object] = {
    "labels": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
    "allowed_hosts": {"type": "array", "items": {"type": "string"}},
    "external_url": {"type": "string", "description": "URL at which people reach the endpoints, for links"},
}


def read(source: Source) -> dict[str, Any]:
    """Read `service: shop` and what stands beside it."""
    data = source.data
    if str(data.get("version", _VERSIONS[-1])) not in _VERSIONS:
        raise source.error(f'version must be "{_VERSIONS[-1]}", got {data["version"]!r}', "version")
    found: dict[str, Any] = {"service": _name(source)}
    if "token" in data and not source.lacks("token"):
        with source.place("token"):
            found["token"] = _token("token", source.written("token"))
    if "allowed_hosts" in data:
        found["allowed_hosts"] = source.checked("allowed_hosts", host_names)
    if "external_url" in data:
        found["external_url"] = source.checked("external_url", public_url)
    if "prefix" in data:
        found["prefix"] = source.checked("prefix", text)
    if "labels" in data:
        with source.place("labels"):
            found["labels"] = label_set("labels", source.scalars("labels"))
    if "memory_limit" in data:
        found["memory_limit"] = source.checked("memory_limit", number, above=0)
    for key in _DURATIONS:
        if key in data:
            with source.place(key):
                found[key] = parse_duration(data[key], option=key)
    return found


def _name(source: Source) -> str:
    """The service's name; where only `services` are named, it is the first of them."""
    services = source.data.get("services")
    if "service" not in source.data and isinstance(services, list) and services:
        first = services[0]
        if isinstance(first, dict) and "name" in first:
            with source.place("services", 0, "name"):
                return text("name", first["name"])
    name: str = source.checked("service", text)
    return name


def _token(option: str, value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    message = f"{option} must be a non-empty string (quote one that looks like a number), got a {type(value).__name__}"
    raise ConfigError(message)
