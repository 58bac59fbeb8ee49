"""Writes in slices: they are seen as a whole, whatever others do while they are prepared."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from resilience.core.clock import ManualClock
from resilience.core.ports import Labels, Matcher
from resilience.core.slices import Slicer
from resilience.signals import Signals
from tests.turns import AN_INSTANT, beside, turns_of

MANY = 200
A_FEW = 64  # series after which there is a breath
HOURS = 7 * 3600.0  # longer than the rings reach back


def results(value: float, *, start: int = 0, stop: int = MANY) -> list[tuple[Labels, float]]:
    return [((("__name__", "r"), ("id", f"{one:03}")), value) for one in range(start, stop)]


class Written:
    """One metric that owners write."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.signals = Signals(self.clock)
        self.selection = self.signals.source.select([Matcher("__name__", "=", "r")])
        self.slicer = Slicer(AN_INSTANT)

    def write(self, owner: str, series: Sequence[tuple[Labels, float]], after: float = 0.0) -> None:
        self.signals.write(owner, self.clock.monotonic() + after, series)

    def shown(self, after: float = 0.0) -> list[tuple[str, float]]:
        labels = self.selection.labels
        indices, values, _ = self.signals.source.at(self.selection, self.clock.monotonic() + after, 300)
        return sorted((labels[index][1][1], value) for index, value in zip(indices, values, strict=True))

    def abandoning(self, wanted: int) -> Callable[[int], None]:
        return lambda turn: self.slicer.abandon() if turn == wanted else None

    async def sliced(
        self, owner: str, series: Sequence[tuple[Labels, float]], each: Callable[[int], object]
    ) -> int:
        """Write in slices; returns how many turns others had."""
        turns: list[int] = []

        def others(turn: int) -> None:
            turns.append(turn)
            each(turn)

        await beside(self.slicer.run(lambda: self.write(owner, series)), others)
        return len(turns)


def expected(value: float, *, start: int = 0, stop: int = MANY) -> list[tuple[str, float]]:
    return [(f"{one:03}", value) for one in range(start, stop)]


async def test_a_write_is_seen_as_a_whole() -> None:
    written, seen = Written(), list[list[tuple[str, float]]]()
    for value in (1.0, 2.0):
        assert await written.sliced("rule", results(value), lambda _: seen.append(written.shown())) > 10
        written.clock.shift(1)
    await written.sliced("rule", results(3.0, start=100, stop=400), lambda _: seen.append(written.shown()))
    whole = [[], expected(1.0), expected(2.0), expected(3.0, start=100, stop=400)]
    assert all(one in whole for one in seen)
    assert written.shown() == whole[-1]


async def test_to_find_begin_sweep_and_select_series_takes_turns_in_proportion() -> None:
    async def turns(many: int) -> list[int]:
        written = Written()
        clock, slicer = written.clock, written.slicer
        found = [
            await turns_of(slicer.run(lambda: written.write("rule", results(1.0, stop=many)))) for _ in "ab"
        ]
        found.append(await turns_of(slicer.run(lambda: len(written.selection.labels))))
        other = [Matcher("__name__", "=~", "r")]
        found.append(await turns_of(slicer.run(lambda: written.signals.source.select(other))))
        written.write("rule", [])
        clock.shift(HOURS)
        found.append(
            await turns_of(slicer.run(lambda: written.write("other", results(1.0, start=9999, stop=10000))))
        )
        return found

    few, many = await turns(100), await turns(5000)
    more = [b - a for a, b in zip(few, many, strict=True)]
    begin, again, look, select, sweep = more
    assert begin >= 3 * 4900 // A_FEW
    assert again >= 2 * 4900 // A_FEW
    assert look >= 4
    assert select >= 4900 // A_FEW
    assert sweep >= 4900 // A_FEW


async def test_a_write_that_is_abandoned_shows_nothing_and_the_next_one_everything() -> None:
    turns = await Written().sliced("rule", results(1.0), lambda _: None)
    for wanted in range(turns):
        written = Written()
        await written.sliced("rule", results(1.0), written.abandoning(wanted))
        assert written.shown() in ([], expected(1.0))
        written.clock.shift(1)
        written.write("rule", results(2.0))
        assert written.shown() == expected(2.0)
        assert len(written.selection.labels) == MANY


async def test_what_an_abandoned_write_began_is_forgotten_where_nobody_goes_on_with_it() -> None:
    for wanted in range(await Written().sliced("rule", results(1.0), lambda _: None)):
        written = Written()
        await written.sliced("rule", results(1.0), written.abandoning(wanted))
        written.write("rule", [])
        for hours in (1, 2):
            written.write("other", results(7.0, start=MANY, stop=MANY + hours), after=hours * HOURS)
        assert len(written.selection.labels) == 2


async def test_series_that_come_back_while_old_ones_are_swept_stay() -> None:
    written, back = Written(), list[int]()
    written.write("rule", results(1.0))
    written.write("rule", [])
    written.clock.shift(HOURS)

    def others(turn: int) -> None:
        shown = len(written.selection.labels)
        if not back and shown < MANY:  # the sweep has begun
            back.append(shown)
            written.write("rule", results(2.0))

    await written.sliced("other", [], others)
    assert 0 < back[0] < MANY
    assert written.shown() == expected(2.0)


async def test_series_that_others_write_in_between_are_theirs_until_then() -> None:
    turns = await Written().sliced("rule", results(1.0), lambda _: None)
    for wanted in range(turns):
        written = Written()

        def interfere(turn: int, wanted: int = wanted, written: Written = written) -> None:
            if turn == wanted:
                written.write("other", results(7.0, start=150, stop=400), after=0.5)
                assert (f"{399:03}", 7.0) in written.shown(after=0.5)

        await written.sliced("rule", results(1.0), interfere)
        shown = dict(written.shown(after=0.5))
        assert len(shown) == len(written.selection.labels) == 400
        assert {shown[f"{one:03}"] for one in range(150)} == {1.0}
        assert {shown[f"{one:03}"] for one in range(MANY, 400)} == {7.0}
        written.clock.shift(1)
        written.write("rule", results(2.0, stop=150))
        written.write("other", [])
        assert written.shown() == expected(2.0, stop=150)


@pytest.mark.parametrize("known", [0, 150])
async def test_series_that_are_swept_in_between_are_begun_anew_at_the_next_write(known: int) -> None:
    late = [((("__name__", "r"), ("id", f"late-{one}")), 7.0) for one in range(400)]
    wanted, swept = 0, True
    while swept:
        written, swept = Written(), False
        written.write("rule", results(1.0, stop=known))
        written.write("rule", [])

        def sweep(turn: int, wanted: int = wanted, written: Written = written) -> None:
            nonlocal swept
            if turn == wanted:
                swept = True
                written.write("other", late[:1], after=HOURS)
                written.write("other", late, after=2 * HOURS)

        await written.sliced("rule", results(1.0), sweep)
        written.clock.shift(3 * HOURS)
        for value in (2.0, 3.0):
            written.write("rule", results(value))
        shown = dict(written.shown())
        assert {shown.pop(f"{one:03}") for one in range(MANY)} == {3.0}
        assert list(shown.values()) == [7.0] * 400 * swept
        wanted += 1
    assert wanted > 10
