"""What is drawn without any script: lines, heat and sparklines as SVG, since the page allows no inline style."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from markupsafe import Markup

__all__ = ["heat_svg", "lines_svg", "spark_svg", "top_of"]

_WIDTH: Final = 600
_HEIGHT: Final = 120
_COLUMNS: Final = 30
_SHADES: Final = 5
_SPARK_WIDTH: Final = 96
_SPARK_HEIGHT: Final = 24
_SPARK_POINTS: Final = 40  # a point for every other pixel; the last is always among them
_DEEPEST: Final = -1.0  # a budget spent twice over is drawn no deeper: nothing else could be seen beside it

# The picture is stretched to the width that there is; markers stand beside it, so that their words are not.
_FRAME: Final = Markup(
    '<svg class="plain" role="img" aria-label="{}">'
    '<svg width="100%" height="100%" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>{}</svg>'
)
_MARKER: Final = Markup(
    '<g class="marker"><title>{}</title><line x1="{:.1f}%" x2="{:.1f}%" y2="100%"/>'
    '<text x="{:.1f}%" dx="{}" y="11"{}>{}</text></g>'
)
_LONGEST_MARKER: Final = 16
_TURNS: Final = 0.7  # from there on the words of a marker stand on its left

Marker: TypeAlias = tuple[float, str]
"""A marker: how far from the left it stands, from 0 to 1, and what it says."""


def lines_svg(
    series: Mapping[str, Sequence[float | None]], title: str, markers: Sequence[Marker] = ()
) -> Markup:
    """Draw lines from zero up to the largest value.

    Args:
        series: values by name, None where there is none.
        title: what it is, for who cannot see it.
        markers: what is marked in it.

    Example:
        >>> str(lines_svg({"all": [0.0, None, 2.0]}, "Traffic")).count("<polyline")
        2
    """
    top = top_of(series)
    lines = Markup().join(
        _line(
            f"line s-{name}",
            [
                None if value is None else _HEIGHT - 2 - max(0.0, value) / top * (_HEIGHT - 6)
                for value in values
            ],
            _WIDTH,
        )
        for name, values in series.items()
    )
    return _framed(title, lines, markers)


def top_of(series: Mapping[str, Sequence[float | None]]) -> float:
    """Return the value at the top of a chart of lines."""
    known = (value for values in series.values() for value in values if value is not None)
    return max(known, default=0.0) or 1.0


def heat_svg(
    rows: Mapping[str, Sequence[float | None]], title: str, markers: Sequence[Marker] = ()
) -> Markup:
    """Draw a row of cells for each series, the first at the bottom, darker where it is more.

    Args:
        rows: values by name.
        title: what it is, for who cannot see it.
        markers: what is marked in it.

    Example:
        >>> str(heat_svg({"0.1": [1.0, 4.0], "0.5": [0.0, None]}, "Requests")).count("M")
        2
    """
    wide, high = _WIDTH / _COLUMNS, _HEIGHT / max(1, len(rows))
    columns = {name: _thinned(values) for name, values in rows.items()}
    most = max((value for values in columns.values() for value in values), default=0.0) or 1.0
    shades: dict[int, list[str]] = {}
    for row, values in enumerate(columns.values()):
        top = _HEIGHT - (row + 1) * high
        for column, value in enumerate(values):
            if value:
                shade = 1 + min(_SHADES - 1, int(_SHADES * (value / most) ** 0.5))
                shades.setdefault(shade, []).append(
                    f"M{column * wide:g} {top:.1f}h{wide:g}v{high - 1:.1f}h-{wide:g}z"
                )
    cells = Markup().join(
        Markup('<path class="h{}" d="{}"/>').format(shade, "".join(shades[shade])) for shade in sorted(shades)
    )
    return _framed(title, cells, markers)


def spark_svg(values: Sequence[float | None], level: str, title: str) -> Markup:
    """Draw the course of a budget, from all of it at the top to none at the line, and below that what was overspent.

    Args:
        values: ratios, None where there is none; the last is now.
        level: how bad it is, which says the colour.
        title: what it is, for who cannot see it.

    Example:
        >>> str(spark_svg([1.0, 0.5], "good", "Budget left")).count("<polyline")
        1
    """
    values = values[::-1][:: max(1, math.ceil(len(values) / _SPARK_POINTS))][::-1]
    shown = [None if value is None else min(1.0, max(_DEEPEST, value)) for value in values]
    low = min((value for value in shown if value is not None), default=0.0)
    scale = (_SPARK_HEIGHT - 4) / (1 - min(0.0, low))
    heights = [None if value is None else 2 + (1 - value) * scale for value in shown]
    known = [(place, height) for place, height in enumerate(heights) if height is not None]
    parts = Markup('<path class="zero" d="M0 {:.1f}H{}"/>').format(2 + scale, _SPARK_WIDTH)
    parts += _line("course", heights, _SPARK_WIDTH - 3)
    if known:
        place, height = known[-1]
        across = place / max(1, len(values) - 1) * (_SPARK_WIDTH - 3)
        parts += Markup('<circle cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(across, height)
    return Markup('<svg class="spark {}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        level, _SPARK_WIDTH, _SPARK_HEIGHT, title, parts
    )


def _framed(title: str, picture: Markup, markers: Sequence[Marker]) -> Markup:
    said = ", ".join(text for _, text in markers)
    drawn = Markup().join(
        _MARKER.format(
            text,
            *[share * 100] * 3,
            *((-4, Markup(' text-anchor="end"')) if share > _TURNS else (4, "")),
            text if len(text) <= _LONGEST_MARKER else f"{text[: _LONGEST_MARKER - 1]}…",
        )
        for share, text in markers
    )
    return _FRAME.format(f"{title}; deployed: {said}" if said else title, _WIDTH, _HEIGHT, picture, drawn)


def _line(kind: str, heights: Sequence[float | None], width: float) -> Markup:
    """One polyline for each stretch without a gap; a single point is a dash that can be seen."""
    across = width / max(1, len(heights) - 1)
    stretches: list[list[str]] = [[]]
    for place, height in enumerate(heights):
        if height is None:
            stretches.append([])
        else:
            stretches[-1].append(f"{place * across:.3g},{height:.3g}")
    return Markup().join(
        Markup('<polyline class="{}" points="{}"/>').format(kind, " ".join(points * (1 + (len(points) == 1))))
        for points in stretches
        if points
    )


def _thinned(values: Sequence[float | None]) -> list[float]:
    """The largest value of each column."""
    count = max(1, len(values))
    found = [0.0] * _COLUMNS
    for place, value in enumerate(values):
        column = place * _COLUMNS // count
        found[column] = max(found[column], value or 0.0)
    return found
