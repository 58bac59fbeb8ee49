"""The endpoints of alerts: what fires, what happened, and what people do about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from resilience.alerting import ActiveAlert
from resilience.alerting.plain import plain_alert, plain_event, plain_silence
from resilience.core.duration import parse_duration
from resilience.core.validate import number, text
from resilience.errors import ConfigError, DeliveryError
from resilience.reliability import Reliability
from resilience_middleware.endpoint import Endpoint, Query, answer, body_of, refuse
from resilience_middleware.endpoints.pages import PAGE_QUERY, page_limit, page_of
from resilience_middleware.security import Access

__all__ = ["ENDPOINTS"]

_LISTED: Final = ("service", "limit", "cursor")
_SERVICE: Final = Query("service", "Only what is about this service.")


async def list_alerts(rel: Reliability, request: Request) -> Response:
    """Answer with a page of the firing alerts, the newest first; `?service=` asks for one service's."""
    query = request.query_params
    found = rel.alerts.active_alerts(service=query.get("service"))
    page = page_of(found, _position, {name: query[name] for name in _LISTED if name in query}, "alerts")
    body = {"alerts": [plain_alert(each) for each in page.items], "total": page.total, "next": page.next}
    answered = answer(body)
    if page.next is not None:
        answered.headers["link"] = f'<{page.next}>; rel="next"'
    return answered


async def one_alert(rel: Reliability, request: Request) -> Response:
    """Answer with one alert that fires, and what happened to it."""
    alert = _find(rel, request)
    if alert is None:
        return _unknown("alert", request)
    events = rel.alerts.history(alert_id=alert.alert.fingerprint)
    return answer({**plain_alert(alert), "history": [plain_event(event) for event in events]})


async def history(rel: Reliability, request: Request) -> Response:
    """Answer with what happened, the newest first: `?since=` Unix seconds, `?limit=`, `?service=`, `?alert_id=`."""
    query = request.query_params
    since = _figure("since", query.get("since", "0"))
    limit = page_limit(query)
    events = rel.alerts.history(
        alert_id=query.get("alert_id"), service=query.get("service"), since=since, limit=limit
    )
    return answer({"events": [plain_event(event) for event in events]})


async def acknowledge(rel: Reliability, request: Request) -> Response:
    """Take an alert over: `{"by": "ann"}`."""
    by = text("by", (await body_of(request, ["by"])).get("by"))
    alert = _find(rel, request)
    if alert is None:
        return _unknown("alert", request)
    rel.alerts.acknowledge(alert.alert.fingerprint, by)
    return answer({"id": alert.alert.fingerprint, "acknowledged_by": by})


async def resolve(rel: Reliability, request: Request) -> Response:
    """Resolve an alert."""
    await body_of(request, [])
    alert = _find(rel, request)
    if alert is None:
        return _unknown("alert", request)
    rel.alerts.resolve(alert.alert.fingerprint)
    return answer({"id": alert.alert.fingerprint, "status": "resolved"})


async def list_silences(rel: Reliability, request: Request) -> Response:  # noqa: ARG001  a Handler
    """Answer with the silences."""
    return answer({"silences": [plain_silence(each) for each in rel.alerts.silences]})


async def silence(rel: Reliability, request: Request) -> Response:
    r"""Mute what matches: `{"matchers": ["team=\"db\""], "duration": "2h", "author": "ann", "comment": "upgrade"}`."""
    body = await body_of(request, ["matchers", "duration", "start", "end", "author", "comment"])
    made = rel.alerts.silence(
        _matchers(body.get("matchers")),
        start=None if body.get("start") is None else number("start", body["start"]),
        end=_end(rel, body),
        author=text("author", body.get("author")),
        comment=text("comment", body.get("comment")),
    )
    return answer(plain_silence(made), 201)


async def unsilence(rel: Reliability, request: Request) -> Response:
    """End a silence."""
    silence_id = request.path_params["silence_id"]
    if silence_id not in {each.id for each in rel.alerts.silences}:
        return _unknown("silence", request)
    rel.alerts.unsilence(silence_id)
    return answer({"id": silence_id})


async def test_channel(rel: Reliability, request: Request) -> Response:
    """Send a channel a notification that says it is a test."""
    await body_of(request, [])
    name = request.path_params["channel"]
    if name not in rel.alerts.notifiers:
        return _unknown("channel", request)
    try:
        await rel.alerts.test_channel(name)
    except DeliveryError as error:
        return refuse(502, str(error))
    return answer({"channel": name, "delivered": True})


ENDPOINTS: Final = (
    Endpoint("/alerts", Access.READ, list_alerts, query=(_SERVICE, *PAGE_QUERY)),
    Endpoint(
        "/alerts/history",
        Access.READ,
        history,
        query=(
            Query("since", "Unix seconds; from the beginning when not given.", "number"),
            PAGE_QUERY[0],
            _SERVICE,
            Query("alert_id", "Only of the alert with this id."),
        ),
    ),
    Endpoint("/alerts/silences", Access.READ, list_silences),
    Endpoint("/alerts/silences", Access.CHANGE, silence, methods=("POST",)),
    Endpoint("/alerts/silences/{silence_id}", Access.CHANGE, unsilence, methods=("DELETE",)),
    Endpoint("/alerts/channels/{channel}/test", Access.CHANGE, test_channel, methods=("POST",)),
    Endpoint("/alerts/{alert_id}", Access.READ, one_alert),
    Endpoint("/alerts/{alert_id}/acknowledge", Access.CHANGE, acknowledge, methods=("POST",)),
    Endpoint("/alerts/{alert_id}/resolve", Access.CHANGE, resolve, methods=("POST",)),
)
"""Those of alerts; the fixed paths stand before the one that takes any id."""


def _position(each: ActiveAlert) -> tuple[float, str]:
    return -each.alert.started, each.alert.fingerprint


def _find(rel: Reliability, request: Request) -> ActiveAlert | None:
    alert_id = request.path_params["alert_id"]
    return next((each for each in rel.alerts.active_alerts() if each.alert.fingerprint == alert_id), None)


def _unknown(what: str, request: Request) -> Response:
    given = next(iter(request.path_params.values()))
    return refuse(404, f"There is no {what} {given!r}.")


def _matchers(value: object) -> list[str]:
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return value
    raise ConfigError('matchers must be a list of texts such as severity="critical"')


def _end(rel: Reliability, body: Mapping[str, Any]) -> float:
    if ("duration" in body) == ("end" in body):
        raise ConfigError("a silence needs its duration (such as 2h) or its end (Unix seconds), one of both")
    if "end" in body:
        return number("end", body["end"])
    start = rel.clock.time() if body.get("start") is None else number("start", body["start"])
    return start + parse_duration(body["duration"])


def _figure(option: str, value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    return number(option, found, low=0)
