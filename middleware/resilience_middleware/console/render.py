"""HTML of plain data: everything is escaped, and what is drawn is SVG, since the page allows no inline style."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from resilience.core.moments import utc
from resilience_middleware.console.draw import heat_svg, lines_svg, spark_svg, top_of
from resilience_middleware.console.view import View

__all__ = ["Renderer"]

_NOTHING: Final = "\N{EN DASH}"
_MINUS: Final = "\N{MINUS SIGN}"
_THOUSAND_PERCENT: Final = 10.0
_SHORT, _LONG = 400, 4000  # characters of a text, beside all panels and where one has the page
_UNKNOWN_TIME: Final = "unknown time"  # stored by something else, or before such times were refused
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
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
            moment=moment,
            iso=iso,
            figure=figure,
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


def percent(ratio: float | None, digits: int = 2) -> str:
    """Return a ratio as a percentage, with no more digits than it needs; never rounded up to 100.

    Example:
        >>> percent(0.999), percent(0.99999), percent(1), percent(12.5)
        ('99.9%', '99.99%', '100%', '1,250%')
    """
    if ratio is None:
        return _NOTHING
    if abs(ratio) >= _THOUSAND_PERCENT:
        return f"{ratio * 100:,.0f}%".replace("-", _MINUS)
    scale = 10**digits
    hundred = math.floor(round(ratio * 100 * scale, 6)) / scale if ratio < 1 else ratio * 100
    shown = f"{hundred:.{digits}f}"
    return (shown.rstrip("0").rstrip(".") if digits else shown).replace("-", _MINUS) + "%"


def duration(seconds: float | None) -> str:
    """Return seconds in the two largest units.

    Example:
        >>> duration(180_000), duration(59), duration(0.012), duration(None)
        ('2 d 2 h', '59 s', '12 ms', 'never')
    """
    if seconds is None or not math.isfinite(seconds):
        return "never" if seconds is None else _UNKNOWN_TIME
    if 0 < seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    left, parts = int(seconds), []
    for size, unit in _UNITS:
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2]) or "0 s"


def moment(unix: float) -> str:
    """Return the time of day in UTC, with the date; the page's script shows the reader's own.

    Example:
        >>> moment(0), moment(1e300)
        ('1970-01-01 00:00:00', 'unknown time')
    """
    when = utc(unix)
    return _UNKNOWN_TIME if when is None else when.strftime("%Y-%m-%d %H:%M:%S")


def iso(unix: float) -> str:
    """Return a time as ISO 8601 has it, empty if no date can show it.

    Example:
        >>> iso(0), iso(1e300)
        ('1970-01-01T00:00:00+00:00', '')
    """
    when = utc(unix)
    return "" if when is None else when.isoformat(timespec="seconds")


def figure(value: object) -> str:
    """Return a number with three digits that say something, anything else as text.

    Example:
        >>> figure(14.3999), figure(1234567.0), figure(12)
        ('14.4', '1,234,567', '12')
    """
    if value is None:
        return _NOTHING
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004  three digits
    return f"{value:,}" if isinstance(value, int) else str(value)


def reading(value: float | None, unit: str) -> str:
    """Return a figure of a chart with its unit.

    Example:
        >>> reading(40.0, "rate"), reading(0.015, "ratio"), reading(0.25, "seconds")
        ('40/s', '1.5%', '250 ms')
    """
    if value is None:
        return _NOTHING
    if unit == "ratio":
        return percent(value)
    if unit == "seconds":
        return f"{figure(value * 1000)} ms" if value < 1 else f"{figure(value)} s"
    return f"{figure(value)}/s"


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


def words(name: object) -> str:
    """Return a name of code as words.

    Example:
        >>> words("half_open")
        'half open'
    """
    return str(name).replace("_", " ")


def mark(word: str) -> Markup:
    """Return the sign of a status: its shape says what its colour does."""
    found = level(word)
    return Markup('<span class="mark {}" aria-hidden="true">{}</span>').format(found, _WORDS[found])
