"""HTML of plain data: everything is escaped, and what is drawn is SVG, since the page allows no inline style."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from resilience.core.humanize import (
    NOTHING,
    attained,
    bar_ratio,
    burn_rate,
    duration,
    exact_percent,
    percent,
    quantity,
    timestamp,
    words,
)
from resilience.core.moments import utc
from resilience_middleware.console.draw import heat_svg, lines_svg, spark_svg, top_of
from resilience_middleware.console.settings import indicator
from resilience_middleware.console.view import View

__all__ = ["Renderer"]

_SHORT, _LONG = 400, 4000  # characters of a text, beside all panels and where one has the page
_WORDS: Final = {
    "good": "●", "warning": "▲", "critical": "■", "unknown": "◇",
}  # fmt: skip
_LEVELS: Final = {
    "meeting": "good", "at_risk": "warning", "breached": "critical", "no_data": "unknown",
    "closed": "good", "half_open": "warning", "open": "critical", "forced_open": "critical",
    "disabled": "unknown", "metrics_only": "unknown",
    "healthy": "good", "degraded": "warning", "unhealthy": "critical",
    "fired": "critical", "undelivered": "critical", "resolved": "good",
    "info": "unknown", "page": "critical",
}  # fmt: skip


class Renderer:
    """Makes the pages and panels of their templates.

    Example:
        >>> nothing = {"events": [], "counts": {"events": 0}, "left_out": 0, "pages": 1, "worker": "worker 1"}
        >>> html = Renderer().panel("events", nothing, View())
        >>> "Nothing has happened" in html
        True
    """

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("resilience_middleware.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            percent=percent,
            duration=duration,
            timestamp=timestamp,
            attained=attained,
            exact_percent=exact_percent,
            burn_rate=burn_rate,
            bar_ratio=bar_ratio,
            iso=iso,
            quantity=quantity,
            indicator=indicator,
            level=level,
            words=words,
            mark=mark,
            reading=reading,
            brief=brief,
        )
        self._environment.globals.update(
            heat_svg=heat_svg, lines_svg=lines_svg, spark_svg=spark_svg, top_of=top_of
        )

    def panel(self, name: str, data: Mapping[str, Any], view: View) -> str:
        """Return what stands inside a panel."""
        return self._environment.get_template(f"panels/{name}.html.j2").render(**data, view=view)

    def page(self, name: str, **data: object) -> str:
        """Return a whole page."""
        return self._environment.get_template(f"{name}.html.j2").render(**data)


def iso(unix: float) -> str:
    """Return a time as ISO 8601 has it, empty if no date can show it.

    Example:
        >>> iso(0), iso(1e300)
        ('1970-01-01T00:00:00+00:00', '')
    """
    when = utc(unix)
    return "" if when is None else when.isoformat(timespec="seconds")


def reading(value: float | None, unit: str) -> str:
    """Return a value of a chart with its unit.

    Args:
        value: the value.
        unit: `ratio` of errors, `seconds`, or `rate` a second.

    Example:
        >>> reading(40.0, "rate"), reading(0.015, "ratio"), reading(0.25, "seconds")
        ('40/s', '1.5%', '250ms')
    """
    if value is None:
        return NOTHING
    if unit == "ratio":
        return percent(value, 2, up=True)
    return duration(value) if unit == "seconds" else f"{quantity(value)}/s"


def brief(text: object, view: View) -> str:
    """Return a text of anybody's, no longer than there is room for beside the other panels.

    Example:
        >>> len(brief("a" * 1000, View())), len(brief("a" * 1000, View(part="alerts")))
        (400, 1000)
    """
    whole, most = str(text), _LONG if view.part else _SHORT
    return whole if len(whole) <= most else f"{whole[: most - 1]}…"


def level(word: str) -> str:
    """Return how bad a status, a state, a severity or a kind of event is: good, warning, critical or unknown."""
    return _LEVELS.get(word, word if word in _WORDS else "unknown")


def mark(word: str) -> Markup:
    """Return the sign of a status: its shape says what its colour does."""
    found = level(word)
    return Markup('<span class="mark {}" aria-hidden="true">{}</span>').format(found, _WORDS[found])
