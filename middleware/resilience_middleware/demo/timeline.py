"""What the demo shows while it runs: coloured and live on a terminal, plain lines elsewhere, JSON lines for machines."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

__all__ = ["JsonTimeline", "Moment", "PlainTimeline", "RichTimeline", "Timeline", "timeline_for"]

_STYLES = {
    "phase": "bold",
    "breaker": "magenta",
    "alert": "yellow",
    "page": "cyan",
    "figures": "dim",
    "proved": "green",
    "failed": "bold red",
}
_BARS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened.

    Args:
        at: seconds since the demo began.
        kind: `phase`, `breaker`, `alert`, `page`, `figures`, `proved` or `failed`.
        text: one line for people.
        data: the same for machines.
    """

    at: float
    kind: str
    text: str
    data: Mapping[str, object] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """The moment as a line of text."""
        return f"{self.at:5.1f}s  {self.kind:<8} {self.text}"


class Timeline(Protocol):
    """Where moments are shown."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, moment: Moment) -> None:
        """Show one moment."""


class PlainTimeline:
    """One line for each moment; figures only every fifth time, so that a log stays readable."""

    _EVERY = 5

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._figures = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.flush()

    def show(self, moment: Moment) -> None:
        """Print the moment as a line."""
        if moment.kind == "figures":
            self._figures += 1
            if self._figures % self._EVERY != 1:
                return
        print(moment.line, file=self._out, flush=True)


class JsonTimeline(PlainTimeline):
    """One JSON object a line."""

    def show(self, moment: Moment) -> None:
        """Print the moment as a JSON object."""
        record = {"at": round(moment.at, 3), "kind": moment.kind, "text": moment.text, **moment.data}
        print(json.dumps(record), file=self._out, flush=True)


class RichTimeline:
    """Events scroll by; the figures of this second stay below them."""

    _SECONDS = 40

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ratios: deque[float] = deque(maxlen=self._SECONDS)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        from rich.live import Live  # noqa: PLC0415  only on a terminal

        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, moment: Moment) -> None:
        """Print an event above, or bring the figures below up to date."""
        if moment.kind == "figures" and self._live is not None:
            self._ratios.append(float(str(moment.data.get("error_ratio", 0.0))))
            self._live.update(self._figures(moment))
        else:
            self._console.print(moment.line, style=_STYLES.get(moment.kind, ""), highlight=False)

    def _figures(self, moment: Moment) -> RenderableType:
        from rich.panel import Panel  # noqa: PLC0415  only on a terminal
        from rich.text import Text  # noqa: PLC0415  same

        top = len(_BARS) - 1
        bars = "".join(_BARS[min(top, max(int(ratio > 0), round(ratio * top)))] for ratio in self._ratios)
        body = Text.assemble(moment.text, "\n", ("errors  ", "dim"), (bars, "red"))
        return Panel(body, title=f"shop at {moment.at:.0f} s", title_align="left")


def timeline_for(out: IO[str] | None = None, *, as_json: bool = False) -> Timeline:
    """Choose how to show the timeline.

    Args:
        out: where it goes; standard output when not given.
        as_json: JSON lines, whatever `out` is.

    Returns:
        JSON lines if asked for, a live view if `out` is a terminal and rich is installed, plain lines otherwise.
    """
    out = out or sys.stdout
    if as_json:
        return JsonTimeline(out)
    if out.isatty():
        try:
            from rich.console import Console  # noqa: PLC0415  an extra
        except ImportError:
            return PlainTimeline(out)
        return RichTimeline(Console(file=out))
    return PlainTimeline(out)
