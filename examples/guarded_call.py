"""A coroutine behind a pipeline: it fails at times, is tried again, and is let alone once it fails too often."""

from __future__ import annotations

import asyncio
import random

from resilience import CircuitBreaker, CircuitOpen, Pipeline, Retry, Timeout

chance = random.Random(7)


@Pipeline(Timeout(2), Retry(3), CircuitBreaker(minimum_calls=10))
async def charge(order: int) -> str:
    """Fail three times out of four."""
    await asyncio.sleep(0.001)
    if chance.random() < 0.75:
        message = f"order {order}: the ledger is down"
        raise ConnectionError(message)
    return f"order {order}: charged"


async def main() -> None:
    """Charge until the breaker opens."""
    for order in range(20):
        try:
            print(await charge(order))
        except CircuitOpen as error:
            print(f"order {order}: {error}; try again in {error.retry_after:.0f} s")
            break
        except ConnectionError as error:
            print(error)


if __name__ == "__main__":
    asyncio.run(main())
