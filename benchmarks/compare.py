"""Race what this package guards with against asyncio and other packages: one process, alternating rounds.

    python benchmarks/compare.py --group closed [--json] [--rounds N]

A group is a file `bench_<group>.py` beside this one that holds one or more `Group`s. Figures are nanoseconds over a
bare `await f()`. Judge by the ratios, of the best rounds: whatever else the machine does can only make a round slower.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import gc
import importlib
import inspect
import json
import pathlib
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Function: TypeAlias = Callable[[], Awaitable[Any]]
Batch: TypeAlias = Callable[[Function, int], Awaitable[object]]
"""Makes so many guarded calls of a function."""

BATCH = 100  # calls between two turns of the loop
FOLDER = pathlib.Path(__file__).resolve().parent


@dataclass(frozen=True)
class Row:
    """One contender: `make` returns its Batch, and may raise ImportError where a peer is not installed."""

    name: str
    make: Callable[[], Batch | Awaitable[Batch]]


@dataclass
class Group:
    """Rows that are compared with one of them.

    Args:
        reference: name of the row that the others are divided by.
        scene: added to the names of all rows, where a file has more than one group.
        loop: `asyncio` or `uvloop`.
        around: entered before the first round and left after the last (a crowd of live calls, say).
        batches: batches of 100 calls in a round; fewer for rows that are slow by nature.
        suspending: whether to race once more with a function that suspends once.
    """

    reference: str
    scene: str = ""
    loop: str = "asyncio"
    around: Callable[[], AbstractAsyncContextManager[object]] = contextlib.nullcontext
    batches: int = 100
    suspending: bool = True
    rows: list[Row] = field(default_factory=list)

    def row(self, name: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
        """Register a function, sync or async, that makes the row's Batch in the running loop."""

        def register(make: Callable[[], Any]) -> Callable[[], Any]:
            self.rows.append(Row(name, make))
            return make

        return register


def decorated(decorator: Callable[[Function], Function]) -> Batch:
    """The Batch of anything that is put around a function once and then called."""
    guard = functools.cache(decorator)

    async def batch(function: Function, calls: int) -> None:
        guarded = guard(function)
        for _ in range(calls):
            await guarded()

    return batch


async def bare(function: Function, calls: int) -> None:
    for _ in range(calls):
        await function()


async def at_once() -> None:
    """Never suspends."""


async def suspends() -> None:
    await asyncio.sleep(0)


async def one_round(batch: Batch, function: Function, batches: int) -> float:
    """Mean nanoseconds of one call; the loop turns between the batches, outside the measured time."""
    spent = 0
    gc.collect()
    gc.disable()
    try:
        for _ in range(batches):
            started = time.perf_counter_ns()
            await batch(function, BATCH)
            spent += time.perf_counter_ns() - started
            await asyncio.sleep(0)
    finally:
        gc.enable()
    return spent / (batches * BATCH)


async def race(name: str, group: Group, rounds: int) -> list[dict[str, Any]]:
    """Run one group and return its rows."""
    results: list[dict[str, Any]] = []
    async with group.around():
        contenders: dict[str, Batch] = {"bare": bare}
        for row in group.rows:
            try:
                made = row.make()
                contenders[row.name] = await made if inspect.isawaitable(made) else made
            except ImportError as error:
                print(f"{name}: {row.name} left out: {error}", file=sys.stderr)
        functions: dict[str, Function] = {"": at_once}
        if group.suspending:
            functions["suspending"] = suspends
        for kind, function in functions.items():
            times: dict[str, list[float]] = {contender: [] for contender in contenders}
            for batch in contenders.values():  # warm up
                await one_round(batch, function, max(1, group.batches // 10))
            for _ in range(rounds):
                for contender, batch in contenders.items():
                    times[contender].append(await one_round(batch, function, group.batches))
            results += figures(name, group, kind, times)
    return results


def figures(name: str, group: Group, kind: str, times: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Turn the times of all rounds into rows."""
    ground = times.pop("bare")

    def best(row: str) -> float:
        return min(times[row]) - min(ground)

    def label(row: str) -> str:
        return ", ".join(filter(None, (row, group.scene, kind)))

    return [
        {
            "group": name,
            "name": label(row),
            "best_ns": round(best(row), 1),
            "median_ns": round(statistics.median(rounds) - statistics.median(ground), 1),
            "ratio": round(best(row) / best(group.reference), 3) if group.reference in times else None,
            "reference": label(group.reference),
        }
        for row, rounds in times.items()
    ]


def run(name: str, group: Group, rounds: int) -> list[dict[str, Any]]:
    """Run one group on the loop that it asks for."""
    if group.loop == "asyncio":
        return asyncio.run(race(name, group, rounds))
    try:
        loops = importlib.import_module(group.loop)
    except ImportError as error:
        print(f"{name}: {group.scene} left out: {error}", file=sys.stderr)
        return []
    with asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
        return runner.run(race(name, group, rounds))


def names() -> list[str]:
    return sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))


def groups(name: str) -> Iterator[Group]:
    """The groups of one file, in the order in which it defines them."""
    module = importlib.import_module(f"bench_{name}")
    yield from (value for value in vars(module).values() if isinstance(value, Group))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--group", choices=names(), action="append", help="which groups to race; all by default"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON list instead of a table")
    parser.add_argument("--rounds", type=int, default=11, metavar="N", help="rounds (default: %(default)s)")
    options = parser.parse_args()
    results = [
        row
        for name in options.group or names()
        for group in groups(name)
        for row in run(name, group, max(1, options.rounds))
    ]
    if options.json:
        print(json.dumps(results, indent=1))
        return 0
    for row in results:
        ratio = "      -" if row["ratio"] is None else f"{row['ratio']:7.3f}"
        print(
            f"{row['group']:12s} {row['name']:44s} {row['best_ns']:10.0f} {row['median_ns']:10.0f} {ratio}"
            f" x {row['reference']}"
        )
    return 0


if __name__ == "__main__":
    # Group files import this one by name; as `__main__` alone it would exist twice.
    sys.path.insert(0, str(FOLDER))
    sys.exit(importlib.import_module("compare").main())
