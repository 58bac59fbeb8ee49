"""The stream of events: bounded, dropped with a word, ended by either side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.requests import Request

from resilience import CircuitBreaker, Reliability
from resilience.alerting import RaisedAlert
from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.health import READINESS
from resilience_middleware.events import EventStreams
from resilience_middleware.routes import reliability_app
from tests.waiting import PATIENCE


@pytest.fixture
def shop(clock: ManualClock) -> Reliability:
    made = Reliability("shop", token="s3cret", clock=clock)
    made.pipeline("pay", CircuitBreaker(name="breaker"))
    return made


class Reader:
    """A client of the stream."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def read(self) -> list[tuple[str, Any]]:
        """Everything that came since the last look."""
        for _ in range(20):
            await asyncio.sleep(0)
        content, self.client.sent[1:] = self.client.body.decode(), []
        events = []
        for block in content.split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "event" in lines:
                events.append((lines["event"], json.loads(lines["data"])))
        return events


@asynccontextmanager
async def reading(
    shop: Reliability, client_of: Any, streams: EventStreams, address: str = "192.0.2.1"
) -> AsyncIterator[Reader]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        response = await streams.events(shop, Request(scope, receive))
        await response(scope, receive, send)

    client = client_of(app)
    task = asyncio.create_task(client.request("/events", client=(address, 1)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    try:
        yield Reader(client)
    finally:
        client.gone.set()
        await asyncio.wait_for(task, PATIENCE)


async def test_what_happens_is_streamed(shop: Reliability, client_of: Any) -> None:
    shop.health.add_check("database", lambda: False)
    async with reading(shop, client_of, EventStreams()) as reader:
        assert reader.client.headers["content-type"] == "text/event-stream; charset=utf-8"
        breaker: Any = shop.registry.find("pay/breaker")
        breaker.isolate()
        await shop.health.check_all(READINESS)
        shop.alerts.send_alert(RaisedAlert("DiskFull", severity="critical"))
        await shop.tick()
        events = await reader.read()
    kinds = [kind for kind, _ in events]
    assert kinds == ["breaker_transition", "health_transition", "alert_event"]
    assert events[0][1]["state"] == "forced_open"
    assert (events[1][1]["check"], events[1][1]["status"]) == ("database", "unhealthy")
    assert (events[2][1]["kind"], events[2][1]["subject"]) == ("fired", "DiskFull")


async def test_a_slow_reader_loses_the_oldest_and_is_told_how_many(shop: Reliability, client_of: Any) -> None:
    breaker: Any = shop.registry.find("pay/breaker")
    async with reading(shop, client_of, EventStreams(backlog=3)) as reader:
        for _ in range(4):
            breaker.isolate()
            breaker.close()
        events = await reader.read()
        assert [kind for kind, _ in events] == ["dropped"] + ["breaker_transition"] * 3
        assert events[0][1] == {"count": 5}
        assert events[-1][1]["state"] == "closed"


async def test_silence_is_broken_by_comments(shop: Reliability, client_of: Any, clock: ManualClock) -> None:
    async with reading(shop, client_of, EventStreams(heartbeat=15)) as reader:
        await clock.advance(45)
        assert reader.client.body.count(b": still here\n\n") == 3


async def test_it_ends_when_the_end_of_the_service_is_announced(shop: Reliability, client_of: Any) -> None:
    streams = EventStreams()
    async with shop, reading(shop, client_of, streams) as reader:
        await reader.read()
        assert streams._open.total() == 1
        shop.announce_stop()
        await reader.read()
        assert not streams._open


async def test_clients_are_bounded_and_places_come_back(shop: Reliability, client_of: Any) -> None:
    streams = EventStreams(streams=2, per_client=1)
    listeners = len(shop.health.events.listeners)
    async with reading(shop, client_of, streams), reading(shop, client_of, streams) as second:
        assert second.client.status == 429
        async with (
            reading(shop, client_of, streams, "192.0.2.2") as third,
            reading(shop, client_of, streams, "192.0.2.3") as fourth,
        ):
            assert (third.client.status, fourth.client.status) == (200, 503)
    assert not streams._open
    assert len(shop.health.events.listeners) == listeners
    async with reading(shop, client_of, streams) as again:
        assert again.client.status == 200


async def test_asking_for_the_headers_alone_does_not_wait(shop: Reliability, client_of: Any) -> None:
    client = client_of(reliability_app(shop))
    await asyncio.wait_for(
        client.request("/events", "HEAD", headers={"Authorization": "Bearer s3cret"}), PATIENCE
    )
    assert client.headers["content-type"].startswith("text/event-stream")


async def test_a_server_that_says_the_client_left_ends_it(shop: Reliability, client_of: Any) -> None:
    streams = EventStreams()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        response = await streams.events(shop, Request(scope, receive))
        await response(scope, receive, send)

    client = client_of(app)

    async def gone(message: Any) -> None:
        raise OSError("gone")

    client.on_send = gone
    await asyncio.wait_for(client.request("/events"), PATIENCE)
    assert not streams._open


class Cycle:
    """A request of uvicorn, as far as it says that its connection is to end."""

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive

    async def receive(self) -> Any:
        await asyncio.Event().wait()


@pytest.mark.parametrize("kept_alive", [True, False])
async def test_a_server_that_ends_without_a_word_is_not_kept_waiting(
    shop: Reliability, client_of: Any, clock: ManualClock, kept_alive: bool
) -> None:
    cycle, streams = Cycle(keep_alive=kept_alive), EventStreams(heartbeat=15)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        response = await streams.events(shop, Request(scope, receive))
        await response(scope, cycle.receive, send)

    task = asyncio.create_task(client_of(app).request("/events"))
    await clock.advance(20)
    assert not task.done()
    cycle.keep_alive = False  # as uvicorn does where code stops it
    await clock.advance(20)
    # A connection that was never to be kept says nothing by it.
    assert task.done() is kept_alive
    shop.announce_stop()
    await asyncio.wait_for(task, PATIENCE)


@pytest.mark.parametrize("option", ["streams", "per_client", "backlog", "heartbeat"])
def test_options_that_cannot_be_meant_are_refused(option: str) -> None:
    with pytest.raises(ConfigError, match=option):
        EventStreams(**{option: 0})
