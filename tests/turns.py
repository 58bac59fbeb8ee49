"""Turns of the event loop, counted: what others do while long work has its slices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

AN_INSTANT = 1e-9
"""Seconds that are over at each breath, so that each ends a slice."""


async def beside(work: Coroutine[Any, Any, T], each: Callable[[int], object]) -> T:
    """Await some work, and call a function with the number of the turn (0, 1, ...) whenever the work gives the loop away."""
    task = asyncio.ensure_future(work)
    turn = 0
    while True:
        await asyncio.sleep(0)
        if task.done():
            return await task
        each(turn)
        turn += 1


async def turns_of(work: Coroutine[Any, Any, Any]) -> int:
    """How often some work gives the loop away."""
    turns: list[int] = []
    await beside(work, turns.append)
    return len(turns)
