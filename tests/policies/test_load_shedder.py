from __future__ import annotations

from typing import Any

import pytest

from resilience.core.ports import CallContext
from resilience.errors import ConfigError, LoadShed
from resilience.policies.events import CallRejected
from resilience.policies.load_shedder import LoadShedder


def admitted(shedder: LoadShedder, criticality: int) -> bool:
    try:
        token = shedder.enter(0.0, CallContext(criticality=criticality))
    except LoadShed:
        return False
    shedder.leave(token, None, None, 0.0, 0.0)
    return True


@pytest.mark.parametrize(("in_flight", "lowest"), [(0, 0), (6, 0), (7, 1), (8, 2), (9, 3), (10, 4)])
def test_what_matters_least_goes_first(in_flight: int, lowest: int) -> None:
    shedder = LoadShedder(capacity=10)
    tokens = [shedder.enter(0.0, CallContext(criticality=3)) for _ in range(in_flight)]
    assert [level for level in range(4) if admitted(shedder, level)] == list(range(lowest, 4))
    for token in tokens:
        shedder.leave(token, None, None, 0.0, 0.0)
    assert shedder.statistics().in_flight == 0
    assert sum(shedder.statistics().shed) == lowest


def test_a_call_that_says_nothing_of_itself_is_normal() -> None:
    shedder = LoadShedder(load=lambda: 0.85)
    assert shedder.enter(0.0, None)
    with pytest.raises(LoadShed, match=r"sheds degradable calls at a load of 0\.85"):
        shedder.enter(0.0, CallContext(criticality=1))


def test_the_higher_of_both_loads_counts() -> None:
    shedder = LoadShedder(capacity=2, load=lambda: 0.1, thresholds=(0.5, 0.5, 0.5, 1.0))
    assert shedder.enter(0.0, None)
    assert shedder.statistics().load == 0.5
    assert not admitted(shedder, 2)


def test_criticalities_beyond_the_known_ones_count_as_the_nearest() -> None:
    shedder = LoadShedder(load=lambda: 0.95)
    assert admitted(shedder, 9)
    assert not admitted(shedder, -1)


def test_a_measure_that_raises_breaks_no_call() -> None:
    def broken() -> float:
        raise RuntimeError

    assert admitted(LoadShedder(load=broken), 0)


def test_observing_it_refuses_nothing() -> None:
    shedder = LoadShedder(load=lambda: 1.0, mode="observe")
    events: list[object] = []
    shedder.events.subscribe(events.append)
    assert admitted(shedder, 3)
    assert events == [CallRejected("load_shedder", "load_shedder", "critical", 0.0, None, observed=True)]
    assert shedder.statistics().shed == (0, 0, 0, 1)


def test_options_change_while_it_works() -> None:
    shedder = LoadShedder(capacity=1)
    token = shedder.enter(0.0, None)
    assert not admitted(shedder, 3)
    shedder.reconfigure(capacity=2)
    assert admitted(shedder, 3)
    shedder.leave(token, None, None, 0.0, 0.0)


@pytest.mark.parametrize(
    "options",
    [
        {"capacity": 0},
        {"thresholds": (0.5, 0.6, 0.7)},
        {"thresholds": (0.9, 0.8, 0.9, 1.0)},
        {"thresholds": (0.0, 0.8, 0.9, 1.0)},
        {"thresholds": "high"},
        {"load": 0.5},
        {"mode": "off"},
    ],
)
def test_nonsense_is_refused_and_changes_nothing(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        LoadShedder(**options)
    shedder = LoadShedder()
    before = shedder.settings
    with pytest.raises(ConfigError):
        shedder.reconfigure(**{"capacity": 3, **options})
    assert shedder.settings is before
