"""Random programs on a loop with virtual time: each must behave under our timeouts exactly as under asyncio's."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from resilience.core import deadline
from resilience.core.buckets import deadlines_on
from resilience.policies.timeout import Timeout

PROGRAMS = 400

# What each task saw, apart: a task group cancels its children in no particular order.
Logs = dict[str, list[Any]]
Program = list[tuple[Any, ...]]
Block = Callable[[float | None, Callable[[], Awaitable[None]]], Awaitable[object]]


class VirtualSelector(selectors.SelectSelector):
    """Passes the time that the loop would sleep, instead of sleeping."""

    now = 1000.3

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("nothing will ever happen again")
            self.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.selector = VirtualSelector()
        super().__init__(self.selector)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self.selector.now


def program(dice: random.Random, depth: int = 0) -> Program:
    """A few steps: sleeps, errors, cancellations, and blocks of further steps under timeouts."""
    steps: Program = []
    for _ in range(dice.randint(1, 3)):
        chance = dice.random()
        if chance < 0.38 and depth < 4:
            delay = dice.choice([0, -1, None, *(dice.uniform(0, 3) for _ in range(3))])
            steps.append(("timeout", delay, program(dice, depth + 1)))
        elif chance < 0.60:
            steps.append(("sleep", dice.choice([0, dice.uniform(0, 2)])))
        elif chance < 0.70:
            steps.append(("raise", dice.choice([TimeoutError, KeyError])))
        elif chance < 0.80:
            steps.append(("cancel oneself",))
        elif chance < 0.90 and depth < 4:
            swallowed = dice.choice([asyncio.CancelledError, TimeoutError, KeyError])
            steps.append(("swallow", swallowed, program(dice, depth + 1)))
        elif chance < 0.96 and depth < 4:
            steps.append(("finally", program(dice, depth + 1), program(dice, depth + 2)))
        elif depth < 3:
            steps.append(("task group", [program(dice, depth + 2) for _ in range(2)]))
    return steps


def chain(error: BaseException | None, depth: int = 0) -> str:
    """An exception with its causes and contexts, as text."""
    if error is None or depth > 6:
        return ""
    text = TimeoutError.__name__ if isinstance(error, TimeoutError) else type(error).__name__
    if isinstance(error, BaseExceptionGroup):
        text += str([chain(part, depth + 1) for part in error.exceptions])
    return f"{text}<{chain(error.__cause__, depth + 1)}|{chain(error.__context__, depth + 1)}>"


async def run(  # noqa: C901, PLR0917  an interpreter of small steps
    steps: Program, block: Block, logs: Logs, loop: VirtualLoop, task: str = "", path: str = ""
) -> None:
    log = logs.setdefault(task, [])
    me = asyncio.current_task()
    assert me is not None
    for number, (kind, *given) in enumerate(steps):
        place = f"{path}.{number}"

        async def inner(body: Program, place: str = place) -> None:
            await run(body, block, logs, loop, task, place)

        if kind == "sleep":
            await asyncio.sleep(given[0])
        elif kind == "raise":
            raise given[0]("its own")
        elif kind == "cancel oneself":
            me.cancel()
        elif kind == "timeout":
            try:
                expired = await block(given[0], lambda body=given[1]: inner(body))
                log.append((place, "expired", expired))
            finally:
                log.append((place, me.cancelling(), round(loop.time(), 6)))
        elif kind == "swallow":
            try:
                await inner(given[1])
            except given[0] as error:
                log.append((place, "swallowed", chain(error), round(loop.time(), 6)))
        elif kind == "finally":
            try:
                await inner(given[0])
            finally:
                await inner(given[1], f"{place}f")
        elif kind == "task group":
            async with asyncio.TaskGroup() as group:
                for child, body in enumerate(given[0]):
                    group.create_task(run(body, block, logs, loop, f"{place}t{child}"))
        log.append((place, kind, round(loop.time(), 6), me.cancelling()))


def history(steps: Program, cancellations: list[float], block: Block) -> Logs:
    """Everything that can be seen of one run; nothing may be left waiting after it."""
    loop = VirtualLoop()
    logs: Logs = {}

    async def main() -> None:
        task = asyncio.create_task(run(steps, block, logs, loop))
        for delay in cancellations:
            loop.call_later(delay, task.cancel)
        await asyncio.wait([task])
        logs["end"] = ["cancelled" if task.cancelled() else chain(task.exception()), task.cancelling()]
        assert deadlines_on(loop).waiting() == 0

    loop.set_exception_handler(lambda _loop, _context: None)
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    return logs


async def asyncio_block(delay: float | None, body: Callable[[], Awaitable[None]]) -> object:
    async with asyncio.timeout(delay) as limit:
        await body()
    return limit.expired()


async def our_block(delay: float | None, body: Callable[[], Awaitable[None]]) -> object:
    async with deadline.timeout(delay) as limit:
        await body()
    return limit.expired()


async def asyncio_call(delay: float | None, body: Callable[[], Awaitable[None]]) -> object:
    if delay is None or delay <= 0:
        return await body()
    async with asyncio.timeout(delay):
        return await body()


async def our_policy(delay: float | None, body: Callable[[], Awaitable[None]]) -> object:
    if delay is None or delay <= 0:
        return await body()
    return await Timeout(delay).execute(body)


@pytest.mark.parametrize(
    ("theirs", "ours"), [(asyncio_block, our_block), (asyncio_call, our_policy)], ids=["block", "policy"]
)
def test_random_programs_behave_as_under_asyncio_timeout(theirs: Block, ours: Block) -> None:
    fired = 0
    for seed in range(PROGRAMS):
        dice = random.Random(seed)
        steps = program(dice)
        cancellations = [dice.uniform(0, 4) for _ in range(dice.choice([0, 0, 1, 2]))]
        expected = history(steps, cancellations, theirs)
        assert history(steps, cancellations, ours) == expected, f"seed {seed}: {steps} {cancellations}"
        fired += "TimeoutError" in str(expected)
    assert fired > PROGRAMS / 20, "the programs must exercise what they are about"
