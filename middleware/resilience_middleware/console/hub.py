"""One look a second for everybody who looks, and none when nobody does."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final
from weakref import WeakValueDictionary

from resilience.core.log import log
from resilience.core.ports import Clock
from resilience.reliability import Reliability
from resilience_middleware.console.charts import Charts
from resilience_middleware.console.look import Look
from resilience_middleware.console.panels import read_panels
from resilience_middleware.console.render import Renderer, reading
from resilience_middleware.console.view import View
from resilience_middleware.console.watch import Watch
from resilience_middleware.endpoints.event_stream import Stream, event
from resilience_middleware.shutdown import ShutdownNotice

__all__ = ["Hub", "Shown"]

_MOST_VIEWS: Final = 16


class Shown:
    """One view as it is shown: the panels' HTML, made anew only where their figures changed, and the charts.

    Args:
        look: what is looked at, and what of it.
        renderer: makes the HTML.
    """

    def __init__(self, look: Look, renderer: Renderer) -> None:
        self.look: Look = look
        self.panels: dict[str, str] = {}
        self.streams: set[Stream] = set()
        self._renderer = renderer
        self._data: dict[str, Mapping[str, Any]] = {}
        self._told: dict[str, str] = {}
        self._drawn: float | None = None

    async def refresh(self) -> None:
        """Draw the panels whose data have changed; the event loop has its turn before each."""
        async for name, data in read_panels(self.look):
            if data != self._data.get(name):
                await asyncio.sleep(0)
                self._data[name], self.panels[name] = data, self._renderer.panel(name, data, self.look.view)

    def changed(self) -> dict[str, str]:
        """Return the panels that changed since this was asked last, whoever has looked in between."""
        changed = {name: html for name, html in self.panels.items() if html != self._told.get(name)}
        self._told.update(changed)
        return changed

    def grown(self) -> bool:
        """Whether there are new points since this was asked last, on a page that has charts."""
        before, self._drawn = self._drawn, self.look.charts.newest
        return not self.look.view.part and before != self._drawn


class Hub:
    """Gives every open page what changed, once a second; its task lives as long as a page is open.

    Args:
        rel: the service.
        watch: what is looked at.
        renderer: makes the HTML.
        most: streams at once; 20 by default.
        clock: where time comes from; the service's by default.
    """

    def __init__(
        self,
        rel: Reliability,
        watch: Watch,
        renderer: Renderer,
        *,
        most: int = 20,
        clock: Clock | None = None,
    ) -> None:
        self._rel = rel
        self._watch = watch
        self._renderer = renderer
        self._most = most
        self._clock = clock or rel.clock
        self._shown: OrderedDict[View, Shown] = OrderedDict()
        self._charts: WeakValueDictionary[View, Charts] = WeakValueDictionary()
        self._serial = 0
        self._running: asyncio.Task[None] | None = None
        self._poked = asyncio.Event()
        self._notice = ShutdownNotice(rel)

    @property
    def streams(self) -> int:
        """How many are open."""
        return sum(len(shown.streams) for shown in self._shown.values())

    async def show(self, view: View) -> Shown:
        """Return a view as it is now."""
        shown = self._shown.get(view)
        if shown is None:
            charts = self._charts.setdefault(view.whole, Charts(self._rel, view.whole))
            shown = self._shown[view] = Shown(Look(self._watch, view, charts), self._renderer)
            self._forget()
        self._shown.move_to_end(view)
        self._watch.look()
        await shown.look.charts.catch_up()
        await shown.refresh()
        return shown

    async def open(self, view: View) -> Stream | None:
        """Open a stream that begins with everything, or return None where too many are open or the end is near."""
        if self.streams >= self._most or self._rel.stopping.is_set():
            return None
        stream = Stream(clock=self._clock)
        shown = self._shown[view] = await self.show(view)  # meanwhile it may have been forgotten
        if self.streams >= self._most:
            return None
        if not shown.streams:  # nobody else has yet to hear of what this one begins with
            shown.changed()
            shown.grown()
        stream.offer(self._frame("panels", shown.panels))
        if not view.part:
            stream.offer(self._frame("charts", shown.look.charts.points()))
        stream.offer(self._frame("now", self._now(shown)))
        shown.streams.add(stream)
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="resilience console")
            self._notice.install()  # where the service runs without the middleware nobody else hears of the end in time
        return stream

    def poke(self) -> None:
        """Look at once: something was done."""
        self._poked.set()

    def end(self) -> None:
        """End all streams."""
        for shown in self._shown.values():
            for stream in shown.streams:
                stream.close()
        self.poke()

    async def _run(self) -> None:
        try:
            await self._rel.supervisor.keep("console", self._rounds, ends=True)
        finally:
            self._running = None
            self._notice.remove()

    async def _rounds(self) -> None:
        stopping = asyncio.create_task(self._rel.stopping.wait())
        try:
            while self.streams:
                await self._pause(stopping)
                if stopping.done():
                    self.end()
                await self._round()
        finally:
            stopping.cancel()

    async def _pause(self, stopping: asyncio.Task[bool]) -> None:
        """Wait for the next second, for something that was done, or for the end."""
        waits = [
            asyncio.create_task(self._clock.sleep(1.0)),
            asyncio.create_task(self._poked.wait()),
        ]
        try:
            await asyncio.wait([*waits, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        self._poked.clear()

    async def _round(self) -> None:
        self._watch.look()
        for shown in list(self._shown.values()):
            shown.streams = {stream for stream in shown.streams if not stream.closed}
            if not shown.streams:
                continue
            try:
                frames = await self._news(shown)
            except Exception as error:  # noqa: BLE001  a page that is late is better than one that stands still
                log(__name__).error("console_failed", error=error, exc_info=error)
                continue
            for stream in shown.streams:
                for frame in frames:
                    stream.offer(frame)

    async def _news(self, shown: Shown) -> list[bytes]:
        frames = []
        await shown.look.charts.catch_up()
        await shown.refresh()
        if changed := shown.changed():
            frames.append(self._frame("panels", changed))
        if shown.grown():
            frames.append(self._frame("charts", shown.look.charts.points()))
        frames.append(self._frame("now", self._now(shown)))
        return frames

    def _now(self, shown: Shown) -> dict[str, Any]:
        charts = shown.look.charts
        now = charts.now()
        units = {chart.id: chart.unit for chart in charts.drawn if chart.unit != "heat"}
        texts = {
            chart: {name: reading(value, unit) for name, value in now["charts"][chart].items()}
            for chart, unit in units.items()
        }
        return {**now, "texts": texts, "worker": self._watch.worker}

    def _frame(self, name: str, data: Mapping[str, Any]) -> bytes:
        self._serial += 1
        return event(name, json.dumps(data, separators=(",", ":"), allow_nan=False), self._serial)

    def _forget(self) -> None:
        """Let go of the views that were not looked at for longest."""
        idle = [view for view, shown in self._shown.items() if not shown.streams]
        for view in idle[: max(0, len(self._shown) - _MOST_VIEWS)]:
            del self._shown[view]
