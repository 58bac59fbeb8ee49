"""The switch that takes the waits out of every retry, for tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from resilience.core.validate import integer

__all__ = ["attempts_bound", "retries_without_waiting"]

attempts_bound: ContextVar[int | None] = ContextVar("retry_attempts_bound", default=None)
"""Within `retries_without_waiting`, the most attempts that any retry makes; None outside."""


@contextmanager
def retries_without_waiting(attempts: int | None = None) -> Iterator[None]:
    """Switch the waits of every retry off, for tests; in force in this context and the tasks made within it.

    Args:
        attempts: a bound on the attempts besides each policy's own; 1 switches retries off; None sets no other.

    Raises:
        ConfigError: `attempts` is not a whole number of at least 1.

    Example:
        >>> import asyncio
        >>> from resilience.policies.retry import Exponential, Retry
        >>> async def flaky(): raise OSError("down")
        >>> async def main():
        ...     with retries_without_waiting():
        ...         await Retry(3, backoff=Exponential(3600)).call(flaky)
        >>> try: asyncio.run(main())
        ... except OSError as error: print(error.__notes__)
        ['retry: gave up after 3 attempts']
    """
    bound = sys.maxsize if attempts is None else integer("attempts", attempts)
    token = attempts_bound.set(bound)
    try:
        yield
    finally:
        attempts_bound.reset(token)
