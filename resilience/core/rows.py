"""Rows of a state file: versioned JSON, checked against a shape before it is used."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from resilience.core.log import log
from resilience.core.slices import breathing
from resilience.errors import ConfigError

__all__ = ["DAMAGED", "Maybe", "Moment", "Shape", "NewerRow", "Unread", "decode", "encode", "read_rows"]

VERSION = 1
"""Version of every row that this release writes; a row without one is of version 1."""

DAMAGED = " (damaged)"
"""Suffix of the table that keeps the damaged rows of a table."""


_END_OF_TIME = 253_402_300_800  # the year 10000, which no calendar of Python reaches


_LONG = 64  # items of a list
_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


Shape: TypeAlias = Mapping[Any, object]
"""Shape of a row or of a part of one; see `decode`."""


class NewerRow(Exception):
    """A row that a newer release has written."""


class Moment:
    """Shape of a Unix time that can be shown: seconds, from 1970 to the year 9999."""


class Maybe:
    """Shape of a value that may be null or absent.

    Args:
        shape: the shape of any other value.
    """

    def __init__(self, shape: object) -> None:
        self.shape: object = shape


@dataclass
class Unread:
    """Rows that were not used.

    Args:
        damaged: damaged rows by key.
        newer: keys of rows that a newer release wrote.
    """

    damaged: dict[str, bytes] = field(default_factory=dict)
    newer: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.damaged or self.newer)


def encode(value: Mapping[str, Any]) -> bytes:
    """Return a row as compact JSON with its version.

    Example:
        >>> encode({"by": "ann"})
        b'{"version":1,"by":"ann"}'
    """
    return _written({"version": VERSION, **value}).encode("utf-8", "surrogatepass")


def decode(row: bytes, shape: Shape) -> dict[str, Any]:
    """Return the values of a row that a shape names.

    Args:
        row: what `encode` returned, perhaps of another release or damaged.
        shape: by key `str`, `bool`, `int`, `float` (any finite number), `Moment`, `Maybe(shape)`, `[shape]` for a
            list, `{str: shape}` for a mapping, a tuple for a list of that length, or a nested shape of keys.

    Raises:
        NewerRow: a newer release wrote the row.
        ConfigError: the row is damaged.

    Example:
        >>> decode(b'{"by":"ann","at":1}', {"by": str, "at": float, "until": Maybe(float)})
        {'by': 'ann', 'at': 1.0, 'until': None}
    """
    try:
        found = json.loads(row.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"row must be JSON, got {type(error).__name__}") from error
    version = found.get("version", VERSION) if isinstance(found, dict) else VERSION
    if isinstance(version, int) and version > VERSION:
        raise NewerRow(f"version {version}, and this release knows {VERSION}")
    shaped: dict[str, Any] = _shaped("row", found, shape)
    return shaped


def _written(value: Any) -> str:
    """Return JSON; a long list is written item by item, so that a slice of work stays short."""
    if not _is_long(value):
        return _JSON.encode(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_JSON.encode(key)}:{_written(each)}" for key, each in value.items()) + "}"
    return "[" + ",".join(_JSON.encode(each) for each in breathing(value)) + "]"


def _is_long(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_is_long(each) for each in value.values())
    return isinstance(value, list) and len(value) > _LONG


def read_rows(table: str, rows: Mapping[str, bytes], take: Callable[[str, bytes], object]) -> Unread:
    """Pass rows to a function one by one in the order of their keys; log and return those that it cannot use.

    Args:
        table: the table's name, for the log.
        rows: the rows by key.
        take: function of key and row.
    """
    unread = Unread()
    for key in breathing(sorted(rows)):
        try:
            take(key, rows[key])
        except NewerRow as error:
            unread.newer.add(key)
            log(__name__).warning("stored_row_newer", table=table, key=key, reason=str(error))
        except Exception as error:  # noqa: BLE001  one damaged row must not keep the others from being read
            unread.damaged[key] = rows[key]
            log(__name__).error("stored_row_unreadable", table=table, key=key, error=repr(error))
    return unread


def _shaped(where: str, value: Any, shape: Any) -> Any:
    """Return a value in its shape, without keys that the shape does not name."""
    if isinstance(shape, Maybe):
        return None if value is None else _shaped(where, value, shape.shape)
    if isinstance(shape, Mapping) and isinstance(value, dict):
        named = {key: _shaped(key, value.get(key), wanted) for key, wanted in shape.items() if key is not str}
        if str not in shape:
            return named
        return {**{key: _shaped(key, each, shape[str]) for key, each in value.items()}, **named}
    if isinstance(shape, list | tuple) and isinstance(value, list):
        wanted = shape * len(value) if isinstance(shape, list) else shape
        if len(wanted) == len(value):
            return [_shaped(where, *pair) for pair in zip(value, wanted, strict=True)]
    elif isinstance(shape, type) and _is_plain(value, shape):
        return float(value) if shape in {float, Moment} else value
    raise ConfigError(f"{where} has a value of another kind")


def _is_plain(value: Any, shape: type) -> bool:
    if shape not in {float, Moment}:
        return isinstance(value, shape) and isinstance(value, bool) == (shape is bool)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value) and (shape is float or 0 <= value < _END_OF_TIME)
    except OverflowError:  # an integer that no float can hold
        return False
