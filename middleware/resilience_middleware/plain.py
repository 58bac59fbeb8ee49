"""Anything as plain data: what an endpoint can write as JSON."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

__all__ = ["plain"]

_SHOWN: Final = 200  # characters of what has no form of its own


def plain(value: object) -> Any:
    """Return a value as JSON has it.

    Dataclasses and mappings become objects, enumerations their values, decimals numbers, what JSON has no number for
    None, errors and everything else a short text.

    Example:
        >>> plain({"ratio": Decimal("0.5"), "left": math.inf, 7: [ValueError("no")]})
        {'ratio': 0.5, 'left': None, '7': ["ValueError('no')"]}
    """
    if isinstance(value, enum.Enum):
        value = value.value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float | Decimal):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    return (repr(value) if isinstance(value, BaseException) else str(value))[:_SHOWN]
