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
        ground: what the figures are over: `bare`, which is a bare await, or one of the rows.
        cpu: whether to count CPU time, and judge by medians of pairs: for what goes through the kernel, whose best
            round says little.
        batches: batches of 100 calls in a round; fewer for rows that are slow by nature.
        suspending: whether to race once more with a function that suspends once.
    """

    reference: str
    scene: str = ""
    loop: str = "asyncio"
    around: Callable[[], AbstractAsyncContextManager[object]] = contextlib.nullcontext
    ground: str = "bare"
    cpu: bool = False
    batches: int = 100
    suspending: bool = True
    rows: list[Row] = field(default_factory=list)

    def row(self, name: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
        """Register a function, sync or async, that makes the row's Batch in the running loop."""

        def register(make: Callable[[], Any]) -> Callable[[], Any]:
            self.rows.append(Row(name, make))
            return make

        return register


@dataclass
class Measure:
    """Rows of figures that are no time of a call: each is measured once, and compared with one of them.

    Args:
        reference: name of the row that the others are divided by.
        unit: what the figures are, `MB` for example.
    """

    reference: str
    unit: str
    rows: dict[str, Callable[[], float]] = field(default_factory=dict)

    def row(self, name: str) -> Callable[[Callable[[], float]], Callable[[], float]]:
        """Register a function that returns the row's figure, and may raise ImportError where a peer is not installed."""

        def register(measure: Callable[[], float]) -> Callable[[], float]:
            self.rows[name] = measure
            return measure

        return register

    def results(self, group: str) -> list[dict[str, Any]]:
        """Measure all rows."""
        found: dict[str, float] = {}
        for name, measure in self.rows.items():
            try:
                found[name] = measure()
            except ImportError as error:
                print(f"{group}: {name} left out: {error}", file=sys.stderr)
        ground = found.get(self.reference)
        return [
            {
                "group": group,
                "name": name,
                "value": round(value, 2),
                "unit": self.unit,
                "ratio": round(value / ground, 3) if ground else None,
                "reference": self.reference,
            }
            for name, value in found.items()
        ]


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


async def one_round(batch: Batch, function: Function, batches: int, *, cpu: bool = False) -> float:
    """Mean nanoseconds of one call; the loop turns between the batches, outside the measured time."""
    clock = time.process_time_ns if cpu else time.perf_counter_ns
    spent = 0
    gc.collect()
    gc.disable()
    try:
        for _ in range(batches):
            started = clock()
            await batch(function, BATCH)
            spent += clock() - started
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
            # In pairs, each batch of a row stands beside one of every other: what the machine does else hits all alike.
            turns, batches = (group.batches, 1) if group.cpu else (1, group.batches)
            for _ in range(rounds):
                spent = dict.fromkeys(contenders, 0.0)
                for _ in range(turns):
                    for contender, batch in contenders.items():
                        spent[contender] += await one_round(batch, function, batches, cpu=group.cpu)
                for contender in contenders:
                    times[contender].append(spent[contender] / turns)
            results += figures(name, group, kind, times)
    return results


def figures(name: str, group: Group, kind: str, times: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Turn the times of all rounds into rows."""
    ground = times[group.ground]
    times.pop("bare", None)

    def label(row: str) -> str:
        return ", ".join(filter(None, (row, group.scene, kind)))

    rows = {row: over(rounds, ground, cpu=group.cpu) for row, rounds in times.items()}
    reference = rows.get(group.reference)
    judged = "median_ns" if group.cpu else "best_ns"
    return [
        {
            "group": name,
            "name": label(row),
            **found,
            "ratio": round(found[judged] / reference[judged], 3) if reference and reference[judged] else None,
            "reference": label(group.reference),
        }
        for row, found in rows.items()
    ]


def over(rounds: list[float], ground: list[float], *, cpu: bool) -> dict[str, float]:
    """What a row costs more than the ground: best and median, and the middle half of the pairs where pairs count."""
    if not cpu:
        median = statistics.median(rounds) - statistics.median(ground)
        return {"best_ns": round(min(rounds) - min(ground), 1), "median_ns": round(median, 1)}
    pairs = list(map(float.__sub__, rounds, ground))
    low, median, high = statistics.quantiles(
        pairs * 2, n=4, method="inclusive"
    )  # twice: one is too few for it
    return {
        "best_ns": round(min(rounds) - min(ground), 1),
        "median_ns": round(median, 1),
        "low_ns": round(low, 1),
        "high_ns": round(high, 1),
    }


def run(name: str, group: Group | Measure, rounds: int) -> list[dict[str, Any]]:
    """Run one group, on the loop that it asks for."""
    if isinstance(group, Measure):
        return group.results(name)
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


def groups(name: str) -> Iterator[Group | Measure]:
    """The groups of one file, in the order in which it defines them."""
    module = importlib.import_module(f"bench_{name}")
    yield from (value for value in vars(module).values() if isinstance(value, Group | Measure))


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
        shown = (
            f"{row['value']:18.2f} {row['unit']:2s}"
            if "unit" in row
            else f"{row['best_ns']:10.0f} {row['median_ns']:10.0f}"
        )
        spread = f" [{row['low_ns']:.0f} to {row['high_ns']:.0f}]" if "low_ns" in row else ""
        print(f"{row['group']:12s} {row['name']:44s} {shown} {ratio} x {row['reference']}{spread}")
    return 0


if __name__ == "__main__":
    # Group files import this one by name; as `__main__` alone it would exist twice.
    sys.path.insert(0, str(FOLDER))
    sys.exit(importlib.import_module("compare").main())
