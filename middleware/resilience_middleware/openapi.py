"""The endpoints described, for tools that read OpenAPI."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from resilience.reliability import Reliability
from resilience_middleware.endpoint import Endpoint, answer
from resilience_middleware.security import Access
from resilience_middleware.templates import flat

__all__ = ["describe", "endpoint"]

_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_HEALTH: Final = ("/livez", "/readyz", "/startupz", "/health")


def endpoint(described: Sequence[Endpoint]) -> Endpoint:
    """Return the endpoint that describes the others."""

    async def openapi(rel: Reliability, request: Request) -> Response:
        """Answer with this description."""
        path, own = request.scope["path"], "/reliability/openapi.json"
        return answer(describe([*described, self], service=rel.service, server=path.removesuffix(own) or "/"))

    self = Endpoint("/reliability/openapi.json", Access.READ, openapi)
    return self


def describe(endpoints: Sequence[Endpoint], *, service: str, server: str = "/") -> dict[str, Any]:
    """Describe endpoints as OpenAPI 3.1 has it.

    Args:
        endpoints: what is described.
        service: whose they are.
        server: the path that all of them stand below.
    """
    paths: dict[str, dict[str, Any]] = {}
    for each in endpoints:
        for method in each.methods:
            paths.setdefault(flat(each.path), {})[method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Reliability of {service}", "version": "1.0"},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(each: Endpoint) -> dict[str, Any]:
    says = inspect.getdoc(each.handle) or ""
    good = {"200": {"description": "The answer."}}
    if each.path in _HEALTH:
        good["503"] = {"description": "It is not well."}
    if each.access is not Access.OPEN:
        good["401"] = {"description": "The token is missing, or another one."}
    operation: dict[str, Any] = {
        "summary": says.partition("\n")[0],
        "responses": {**good, "4XX": {"description": "What was asked cannot be meant (RFC 9457)."}},
        "security": [] if each.access is Access.OPEN else [{"token": []}],
    }
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(flat(each.path))
    ]
    for asked in each.query:
        schema: dict[str, Any] = {"type": asked.kind}
        if asked.many:
            schema = {"type": "array", "items": schema}
        parameters.append({"name": asked.name, "in": "query", "description": asked.says, "schema": schema})
    if parameters:
        operation["parameters"] = parameters
    return operation
