"""Charts as inline SVG: coloured by the page's style sheet, so that they follow dark mode and print."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from xml.sax.saxutils import escape, quoteattr

from resilience.core.humanize import bar_ratio, date, exact_percent, percent, timestamp
from resilience.reports.model import Heat

__all__ = ["budget_bar", "budget_chart", "compliance_chart", "latency_chart"]

_WIDTH, _HEIGHT = 560, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 14, 12, 24
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_WIDE = 1150  # a chart that has the page's width for itself
_DAYS_SHOWN = 3  # a longer period is labelled by days
_DAY = 86_400
_ROWS = 4
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def compliance_chart(
    points: Sequence[tuple[float, float | None]],
    target: float,
    spans: Iterable[tuple[float, float | None]] = (),
) -> str:
    """Draw the share of good events over time, and the target.

    Args:
        points: Unix seconds and ratio, oldest first; None where there were no events.
        target: the promised ratio.
        spans: stretches to shade, when something was wrong; None for one that goes on.

    Example:
        >>> compliance_chart([(0, 0.99), (60, None)], target=0.999).startswith("<svg")
        True
    """
    known = [value for _, value in points if value is not None]
    # From 100% down to what was worst, at least twice the budget: else an untroubled line would look like a cliff.
    low = max(0.0, min([*known, 1 - 2 * (1 - target)]))
    return _line_chart(
        "Compliance over time",
        points,
        low=low,
        mark=target,
        mark_label=f"target {exact_percent(target)}",
        spans=spans,
    )


def budget_chart(
    points: Sequence[tuple[float, float]], spans: Iterable[tuple[float, float | None]] = ()
) -> str:
    """Draw the share of the error budget that was left.

    Args:
        points: Unix seconds and share, oldest first; negative once overspent.
        spans: stretches to shade, when something was wrong; None for one that goes on.

    Example:
        >>> "Error budget" in budget_chart([(0, 1.0), (60, -0.2)])
        True
    """
    low = min([0.0, *(value for _, value in points)])
    return _line_chart("Error budget left", points, low=low, mark=0.0, mark_label="spent", spans=spans)


def budget_bar(remaining: Decimal | None) -> str:
    """Draw how much of an error budget is left as a bar; it is empty once the budget is spent.

    Args:
        remaining: share of the budget, None where that is not known.

    Example:
        >>> 'width="25' in budget_bar(Decimal("0.25"))
        True
    """
    left = bar_ratio(remaining)
    full = f'<rect class="fill" width="{100 * left:.1f}" height="6" rx="3"/>' if left else ""
    told = quoteattr(f"{percent(remaining)} of the error budget left")
    return (
        f'<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label={told}>'
        f'<rect class="track" width="100" height="6" rx="3"/>{full}</svg>'
    )


def latency_chart(heat: Heat) -> str:
    """Draw how many requests took how long: the darker, the more.

    Args:
        heat: the counts.

    Example:
        >>> latency_chart(Heat([60, 120], [0.1, math.inf], [[5, 0], [1, 2]])).count("<rect")
        3
    """
    most = max((count for row in heat.counts for count in row), default=0.0)
    return _svg("Latency", [*_heat_rows(heat, most), *_time_axis(heat.times, _WIDE)], _WIDE)


def _line_chart(
    title: str,
    points: Sequence[tuple[float, float | None]],
    *,
    low: float,
    mark: float,
    mark_label: str,
    spans: Iterable[tuple[float, float | None]],
) -> str:
    high = 1.0
    step = _nice((high - low) / _ROWS)
    low = math.floor(low / step + 1e-9) * step
    times = [at for at, _ in points]
    x = _scale(times[0] if times else 0.0, times[-1] if times else 0.0, _LEFT, _LEFT + _PLOT_WIDTH)
    y = _scale(low, high, _TOP + _PLOT_HEIGHT, _TOP)
    parts = [*_shades(spans, times, x), *_value_axis(low, high, step, y)]
    base = y(max(low, 0.0))
    for run in _runs(points):
        line = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in run)
        if len(run) == 1:
            (at, value), *_ = run
            parts.append(f'<circle class="dot" cx="{x(at):.1f}" cy="{y(value):.1f}" r="2"/>')
            continue
        first, last = x(run[0][0]), x(run[-1][0])
        parts.append(f'<polygon class="area" points="{first:.1f},{base:.1f} {line} {last:.1f},{base:.1f}"/>')
        parts.append(f'<polyline class="line" points="{line}"/>')
    height = y(mark)
    parts.append(
        f'<line class="mark" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>'
    )
    above = height - 4 if height > _TOP + 14 else height + 12
    parts.append(
        f'<text class="mark-label" x="{_WIDTH - _RIGHT - 2}" y="{above:.1f}">{escape(mark_label)}</text>'
    )
    parts += _time_axis(times)
    parts += _hints(points, x)
    return _svg(title, parts)


def _shades(
    spans: Iterable[tuple[float, float | None]], times: Sequence[float], x: Callable[[float], float]
) -> Iterator[str]:
    """Shade stretches of time, however short, where they can be seen."""
    for started, ended in spans:
        if not times or started > times[-1] or (ended is not None and ended < times[0]):
            continue
        left = x(max(started, times[0]))
        width = max(3.0, x(times[-1] if ended is None else min(ended, times[-1])) - left)
        left = min(left, _LEFT + _PLOT_WIDTH - width)
        yield (f'<rect class="span" x="{left:.1f}" y="{_TOP}" width="{width:.1f}" height="{_PLOT_HEIGHT}"/>')


def _runs(points: Sequence[tuple[float, float | None]]) -> Iterator[list[tuple[float, float]]]:
    """Split where there is nothing: a line across a gap would say what nobody knows."""
    run: list[tuple[float, float]] = []
    for at, value in points:
        if value is not None:
            run.append((at, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _hints(points: Sequence[tuple[float, float | None]], x: Callable[[float], float]) -> Iterator[str]:
    """What a pointer over the chart tells."""
    width = _PLOT_WIDTH / max(1, len(points) - 1)
    for at, value in points:
        told = escape(f"{timestamp(at, seconds=False)}: {percent(value, 3)}")
        yield (
            f'<rect class="hint" x="{x(at) - width / 2:.1f}" y="{_TOP}" width="{width:.1f}" height="{_PLOT_HEIGHT}">'
            f"<title>{told}</title></rect>"
        )


def _value_axis(low: float, high: float, step: float, y: Callable[[float], float]) -> Iterator[str]:
    for index in range(round((high - low) / step) + 1):
        value = low + index * step
        height = y(value)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>'
        yield f'<text class="value" x="{_LEFT - 8}" y="{height + 3.5:.1f}">{exact_percent(round(value, 9))}</text>'


def _time_axis(times: Sequence[float], width: int = _WIDTH) -> Iterator[str]:
    plot = width - _LEFT - _RIGHT
    if not times:
        yield f'<text class="empty" x="{_LEFT + plot / 2}" y="{_HEIGHT / 2}">no data</text>'
        return
    days = times[-1] - times[0] >= _DAYS_SHOWN * _DAY
    places = ((0, "start"), (len(times) // 2, "middle"), (len(times) - 1, "end"))
    for index, anchor in places if len(times) > len(places) else places[:1]:
        share = index / max(1, len(times) - 1)
        shown = date(times[index]) if days else timestamp(times[index], seconds=False)[5:16]
        yield (
            f'<text class="time" text-anchor="{anchor}" x="{_LEFT + share * plot:.1f}" y="{_HEIGHT - 6}">'
            f"{shown}</text>"
        )


def _heat_rows(heat: Heat, most: float) -> Iterator[str]:
    width = (_WIDE - _LEFT - _RIGHT) / max(1, len(heat.times))
    height = _PLOT_HEIGHT / max(1, len(heat.bounds))
    every = math.ceil(len(heat.bounds) / 6)
    for row, (bound, counts) in enumerate(zip(heat.bounds, heat.counts, strict=True)):
        top = _TOP + _PLOT_HEIGHT - (row + 1) * height
        name = _at_most(bound)
        if row % every == 0:
            yield f'<text class="value" x="{_LEFT - 8}" y="{top + height / 2 + 3.5:.1f}">{escape(name)}</text>'
        for column, count in enumerate(counts):
            if count > 0:
                # By the logarithm: the slow few are what one looks for.
                weight = math.log1p(count) / math.log1p(most)
                told = escape(f"{timestamp(heat.times[column], seconds=False)}, {name}: {count:,.0f}")
                yield (
                    f'<rect class="cell" x="{_LEFT + column * width:.1f}" y="{top:.1f}" width="{width + 0.2:.1f}" '
                    f'height="{height + 0.2:.1f}" fill-opacity="{weight:.2f}"><title>{told}</title></rect>'
                )


def _at_most(seconds: float) -> str:
    if math.isinf(seconds):
        return "longer"
    return f"≤ {seconds:g} s" if seconds >= 1 else f"≤ {1000 * seconds:g} ms"


def _svg(title: str, parts: Sequence[str], width: int = _WIDTH) -> str:
    return f'<svg viewBox="0 0 {width} {_HEIGHT}" role="img" aria-label={quoteattr(title)}>{"".join(parts)}</svg>'


def _scale(start: float, end: float, low: float, high: float) -> Callable[[float], float]:
    span = end - start
    return lambda value: low + (high - low) * ((value - start) / span if span else 1.0)


def _nice(step: float) -> float:
    """Round a distance up to one that people count in."""
    if step <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(step))
    return next(size * factor for factor in _STEPS if size * factor >= step * (1 - 1e-9))
