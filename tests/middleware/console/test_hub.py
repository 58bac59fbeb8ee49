"""The hub and its streams: one look for all, none for nobody, and nobody waits for a slow reader."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from resilience.alerting import RaisedAlert
from resilience.core.verdict import Verdict
from resilience.reliability import Reliability
from resilience_middleware.console.charts import Charts, charts_for
from resilience_middleware.console.hub import Hub, Shown
from resilience_middleware.console.panels import PANELS
from resilience_middleware.console.render import Renderer
from resilience_middleware.console.view import View
from resilience_middleware.console.watch import Watch
from resilience_middleware.endpoints.event_stream import EventStream, Stream
from tests.turns import turns_of
from tests.waiting import until


@pytest.fixture
async def rel(clock: Any) -> AsyncIterator[Reliability]:
    async with Reliability("shop", clock=clock) as running:
        yield running


@pytest.fixture
async def hub(rel: Reliability) -> AsyncIterator[Hub]:
    made = Hub(rel, Watch(rel), Renderer(), most=3)
    yield made
    made.end()
    await asyncio.sleep(0)


def events(frames: bytes) -> list[tuple[str, Any]]:
    found = []
    for each in frames.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in each.split("\n"))
        assert int(fields["id"]) > 0
        found.append((fields["event"], json.loads(fields["data"])))
    return found


async def news(stream: Stream, clock: Any, seconds: float = 1.0) -> list[tuple[str, Any]]:
    await clock.advance(seconds)
    for _ in range(50):
        await asyncio.sleep(0)
    return events(await stream.next() or b"")


async def test_a_stream_begins_with_everything_and_goes_on_with_what_changed(
    hub: Hub, rel: Reliability, clock: Any
) -> None:
    stream = await hub.open(View())
    assert stream is not None
    first = events(await stream.next() or b"")
    assert [name for name, _ in first] == ["panels", "charts", "now"]
    assert set(first[0][1]) == {"overall", "alerts", "slos", "policies", "health", "probes", "events"}
    await news(stream, clock)  # the first look at the checks comes in
    quiet = await news(stream, clock)
    assert [name for name, _ in quiet] == ["now"]
    rel.pipeline("pay")
    changed = await news(stream, clock)
    assert dict(changed)["panels"].keys() == {"policies"}


async def test_who_looks_once_takes_no_news_from_a_page_that_is_open(
    hub: Hub, rel: Reliability, clock: Any
) -> None:
    page = await hub.open(View(window="5m"))
    assert page is not None
    await news(page, clock)
    rel.pipeline("pay")
    clock.shift(5)  # a point of the charts is due, too
    await rel.tick()
    looked = await hub.show(View(window="5m"))  # as a reload and `resilience top` do
    assert "pay" in looked.panels["policies"]
    assert await hub.open(View(window="5m")) is not None
    heard = dict(await news(page, clock))
    assert "policies" in heard["panels"]
    assert "charts" in heard


async def test_a_panel_of_its_own_is_sent_without_the_others(hub: Hub, rel: Reliability, clock: Any) -> None:
    stream = await hub.open(View(part="policies"))
    assert stream is not None
    assert next((name, list(data)) for name, data in events(await stream.next() or b"")) == (
        "panels",
        ["overall", "policies"],
    )
    await clock.advance(60)
    assert {name for name, _ in await news(stream, clock)} <= {"panels", "now"}


async def test_nobody_looking_costs_nothing(hub: Hub, clock: Any) -> None:
    def running() -> list[str]:
        return [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "resilience console"]

    await hub.show(View())
    assert running() == []
    stream = await hub.open(View())
    assert stream is not None
    assert running() == ["resilience console"]
    stream.close()
    await clock.advance(1)
    for _ in range(20):
        await asyncio.sleep(0)
    assert running() == []


async def test_streams_are_capped(hub: Hub) -> None:
    assert [await hub.open(View()) is not None for _ in range(4)] == [True, True, True, False]


async def test_streams_end_with_the_service(hub: Hub, rel: Reliability, clock: Any) -> None:
    stream = await hub.open(View())
    assert stream is not None
    rel.announce_stop()
    for _ in range(20):
        await asyncio.sleep(0)
    assert stream.closed
    assert await hub.open(View()) is None


async def test_a_reader_that_falls_behind_is_dropped_and_others_go_on() -> None:
    slow, quick = Stream(limit=2), Stream(limit=2)
    for number in range(5):
        for each in (slow, quick):
            each.offer(b"%d" % number)
        assert await quick.next() == b"%d" % number
    assert slow.closed
    assert await slow.next() is None


async def test_a_silent_stream_has_a_heartbeat() -> None:
    assert await Stream().next(heartbeat=0.001) == b": still here\n\n"


async def test_a_response_ends_when_its_reader_leaves(rel: Reliability) -> None:
    sent: list[Any] = []
    gone = asyncio.Event()

    async def receive() -> dict[str, str]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    stream = Stream()
    stream.offer(b"data: 1\n\n")
    serving = asyncio.create_task(EventStream(stream, rel)({"type": "http"}, receive, send))
    await until(lambda: len(sent) == 2)
    gone.set()
    await serving
    assert stream.closed
    assert dict(sent[0]["headers"])[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert sent[1]["body"] == b"data: 1\n\n"


async def test_a_response_ends_after_a_while_so_that_its_reader_is_asked_again_who_it_is(
    rel: Reliability,
) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    stream = Stream()
    await EventStream(stream, rel, lasts=0.0)({"type": "http"}, receive, send)
    assert stream.closed
    assert [message.get("more_body", False) for message in sent] == [False, False]


async def test_charts_say_what_was_counted(rel: Reliability, clock: Any) -> None:
    charts = Charts(rel, View(window="5m"))
    for _ in range(60):
        for verdict, code in ((Verdict.SUCCESS, "200"), (Verdict.FAILURE, "500")):
            rel.sli.request("GET", "/", code, verdict, 0.02)
        clock.shift(1)
        await rel.tick()
    await charts.catch_up()
    newest = charts.newest
    await charts.catch_up()
    assert charts.newest == newest is not None
    points = charts.points()
    assert len(points["t"]) == 60
    assert points["charts"]["traffic"]["success"][-1] == pytest.approx(1, rel=0.1)
    assert points["charts"]["errors"]["errors"][-1] == pytest.approx(0.5)
    assert sum(charts.now()["charts"]["heat"].values()) == pytest.approx(2, rel=0.1)


def test_a_hostile_service_name_stays_a_string_of_promql() -> None:
    charts = {chart.id: chart for chart in charts_for(View(service='a"} or vector(1) #\\\n'))}
    assert charts["budgets"].queries["slo"].endswith('{service="a\\"} or vector(1) #\\\\\\n"}')


async def test_a_dead_reader_is_dropped_while_others_and_the_tick_go_on(
    hub: Hub, rel: Reliability, clock: Any
) -> None:
    dead, alive = await hub.open(View()), await hub.open(View())
    assert dead is not None
    assert alive is not None

    async def never(_message: Any) -> None:
        await asyncio.Event().wait()

    stuck = asyncio.create_task(EventStream(dead, rel)({"type": "http"}, never, never))  # type: ignore[arg-type]
    await alive.next()
    for _ in range(12):
        before = rel.signals.last_tick
        assert await news(alive, clock)
        assert rel.signals.last_tick.monotonic == before.monotonic + 1
    assert dead.closed
    assert hub.streams == 1
    stuck.cancel()


async def test_once_nobody_looks_nothing_is_looked_at(
    hub: Hub, rel: Reliability, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[View] = []
    refresh = Shown.refresh

    async def noticed(shown: Shown) -> None:
        looks.append(shown.look.view)
        await refresh(shown)

    monkeypatch.setattr(Shown, "refresh", noticed)
    stream = await hub.open(View())
    assert stream is not None
    await news(stream, clock)
    assert looks
    stream.close()
    await clock.advance(2)
    looks.clear()
    await clock.advance(30)
    assert looks == []


async def test_the_loop_has_its_turn_between_panels_and_alerts_are_read_once_for_all(
    hub: Hub, rel: Reliability, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str | None] = []
    active_alerts = rel.alerts.active_alerts

    def counted(*, service: str | None = None) -> Any:
        read.append(service)
        return active_alerts(service=service)

    monkeypatch.setattr(rel.alerts, "active_alerts", counted)
    assert await turns_of(hub.show(View(service="shop"))) >= 2 * len(PANELS), "to read each, and to draw it"
    assert read == ["shop"]
    rel.alerts.send_alert(RaisedAlert("Down", labels={"service": "shop"}))
    clock.shift(1)
    await rel.tick()
    assert "Down" in (await hub.show(View(service="shop"))).panels["alerts"]
