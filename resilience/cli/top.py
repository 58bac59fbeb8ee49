"""See at a glance how a service is, again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from resilience.cli.desk import HERE, Service
from resilience.cli.output import json_option, print_json
from resilience.errors import MissingExtra, ResilienceError

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["top"]

_STYLES: Final = {"good": "green", "warning": "yellow", "critical": "bold red"}
_MARKS: Final = {"good": "●", "warning": "▲", "critical": "■"}
_LEVELS: Final = {
    "meeting": "good", "at_risk": "warning", "breached": "critical",
    "closed": "good", "half_open": "warning", "open": "critical", "forced_open": "critical",
    "healthy": "good", "degraded": "warning", "unhealthy": "critical",
    "page": "critical",
}  # fmt: skip
_MOST: Final = 20  # rows of a table: a terminal does not scroll


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
        console.print(view(asyncio.run(_look(url, token))))
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        asyncio.run(_watch(url, token, interval, live))


async def _look(url: str, token: str | None) -> Mapping[str, Any]:
    async with Service(url, token) as service:
        return await service.state()


async def _watch(url: str, token: str | None, interval: float, live: Any) -> None:
    async with Service(url, token) as service:
        while True:
            started = time.monotonic()
            try:
                shown = view(await service.state())
            except ResilienceError as error:
                shown = f"[bold red]■[/] {_safe(error)}"
            live.update(shown, refresh=True)
            await asyncio.sleep(max(0.0, started + interval - time.monotonic()))


def view(state: Mapping[str, Any]) -> RenderableType:
    """Lay out what the console's `state.json` says.

    Args:
        state: the figures of all panels.
    """
    from rich.console import Group  # noqa: PLC0415  an extra
    from rich.padding import Padding  # noqa: PLC0415  same
    from rich.panel import Panel  # noqa: PLC0415  same

    overall = state["overall"]
    style = _STYLES.get(overall["level"], "")
    facts = [_safe(overall["worker"])]
    if overall["paged"]:
        facts.insert(0, f"told: {_safe(', '.join(overall['paged']))}")
    head = f"[{style}]{_MARKS.get(overall['level'], '◇')} {_safe(overall['headline'])}[/]\n[dim]{'   '.join(facts)}[/]\n{_traffic(state)}"
    return Group(
        Panel(head, title=_safe(state["service"]), title_align="left", border_style=style),
        *(Padding(each, (1, 0, 0, 0)) for each in _tables(state)),
    )


def _tables(state: Mapping[str, Any]) -> list[RenderableType]:
    found = []
    if firing := state["alerts"]["firing"]:
        rows = [
            [
                _level(each["labels"].get("severity", "warning")),
                each["labels"]["alertname"],
                each["annotations"].get("summary", ""),
                each["acknowledged_by"] or "-",
            ]
            for each in firing
        ]
        found.append(_table("alerts", ("severity", "alert", "what", "taken over by"), rows))
    if slos := state["slos"]["slos"]:
        rows = [
            [
                _level(each["status"]),
                each["id"],
                _percent(each["target"]),
                _percent(each["actual"]),
                _bar(each["remaining"]),
                _burns(each),
            ]
            for each in slos
        ]
        found.append(
            _table(
                "objectives", ("state", "objective", "target", "actual", "budget left", "burn rates"), rows
            )
        )
    if breakers := state["policies"]["breakers"]:
        rows = [
            [
                _level(each["state"]),
                each["path"],
                f"{each['failures']} of {each['calls']}",
                str(each["rejected"]),
                str(each["opened"]),
            ]
            for each in breakers
        ]
        found.append(
            _table("breakers of this worker", ("state", "breaker", "failures", "refused", "opened"), rows)
        )
    if checks := state["health"]["checks"]:
        rows = [[_level(each["status"]), each["name"], each["detail"]] for each in checks]
        found.append(_table("health of this worker", ("state", "check", "detail"), rows))
    return found


def _table(title: str, headers: tuple[str, ...], rows: list[list[str]]) -> RenderableType:
    from rich.table import Table  # noqa: PLC0415  an extra
    from rich.text import Text  # noqa: PLC0415  same

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, expand=False)
    for header in headers:
        table.add_column(header, header_style="dim", overflow="ellipsis", no_wrap=True)
    for row in rows[:_MOST]:
        # Names and messages are anybody's: as texts they cannot be markup.
        table.add_row(row[0], *(Text(_printable(cell)) for cell in row[1:]))
    if len(rows) > _MOST:
        table.caption = f"and {len(rows) - _MOST} more"
    return table


def _traffic(state: Mapping[str, Any]) -> str:
    now = state["now"]["charts"]
    rate = sum(value or 0 for value in now["traffic"].values())
    parts = [f"{rate:.1f} requests/s", f"errors {_percent(now['errors'].get('errors'))}"]
    parts += [f"{name} {value * 1000:.3g} ms" for name, value in now["latency"].items() if value is not None]
    return "   ".join(parts)


def _level(word: str) -> str:
    level = _LEVELS.get(word, word)
    return f"[{_STYLES.get(level, 'dim')}]{_MARKS.get(level, '◇')} {_safe(word.replace('_', ' '))}[/]"


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{100 * ratio:.4g}%"


def _bar(remaining: float | None) -> str:
    if remaining is None:
        return "-"
    full = round(10 * min(1.0, max(0.0, remaining)))
    return f"{'█' * full}{'░' * (10 - full)} {_percent(remaining)}"


def _burns(slo: Mapping[str, Any]) -> str:
    return "  ".join(
        f"{each['window']} {each['rate']:.3g}x" for each in slo["burn_rates"] if each["rate"] is not None
    )


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
