"""A Reliability that only writes down what it is told, and a server made by hand."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import ASGIApp, Message

from resilience.core.clock import ManualClock
from resilience.core.verdict import Verdict
from resilience.health import HealthRegistry
from resilience.http.doors import Doors
from resilience.policies import Registry
from resilience.signals.signals import Signals
from resilience.slo.budget_actions import BudgetActions


class NotedSli:
    """The SLI recorder's side that the middleware uses."""

    service = "tests"

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, int, str, float]] = []
        self._flying = [0.0]
        self.sheds: list[int] = []

    @property
    def requests_in_flight(self) -> Any:
        return SimpleNamespace(values=self._flying, column=0)

    @property
    def in_flight(self) -> int:
        return int(self._flying[0])

    def request_series(self, method: str, route: str, code: str, verdict: Verdict) -> Any:
        def finish(seconds: float) -> None:
            self._flying[0] -= 1
            self.requests.append((method, route, int(code), verdict.value, round(seconds, 6)))

        return SimpleNamespace(finish=finish, fastest=math.inf, values=[], columns=(0, 0, 0))

    def shed(self, criticality: str) -> None:
        self.sheds.append(criticality)


class NotedReliability:
    """The Reliability's side that the adapters use."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.sli = NotedSli()
        self.signals = Signals(clock)
        self.health = HealthRegistry(clock=clock)
        self.guards = None
        self.doors = Doors(None)
        self.registry = Registry(clock=clock)
        self.budget_actions = BudgetActions(None, self.registry)
        self.running = self.ready = False
        self.token: str | None = None
        self.allowed_hosts: frozenset[str] = frozenset()
        self.has_endpoints = False
        self.stopping = asyncio.Event()
        self.shutdown_delay = 0.0
        self.calls: list[str] = []

    async def start(self) -> None:
        await asyncio.sleep(0)
        self.calls.append("start")
        self.running = self.ready = True

    async def stop(self) -> None:
        await asyncio.sleep(0)
        self.calls.append("stop")
        self.running = self.ready = False

    def announce_stop(self) -> None:
        self.calls.append("announce")
        self.ready = False

    def metrics(self, accept: str, *, beside: object = ()) -> tuple[bytes, str]:
        return b"up 1\n", "text/plain; version=0.0.4"

    @property
    def last(self) -> tuple[str, str, int, str]:
        """The newest request: method, route, code, verdict."""
        return self.sli.requests[-1][:4]

    @property
    def seconds(self) -> float:
        return self.sli.requests[-1][4]


class Client:
    """Speaks ASGI to an application as a server does, message by message."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        self.incoming: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
        self.on_send: Callable[[Message], Awaitable[None]] | None = None

    async def receive(self) -> Message:
        if self.incoming:
            return self.incoming.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if self.on_send is not None:
            await self.on_send(message)

    def scope(self, path: str, method: str = "GET", **more: Any) -> dict[str, Any]:
        headers = [(name.lower().encode(), value.encode()) for name, value in more.pop("headers", {}).items()]
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("192.0.2.1", 50000),
            "server": ("testserver", 80),
            **more,
        }

    async def request(self, path: str = "/", method: str = "GET", **more: Any) -> Client:
        await self.app(self.scope(path, method, **more), self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return next(message["status"] for message in self.sent if message["type"] == "http.response.start")

    @property
    def headers(self) -> dict[str, str]:
        start = next(message for message in self.sent if message["type"] == "http.response.start")
        return {name.decode().lower(): value.decode() for name, value in start["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.sent if m["type"] == "http.response.body")


@pytest.fixture
def rel(clock: ManualClock) -> NotedReliability:
    return NotedReliability(clock)


@pytest.fixture
def client_of() -> type[Client]:
    return Client
