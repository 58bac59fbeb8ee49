"""Interned values: parts of expressions that many rules repeat are one object."""

from __future__ import annotations

import functools
from collections.abc import Hashable
from typing import TypeVar

__all__ = ["interned"]

T = TypeVar("T", bound=Hashable)

_MOST = 4096
_LONGEST = 256  # characters of a value that is kept, so that the cache is bounded in bytes too


def interned(value: T, length: int) -> T:
    """Return a value that is equal and, if it is short, the same object for each equal value in recent use.

    Each object of a rule costs memory and time of the garbage collector.

    Args:
        value: a frozen value.
        length: number of characters of its texts.

    Example:
        >>> interned(("job", "api"), 6) is interned(("job", "".join(["a", "pi"])), 6)
        True
    """
    return _kept(value) if length <= _LONGEST else value


@functools.lru_cache(maxsize=_MOST, typed=True)
def _kept(value: T) -> T:
    return value
