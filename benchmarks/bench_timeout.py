"""A timeout that does not fire."""

from __future__ import annotations

import asyncio

from compare import Batch, Function, Group

group = Group(reference="asyncio.timeout")


@group.row("asyncio.timeout")
def reference() -> Batch:
    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            async with asyncio.timeout(30.0):
                await function()

    return batch


from resilience.core.deadline import timeout
from resilience.policies.timeout import Timeout


@group.row("Timeout")
def product() -> Batch:
    execute = Timeout(30.0).execute

    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            await execute(function)

    return batch


@group.row("cm")
def manager() -> Batch:
    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            async with timeout(30.0):
                await function()

    return batch
