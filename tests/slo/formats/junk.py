"""Whatever may stand in a file where something else was meant."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

_JUNK = (
    None,
    5,
    -1,
    0,
    "x",
    "",
    [],
    {},
    [1],
    {"a": 1},
    True,
    "1h",
    1e308,
    "{{window}}",
    "${",
    "1e999999999",
    "a" * 5000,
    math.nan,
)


def spoiled(document: Any) -> Iterator[Any]:
    """The document with each value of it, at any depth, replaced by each piece of junk."""
    for path in _places(document):
        for junk in _JUNK if path else ():
            yield _put(document, path, junk)


def _places(data: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    yield path
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inside:
        yield from _places(value, *path, key)


def _put(data: Any, path: tuple[str | int, ...], value: object) -> Any:
    if not path:
        return value
    changed = copy.copy(data)
    changed[path[0]] = _put(data[path[0]], path[1:], value)
    return changed
