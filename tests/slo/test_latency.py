"""How long requests took, kept for a month."""

from __future__ import annotations

import pytest

from resilience.core.clock import Instant, ManualClock
from resilience.signals import Signals
from resilience.slo.latency import LatencyHistory
from tests.stored import kept, rows_of

HOUR = 3600.0


class World:
    """A service whose requests take 0.02 s or 2 s."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.signals = Signals(self.clock)
        self.history = LatencyHistory(self.signals)
        self._durations = self.signals.histogram(
            "http_request_duration_seconds", labels=("service", "method", "route")
        )

    def hours(self, count: int, *, fast: int = 0, slow: int = 0, route: str = "/") -> None:
        for _ in range(count):
            for seconds, number in ((0.02, fast), (2.0, slow)):
                for _ in range(number):
                    self._durations["shop", "GET", route].observe(seconds)
            self.clock.shift(HOUR)
            now = self.clock.now()
            self.signals.tick(now)
            self.history.tick(now)

    def counts(self, hours: float = 720) -> dict[float | None, list[float]]:
        now = self.clock.now()
        found = self.history.plain("shop", now.wall - hours * HOUR, now)
        assert found["times"] == sorted(found["times"])
        assert not found["times"] or found["times"][-1] <= now.wall  # no cell ends in the future
        assert all(len(row) == len(found["times"]) <= 60 for row in found["counts"])
        shown = zip(found["bounds"], found["counts"], strict=True)
        return {bound: row for bound, row in shown if any(row)}


def test_every_request_is_in_the_cell_of_its_bound() -> None:
    world = World()
    world.hours(12, fast=3)
    world.hours(12, slow=1)
    world.hours(3, fast=2, route="/other")
    found = world.counts()
    assert {bound: sum(row) for bound, row in found.items()} == {0.025: 42, 2.5: 12}
    now = world.clock.now()
    assert world.history.since("shop") == pytest.approx(now.wall - 27 * HOUR, abs=3 * HOUR)
    assert world.history.since("none") is None
    assert world.history.plain("none", 0, now)["times"] == []


def test_a_shorter_time_has_its_own_cells_and_a_longer_one_is_joined() -> None:
    world = World()
    world.hours(24 * 20, fast=1)
    assert sum(world.counts()[0.025]) == 24 * 20
    assert len(world.counts(24)[0.025]) in {8, 9}
    assert sum(world.counts(24)[0.025]) == pytest.approx(24, abs=3)


def test_what_is_older_than_a_month_is_gone() -> None:
    world = World()
    world.hours(10, slow=1)
    world.hours(24 * 31, fast=1)
    assert set(world.counts()) == {0.025}


def test_it_outlives_the_process() -> None:
    before, after = World(), World()
    before.hours(10, fast=1)
    saved = rows_of(before.history)["latency"]
    wall = before.clock.time()
    after.hours(2, slow=1)
    after.history.restore(saved, Instant(after.clock.monotonic(), wall + 2 * HOUR))
    now = Instant(after.clock.monotonic(), wall + 2 * HOUR)
    found = after.history.plain("shop", 0, now)
    sums = dict(zip(found["bounds"], map(sum, found["counts"]), strict=True))
    assert (sums[0.025], sums[2.5]) == (10, 2)


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("shop/1", b"5"),
        ("shop/1", b"{}"),
        ("shop/x", b'{"counts":{"1":2}}'),
        ("shop/1", b'{"counts":{"x":2}}'),
        ("shop/1", b'{"counts":{"1":"x"}}'),
    ],
)
def test_a_damaged_row_is_named(key: str, row: bytes) -> None:
    assert World().history.restore({key: row}, Instant(0, 0)).damaged == {key: row}


def test_only_the_cells_that_have_changed_are_stored() -> None:
    world, rows = World(), dict[str, dict[str, bytes]]()
    world.hours(10, fast=1)
    assert kept(rows, world.history) > 0
    world.hours(1)
    assert kept(rows, world.history) == 0
    world.hours(24 * 40, slow=1)
    kept(rows, world.history)
    assert rows == rows_of(world.history)
    assert len(rows["latency"]) < 31 * 8 + 2
