"""A bulkhead with room, and one that a thousand calls wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from compare import Batch, Function, Group, decorated

from resilience.policies.bulkhead import Bulkhead

group = Group(reference="hyx")


def semaphored(size: int) -> Callable[[Function], Function]:
    semaphore = asyncio.Semaphore(size)

    def decorator(function: Function) -> Function:
        async def guarded() -> None:
            async with semaphore:
                await function()

        return guarded

    return decorator


@group.row("Bulkhead")
def product() -> Batch:
    return decorated(Bulkhead(100))


@group.row("hyx")
def hyx() -> Batch:
    from hyx.bulkhead import bulkhead

    return decorated(bulkhead(max_concurrency=100, max_capacity=100))


@group.row("nopanic")
def nopanic() -> Batch:
    import nopanic as peer

    return decorated(peer.bulkhead(100))


@group.row("asyncio.Semaphore")
def semaphore() -> Batch:
    return decorated(semaphored(100))


WAITERS = 1000
crowded = Group(
    reference="asyncio.Semaphore", scene=f"{WAITERS} wait for one permit", batches=20, suspending=False
)


def crowd(decorator: Callable[[Function], Function]) -> Batch:
    """So many tasks call one after another; between two rounds the one inside waits, and so all of them do."""
    left = 0
    go, done = asyncio.Event(), asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    @decorator
    async def work() -> None:
        nonlocal left
        while not left:
            done.set()
            go.clear()
            await go.wait()
        left -= 1

    async def repeat() -> None:
        while True:
            await work()

    async def batch(function: Function, calls: int) -> None:
        nonlocal left
        if not tasks:
            tasks.extend(asyncio.create_task(repeat()) for _ in range(WAITERS + 1))
            await asyncio.sleep(0)
        left = calls
        done.clear()
        go.set()
        await done.wait()

    return batch


@crowded.row("Bulkhead")
def product_crowded() -> Batch:
    return crowd(Bulkhead(1, queue=WAITERS))


@crowded.row("Bulkhead, lifo")
def product_crowded_lifo() -> Batch:
    return crowd(Bulkhead(1, queue=WAITERS, order="lifo"))


@crowded.row("asyncio.Semaphore")
def semaphore_crowded() -> Batch:
    return crowd(semaphored(1))
