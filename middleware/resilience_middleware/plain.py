"""Anything as plain data: what an endpoint can write as JSON."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from resilience.core.log import shown

__all__ = ["plain"]

_SHOWN: Final = 200  # characters of what has no form of its own
_DEEPEST: Final = 50  # levels of nesting; deeper ones are left out
_LONGEST: Final = 1024  # bits of a whole number: more than a float of JavaScript can hold


def plain(value: object, depth: int = _DEEPEST) -> Any:
    """Return a value as JSON has it.

    Dataclasses and mappings become objects, enumerations their values, decimals numbers, what JSON has no number for
    None, errors and everything else a short text.

    Args:
        value: anything.
        depth: levels of nesting that are shown.

    Example:
        >>> plain({"ratio": Decimal("0.5"), "left": math.inf, 7: [ValueError("no")]})
        {'ratio': 0.5, 'left': None, '7': ["ValueError('no')"]}
    """
    if isinstance(value, enum.Enum):
        value = value.value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() < _LONGEST else None
    if isinstance(value, float | Decimal):
        finite = value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)
        return float(value) if finite else None
    if isinstance(value, Mapping) and depth:
        return {shown(key, str): plain(each, depth - 1) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [plain(each, depth - 1) for each in value]
    return shown(value, repr if isinstance(value, BaseException) else str)[:_SHOWN]
