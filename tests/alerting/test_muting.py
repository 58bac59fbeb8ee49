"""Inhibition, silences, maintenance windows and mute times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from resilience.alerting import FlapDetector, Inhibition, MaintenanceWindow, Matchers, Route
from resilience.alerting.inhibition import Inhibitor
from resilience.alerting.intervals import time_intervals_from_config
from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.stores.memory import MemoryStore

Make: TypeAlias = Callable[..., Any]

# The manual clock starts on Tuesday, 2023-11-14, at 22:13:20 UTC.
EVENING = time_intervals_from_config(
    {"evening": [{"times": [{"start_time": "22:00", "end_time": "22:14"}]}]}
)["evening"]
QUICK = Route(to=("ops",), group_wait=2, group_interval=4, repeat_interval=1000)


def test_an_alert_does_not_inhibit_itself_nor_do_two_that_match_both_sides() -> None:
    rule = Inhibition(
        Matchers(["severity=~critical|warning"]), Matchers(["severity=~critical|warning"]), ("host",)
    )
    inhibitor = Inhibitor([rule])
    labels = {"a": {"severity": "critical", "host": "x"}, "b": {"severity": "warning", "host": "x"}}
    inhibitor.update(labels)
    assert [inhibitor.inhibited_by(key, each) for key, each in labels.items()] == [None, None]


def test_labels_that_both_lack_are_alike() -> None:
    inhibitor = Inhibitor(
        [Inhibition(Matchers(["severity=critical"]), Matchers(["severity=warning"]), ("host",))]
    )
    inhibitor.update({"a": {"severity": "critical"}})
    assert inhibitor.inhibited_by("b", {"severity": "warning"}) == "a"
    assert inhibitor.inhibited_by("c", {"severity": "warning", "host": "x"}) is None
    inhibitor.update({})
    assert inhibitor.inhibited_by("b", {"severity": "warning"}) is None


async def test_at_mute_times_nothing_new_is_told_and_the_end_is(make: Make) -> None:
    route = Route(to=("ops",), group_wait=2, group_interval=4, mute=(EVENING,))
    desk = make(route)
    async with desk.running():
        alert = desk.fire("Down")
        await desk.pass_(36)
        assert desk.phones["ops"].told == []
        await desk.pass_(10)
        assert [status for _, status, _ in desk.phones["ops"].told] == ["firing"]
        desk.stop(alert)
        await desk.pass_(5)
    assert [status for _, status, _ in desk.phones["ops"].told] == ["firing", "resolved"]


async def test_outside_of_active_times_nothing_new_is_told(make: Make) -> None:
    desk = make(Route(to=("ops",), group_wait=2, group_interval=4, active=(EVENING,)))
    async with desk.running():
        await desk.pass_(41)
        desk.fire("Down")
        await desk.pass_(10)
    assert desk.phones["ops"].told == []


async def test_a_maintenance_window_mutes_what_matches_while_it_is_open(make: Make) -> None:
    window = MaintenanceWindow("evening", Matchers(["host=a"]), EVENING)
    desk = make(QUICK, maintenance=[window])
    async with desk.running():
        desk.fire("Down", host="a")
        desk.fire("Slow", host="b")
        await desk.pass_(5)
        assert [names for _, _, names in desk.phones["ops"].told] == [("Slow",)]
        assert {each.silenced_by for each in desk.manager.active_alerts()} == {"evening", None}
        await desk.pass_(45)
    assert [names for _, _, names in desk.phones["ops"].told] == [("Slow",), ("Down",)]


async def test_silences_survive_a_restart_and_can_be_planned_ahead(make: Make, clock: ManualClock) -> None:
    store = MemoryStore(clock=clock)
    first = make(QUICK, store=store)
    now = clock.time()
    first.manager.silence(['host=~"a|b"'], start=now + 20, end=now + 40, author="me", comment="upgrade")
    gone = first.manager.silence(["host=c"], start=now + 20, end=now + 40, author="me", comment="upgrade")
    ended = first.manager.silence(["host=d"], end=now + 40, author="me", comment="upgrade")
    first.manager.unsilence(gone.id)
    await clock.advance(1)
    first.manager.unsilence(ended.id)
    await first.manager.commit()
    second = make(QUICK, store=store)
    await second.manager.restore()
    assert [str(each.matchers) for each in second.manager.silences] == ['{host=~"a|b"}', '{host="d"}']
    async with second.running():
        await second.pass_(25)
        second.fire("Down", host="a")
        await second.pass_(10)
        assert second.phones["ops"].told == []
        await second.pass_(20)
    assert len(second.phones["ops"].told) == 1


async def test_what_a_notification_left_out_while_silenced_is_news_after_it(make: Make) -> None:
    desk = make(QUICK)
    async with desk.running():
        desk.fire("Down", host="a")
        other = desk.fire("Down", host="b")
        await desk.pass_(4)
        desk.manager.silence(["host=a"], end=desk.clock.time() + 10, author="me", comment="x")
        desk.stop(other)
        await desk.pass_(20)
    notifications = desk.phones["ops"].notifications
    shown = [{(each.labels["host"], each.status) for each in told.alerts} for told in notifications]
    assert shown == [{("a", "firing"), ("b", "firing")}, {("b", "resolved")}, {("a", "firing")}]


async def test_old_silences_are_forgotten(make: Make, clock: ManualClock) -> None:
    desk = make(QUICK)
    desk.manager.silence(["host=a"], end=clock.time() + 1, author="me", comment="x")
    await clock.advance(6 * 86_400)
    desk.fire("Down")
    await desk.tick()
    assert desk.manager.silences == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"matchers": []}, "must name at least one label"),
        ({"end": 5.0, "start": 10.0}, "end of a silence must be after its start"),
        ({"author": " "}, "author must be"),
        ({"end": float("nan")}, "end must be"),
    ],
)
async def test_a_silence_that_cannot_be_meant_is_refused(
    make: Make, options: dict[str, Any], says: str
) -> None:
    desk = make(QUICK)
    given = {"matchers": ["a=b"], "end": desk.clock.time() + 10, "author": "me", "comment": "x"}
    with pytest.raises(ConfigError, match=says):
        desk.manager.silence(**{**given, **options})


def test_an_alert_flaps_until_it_has_been_quiet() -> None:
    flaps = FlapDetector(changes=3, window=60)
    for second in (0, 20, 40):
        flaps.changed("a", second)
    assert flaps.flapping("a", 60)
    assert not flaps.flapping("a", 61)
    assert not flaps.flapping("b", 0)
    flaps.forget(75)
    flaps.changed("a", 75)
    assert flaps.flapping("a", 75), "the third change within a minute"
    flaps.forget(136)
    assert not flaps.flapping("a", 136)


@pytest.mark.parametrize("options", [{"changes": 1}, {"window": 0}])
def test_a_detector_that_cannot_be_meant_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        FlapDetector(**options)


@pytest.mark.parametrize("matchers", [['x=~".*"'], ['x=""'], ['x!="a"', 'y=~"|b"']])
async def test_a_silence_that_mutes_every_alert_without_a_label_is_refused(
    make: Make, matchers: list[str]
) -> None:
    desk = make(QUICK)
    async with desk.running():
        with pytest.raises(ConfigError, match="must include one that the empty label does not match"):
            desk.manager.silence(matchers, end=2e9, author="ann", comment="")
        assert desk.manager.silences == []
