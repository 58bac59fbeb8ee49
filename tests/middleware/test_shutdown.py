"""The end is announced by the signal, before the server hears of it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from resilience.core.clock import ManualClock
from resilience_middleware.shutdown import ShutdownNotice


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """A server that hears of both signals."""
    numbers: list[int] = []
    taken = {
        each: signal.signal(each, lambda number, frame: numbers.append(number))
        for each in (signal.SIGTERM, signal.SIGINT)
    }
    yield numbers
    for each, handler in taken.items():
        signal.signal(each, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_announces_the_end_and_reaches_the_server(
    rel: Any, heard: list[int], number: int
) -> None:
    before = signal.getsignal(number)
    notice = ShutdownNotice(rel)
    notice.install()
    signal.raise_signal(number)
    assert heard == [number]
    await asyncio.sleep(0)
    assert rel.calls == ["announce"]
    notice.remove()
    assert signal.getsignal(number) is before


async def test_the_server_hears_later_of_a_first_sigterm_alone(
    rel: Any, heard: list[int], clock: ManualClock
) -> None:
    rel.shutdown_delay = 5.0
    notice = ShutdownNotice(rel)
    notice.install()
    signal.raise_signal(signal.SIGTERM)
    await clock.advance(4.9)
    assert (rel.calls, heard) == (["announce"], [])
    await clock.advance(0.1)
    assert heard == [signal.SIGTERM]
    signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM] * 2
    signal.raise_signal(signal.SIGINT)
    assert heard[2:] == [signal.SIGINT]
    notice.remove()


async def test_who_came_after_keeps_the_signal(rel: Any, heard: list[int]) -> None:
    notice = ShutdownNotice(rel)
    notice.install()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    notice.remove()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


async def test_where_no_server_handles_a_signal_it_is_left_alone(rel: Any, heard: list[int]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    notice = ShutdownNotice(rel)
    notice.install()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    notice.remove()


def test_another_thread_takes_no_signals(rel: Any, heard: list[int]) -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def install() -> None:
        ShutdownNotice(rel).install()

    thread = threading.Thread(target=lambda: asyncio.run(install()))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before


async def test_an_end_that_is_announced_already_is_not_announced_twice(
    rel: Any, heard: list[int], clock: ManualClock
) -> None:
    rel.shutdown_delay = 5.0
    notice, second = ShutdownNotice(rel), ShutdownNotice(rel)
    notice.install()
    standing = signal.getsignal(signal.SIGTERM)
    second.install()
    assert signal.getsignal(signal.SIGTERM) is standing
    signal.raise_signal(signal.SIGTERM)
    await clock.advance(5)
    assert (rel.calls, heard) == (["announce"], [signal.SIGTERM])
    second.remove()
    assert signal.getsignal(signal.SIGTERM) is standing
    notice.remove()
