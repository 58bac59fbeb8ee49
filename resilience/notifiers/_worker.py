"""Worker threads that compose messages, so that a long one does not hold the event loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread

__all__ = ["in_worker"]

P = ParamSpec("P")
T = TypeVar("T")


async def in_worker(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a worker thread.

    The thread is not one of asyncio's default executor, because blocking calls of the application may fill that.

    Example:
        >>> anyio.run(in_worker, sum, [1, 2])
        3
    """
    return await anyio.to_thread.run_sync(
        partial(function, *args, **kwargs), limiter=anyio.CapacityLimiter(1)
    )
