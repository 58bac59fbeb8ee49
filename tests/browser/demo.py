"""The demo's shop behind its server, with its customers, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from resilience_middleware.demo.payments import Health
from resilience_middleware.demo.scenario import Demo, Stage
from resilience_middleware.demo.timeline import Moment


class Silent:
    """A timeline that nobody sees."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, moment: Moment) -> None:
        """Show nothing."""


@dataclass(frozen=True)
class Running:
    """The demo, and how its payments service is made to break."""

    stage: Stage
    loop: asyncio.AbstractEventLoop

    @property
    def console(self) -> str:
        return f"{self.stage.url}/reliability/"

    @property
    def token(self) -> str:
        return str(self.stage.rel.token)

    def payments(self, health: Health) -> None:
        """Change how payments is."""
        asyncio.run_coroutine_threadsafe(self.stage.payments.become(health), self.loop).result()


@contextlib.contextmanager
def demo() -> Iterator[Running]:
    """Run it as long as the block lasts; playwright's calls block this thread."""
    running: SimpleQueue[Running | BaseException] = SimpleQueue()
    over = asyncio.Event()

    async def run() -> None:
        try:
            async with Demo(Silent()).stage() as stage:
                running.put(Running(stage, asyncio.get_running_loop()))
                await over.wait()
        except BaseException as error:
            running.put(error)
            raise

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    found = running.get()
    if isinstance(found, BaseException):
        raise found
    try:
        yield found
    finally:
        found.loop.call_soon_threadsafe(over.set)
        thread.join()
