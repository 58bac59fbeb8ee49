"""A timeout that does not fire: as a policy and as a block, among none and 100,000 live ones, on asyncio's loop and uvloop."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from compare import Batch, Function, Group, decorated

from resilience.core.deadline import timeout
from resilience.policies.timeout import Timeout

CROWD = 100_000


@asynccontextmanager
async def crowd() -> AsyncIterator[None]:
    """Keep many deadlines live, of random durations."""
    dice = random.Random(1)
    gone = asyncio.get_running_loop().create_future()

    async def live(seconds: float) -> None:
        async with timeout(seconds):
            await asyncio.shield(gone)

    tasks = [asyncio.create_task(live(dice.uniform(600, 4200))) for _ in range(CROWD)]
    await asyncio.sleep(0)
    yield
    gone.set_result(None)
    await asyncio.gather(*tasks)


alone = Group(reference="asyncio.timeout")
among_many = Group(reference="asyncio.timeout", scene="100,000 live", around=crowd)
on_uvloop = Group(reference="asyncio.timeout", scene="uvloop", loop="uvloop")


def asyncio_timeout() -> Batch:
    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            async with asyncio.timeout(30.0):
                await function()

    return batch


def policy() -> Batch:
    execute = Timeout(30.0).execute

    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            await execute(function)

    return batch


def arbitrary() -> Batch:
    dice = random.Random(2)
    policies = itertools.cycle([Timeout(dice.uniform(1, 300)).execute for _ in range(1000)])

    async def batch(function: Function, calls: int) -> None:
        for execute in itertools.islice(policies, calls):
            await execute(function)

    return batch


def block() -> Batch:
    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            async with timeout(30.0):
                await function()

    return batch


def decorator() -> Batch:
    return decorated(Timeout(30.0))


for group in (alone, among_many, on_uvloop):
    group.row("asyncio.timeout")(asyncio_timeout)
    group.row("Timeout")(policy)
    group.row("Timeout, arbitrary durations")(arbitrary)
    group.row("Timeout, decorator")(decorator)
    group.row("timeout() block")(block)
del group
