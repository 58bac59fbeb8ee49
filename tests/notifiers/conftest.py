from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from resilience.core.clock import ManualClock
from resilience.core.ports import Notification, NotifiedAlert


@dataclass
class Receiver:
    """A real HTTP server that keeps what it gets and answers what it is told to."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)

    @property
    def payloads(self) -> list[Any]:
        return [json.loads(body) for body in self.bodies]

    async def handle(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.paths.append(request.path)
        return self.answers.pop(0) if self.answers else web.Response(text="ok")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application(client_max_size=20_000_000)
    app.router.add_route("*", "/{tail:.*}", found.handle)
    server = TestServer(app)
    await server.start_server()
    found.url = str(server.make_url("/hook/T0KEN"))
    yield found
    await server.close()


def alert(name: str = "Down", status: str = "firing", **changes: Any) -> NotifiedAlert:
    options: dict[str, Any] = {
        "fingerprint": "00000000000000ab",
        "status": status,
        "labels": {"alertname": name, "severity": "critical", "service": "shop"},
        "annotations": {"summary": "It is down", "runbook_url": "https://runbooks.example/down"},
        "started": 1_700_000_000.0,
        "ended": None if status == "firing" else 1_700_000_060.0,
        "value": 1.0,
    }
    return NotifiedAlert(**{**options, **changes})


def notification(*alerts: NotifiedAlert, status: str = "", **changes: Any) -> Notification:
    given = alerts or (alert(),)
    firing = any(each.status == "firing" for each in given)
    options: dict[str, Any] = {
        "key": "0123456789abcdef",
        "receiver": "ops",
        "status": status or ("firing" if firing else "resolved"),
        "group": {"alertname": "Down"},
        "alerts": given,
        "at": 1_700_000_030.0,
        "group_key": '{}/{severity="critical"}:{alertname="Down"}',
    }
    return Notification(**{**options, **changes})


def huge() -> Notification:
    """What no service takes as it is."""
    given = [
        alert(
            fingerprint=f"{number:016x}",
            labels={"alertname": "Down<!channel>&\u00e9" * 40, "host": "h" * 500, "n": str(number)},
            annotations={"summary": "s" * 5000 + "\U0001f525", "description": "<d>&" * 3000},
        )
        for number in range(200)
    ]
    return notification(*given, group={"alertname": "Down" * 400}, group_key="g" * 2000)


@pytest.fixture
def say() -> Any:
    """The makers above, for tests that cannot import from here."""
    return type(
        "Say",
        (),
        {
            "alert": staticmethod(alert),
            "notification": staticmethod(notification),
            "huge": staticmethod(huge),
        },
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
