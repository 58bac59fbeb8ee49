"""Waiting for what happens in real time: for a condition, never for a while."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

import pytest

PATIENCE = 30.0
"""Seconds after which something does not happen any more, on the slowest of machines."""


async def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Let the loop run until a function, plain or async, returns something true; return that."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        if time.monotonic() > end:
            pytest.fail(f"it did not happen in {seconds:g} s")
        await asyncio.sleep(0.005)


def blocked_until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something is so in another thread or process."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"it did not happen in {seconds:g} s")
        time.sleep(0.005)
