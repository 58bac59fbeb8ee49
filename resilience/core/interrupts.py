"""Exceptions that end a task on purpose, as opposed to failures of the task."""

from __future__ import annotations

import asyncio
from typing import Final

__all__ = ["INTERRUPTS", "is_cancelled"]

INTERRUPTS: Final = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)
"""Exceptions that isolation never catches.

Every other `BaseException` is a failure: a Rust extension that panics raises one, and so does `pytest.fail`.
"""


def is_cancelled() -> bool:
    """Return True if the running task is cancelled.

    A `CancelledError` in a task that is not cancelled comes from something that the task waited for.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
