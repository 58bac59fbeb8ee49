from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience.core.clock import ManualClock
from resilience.core.ports import CallContext
from resilience.errors import CircuitOpen, ConfigError
from resilience.policies.events import CallRejected
from resilience.policies.outlier import HostEjected, OutlierEjection


def make(**options: Any) -> OutlierEjection:
    return OutlierEjection(**{"clock": ManualClock(), "name": "pool", "max_share": 1.0, **options})


def call(ejection: OutlierEjection, host: object, error: BaseException | None = None) -> None:
    now = ejection.clock.monotonic()
    ejection.leave(ejection.enter(now, CallContext(key=host)), None, error, now, now)


def fail(ejection: OutlierEjection, host: object, times: int = 5) -> None:
    for _ in range(times):
        call(ejection, host, ConnectionError())


def test_a_host_that_fails_five_times_in_a_row_is_left_out() -> None:
    ejection = make()
    events: list[object] = []
    ejection.events.subscribe(events.append)
    fail(ejection, "a", 4)
    call(ejection, "a")
    fail(ejection, "a", 4)
    assert ejection.eligible(["a", "b"]) == ["a", "b"]
    fail(ejection, "a", 1)
    assert ejection.eligible(["a", "b"]) == ["b"]
    now = ejection.clock.monotonic()
    assert events == [HostEjected("pool", "a", now, 30.0, 5)]
    with pytest.raises(CircuitOpen, match="'pool' leaves host 'a' out") as caught:
        call(ejection, "a")
    assert caught.value.retry_after == 30.0
    assert ejection.statistics().rejected == 1


def test_it_comes_back_at_exactly_its_time_and_each_next_time_is_longer() -> None:
    ejection = make()
    durations = []
    for _ in range(12):
        fail(ejection, "a")
        durations.append(ejection.statistics().ejected["a"])
        ejection.clock.shift(durations[-1])  # type: ignore[attr-defined]  # a ManualClock
        assert ejection.eligible(["a"]) == ["a"]
    assert durations == [min(30.0 * number, 300.0) for number in range(1, 13)]


def test_time_in_service_makes_earlier_ejections_forgotten() -> None:
    ejection = make()
    for _ in range(3):
        fail(ejection, "a")
        ejection.clock.shift(ejection.statistics().ejected["a"])  # type: ignore[attr-defined]  # a ManualClock
    ejection.clock.shift(20.0)  # type: ignore[attr-defined]  # same
    fail(ejection, "a")
    assert ejection.statistics().ejected == {"a": 60.0}  # two of three forgotten


@pytest.mark.parametrize(("hosts", "share", "out"), [(5, 0.1, 1), (20, 0.1, 2), (100, 0.29, 29), (3, 0.0, 1)])
def test_never_more_than_the_share_is_out_and_one_always_may_be(hosts: int, share: float, out: int) -> None:
    ejection = make(max_share=share)
    for host in range(hosts):
        call(ejection, host)
    for host in range(hosts):
        fail(ejection, host)
    assert len(ejection.eligible(range(hosts))) == hosts - out
    assert ejection.statistics().spared == hosts - out


def test_a_call_from_before_the_ejection_counts_nowhere() -> None:
    ejection = make()
    started = ejection.clock.monotonic()
    late = [ejection.enter(started, CallContext(key="a")) for _ in range(5)]
    fail(ejection, "a")
    ejection.clock.shift(31.0)  # type: ignore[attr-defined]  # a ManualClock
    for token in late:
        ejection.leave(token, None, ConnectionError(), started, ejection.clock.monotonic())
    assert ejection.eligible(["a"]) == ["a"]


async def test_cancelled_calls_count_nowhere() -> None:
    ejection = make()
    for _ in range(10):
        call(ejection, "a", asyncio.CancelledError())
    assert ejection.eligible(["a"]) == ["a"]


def test_only_so_many_hosts_are_remembered() -> None:
    ejection = make(max_hosts=2)
    token = ejection.enter(0.0, CallContext(key="a"))
    fail(ejection, "b")
    call(ejection, "c")
    assert ejection.statistics().hosts == 2
    call(ejection, "d")
    assert ejection.statistics().ejected == {}  # b is forgotten
    for _ in range(5):
        ejection.leave(token, None, ConnectionError(), 1e6, 1e6)  # a is no longer known
    assert ejection.statistics().ejected == {}
    ejection.reconfigure(max_hosts=1)
    assert ejection.statistics().hosts == 1


def test_observing_it_refuses_nothing() -> None:
    ejection = make(mode="observe")
    events: list[object] = []
    fail(ejection, "a")
    ejection.events.subscribe(events.append)
    call(ejection, "a")
    assert [type(event) for event in events] == [CallRejected]
    assert ejection.eligible(["a"]) == ["a"]


@pytest.mark.parametrize(
    "options",
    [
        {"consecutive_failures": 0},
        {"duration": 0},
        {"max_duration": 10.0},
        {"recovery": 0},
        {"max_share": 1.1},
        {"max_hosts": 0},
        {"on": 3},
        {"mode": "off"},
    ],
)
def test_nonsense_is_refused_and_changes_nothing(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        OutlierEjection(**options)
    ejection = make()
    before = ejection.settings
    with pytest.raises(ConfigError):
        ejection.reconfigure(**{"consecutive_failures": 3, **options})
    assert ejection.settings is before


class OutlierMachine(RuleBasedStateMachine):
    """Never more hosts out than the share allows, and each for exactly its time."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.ejection = OutlierEjection(consecutive_failures=2, max_share=0.5, clock=self.clock)
        self.back_at: dict[object, float] = {}
        self.known: set[object] = set()
        self.ejection.events.subscribe(self.hear)

    def hear(self, event: object) -> None:
        if isinstance(event, HostEjected):
            out = [host for host, back in self.back_at.items() if back > event.at]
            assert event.host not in out
            assert len(out) + 1 <= max(1, len(self.known) // 2)
            self.back_at[event.host] = event.at + event.duration

    @rule(host=st.integers(0, 5), fails=st.booleans())
    def call(self, host: int, fails: bool) -> None:
        self.known.add(host)
        if self.clock.monotonic() < self.back_at.get(host, 0.0):
            with pytest.raises(CircuitOpen):
                call(self.ejection, host)
        else:
            call(self.ejection, host, ConnectionError() if fails else None)

    @rule(seconds=st.sampled_from([1.0, 15.0, 30.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.shift(seconds)

    @invariant()
    def agrees(self) -> None:
        now = self.clock.monotonic()
        out = {host for host, back in self.back_at.items() if back > now}
        assert set(self.ejection.statistics().ejected) == out
        assert set(self.ejection.eligible(range(6))) == set(range(6)) - out


OutlierMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
test_the_share_holds_whatever_happens = OutlierMachine.TestCase
