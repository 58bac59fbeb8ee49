"""Opening: what a pipeline's stream opens, as far as a retry may repeat it."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, Self

from resilience.core.validate import shown
from resilience.errors import ConfigError

__all__ = ["opened"]


@asynccontextmanager
async def opened(opening: Callable[[], Any]) -> AsyncIterator[Any]:
    """Open a context manager, or a generator as far as its first item.

    Args:
        opening: makes it.

    Yields:
        what its `__aenter__` returned, or an iterator over all items of the generator.

    Raises:
        ConfigError: it is neither.
    """
    made = opening()
    if inspect.iscoroutine(made):
        made = await made
    if hasattr(made, "__aenter__"):
        async with made as value:
            yield value
        return
    if not hasattr(made, "__anext__"):
        raise ConfigError(f"stream needs an async generator or an async context manager, got {shown(made)}")
    async with aclosing(made):
        try:
            taken = [await anext(made)]
        except StopAsyncIteration:
            taken = []
        yield _Items(made, taken)


class _Items:
    """A generator whose first item was taken already."""

    def __init__(self, items: AsyncIterator[Any], taken: list[Any]) -> None:
        self._items = items
        self._taken = taken

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._taken:
            return self._taken.pop()
        return await anext(self._items)
