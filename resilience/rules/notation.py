"""The series notation of promtool's unit tests: `up{job="shop"}` with the values `0+10x3 _ stale`.

Source: Prometheus' documentation, "Unit testing for rules".
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from resilience.core.ports import Labels
from resilience.core.validate import shown
from resilience.errors import ConfigError
from resilience.promql.labels import NAME

__all__ = ["STALE", "Value", "expand_values", "parse_series"]

STALE: Literal["stale"] = "stale"
"""Where a series ends."""

Value: TypeAlias = float | Literal["stale"] | None
"""A sample, the end of a series, or None where nothing is scraped."""

_MAX_VALUES = 1_000_000
# No hexadecimal, as in promtool: 0x5 is five more zeros. And no number is repeated that is spelt: "infx2" is one word.
_NUMBER = r"(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|(?:[iI][nN][fF]|[nN][aA][nN])(?!x))"
_ITEM = re.compile(rf"(?P<blank>_)|(?P<first>[+-]?{_NUMBER})(?P<step>[+-]{_NUMBER})?")
_TIMES = re.compile(r"x(\d{1,9})")
_STRING = r'"(?:[^"\\\n]|\\.)*"' + r"|'(?:[^'\\\n]|\\.)*'|`[^`]*`"
# A label with its value, or the metric's name alone; names in quotation marks are those of Prometheus 3.
_PART = re.compile(rf"\s*(?:(?:([a-zA-Z_]\w*)|({_STRING}))\s*=\s*)?({_STRING})\s*(,|$)")
_SERIES = re.compile(r"([a-zA-Z_:][\w:]*)?\s*(?:\{(.*)\})?", re.DOTALL)
_NUMBERS = ("inf", "nan")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def parse_series(text: str) -> Labels:
    """Read the description of one series.

    Args:
        text: a metric's name, labels in braces, or both; `{"http.requests", "http.code"="200"}` for other names.

    Returns:
        its label set, the name as `__name__`.

    Raises:
        ConfigError: it is not such a description.

    Example:
        >>> parse_series('up{job="shop"}')
        (('__name__', 'up'), ('job', 'shop'))
    """
    match = _SERIES.fullmatch(text.strip())
    labels: dict[str, str] = {}
    if match is not None:
        name = match[1] or ""
        if name:
            labels[NAME] = name
        inner, position = (match[2] or "").strip(), 0
        while position < len(inner) and (part := _PART.match(inner, position)):
            label = part[1] or (_unquoted(part[2]) if part[2] else NAME)
            if label in labels:
                break
            labels[label] = _unquoted(part[3])
            position = part.end()
        if position >= len(inner) and name.lower() not in _NUMBERS:
            return tuple(sorted((name, value) for name, value in labels.items() if value))
    message = f'expected a series such as up{{job="shop"}}, got {shown(text)}'
    raise ConfigError(message)


def expand_values(text: str) -> list[Value]:
    """Read the values of one series.

    Args:
        text: items between spaces: a number; `_` for none; `stale`; `axn` for a and n more of it; `a+bxn` or
            `a-bxn` for a and n more, each b above or below the one before; `_xn` for n times none.

    Raises:
        ConfigError: it is not such a list, or has more than a million values.

    Example:
        >>> expand_values("0+10x3 _ 5 stale 1x1")
        [0.0, 10.0, 20.0, 30.0, None, 5.0, 'stale', 1.0, 1.0]
    """
    values: list[Value] = []
    for item in text.split():
        if item == "stale":
            values.append(STALE)
        else:
            values.extend(_item(item, _MAX_VALUES - len(values)))
        if len(values) > _MAX_VALUES:
            raise _too_many()
    return values


def _item(item: str, left: int) -> list[Value]:
    match = _ITEM.match(item)
    rest = item[match.end() :] if match else item
    times = _TIMES.fullmatch(rest)
    if match is None or (rest and times is None) or (match["step"] and times is None):
        hint = "; native histograms are not supported" if "{{" in item else ""
        message = f"{item!r} is no value of a series{hint}"
        raise ConfigError(message)
    count = int(times[1]) if times else 0
    if count > left:
        raise _too_many()
    if match["blank"]:
        return [None] * (count if times else 1)
    value, step = float(match["first"]), float(match["step"] or "0")
    values: list[Value] = [value]
    for _ in range(count):
        value += step  # one by one, as promtool does: the rounding is the same then
        values.append(value)
    return values


def _too_many() -> ConfigError:
    message = f"a series of a test has at most {_MAX_VALUES} values"
    return ConfigError(message)


def _unquoted(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text[1:-1])
