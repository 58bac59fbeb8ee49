"""Supervision of background tasks: a task that fails is reported and started again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.events import Listeners
from resilience.core.interrupts import INTERRUPTS, is_cancelled
from resilience.core.log import log
from resilience.core.ports import Cancellable, Clock
from resilience.policies.backoff import Exponential
from resilience.signals import InstrumentRegistry

__all__ = ["Supervisor", "TaskFailed", "TaskRecovered"]

_BACKOFF: Final = Exponential(1.0, cap=30.0, jitter="none")
_RECOVERED_AFTER: Final = (
    300.0  # seconds without a failure: longer than the interval of any task of the library
)


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """Failure of a background task, which goes on all the same.

    Args:
        task: name of the task.
        error: type and message of the exception.
        failures: failures since the task ran without one for five minutes.
        at: Unix seconds.
    """

    task: str
    error: str
    failures: int
    at: float


@dataclass(frozen=True, slots=True)
class TaskRecovered:
    """Background task that ran for five minutes without a failure after it had failed.

    Args:
        task: name of the task.
        at: Unix seconds.
    """

    task: str
    at: float


class Supervisor:
    """Keeper of background tasks: each survives its own failures, and none ends another.

    A failure is logged (`task_failed`), counted in `resilience_task_failures_total{task}`, kept in `failing`, and
    emitted. The task starts again after 1 s, then after twice as long each time, up to 30 s.

    Args:
        signals: registry of the counter.
        clock: source of time.

    Example:
        >>> from resilience.signals import Signals
        >>> async def broken():
        ...     raise OSError("no route")
        >>> async def main():
        ...     supervisor = Supervisor(Signals())
        ...     task = asyncio.create_task(supervisor.keep("example", broken))
        ...     await asyncio.sleep(0)
        ...     task.cancel()
        ...     return supervisor.failing["example"].error
        >>> asyncio.run(main())
        "OSError('no route')"
    """

    def __init__(self, signals: InstrumentRegistry, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.events: Listeners[TaskFailed | TaskRecovered] = Listeners()
        self.failing: dict[str, TaskFailed] = {}
        """The last failure of each task that failed within the last five minutes."""
        self._failures = signals.counter(
            "resilience_task_failures_total", "Failures of background tasks.", labels=("task",)
        )
        self._clock = clock
        self._timers: dict[str, Cancellable] = {}

    async def run(self, tasks: Mapping[str, Callable[[], Awaitable[object]]]) -> None:
        """Keep several tasks running until cancelled.

        Args:
            tasks: coroutine functions by the names of their tasks; none of them returns.
        """
        async with asyncio.TaskGroup() as group:
            for name, task in tasks.items():
                group.create_task(self.keep(name, task), name=f"resilience {name}")

    async def keep(self, name: str, task: Callable[[], Awaitable[object]], *, ends: bool = False) -> None:
        """Keep one task running until cancelled.

        Args:
            name: name of the task, in the log and in the counter.
            task: coroutine function; called again after each failure.
            ends: True if the task may return, which ends its supervision; else a return is a failure, too.
        """
        self._failures.bind(name)  # from 0, so that a rate sees the first failure
        while True:
            error: BaseException
            try:
                await task()
                if ends:
                    return
                error = RuntimeError("the task ended")
            except asyncio.CancelledError as cancelled:
                if is_cancelled():
                    raise
                error = cancelled
            except INTERRUPTS:
                raise
            except BaseException as failure:  # noqa: BLE001  a failure, whatever it is, ends no background task
                error = _only(failure)
            failed = self.record(name, error)
            wait = _BACKOFF.delay(failed.failures, 0.0)
            log(__name__).error("task_failed", task=name, error=failed.error, restart_in=wait, exc_info=error)
            await self._clock.sleep(wait)

    def record(self, name: str, error: BaseException) -> TaskFailed:
        """Record a failure that the task itself survived.

        Args:
            name: name of the task.
            error: the failure.

        Returns:
            the failure, counted together with the earlier ones.
        """
        before = self.failing.get(name)
        failed = TaskFailed(
            name, _text(error), 1 if before is None else before.failures + 1, self._clock.time()
        )
        self.failing[name] = failed
        self._failures.bind(name).inc()
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()
        self._timers[name] = self._clock.call_at(
            self._clock.monotonic() + _RECOVERED_AFTER, lambda: self._recover(name)
        )
        self.events.emit(failed)
        return failed

    def close(self) -> None:
        """Cancel the timers."""
        while self._timers:
            self._timers.popitem()[1].cancel()

    def _recover(self, name: str) -> None:
        del self.failing[name], self._timers[name]
        log(__name__).warning("task_recovered", task=name)
        self.events.emit(TaskRecovered(name, self._clock.time()))


def _text(error: BaseException) -> str:
    try:
        return repr(error)
    except Exception:  # noqa: BLE001  an exception that cannot be shown is reported by its type
        return type(error).__name__


def _only(error: BaseException) -> BaseException:
    """Return the one exception of nested groups of one, which task groups make."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
