"""Reading again while the service runs: when it is asked for, when a file changes, or on SIGHUP."""

from __future__ import annotations

import asyncio
import functools
import signal
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.events import Listeners
from resilience.core.log import log
from resilience.core.ports import Clock
from resilience.core.slices import Slicer, background
from resilience.core.validate import flag, number
from resilience.errors import ResilienceError

__all__ = ["Reload", "Reloader"]

T = TypeVar("T")
_Stamps: TypeAlias = dict[Path, tuple[int, int, int] | None]
_SLICE = 0.001  # seconds of preparation after which the event loop has its turn


@dataclass(frozen=True, slots=True)
class Reload:
    """What came of reading again.

    Args:
        at: Unix seconds.
        error: the reason why nothing has changed, in one line; None where all went well.
        at_restart: what has changed but takes effect only at the next start.
    """

    at: float
    error: str | None = None
    at_restart: tuple[str, ...] = ()


class Reloader(Generic[T]):
    """Has something read again, and says what came of it by an event and a log line.

    Args:
        load: reads; runs in a thread, so that slow disks hold nobody up, and changes nothing.
        apply: takes over what was read, or raises and changes nothing; returns what has to wait for a restart.
        files: what is watched: files and folders.
        prepare: does in advance, in slices on the event loop, what `apply` needs; what is in force does not change.
        watch: seconds between two looks at them; 0 for none.
        sighup: whether SIGHUP asks for it too; not on Windows, and in the main thread alone.
        clock: where time comes from.

    Attributes:
        last: the last reload; None before the first.

    Raises:
        ConfigError: an option cannot be meant.
    """

    def __init__(
        self,
        load: Callable[[], T],
        apply: Callable[[T], Collection[str]],
        files: Iterable[Path] = (),
        *,
        prepare: Callable[[T], object] | None = None,
        watch: float = 10.0,
        sighup: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.events: Listeners[Reload] = Listeners()
        self.last: Reload | None = None
        self._load = load
        self._prepare = prepare
        self._apply = apply
        self._slicer = Slicer(_SLICE)
        self._watch = number("watch", watch, low=0)
        self._sighup = flag("sighup", sighup)
        self._clock = clock
        self._asked = asyncio.Event()
        self._turn = asyncio.Lock()
        self._stamps: _Stamps = {}
        self.follow(files)

    def follow(self, files: Iterable[Path]) -> None:
        """Watch these files and folders from now on."""
        watched = list(files)
        # What is known of a file stays: it may have changed since it was read.
        self._stamps = {
            **_stamps(watched),
            **{file: self._stamps[file] for file in watched if file in self._stamps},
        }

    async def reload(self) -> None:
        """Read again now.

        Raises:
            ResilienceError: what was read cannot be meant; nothing has changed then.
        """
        async with self._turn:  # two at once would apply what the slower one read last
            # Before it is read: what changes meanwhile is for the next look.
            self._stamps = await asyncio.to_thread(_stamps, tuple(self._stamps))
            try:
                found = await asyncio.to_thread(background, self._load)
                if self._prepare is not None:
                    await self._slicer.run(functools.partial(self._prepare, found))
                at_restart = tuple(self._apply(found))
            except ResilienceError as error:
                log(__name__).error("reload_failed", error=str(error))
                self._report(Reload(self._clock.time(), error=_line(error)))
                raise
            except Exception as error:
                self._report(Reload(self._clock.time(), error=_line(error)))
                raise
        log(__name__).info("reloaded", at_restart=at_restart)
        self._report(Reload(self._clock.time(), at_restart=at_restart))

    def _report(self, reload: Reload) -> None:
        self.last = reload
        self.events.emit(reload)

    async def look(self) -> None:
        """Read again if a file has changed since the last look; a failure is told, not raised."""
        if await asyncio.to_thread(_stamps, tuple(self._stamps)) != self._stamps:
            await self._told()

    async def run(self) -> None:
        """Watch and listen until cancelled."""
        stop_listening = self._listen() if self._sighup else None
        try:
            async with asyncio.TaskGroup() as tasks:
                if self._watch and self._stamps:
                    tasks.create_task(self._look_for_ever())
                if stop_listening is not None:
                    tasks.create_task(self._answer_for_ever())
                await asyncio.Event().wait()
        finally:
            if stop_listening is not None:
                stop_listening()

    def _listen(self) -> Callable[[], None] | None:
        """Handle SIGHUP; return a function that restores the previous handler, None if signals are not available."""
        loop = asyncio.get_running_loop()
        try:
            before = signal.getsignal(signal.SIGHUP)
            loop.add_signal_handler(signal.SIGHUP, self._asked.set)
        except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
            log(__name__).warning("sighup_not_available", error=repr(error))
            return None

        def stop() -> None:
            loop.remove_signal_handler(signal.SIGHUP)
            if before is not None:
                signal.signal(signal.SIGHUP, before)  # the loop leaves the default, which ends the process

        return stop

    async def _look_for_ever(self) -> None:
        while True:
            await self._clock.sleep(self._watch)
            await self.look()

    async def _answer_for_ever(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self._told()

    async def _told(self) -> None:
        try:
            await self.reload()
        except ResilienceError:
            pass  # `reload` has said so, and the next change may be better
        except Exception as error:  # noqa: BLE001  a fault of ours must not end the watch
            log(__name__).error("reload_failed", error=error, exc_info=error)


def _line(error: Exception) -> str:
    """Return the message of an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _stamps(files: Iterable[Path]) -> _Stamps:
    """What tells one version of each file from another; None where there is none."""
    found: _Stamps = {}
    for file in files:
        try:
            status = file.stat()
        except OSError:
            found[file] = None
        else:
            found[file] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return found
