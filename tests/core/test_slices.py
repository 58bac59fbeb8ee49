"""Long work in slices, in turns with the event loop. Slices are too short for two breaths, so that each breath ends one."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import Callable
from typing import Any, Self

import pytest

from resilience.core import slices
from resilience.core.slices import Slicer, breathe, breathing, on_loop
from resilience.errors import ConfigError
from tests.turns import AN_INSTANT, beside
from tests.waiting import PATIENCE

WHO = contextvars.ContextVar("WHO", default="nobody")


def breaths(count: int) -> Callable[[], int]:
    def work() -> int:
        for _ in range(count):
            breathe()
        return count

    return work


class Others:
    """A task beside the work that counts its turns."""

    def __init__(self) -> None:
        self.turns = 0
        self.seen: list[bool] = []
        self.busy = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            self.turns += 1
            self.seen.append(self.busy)
            await asyncio.sleep(0)


async def test_others_have_a_turn_at_each_breath_once_the_slice_is_over() -> None:
    async with Others() as others:
        before = others.turns
        assert await Slicer(AN_INSTANT).run(breaths(50)) == 50
        assert others.turns - before >= 50
        before = others.turns
        assert await Slicer(3600).run(breaths(50)) == 50
        assert others.turns == before


async def test_work_and_loop_never_run_at_the_same_time() -> None:
    async with Others() as others:

        def work() -> None:
            for _ in range(200):
                others.busy = True
                sum(range(1000))
                others.busy = False
                breathe()

        await Slicer(AN_INSTANT).run(work)
        assert len(others.seen) > 200
        assert not any(others.seen)


async def test_work_sees_the_context_of_who_waits_for_it_and_its_faults_come_back() -> None:
    slicer = Slicer(AN_INSTANT)
    WHO.set("me")
    assert await slicer.run(WHO.get) == "me"

    def fail() -> None:
        breathe()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await slicer.run(fail)
    assert await slicer.run(breaths(3)) == 3


async def test_work_can_have_something_called_on_the_loop() -> None:
    def on_which() -> tuple[int, asyncio.AbstractEventLoop]:
        return threading.get_ident(), asyncio.get_running_loop()

    def work() -> tuple[int, int, asyncio.AbstractEventLoop]:
        return threading.get_ident(), *on_loop(on_which)

    mine, theirs, loop = await Slicer(AN_INSTANT).run(work)
    assert mine != theirs == threading.get_ident()
    assert loop is asyncio.get_running_loop()

    def fault() -> str:
        try:
            on_loop({}.popitem)
        except KeyError as error:
            return str(error)
        return ""

    assert await Slicer(AN_INSTANT).run(fault) == "'popitem(): dictionary is empty'"


async def test_what_is_called_on_the_loop_counts_towards_the_slice() -> None:
    async with Others() as others:
        before = others.turns

        def work() -> None:
            for _ in range(20):
                on_loop(lambda: None)
                breathe()

        await Slicer(AN_INSTANT).run(work)
        assert others.turns - before >= 20


async def test_work_that_nobody_waits_for_any_more_ends_at_its_next_breath() -> None:
    slicer = Slicer(AN_INSTANT)
    begun, ended = asyncio.Event(), []

    def work() -> None:
        try:
            on_loop(begun.set)
            while True:
                breathe()
        finally:
            ended.append(True)

    task = asyncio.create_task(slicer.run(work))
    await asyncio.wait_for(begun.wait(), PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]
    assert await slicer.run(breaths(3)) == 3


async def test_work_can_be_abandoned_by_others_and_comes_to_nothing() -> None:
    slicer, seen, busy = Slicer(AN_INSTANT), list[int](), list[bool]()

    def work() -> str:
        for breath in range(10):
            seen.append(breath)
            breathe()
        return "done"

    def others(turn: int) -> None:
        if turn == 3:
            busy.append(slicer.busy)
            slicer.abandon()
            busy.append(slicer.busy)
            slicer.abandon()  # nothing more to end

    assert await beside(slicer.run(work), others) is None
    assert (seen, busy) == ([0, 1, 2, 3], [True, False])
    assert await slicer.run(work) == "done"
    assert not slicer.busy


async def test_work_can_be_abandoned_by_what_it_has_called_on_the_loop() -> None:
    slicer, reached = Slicer(AN_INSTANT), list[str]()

    def work() -> None:
        on_loop(slicer.abandon)
        reached.append("end")

    assert await slicer.run(work) is None
    assert not reached
    assert await slicer.run(breaths(3)) == 3


class Interrupt(BaseException):
    """What a signal may raise anywhere."""


class Interrupted:
    """A lock, the first wait for which is interrupted."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._waits = 0
        self.release = lock.release

    def acquire(self) -> bool:
        self._waits += 1
        if self._waits == 1:
            raise Interrupt
        return self._lock.acquire()


async def test_work_ends_when_waiting_for_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    make = slices._Turns.__init__

    def interrupted(self: Any, work: Callable[[], object], seconds: float) -> None:
        make(self, work, seconds)
        self._theirs = Interrupted(self._theirs)

    ended = []

    def work() -> None:
        try:
            while True:
                breathe()
        finally:
            ended.append(True)

    slicer = Slicer(AN_INSTANT)
    with monkeypatch.context() as patched:
        patched.setattr(slices._Turns, "__init__", interrupted)
        with pytest.raises(Interrupt):
            await slicer.run(work)
    assert ended == [True]
    assert await slicer.run(breaths(3)) == 3


async def test_two_pieces_of_work_are_done_one_after_the_other() -> None:
    slicer, seen = Slicer(AN_INSTANT), []

    def work(name: str) -> None:
        for _ in range(3):
            seen.append(name)
            breathe()

    await asyncio.gather(slicer.run(lambda: work("a")), slicer.run(lambda: work("b")))
    assert seen == ["a", "a", "a", "b", "b", "b"]


async def test_the_thread_ends_with_its_slicer_and_is_made_anew_in_another_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slicer = Slicer(AN_INSTANT)
    first = await slicer.run(threading.current_thread)
    assert await slicer.run(threading.current_thread) is first
    assert first.daemon
    monkeypatch.setattr("os.getpid", lambda: -1)
    second = await slicer.run(threading.current_thread)
    assert second is not first
    del slicer
    gc.collect()
    for thread in (first, second):
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_outside_of_a_slicer_a_breath_is_nothing() -> None:
    breathe()
    many = range(1000)
    assert breathing(many) is many
    assert on_loop(threading.get_ident) == threading.get_ident()


async def test_long_lists_are_breathed_through() -> None:
    async with Others() as others:
        before = others.turns
        assert await Slicer(AN_INSTANT).run(lambda: sum(breathing(range(1000)))) == 499_500
        assert others.turns - before >= 10


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_slice_has_a_length(seconds: float) -> None:
    with pytest.raises(ConfigError, match="seconds"):
        Slicer(seconds)
