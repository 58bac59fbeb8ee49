from __future__ import annotations

import asyncio
from collections.abc import Callable

from structlog.testing import capture_logs

from resilience.core.events import Listeners


def test_listeners_hear_in_order_and_not_after_they_left() -> None:
    heard: list[tuple[str, str]] = []
    listeners: Listeners[str] = Listeners()
    leave = listeners.subscribe(lambda event: heard.append(("first", event)))
    listeners.subscribe(lambda event: heard.append(("second", event)))
    listeners.emit("a")
    leave()
    leave()
    listeners.emit("b")
    assert heard == [("first", "a"), ("second", "a"), ("second", "b")]


def test_nobody_listening_is_falsy() -> None:
    listeners: Listeners[str] = Listeners()
    assert not listeners
    stop = listeners.subscribe(print)
    assert listeners
    stop()
    assert not listeners


def test_a_raising_listener_is_logged_and_stops_nobody_else() -> None:
    heard: list[str] = []
    listeners: Listeners[str] = Listeners()

    def broken(_event: str) -> None:
        raise ValueError("mine")

    listeners.subscribe(broken)
    listeners.subscribe(heard.append)
    with capture_logs() as logs:
        listeners.emit("a")
    assert heard == ["a"]
    assert [(entry["event"], entry["error"]) for entry in logs] == [("listener_failed", "ValueError('mine')")]


async def test_an_async_listener_runs_in_a_task_of_its_own() -> None:
    heard: list[str] = []
    listeners: Listeners[str] = Listeners()

    async def slow(event: str) -> None:
        await asyncio.sleep(0)
        heard.append(event)

    listeners.subscribe(slow)
    listeners.emit("a")
    assert heard == []
    for _ in range(3):
        await asyncio.sleep(0)
    assert heard == ["a"]


async def test_an_async_listener_that_raises_is_logged() -> None:
    listeners: Listeners[str] = Listeners()

    async def broken(_event: str) -> None:
        raise ValueError("late")

    listeners.subscribe(broken)
    with capture_logs() as logs:
        listeners.emit("a")
        for _ in range(3):
            await asyncio.sleep(0)
    assert [entry["error"] for entry in logs] == ["ValueError('late')"]


def test_a_listener_may_leave_while_it_is_told() -> None:
    listeners: Listeners[str] = Listeners()
    heard: list[str] = []
    leave: Callable[[], None]

    def once(event: str) -> None:
        heard.append(event)
        leave()

    leave = listeners.subscribe(once)
    listeners.emit("a")
    listeners.emit("b")
    assert heard == ["a"]
