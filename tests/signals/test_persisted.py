"""Windows over restarts are those of a process that never ended."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from resilience import promql
from resilience.core.clock import ManualClock
from resilience.core.ports import Matcher, Put
from resilience.signals import Retention, Signals
from resilience.signals.persisted import COLUMNS, ROWS, PersistedWindows
from tests.stored import kept

Rows = dict[str, dict[str, bytes]]
WINDOWS = ("30s", "1m", "5m", "30m", "2h", "6h", "1d")


class Process:
    """One process on a wall clock that several share, each with a monotonic clock of its own."""

    def __init__(
        self, wall: float, rows: Rows | None = None, *, seen: float | None = None, **options: Any
    ) -> None:
        self.clock = ManualClock()
        self.clock.step_wall(wall - self.clock.time())
        self.signals = Signals(self.clock, **options)
        self.windows = PersistedWindows(self.signals)
        for window in ("6h", "1d"):
            self.signals.retain("requests_total", promql.parse(f"x[{window}]").selectors[0].window)
        self.signals.retain("seconds_bucket", 300)
        self.signals.retain("depth", 300)
        self.rows = {} if rows is None else rows
        self.unread: Mapping[str, Any] = {}
        if rows is not None:
            down = wall if seen is None else seen
            self.unread = self.windows.restore(rows, self.clock.now(), down_at=down)

    def use(self) -> None:
        self.requests = self.signals.counter("requests_total", labels=("code",))
        self.seconds = self.signals.histogram("seconds", labels=("route",), buckets=(0.1, 1))
        self.depth = self.signals.gauge("depth")

    def tick(self, seconds: float = 1.0) -> int:
        self.clock.shift(seconds)
        self.signals.tick(self.clock.now())
        return kept(self.rows, self.windows)

    def value(self, query: str) -> dict[tuple[tuple[str, str], ...], float]:
        found = promql.evaluate(query, self.signals.source, self.clock.monotonic())
        return dict(zip(found.labels, found.values, strict=True))


def restarted(process: Process, down: float = 0.0) -> Process:
    seen = process.clock.time()
    return Process(seen + down, process.rows, seen=seen)


@pytest.mark.parametrize("seed", range(6))
def test_any_window_over_restarts_is_that_of_one_process(seed: int) -> None:
    chance = random.Random(seed)
    one = Process(1_700_000_000)
    many = Process(1_700_000_000)
    one.use()
    many.use()
    for _ in range(chance.randrange(2, 5)):
        idle = chance.random() < 0.5
        for _ in range(chance.randrange(200, 2000)):
            busy = not idle or chance.random() < 0.05
            for process in (one, many):
                if busy:
                    process.requests.bind("200").inc(3)
                    process.requests.bind("500").inc(1)
                    process.seconds.bind("/").observe(0.5)
                    process.depth[()].set(7)
                process.tick()
        many.windows.flush()
        kept(many.rows, many.windows)
        many = restarted(many)
        many.use()
    for window in WINDOWS:
        for query in (
            f"sum by (code) (increase(requests_total[{window}]))",
            f"sum(increase(seconds_bucket{{le='1.0'}}[{window}]))",
        ):
            was, is_ = one.value(query), many.value(query)
            assert was.keys() == is_.keys()
            for labels, value in was.items():
                # The left edge lies between two rows of a ring.
                assert is_[labels] == pytest.approx(value, rel=0.04, abs=8), (window, labels)


def test_counts_of_before_and_after_add_up_exactly() -> None:
    first = Process(1_700_000_000)
    first.use()
    for _ in range(100):
        first.requests.bind("500").inc(2)
        first.tick()
    first.windows.flush()
    kept(first.rows, first.windows)
    second = restarted(first, down=10)
    assert second.value("sum(increase(requests_total[30m]))") == {(): 200}
    second.use()
    for _ in range(50):
        second.requests.bind("500").inc(1)
        second.requests.bind("200").inc(5)
        second.tick()
    kept(second.rows, second.windows)
    second.windows.flush()
    kept(second.rows, second.windows)
    assert second.value("sum by (code) (increase(requests_total[30m]))") == {
        (("code", "200"),): 250,
        (("code", "500"),): 250,
    }
    third = restarted(second, down=10)
    assert third.value("sum(increase(requests_total[30m]))") == {(): 500}


def test_a_kill_loses_no_more_than_the_step_of_a_ring() -> None:
    first = Process(1_700_000_000)
    first.use()
    for _ in range(98):
        first.requests.bind("500").inc(1)
        first.tick()
    second = restarted(first)
    [lost] = (98 - value for value in second.value("sum(increase(requests_total[30m]))").values())
    assert 0 <= lost <= 5


def test_nothing_is_stored_while_nothing_changes() -> None:
    process = Process(1_700_000_000)
    process.use()
    process.depth[()].set(4)
    for _ in range(20):
        process.requests.bind("200").inc()
        process.tick()
    for _ in range(10):
        process.tick()
    for _ in range(1000):
        assert process.tick() == 0


def test_rows_that_no_ring_holds_are_removed() -> None:
    process = Process(1_700_000_000)
    process.use()
    most = 0
    for _ in range(3 * 3600):
        process.requests.bind("200").inc()
        process.tick(2.0)
        most = max(most, len(process.rows[ROWS]))
    rings = process.signals.retention.rings[1:]
    assert most <= sum(ring.rows for ring in rings) + 40
    process = restarted(process)
    process.use()
    for _ in range(3600):
        process.requests.bind("200").inc()
        process.tick(2.0)
    assert len(process.rows[ROWS]) <= most + 40


def test_series_that_are_dropped_make_room() -> None:
    process = Process(1_700_000_000)
    process.use()
    for number in range(50):
        process.requests.bind(str(number)).inc()
        for _ in range(12):
            process.tick()
        process.requests.remove(str(number))
    for _ in range(12):
        process.tick()
    # An instrument without labels has its series from its declaration on.
    assert len(process.rows[COLUMNS]) <= 3


def test_what_is_not_used_again_is_dropped_once_no_window_reaches_it() -> None:
    first = Process(1_700_000_000)
    first.use()
    for _ in range(60):
        first.depth[()].set(1)
        first.seconds.bind("/").observe(0.2)
        first.tick()
    second = restarted(first)
    assert second.value("sum(increase(seconds_bucket{le='+Inf'}[5m]))") != {}
    for _ in range(7 * 60):
        second.tick(60)
    assert second.value("seconds_bucket") == {}
    assert second.rows[COLUMNS] == {}


def test_buckets_that_have_changed_begin_anew() -> None:
    first = Process(1_700_000_000)
    first.use()
    for _ in range(60):
        first.seconds.bind("/").observe(0.2)
        first.tick()
    second = restarted(first)
    second.signals.histogram("seconds", labels=("route",), buckets=(0.3, 3)).bind("/").observe(0.2)
    second.tick()
    assert second.value("sum(increase(seconds_bucket{le='3.0'}[5m]))") == {(): 1}


def test_written_series_go_on() -> None:
    def process_of(wall: float, rows: Rows | None, seen: float) -> Process:
        process = Process(wall, None)
        process.signals.retain("ratio", 300)
        process.signals.retain("other_total", 300)
        if rows is not None:
            process.rows = rows
            process.windows.restore(rows, process.clock.now(), down_at=seen)
        return process

    def run(process: Process, ratio: float) -> None:
        for number in range(1, 61):
            process.clock.shift(1)
            at = process.clock.monotonic()
            process.signals.tick(process.clock.now())
            process.signals.write("rule", at, [((("__name__", "ratio"),), ratio)])
            process.signals.counted_elsewhere.write(
                "lib", at, [((("__name__", "other_total"),), 2.0 * number)]
            )
            kept(process.rows, process.windows)
        process.windows.flush()
        kept(process.rows, process.windows)

    first = process_of(1_700_000_000, None, 0)
    run(first, 0.5)
    second = process_of(first.clock.time(), first.rows, first.clock.time())
    run(second, 0.25)
    [highest] = second.value("max_over_time(ratio[5m])").values()
    assert highest == 0.5
    [grown] = second.value("increase(other_total[5m])").values()
    assert grown == pytest.approx(2 * 60 + 2 * 59, abs=3)


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"\x01",
        b"\x01\x00\x00\x00\x00\x00abc",
        b"\x00" * 14,
        b"{}",
        b"\x02" + b"\x00" * 5,
        b"\x01" + b"\x00" * 13,
    ],
    ids=repr,
)
def test_damaged_rows_are_named_and_windows_are_not_known(row: bytes) -> None:
    first = Process(1_700_000_000)
    first.use()
    for _ in range(60):
        first.requests.bind("200").inc()
        first.tick()
    for key in first.rows[ROWS]:
        first.rows[ROWS][key] = row
    second = restarted(first)
    unread = second.unread[ROWS]
    assert {*unread.damaged, *unread.newer} == set(first.rows[ROWS])
    assert second.signals.known_since == second.clock.monotonic()
    second.tick()


def test_columns_that_overlap_are_left_out() -> None:
    first = Process(1_700_000_000)
    first.use()
    for _ in range(60):
        first.requests.bind("200").inc()
        first.requests.bind("500").inc()
        first.seconds.bind("/").observe(0.2)
        first.tick()
    columns = first.rows[COLUMNS]
    for key, row in list(columns.items()):
        columns[key] = row.replace(b'"width":1,', b'"width":3,')
    second = restarted(first)
    second.use()
    second.tick()
    assert second.value("requests_total") is not None


def test_a_birth_that_is_older_than_others_is_in_its_place() -> None:
    first = Process(1_700_000_000)
    first.use()
    for _ in range(100):
        first.requests.bind("500").inc()
        first.tick()
    second = Process(first.clock.time())
    second.use()
    second.requests.bind("200").inc()  # born before anything is restored
    second.rows = first.rows
    second.windows.restore(first.rows, second.clock.now(), down_at=first.clock.time())
    for _ in range(10):
        second.tick()
    found = second.value("sum by (code) (increase(requests_total[30m]))")
    assert found[("code", "200"),] == 1
    assert found[("code", "500"),] >= 95


def test_a_selection_is_the_same_for_a_retention_without_coarse_rings() -> None:
    options: dict[str, Any] = {"retention": Retention(rings=((1, 100),), long_step=40)}
    assert matchers("x") == [Matcher("__name__", "=", "x")]
    process = Process(1_700_000_000, **options)
    process.use()
    for _ in range(30):
        process.requests.bind("200").inc()
        process.tick()
    assert len(process.rows[ROWS]) >= 29


def matchers(name: str) -> Sequence[Matcher]:
    return [Matcher("__name__", "=", name)]


def test_a_generation_that_is_lost_is_written_anew() -> None:
    process = Process(1_700_000_000)
    process.use()
    for _ in range(400):
        process.requests.bind("200").inc()
        process.tick()
    process.windows.flush()
    kept(process.rows, process.windows)
    rows: Rows = {}
    for put in process.windows.puts(everything=True):
        assert isinstance(put, Put)
        if put.value is not None:
            rows.setdefault(put.table, {})[put.key] = put.value
    assert rows[COLUMNS] == process.rows[COLUMNS]
    again = Process(process.clock.time(), rows, seen=process.clock.time())
    [grown] = again.value("sum(increase(requests_total[5m]))").values()
    assert grown == pytest.approx(300, abs=6)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"width":1,', b'"width":0,'),
        (b'"width":1,', b'"width":10001,'),
        (b",0,1]]", b",0,0]]"),
        (b",0,1]]", b",-1,1]]"),
        (b",0,1]]", b",0,2]]"),
    ],
    ids=repr,
)
def test_columns_that_cannot_be_are_damaged(before: bytes, after: bytes) -> None:
    first = Process(1_700_000_000)
    first.use()
    for _ in range(60):
        first.requests.bind("200").inc()
        first.tick()
    [key] = [key for key, row in first.rows[COLUMNS].items() if b"requests_total" in row]
    row = first.rows[COLUMNS][key]
    first.rows[COLUMNS][key] = row.replace(before, after)
    assert first.rows[COLUMNS][key] != row
    second = restarted(first)
    assert second.unread[COLUMNS].damaged.keys() == {key}
    assert second.signals.known_since == second.clock.monotonic()


@pytest.mark.parametrize("wall", ["nan", "inf", "-inf", "soon", ""])
def test_a_row_of_no_time_is_damaged(wall: str) -> None:
    first = Process(1_700_000_000)
    first.use()
    for _ in range(60):
        first.requests.bind("200").inc()
        first.tick()
    last = max(first.rows[ROWS])
    key = f"{last.rpartition('/')[0]}/{wall}"
    first.rows[ROWS][key] = first.rows[ROWS][last]
    second = restarted(first)
    assert second.unread[ROWS].damaged.keys() == {key}


@pytest.mark.parametrize(("seen", "known"), [(1_700_000_000.0, True), (1_699_999_000.0, False)])
def test_windows_are_unknown_where_an_earlier_process_stored_none(seen: float, known: bool) -> None:
    process = Process(1_700_000_000, {}, seen=seen)
    assert (process.signals.known_since != process.clock.monotonic()) is known


def test_a_value_lasts_until_the_process_was_last_seen_and_not_into_the_time_without_one() -> None:
    first = Process(1_700_000_000)
    first.use()
    first.depth[()].set(4)
    for _ in range(200):
        first.tick()
    ended = first.clock.monotonic()
    second = restarted(first, down=100)
    shift = second.clock.monotonic() - 100 - ended
    source = second.signals.source
    held = promql.evaluate("count_over_time(depth[1m])", source, ended + shift)
    assert isinstance(held, promql.Vector)
    during = promql.evaluate("count_over_time(depth[80s])", source, second.clock.monotonic())
    assert isinstance(during, promql.Vector)
    assert next(iter(held.values)) >= 5
    assert list(during.values) == []


def test_many_births_are_taken_in_over_several_ticks() -> None:
    process = Process(1_700_000_000)
    process.use()
    for number in range(120):
        process.requests.bind(str(number)).inc()
    found = [0]
    for _ in range(50):
        for number in range(120):
            process.requests.bind(str(number)).inc()
        process.tick()
        found.append(sum(b"requests_total" in row for row in process.rows.get(COLUMNS, {}).values()))
    assert max(later - earlier for earlier, later in itertools.pairwise(found)) <= 50
    assert found[-1] == 120


def test_columns_of_dropped_series_are_used_again() -> None:
    process = Process(1_700_000_000)
    process.use()
    widths = []
    for number in range(60):
        process.requests.bind(str(number)).inc()
        for _ in range(12):
            process.tick()
        process.requests.remove(str(number))
        widths.append(len(process.rows[ROWS][max(process.rows[ROWS])]))
    assert max(widths[30:]) <= max(widths[:30])


def test_a_value_that_stood_still_has_changed_when_it_did() -> None:
    first = Process(1_700_000_000)
    first.use()
    for _ in range(60):
        first.tick()
    for _ in range(300):
        first.requests.bind("200").inc(0)
        first.tick()
    first.requests.bind("200").inc(100)
    for _ in range(20):
        first.tick()
    expected = first.value("sum(increase(requests_total[1m]))")[()]
    second = restarted(first)
    assert second.value("sum(increase(requests_total[1m]))")[()] == pytest.approx(expected, rel=0.1)
    assert expected > 90
