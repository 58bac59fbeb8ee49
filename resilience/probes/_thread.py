"""Blocking looks, off the loop: at most one at a time for each probe, in a thread that nobody waits for at exit."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

from resilience.core.options import named_options

__all__ = ["InThread"]

T = TypeVar("T")


@named_options
class InThread:
    """Runs one blocking function at a time.

    A thread cannot be cancelled: one that hangs (a dead network disk) is left behind, and until it has ended no other
    is started. It is a daemon, so that it does not keep the process from ending, as one of a pool would.

    Example:
        >>> asyncio.run(InThread().run(lambda: 6 * 7))
        42
    """

    def __init__(self) -> None:
        self._busy = False

    async def run(self, function: Callable[[], T]) -> T:
        """Return what `function` returns.

        Raises:
            TimeoutError: an earlier one, given up by its caller, has not ended yet.
            Exception: what the function raised.
        """
        if self._busy:
            message = "an earlier look has not ended yet"
            raise TimeoutError(message)
        self._busy = True
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()

        def settle(value: T | None, error: BaseException | None) -> None:
            if ended.done():
                return  # given up
            if error is not None:
                ended.set_exception(error)
            else:
                ended.set_result(value)  # type: ignore[arg-type]  # without an error it is what the function returned

        def work() -> None:
            value: T | None = None
            failure: BaseException | None = None
            try:
                value = context.run(function)
            except StopIteration as error:
                failure = RuntimeError(f"the function raised {error!r}")  # which no future can hold
            except BaseException as error:  # noqa: BLE001  raised where it is waited for
                failure = error
            self._busy = False
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, value, failure)

        threading.Thread(target=work, name="resilience probe", daemon=True).start()
        return await ended
