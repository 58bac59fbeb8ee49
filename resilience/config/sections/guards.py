"""What requests have to pass at the door, everywhere and by route."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from resilience.config.source import Source
from resilience.core.validate import shown, text
from resilience.errors import ConfigError
from resilience.http.admission import Admission, RouteAdmission, guard_kinds, networks, route_admission
from resilience.http.context import CRITICALITIES
from resilience.slo.formats.json_schema import with_camel_case

__all__ = ["KEYS", "SCHEMA", "SECRETS", "read"]

(_KEY,) = KEYS = ("guards",)
SECRETS = ()
_OWN = ("routes", "trusted")


def read(source: Source) -> dict[str, Any]:
    """Read `guards: {timeout: 30s, bulkhead: 100, routes: {"/reports/{id}": {timeout: 2m}}}`.

    See `resilience.http.admission.route_admission` for what stands in `guards` itself and for each route.
    """
    if _KEY not in source.data:
        return {}
    written = source.data[_KEY]
    if not isinstance(written, Mapping):
        message = f"guards must be a mapping of timeout, guards, routes and trusted, got {shown(written)}"
        raise source.error(message, _KEY)
    everywhere = {name: value for name, value in written.items() if name not in _OWN}
    default = _route(source, everywhere, None, _KEY)
    routes = written.get("routes", {})
    with source.place(_KEY, "routes"):
        if not isinstance(routes, Mapping):
            raise ConfigError(f"guards.routes must be a mapping of route templates, got {shown(routes)}")
    found = {}
    for template, own in routes.items():
        with source.place(_KEY, "routes", template):
            if not text("guards.routes template", template).startswith("/"):
                raise ConfigError(
                    f"a route's template begins with a slash: /orders/{{id}}, got {shown(template)}"
                )
        found[template] = _route(source, own, default, _KEY, "routes", template)
    trusted = written.get("trusted", ())
    with source.place(_KEY, "trusted"):
        networks("guards.trusted", trusted)
    return {"guards": Admission(default, found, tuple(trusted))}


def _route(source: Source, written: object, base: RouteAdmission | None, *path: str) -> RouteAdmission:
    """Read each guard by itself, so that an error has the place of its own."""
    option = ".".join(path)
    if not isinstance(written, Mapping):
        with source.place(*path):
            return route_admission(written, option=option)
    found = base or RouteAdmission()
    for name, value in written.items():
        with source.place(*path, name):
            found = route_admission({name: value}, base=found, option=option)
    return found


def _guard(policy: type) -> dict[str, Any]:
    """The options of one guard, as its constructor has them."""
    options: dict[str, Any] = {name: {} for name in inspect.signature(policy).parameters if name != "clock"}
    keys = [{"enum": ["client", "route"]}, _only({"header": {"type": "string"}})]
    several = {"type": "array", "items": {"oneOf": keys}, "minItems": 1, "uniqueItems": True}
    by = {"oneOf": [*keys, several]}
    return {
        "description": (inspect.getdoc(policy) or "").partition("\n")[0],
        "oneOf": [
            {"type": ["boolean", "number", "string"]},
            {"type": "object", "properties": {**options, "by": by}},
        ],
    }


def _only(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _schema() -> dict[str, Any]:
    duration = {
        "description": "seconds for a request, to the last byte of its answer: 30s",
        "oneOf": [{"type": "string"}, {"type": "number", "exclusiveMinimum": 0}, {"const": False}],
    }
    route = {
        "timeout": duration,
        "criticality": {"enum": list(CRITICALITIES)},
        **{kind: _guard(policy) for kind, policy in sorted(guard_kinds().items())},
    }
    return {
        "description": "What requests have to pass at the door.",
        **_only(
            {
                **route,
                "routes": {
                    "type": "object",
                    "description": "what is different for a route, by its template: /orders/{id}",
                    "propertyNames": {"pattern": "^/"},
                    "additionalProperties": _only(route),
                },
                "trusted": {
                    "type": "array",
                    "description": "addresses and networks whose deadline and criticality headers are believed",
                    "items": {"type": "string"},
                },
            }
        ),
    }


SCHEMA: dict[str, Any] = {_KEY: with_camel_case(_schema())}
