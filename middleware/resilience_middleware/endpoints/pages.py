"""Pages of a long list: a limit, a cursor that stays valid while the list changes, and a link to the next page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from urllib.parse import urlencode

from resilience.core.validate import shown
from resilience.errors import ConfigError
from resilience_middleware.endpoint import Query

__all__ = ["PAGE_QUERY", "Page", "page_limit", "page_of"]

T = TypeVar("T")
Key = tuple[float, str]
"""Position of an item: a number, and a text that is unique."""

_DEFAULT, _HIGHEST = 100, 1000
_SEPARATOR: Final = "~"

PAGE_QUERY: Final = (
    Query("limit", f"Items of a page, 1 to {_HIGHEST}; {_DEFAULT} when not given.", "integer"),
    Query("cursor", "Position after which the page begins, as `next` of the page before has it."),
)
"""Parameters of a list that has pages."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list.

    Args:
        items: its items.
        total: number of items of the whole list.
        next: relative link to the next page; None on the last one.
    """

    items: list[T]
    total: int
    next: str | None


def page_limit(query: Mapping[str, str]) -> int:
    """Return the number of items that a query requests.

    Raises:
        ConfigError: it is not a whole number from 1 to 1000.
    """
    given = query.get("limit", str(_DEFAULT))
    limit = int(given) if len(given) <= len(str(_HIGHEST)) and given.isascii() and given.isdigit() else 0
    if not 1 <= limit <= _HIGHEST:
        raise ConfigError(f"limit must be a whole number from 1 to {_HIGHEST}, got {shown(given)}")
    return limit


def page_of(items: Iterable[T], key: Callable[[T], Key], query: Mapping[str, str], path: str) -> Page[T]:
    """Return the page of a list that a query requests, in the order of the keys.

    Items that come or go between two requests neither repeat nor hide others, because the cursor is a position and not a count.

    Args:
        items: the whole list.
        key: returns the position of an item.
        query: `limit` and `cursor`; its other parameters are kept in the link.
        path: last segment of the list's path.

    Raises:
        ConfigError: `limit` or `cursor` is invalid.

    Example:
        >>> page = page_of("cab", lambda item: (0.0, item), {"limit": "2"}, "letters")
        >>> page.items, page.total, page.next
        (['a', 'b'], 3, 'letters?limit=2&cursor=0.0~b')
        >>> page_of("cab", lambda item: (0.0, item), {"cursor": "0.0~b"}, "letters").items
        ['c']
    """
    limit, found = page_limit(query), sorted(items, key=key)
    left = found
    if "cursor" in query:
        after = _position(query["cursor"])
        left = [item for item in found if key(item) > after]
    items_of_page = left[:limit]
    if len(items_of_page) == len(left):
        return Page(items_of_page, len(found), None)
    number, text = key(items_of_page[-1])
    link = urlencode({**query, "limit": limit, "cursor": f"{number!r}{_SEPARATOR}{text}"})
    return Page(items_of_page, len(found), f"{path}?{link}")


def _position(cursor: str) -> Key:
    number, separator, text = cursor.partition(_SEPARATOR)
    try:
        position = float(number)
    except ValueError:
        position = math.nan
    if not separator or not math.isfinite(position):
        raise ConfigError("cursor must be the one of a page's `next`")
    return position, text
