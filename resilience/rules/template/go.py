"""The functions that Go's text/template has by itself.

Source: the documentation of Go's package text/template.
"""

from __future__ import annotations

import html
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from resilience.rules.template.base import Context, Failed, Functions, Sample, text
from resilience.rules.template.format import default, join, printf

__all__ = ["FUNCTIONS", "truth"]

FUNCTIONS = Functions()


def truth(value: object) -> bool:
    """Whether Go takes a value as true: not zero, not empty."""
    return bool(value) if not isinstance(value, Sample) else True


@FUNCTIONS.define("and", 1, None)
def _and(_: Context, *values: object) -> object:
    return next((value for value in values if not truth(value)), values[-1])


@FUNCTIONS.define("or", 1, None)
def _or(_: Context, *values: object) -> object:
    return next((value for value in values if truth(value)), values[-1])


@FUNCTIONS.define("not", 1)
def _not(_: Context, value: object) -> bool:
    return not truth(value)


def _comparable(left: object, right: object) -> None:
    if type(left) is not type(right) or not isinstance(left, str | int | float | bool):
        raise Failed("incompatible types for comparison")


@FUNCTIONS.define("eq", 2, None)
def _eq(_: Context, left: object, *others: object) -> bool:
    for other in others:
        _comparable(left, other)
    return left in others


@FUNCTIONS.define("ne", 2)
def _ne(_: Context, left: object, right: object) -> bool:
    _comparable(left, right)
    return left != right


def _ordering(name: str, compare: Callable[[Any, Any], bool]) -> None:
    @FUNCTIONS.define(name, 2)
    def ordered(_: Context, left: object, right: object) -> bool:
        _comparable(left, right)
        if isinstance(left, bool):
            raise Failed("invalid type for comparison")
        return compare(left, right)


_ordering("lt", lambda left, right: left < right)
_ordering("le", lambda left, right: left <= right)
_ordering("gt", lambda left, right: left > right)
_ordering("ge", lambda left, right: left >= right)


@FUNCTIONS.define("len", 1)
def _len(_: Context, value: object) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping | list):
        return len(value)
    raise Failed(f"len of {default(value)}")


@FUNCTIONS.define("index", 1, None)
def _index(_: Context, value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, Mapping) and isinstance(key, str):
            value = value.get(key, "")
        elif isinstance(value, list) and isinstance(key, int) and not isinstance(key, bool):
            if not 0 <= key < len(value):
                raise Failed(f"index out of range: {key}")
            value = value[key]
        else:
            raise Failed(f"can't index {default(value)} by {default(key)}")
    return value


@FUNCTIONS.define("print", 0, None)
def _print(_: Context, *values: object) -> str:
    return join(values)


@FUNCTIONS.define("println", 0, None)
def _println(_: Context, *values: object) -> str:
    return " ".join(map(default, values)) + "\n"


@FUNCTIONS.define("printf", 1, None)
def _printf(_: Context, form: object, *values: object) -> str:
    return printf(text(form), values)


@FUNCTIONS.define("html", 0, None)
def _html(_: Context, *values: object) -> str:
    return html.escape(join(values)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


@FUNCTIONS.define("urlquery", 0, None)
def _urlquery(_: Context, *values: object) -> str:
    return urllib.parse.quote_plus(join(values))
