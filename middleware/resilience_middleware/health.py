"""The endpoints of health: liveness, readiness, startup, and everything at once."""

from __future__ import annotations

import json
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from resilience.core.ports import Status
from resilience.health import (
    HEALTH_JSON,
    LIVENESS,
    READINESS,
    STARTUP,
    HealthReport,
    health_json,
    plain,
)
from resilience.reliability import Reliability
from resilience_middleware.endpoint import Endpoint, Query, refuse
from resilience_middleware.plain import plain as as_json
from resilience_middleware.security import Access, may

__all__ = ["ENDPOINTS"]

_FORM: Final = (
    Query("details", "If it is there, shows the checks to whoever may read."),
    Query("format", "`plain` for plain JSON instead of application/health+json."),
)
_NOTHING: Final = HealthReport(Status.HEALTHY, {})


async def livez(rel: Reliability, request: Request) -> Response:
    """Answer whether the process is to live on: 503 only where a check of the group `liveness` is unhealthy."""
    return _answer(rel, request, await rel.health.check_all(LIVENESS))


async def readyz(rel: Reliability, request: Request) -> Response:
    """Answer whether to send requests here.

    Not before the start, not once the end was announced, not while a check of the group `readiness` is unhealthy or
    unknown.
    """
    report = await rel.health.check_all(READINESS) if rel.ready else _NOTHING
    return _answer(rel, request, report, up=rel.ready, known=True)


async def startupz(rel: Reliability, request: Request) -> Response:
    """Answer whether the service has started: not while a check of the group `startup` is unhealthy or unknown."""
    report = await rel.health.check_all(STARTUP) if (started := rel.running or rel.ready) else _NOTHING
    return _answer(rel, request, report, up=started, known=True)


async def health(rel: Reliability, request: Request) -> Response:
    """Answer with all checks; `?tag=` asks for those of a group, and may stand there more than once."""
    tags = request.query_params.getlist("tag")
    if unknown := set(tags) - rel.health.groups:
        # Of no checks the whole would be healthy: whoever mistyped a group would never hear otherwise.
        return refuse(404, f"There is no check of the group {', '.join(map(repr, sorted(unknown)))}.")
    return _answer(rel, request, await rel.health.check_all(tags or None))


ENDPOINTS: Final = (
    Endpoint("/livez", Access.OPEN, livez, query=_FORM),
    Endpoint("/readyz", Access.OPEN, readyz, query=_FORM),
    Endpoint("/startupz", Access.OPEN, startupz, query=_FORM),
    Endpoint(
        "/health",
        Access.OPEN,
        health,
        query=(Query("tag", "Only checks of these groups.", many=True), *_FORM),
    ),
)
"""Those of health. `?details` shows the checks to whoever may read, `?format=plain` or an `Accept` of `application/json` asks
for the plain form."""


def _answer(
    rel: Reliability, request: Request, report: HealthReport, *, up: bool = True, known: bool = False
) -> Response:
    """Answer with a report.

    Args:
        rel: whose token allows details.
        request: asks for a form, and for details.
        report: what was found.
        up: False to fail whatever was found.
        known: whether to fail where the whole is unknown.
    """
    passed = (
        up and report.overall is not Status.UNHEALTHY and not (known and report.overall is Status.UNKNOWN)
    )
    # Without a word on why, asking without the right to is answered as not asking: probes take only the status.
    details = "details" in request.query_params and may(
        Access.READ, request.scope, rel.token, rel.allowed_hosts
    )
    write, media_type = (plain, "application/json") if _wants_plain(request) else (health_json, HEALTH_JSON)
    # A check may have found an infinite figure, or whatever its author put there.
    body = as_json(write(report, details=details, passed=passed))
    return Response(
        json.dumps(body, allow_nan=False),
        status_code=200 if passed else 503,
        headers={"cache-control": "no-store"},
        media_type=media_type,
    )


def _wants_plain(request: Request) -> bool:
    if (asked := request.query_params.get("format")) is not None:
        return asked == "plain"
    accept = request.headers.get("accept", "")
    return "application/json" in accept and HEALTH_JSON not in accept
