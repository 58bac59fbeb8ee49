"""Long work in slices: between them the event loop has its turn."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from queue import SimpleQueue
from typing import Any, TypeVar, cast

from resilience.core import validate

__all__ = ["Slicer", "background", "breathe", "breathing", "in_turns", "on_loop"]

T = TypeVar("T")

_FEW = 64

# A thread that computes keeps the interpreter lock for 5 ms at a time, unless it sleeps.
_WORK = 0.001
_REST = 0.0001


class _Abandoned(BaseException):
    """Ends work that nobody waits for any more."""


class _Turns:
    """One piece of work and the loop that waits for it: at any time only one of the two runs."""

    def __init__(self, work: Callable[[], object], seconds: float) -> None:
        self._work = work
        self._seconds = seconds
        self._mine, self._theirs = threading.Lock(), threading.Lock()
        self._mine.acquire()
        self._theirs.acquire()
        self._going = False
        self._until = 0.0
        self._asked: Callable[[], object] | None = None
        self._answer: object = None
        self._fault: BaseException | None = None
        self._abandoned = False
        self.done = False
        self.result: object = None
        self.error: BaseException | None = None

    # -- in the thread of the work

    def serve(self) -> None:
        """Do the work; called once, in its thread."""
        self._mine.acquire()
        _here.turns = self
        self._until = time.perf_counter() + self._seconds
        try:
            self.result = self._work()
        except BaseException as error:  # noqa: BLE001  raised again where the work is waited for
            self.error = error
        finally:
            _here.turns = None
            self.done = True
            self._theirs.release()

    def check(self) -> None:
        """Give the turn away when the slice is over."""
        if time.perf_counter() >= self._until:
            self._pause()
            self._until = time.perf_counter() + self._seconds

    def ask(self, function: Callable[[], T]) -> T:
        """Have a function called in the loop's thread."""
        self._asked = function
        self._pause()
        answer, fault, self._answer, self._fault = self._answer, self._fault, None, None
        if fault is not None:
            raise fault
        return cast("T", answer)

    def _pause(self) -> None:
        self._theirs.release()
        self._mine.acquire()
        if self._abandoned:
            raise _Abandoned

    # -- in the thread of the loop

    def go(self) -> bool:
        """Let the work have its turn; returns whether the loop should have one now."""
        if not self._going:  # it may be at it still, where waiting for it was interrupted
            self._going = True
            self._mine.release()
        self._theirs.acquire()
        self._going = False
        function, self._asked = self._asked, None
        if function is None:
            return not self.done
        try:
            self._answer = function()
        except Exception as error:  # noqa: BLE001  raised again where it was asked
            self._fault = error
        return False

    def abandon(self) -> None:
        """End the work at its next breath."""
        self._abandoned = True
        self.finish()

    def finish(self) -> None:
        """Let the work run to its end."""
        while not self.done:
            self.go()


class _Background:
    """Work in a thread beside the loop, which rests often so that the loop gets the interpreter lock."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + _WORK

    def check(self) -> None:
        """Rest if it is time."""
        if time.perf_counter() >= self._until:
            time.sleep(_REST)
            self._until = time.perf_counter() + _WORK


class _Here(threading.local):
    """What the current thread works at."""

    turns: _Turns | _Background | None = None


_here = _Here()


def breathe() -> None:
    """Let the event loop have its turn, if this is work that runs in slices and its slice is over; else do nothing.

    To be called within long work, where what it works on may change.

    Example:
        >>> breathe()  # not in a slicer: nothing
    """
    turns = _here.turns
    if turns is not None:
        turns.check()


def breathing(items: Collection[T]) -> Iterable[T]:
    """Return the items, with a breath after each few; to be iterated over in long work.

    Example:
        >>> list(breathing([1, 2]))
        [1, 2]
    """
    return items if len(items) < _FEW or _here.turns is None else _breathing(items)


def _breathing(items: Iterable[T]) -> Iterator[T]:
    for index, item in enumerate(items):
        if not index % _FEW:
            breathe()
        yield item


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield items in a coroutine, and give the event loop its turn each millisecond.

    Example:
        >>> async def doubled() -> list[int]:
        ...     return [2 * item async for item in in_turns([1, 2])]
        >>> asyncio.run(doubled())
        [2, 4]
    """
    until = time.perf_counter() + _WORK
    for item in items:
        yield item
        if time.perf_counter() >= until:
            await asyncio.sleep(0)
            until = time.perf_counter() + _WORK


def on_loop(function: Callable[[], T]) -> T:
    """Call a function in the thread of the event loop, which is this one outside of sliced work.

    Example:
        >>> on_loop(lambda: 3)
        3
    """
    turns = _here.turns
    return turns.ask(function) if isinstance(turns, _Turns) else function()


def background(work: Callable[[], T]) -> T:
    """Do long work in a thread beside the event loop, with a short rest at a breath each millisecond.

    Example:
        >>> asyncio.run(asyncio.to_thread(background, lambda: 7))
        7
    """
    _here.turns = _Background()
    try:
        return work()
    finally:
        _here.turns = None


class Slicer:
    """Runs plain functions in slices, in a thread of its own, and never at the same time as the event loop.

    The thread is only a second stack: the loop waits while the work has its turn, so the work needs no locks against the
    loop's tasks. It has to call `breathe` often.

    Args:
        seconds: length of a slice, above 0.

    Example:
        >>> def work() -> int:
        ...     for _ in range(1000):
        ...         breathe()
        ...     return 7
        >>> asyncio.run(Slicer(0.003).run(work))
        7
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = validate.number("seconds", seconds, above=0)
        self._jobs: SimpleQueue[Callable[[], object] | None] | None = None
        self._process = 0
        self._one_at_a_time = asyncio.Lock()
        self._current: _Turns | None = None

    @property
    def busy(self) -> bool:
        """Whether some work is half done."""
        return self._current is not None and not self._current.done

    def abandon(self) -> None:
        """End the work that is half done, if any is, at once; to be called in the thread of its loop."""
        if self._current is not None:
            self._current.abandon()

    def finish(self) -> None:
        """Run the work that is half done, if any is, to its end; to be called in the thread of its loop."""
        if self._current is not None and _here.turns is not self._current:
            self._current.finish()

    async def run(self, work: Callable[[], T], *, whole: bool = False) -> T | None:
        """Do some work; the event loop has a turn after each slice.

        Args:
            work: called in the slicer's thread, in the context of the caller.
            whole: whether work whose caller is cancelled runs to its end; it is abandoned otherwise.

        Returns:
            what it returned; None where it was abandoned.

        Raises:
            Exception: what it raised.
        """
        context = contextvars.copy_context()
        turns = _Turns(lambda: context.run(work), self._seconds)
        async with self._one_at_a_time:
            self._current = turns
            self._submit(turns.serve)
            try:
                while not turns.done:
                    if turns.go():
                        await asyncio.sleep(0)
            except BaseException:
                (turns.finish if whole else turns.abandon)()
                raise
            finally:
                self._current = None
        if isinstance(turns.error, _Abandoned):
            return None
        if turns.error is not None:
            raise turns.error
        return cast("T", turns.result)

    def _submit(self, job: Callable[[], object]) -> None:
        if self._jobs is None or self._process != os.getpid():  # no thread survives a fork
            self._jobs = SimpleQueue()
            self._process = os.getpid()
            # Daemonic: a loop that was dropped in the middle of a slice must not keep the process from ending.
            threading.Thread(target=_serve, args=(self._jobs,), name="resilience-slices", daemon=True).start()
            weakref.finalize(self, self._jobs.put, None).atexit = False
        self._jobs.put(job)


def _serve(jobs: SimpleQueue[Callable[[], Any] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # it must not be kept alive until the next
