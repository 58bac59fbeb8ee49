"""See at a glance how a service is, again and again."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from resilience.alerting.active import alert_state
from resilience.cli.desk import HERE, Service
from resilience.cli.output import json_option, print_json
from resilience.core.humanize import (
    NOTHING,
    attained,
    bar_ratio,
    burn_rate,
    duration,
    exact_percent,
    percent,
    quantity,
    words,
)
from resilience.core.validate import number
from resilience.errors import MissingExtra, ResilienceError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

__all__ = ["top"]

_STYLES: Final = {"good": "green", "warning": "yellow", "critical": "bold red"}
_FRAME: Final = 4  # columns that the panel round the first lines takes
_MARKS: Final = {"good": "●", "warning": "▲", "critical": "■"}
_LEVELS: Final = {
    "meeting": "good", "at_risk": "warning", "breached": "critical",
    "closed": "good", "half_open": "warning", "open": "critical", "forced_open": "critical",
    "healthy": "good", "degraded": "warning", "unhealthy": "critical",
    "page": "critical",
}  # fmt: skip
_SAID: Final = frozenset({"alertname", "severity"})
_MOST: Final = 20  # rows of a table where nobody says how many there is room for
_NARROW: Final = 100
_NARROWEST: Final = 8  # what the last column of a table keeps
_GAP: Final = 2  # between columns
_SMALL: Final = 60  # columns of a terminal, below which a table has only the columns that matter most
_SHORT: Final = 18  # lines of a terminal, below which nothing is framed and the worst table comes first
_BORDERS: Final = 2  # lines of the panel's frame
_OVERHEAD: Final = (
    4  # lines of a table beside its rows: a margin, title, headers and the note of what is left out
)
_RANKS: Final = {"critical": 0, "warning": 1, "unknown": 2, "info": 2, "good": 3}


@click.command()
@click.option(
    "--url",
    envvar="RESILIENCE_URL",
    default=HERE,
    show_default=True,
    help="Where the service's endpoints are.",
)
@click.option("--token", envvar="RESILIENCE_TOKEN", help="Better by the environment: RESILIENCE_TOKEN.")
@click.option(
    "--interval",
    type=click.FloatRange(0.2, 60),
    default=1.0,
    show_default=True,
    help="Seconds between looks.",
)
@click.option("--once", is_flag=True, help="Look once.")
@json_option
def top(url: str, token: str | None, interval: float, *, once: bool, as_json: bool) -> None:
    """Show the state of a service that was installed with its console, until Ctrl-C.

    What it shows is what the console shows: alerts, objectives, traffic, breakers and checks.
    """
    number("--interval", interval)  # click takes nan for a number of any range
    if as_json:
        print_json(asyncio.run(_look(url, token)))
        return
    try:
        from rich.console import Console  # noqa: PLC0415  an extra
        from rich.live import Live  # noqa: PLC0415  same
    except ImportError as error:
        raise MissingExtra("rich", "console") from error
    console = Console()
    if once or not console.is_terminal:
        console.print(_seen(asyncio.run(_look(url, token)), width=console.width))
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        asyncio.run(_watch(url, token, interval, live))


async def _look(url: str, token: str | None) -> Mapping[str, Any]:
    async with Service(url, token) as service:
        return await service.state()


async def _watch(url: str, token: str | None, interval: float, live: Live) -> None:
    from rich.console import Group  # noqa: PLC0415  an extra
    from rich.text import Text  # noqa: PLC0415  same

    async with Service(url, token) as service:
        state: Mapping[str, Any] | None = None
        parts: list[RenderableType]
        while True:
            started = time.monotonic()
            size = live.console.size
            try:
                found = await service.state()
                parts = [_seen(found, width=size.width, height=size.height)]
                state = found
            except ResilienceError as failure:
                told = Text(
                    f"■ {_printable(str(failure))}", style="bold red", no_wrap=True, overflow="ellipsis"
                )
                parts = [told]
                if state is not None:  # where nobody answers, what was seen last is better than nothing
                    parts.append(view(state, width=size.width, height=size.height - 1))
            live.update(Group(*parts), refresh=True)
            await asyncio.sleep(max(0.0, started + interval - time.monotonic()))


def _seen(state: Mapping[str, Any], *, width: int, height: int | None = None) -> RenderableType:
    """Lay out an answer, or say that it is none."""
    try:
        return view(state, width=width, height=height)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        message = "what answers is no console, or one of another version: is --url right?"
        raise ResilienceError(message) from error


class Rows(NamedTuple):
    """One table: what it is called, its columns, its rows, the worst first, and how many more the console knows of."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    unlisted: int = 0
    needed: Sequence[int] = (0, 1, 2)

    def essential(self) -> Rows:
        """Return the columns that matter most."""
        headers = [self.headers[at] for at in self.needed]
        return self._replace(headers=headers, rows=[[row[at] for at in self.needed] for row in self.rows])


def view(state: Mapping[str, Any], *, width: int = 120, height: int | None = None) -> RenderableType:
    """Lay out what the console's `state.json` says.

    Args:
        state: the figures of all panels.
        width: of the terminal; below 100 the burn rate of the shortest window stands for all.
        height: lines that there are; None where it may scroll.
    """
    from rich.console import Group  # noqa: PLC0415  an extra
    from rich.padding import Padding  # noqa: PLC0415  same
    from rich.panel import Panel  # noqa: PLC0415  same
    from rich.text import Text  # noqa: PLC0415  same

    overall = state["overall"]
    style = _STYLES.get(overall["level"], "")
    short = height is not None and height < _SHORT
    narrow = width < _NARROW
    mark = _MARKS.get(overall["level"], "◇")
    lines = [f"[{style}]{mark} {_safe(overall['headline'])}[/]", _traffic(state)]
    facts = [_safe(overall["worker"])]
    if overall["paged"]:
        facts.insert(0, f"notified: {_safe(', '.join(overall['paged']))}")
    if not short:
        lines.insert(1, f"[dim]{'   '.join(facts)}[/]")
    if (error := overall.get("reload_error")) is not None:
        banner = f"configuration not reloaded: {_printable(error)}"
        banner = banner if len(banner) <= width - _FRAME else f"{banner[: width - _FRAME - 1]}…"
        lines.insert(0, f"[{_STYLES['warning']}]{_safe(banner)}[/]")
    tables = [table for table in _tables(state, narrow=narrow) if table.rows]
    if short:
        tables.sort(key=lambda table: min(map(_urgency, table.rows)))
    head = Text.from_markup("\n".join(lines))
    head.no_wrap, head.overflow = True, "ellipsis"
    room = None if height is None else height - len(lines) - (0 if short else _BORDERS)
    shares = _shares([len(table.rows) for table in tables], room, overhead=1 if short else _OVERHEAD)
    shown = [(table, share) for table, share in zip(tables, shares, strict=True) if share]
    if short:
        return Group(head, *(_table(table, share, width, short=True) for table, share in shown))
    return Group(
        Panel(head, title=_safe(state["service"]), title_align="left", border_style=style),
        *(Padding(_table(table, share, width), (1, 0, 0, 0)) for table, share in shown),
    )


def _shares(counts: Sequence[int], room: int | None, *, overhead: int) -> list[int]:
    """Return how many rows of each table fit: tables that want less than their share leave the rest to the others.

    Args:
        counts: rows of each table, the most urgent table first; the last tables are left out if not all fit.
        room: lines for all tables; None where it may scroll.
        overhead: lines of a table beside its rows.

    Example:
        >>> _shares([2, 50, 50], 25, overhead=4), _shares([1, 2], 75, overhead=4), _shares([50], None, overhead=4)
        ([2, 6, 5], [1, 2], [20])
        >>> _shares([9, 9, 9], 6, overhead=1)
        [1, 1, 1]
    """
    if room is None:
        return [min(count, _MOST) for count in counts]
    shares = [0] * len(counts)
    fitting = min(len(counts), max(0, room) // (overhead + 1))
    left = room - fitting * overhead
    while left > 0 and (wanting := [at for at in range(fitting) if shares[at] < counts[at]]):
        for at in wanting[:left]:
            shares[at] += 1
        left -= min(left, len(wanting))
    return shares


def _tables(state: Mapping[str, Any], *, narrow: bool) -> Iterator[Rows]:
    yield Rows(
        f"alerts: {state['alerts']['states']}",
        ("severity", "alert", "of", "state", "what"),
        [
            (
                _level(each["labels"].get("severity", "warning")),
                each["labels"]["alertname"],
                ", ".join(value for name, value in each["labels"].items() if name not in _SAID),
                _care(each),
                each["annotations"].get("summary", ""),
            )
            for each in state["alerts"]["firing"]
        ],
        _unlisted(state["alerts"], "firing"),
    )
    yield Rows(
        "objectives",
        ("state", "objective", "target", "actual", "budget left", "burn rates"),
        [
            (
                _level(each["status"]),
                each["id"],
                exact_percent(each["target"]),
                attained(each["actual"], each["target"]),
                _bar(each["remaining"]),
                _burns(each["burn_rates"][:1] if narrow else each["burn_rates"]),
            )
            for each in state["slos"]["slos"]
        ],
        _unlisted(state["slos"], "slos"),
        needed=(0, 1, 4),
    )
    yield Rows(
        "breakers of this worker",
        ("state", "breaker", "failures", "refused", "opened"),
        [
            (
                _level(each["state"]),
                each["path"],
                f"{each['failures']} of {each['calls']}",
                str(each["rejected"]),
                str(each["opened"]),
            )
            for each in state["policies"]["breakers"]
        ],
        _unlisted(state["policies"], "breakers"),
    )
    yield Rows(
        "health of this worker",
        ("state", "check", "detail"),
        [(_level(each["status"]), each["name"], each["detail"]) for each in state["health"]["checks"]],
        _unlisted(state["health"], "checks"),
    )


def _widths(longest: Sequence[int], width: int) -> list[int]:
    """How wide columns are: what there is no room for is taken from the last one, then from the widest.

    Example:
        >>> _widths([10, 15, 40], 80), _widths([10, 15, 40], 50), _widths([10, 60, 40], 50)
        ([10, 15, 40], [10, 15, 21], [10, 28, 8])
    """
    widths = list(longest)
    room = width - _GAP * (len(widths) - 1)
    widths[-1] = max(min(widths[-1], _NARROWEST), min(widths[-1], room - sum(widths[:-1])))
    while sum(widths) > room and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    return widths


def _unlisted(panel: Mapping[str, Any], name: str) -> int:
    return int(panel["counts"].get(name, 0)) - len(panel[name])


def _table(table: Rows, most: int, width: int, *, short: bool = False) -> RenderableType:
    """Lay out the first `most` rows of a table; a short one has no headers, and says in its title what is left out."""
    from rich.console import Group  # noqa: PLC0415  an extra
    from rich.table import Table  # noqa: PLC0415  an extra
    from rich.text import Text  # noqa: PLC0415  same

    if width < _SMALL:
        table = table.essential()
    left_out = len(table.rows[most:]) + table.unlisted
    made = Table(
        show_header=not short,
        caption_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, _GAP, 0, 0),
        expand=False,
    )
    longest = [
        max(
            0 if short else len(header),
            *(len(row[place] if place else Text.from_markup(row[0])) for row in table.rows[:most]),
        )
        for place, header in enumerate(table.headers)
    ]
    for header, wide in zip(table.headers, _widths(longest, width), strict=True):
        made.add_column(header, header_style="dim", overflow="ellipsis", no_wrap=True, width=wide)
    for row in table.rows[:most]:
        # Names and messages are anybody's: as texts they cannot be markup.
        made.add_row(row[0], *(Text(_printable(cell)) for cell in row[1:]))
    if left_out and not short:
        made.caption = f"and {left_out:,} more"
    title = f"{table.title}, {most:,} of {most + left_out:,}" if short and left_out else table.title
    # A line of its own: the title of a table is wrapped to the table's width.
    return Group(Text(_printable(title), style="italic", no_wrap=True, overflow="ellipsis"), made)


def _traffic(state: Mapping[str, Any]) -> str:
    now = state["now"]["charts"]
    rate = sum(value or 0 for value in now["traffic"].values())
    parts = [
        f"{quantity(float(rate))} requests/s",
        f"errors {percent(now['errors'].get('errors'), 2, up=True)}",
    ]
    parts += [f"{name} {duration(value)}" for name, value in now["latency"].items() if value is not None]
    return "   ".join(parts)


def _care(alert: Mapping[str, Any]) -> str:
    """Return what is being done about an alert."""
    if alert["acknowledged_by"]:
        return f"acknowledged by {alert['acknowledged_by']}"
    return alert_state(alert["silenced_by"], alert["inhibited_by"])


def _urgency(row: Sequence[str]) -> int:
    """Return the rank of a row by its first cell, a status with its mark; the worst is 0."""
    level = next((level for level, mark in _MARKS.items() if f"{mark} " in row[0]), "unknown")
    return _RANKS[level]


def _level(word: str) -> str:
    level = _LEVELS.get(word, word)
    return f"[{_STYLES.get(level, 'dim')}]{_MARKS.get(level, '◇')} {_safe(words(word))}[/]"


def _bar(remaining: float | None) -> str:
    """Draw a budget.

    Example:
        >>> _bar(0.5), _bar(-115.7), _bar(None)
        ('█████░░░░░ 50%', '░░░░░░░░░░ -11,570%', '—')
    """
    if remaining is None:
        return NOTHING
    full = math.floor(10 * bar_ratio(remaining))
    return f"{'█' * full}{'░' * (10 - full)} {percent(remaining)}"


def _burns(rates: Sequence[Mapping[str, Any]]) -> str:
    shown = (f"{each['window']} {burn_rate(each['rate'])}" for each in rates if each["rate"] is not None)
    return "  ".join(shown) or NOTHING


def _printable(text: str) -> str:
    r"""A text without what a terminal takes as an order.

    Example:
        >>> _printable("a\x1b[2Jb")
        'a?[2Jb'
    """
    return "".join(each if each.isprintable() else "?" for each in text)


def _safe(text: object) -> str:
    from rich.markup import escape  # noqa: PLC0415  an extra

    return escape(_printable(str(text)))
