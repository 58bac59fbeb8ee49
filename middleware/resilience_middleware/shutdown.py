"""The end of a service, announced when the signal comes and not only when the server has stopped."""

from __future__ import annotations

import asyncio
import functools
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final, TypeAlias

from starlette.types import Receive

from resilience.reliability import Reliability

__all__ = ["ShutdownNotice", "dismissed"]

_Handler: TypeAlias = Callable[[int, FrameType | None], object]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class ShutdownNotice:
    """Hears SIGTERM and SIGINT before the server does, and announces the end.

    A server closes its port and waits for its connections before it tells the application to shut down: too late for
    readiness, which has to go down while the port is still open, and for streams of events, which it would wait for.

    Args:
        reliability: whose end is announced; the server hears of a SIGTERM `shutdown_delay` seconds later, of a SIGINT
            (somebody at a keyboard) or a second SIGTERM at once.
    """

    def __init__(self, reliability: Reliability) -> None:
        self.reliability: Reliability = reliability
        self._taken: dict[signal.Signals, tuple[_Handler, _Handler]] = {}
        self._announced = False

    def install(self) -> None:
        """Stand before the server's handlers, where it has any and this is the thread that signals come to.

        Where the same end is announced already, nothing is changed: the server would hear of it twice as late.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        self._announced = False
        loop = asyncio.get_running_loop()
        for each in _SIGNALS:
            server = signal.getsignal(each)
            if callable(server) and not self._announced_by(server):
                mine = functools.partial(self._heard, loop, server)
                self._taken[each] = (mine, server)
                signal.signal(each, mine)

    def remove(self) -> None:
        """Give the signals back to the server."""
        for each, (mine, server) in self._taken.items():
            if signal.getsignal(each) is mine:  # whoever came after us has it now
                signal.signal(each, server)
        self._taken.clear()

    def _announced_by(self, handler: object) -> bool:
        while isinstance(handler, functools.partial):
            notice = getattr(handler.func, "__self__", None)
            if not isinstance(notice, ShutdownNotice):
                return False
            if notice.reliability is self.reliability:
                return True
            handler = handler.args[1]
        return False

    def _heard(
        self, loop: asyncio.AbstractEventLoop, server: _Handler, number: int, frame: FrameType | None
    ) -> None:
        waits = not self._announced and number == signal.SIGTERM and self.reliability.shutdown_delay > 0
        self._announced = True
        # From within a signal handler nothing but this may touch the loop.
        loop.call_soon_threadsafe(self.reliability.announce_stop)
        if waits:
            loop.call_soon_threadsafe(self._later, functools.partial(server, number, None))
        else:
            server(number, frame)

    def _later(self, tell: Callable[[], object]) -> None:
        clock = self.reliability.clock
        clock.call_at(clock.monotonic() + self.reliability.shutdown_delay, tell)


def dismissed(receive: Receive) -> bool:
    """Whether the server has told a connection that it is to end, without a word to the application.

    Where code stops uvicorn (`should_exit`, `--limit-max-requests`) no signal comes, and the lifespan ends only after the
    connections. All that says so meanwhile is the request's own object, which is no longer kept alive; ASGI has no
    word for it. Where the server is another, or somebody wraps `receive`, nobody knows.

    Args:
        receive: the server's own, of a request that came on a connection that was kept alive.
    """
    return getattr(getattr(receive, "__self__", None), "keep_alive", None) is False
