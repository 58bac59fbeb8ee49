"""Escalation: the next level while nobody acknowledges, and who hears of the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from resilience.alerting import Escalation, Level, Route
from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.stores.memory import MemoryStore

Make: TypeAlias = Callable[..., Any]

NAMES = ("ops", "pager", "boss")


def tree(**options: Any) -> Route:
    policy = Escalation("oncall", [Level(("pager",), wait=10), Level(("boss",), wait=20)], **options)
    return Route(to=("ops",), group_wait=2, group_interval=5, repeat_interval=1000, escalation=policy)


def times(desk: Any, name: str, status: str = "firing") -> list[float]:
    return [at for at, kind, _ in desk.phones[name].told if kind == status]


async def test_levels_are_told_one_after_another(make: Make) -> None:
    desk = make(tree(), *NAMES)
    async with desk.running():
        desk.fire("Down")
        await desk.pass_(60)
    assert [times(desk, name) for name in NAMES] == [[2], [2], [12]]


async def test_the_policy_repeats_up_to_its_bound(make: Make) -> None:
    desk = make(tree(repeats=1), *NAMES)
    async with desk.running():
        desk.fire("Down")
        await desk.pass_(200)
    assert [times(desk, name) for name in NAMES] == [[2], [2, 32], [12, 42]]


async def test_an_acknowledgement_stops_it(make: Make) -> None:
    desk = make(tree(), *NAMES)
    async with desk.running():
        alert = desk.fire("Down")
        await desk.pass_(5)
        desk.manager.acknowledge(alert, by="ann")
        await desk.pass_(60)
    assert times(desk, "boss") == []
    assert times(desk, "pager", "acknowledged") == [5]


async def test_an_acknowledgement_that_expires_notifies_its_receivers_again_before_the_next_level(
    make: Make,
) -> None:
    desk = make(tree(acknowledgement_timeout=30), *NAMES)
    async with desk.running():
        alert = desk.fire("Down")
        await desk.pass_(5)
        desk.manager.acknowledge(alert, by="ann")
        await desk.pass_(60)
        [active] = desk.manager.active_alerts()
    assert [times(desk, name) for name in NAMES] == [[2, 35], [2, 35], [45]]
    assert desk.phones["pager"].notifications[-1].alerts[0].acknowledged_by is None
    assert active.alert.acknowledged_by is None
    [expired] = [each for each in desk.manager.history() if each.kind == "acknowledgement_expired"]
    assert expired.detail == "ann"


async def test_an_acknowledgement_given_again_after_it_expired_stops_the_escalation(make: Make) -> None:
    desk = make(tree(acknowledgement_timeout=30), *NAMES)
    async with desk.running():
        alert = desk.fire("Down")
        await desk.pass_(5)
        desk.manager.acknowledge(alert, by="ann")
        await desk.pass_(33)
        desk.manager.acknowledge(alert, by="ann")
        await desk.pass_(28)
        assert times(desk, "boss") == []
        await desk.pass_(30)
    assert times(desk, "pager") == [2, 35, 68]
    assert times(desk, "boss") == [78]


async def test_an_acknowledgement_expires_after_the_last_level_too(make: Make) -> None:
    desk = make(tree(acknowledgement_timeout=30), *NAMES)
    async with desk.running():
        alert = desk.fire("Down")
        await desk.pass_(20)
        desk.manager.acknowledge(alert, by="ann")
        await desk.pass_(60)
    assert [times(desk, name) for name in NAMES] == [[2, 50], [2, 50], [12, 50]]


async def test_an_acknowledgement_expires_over_a_restart(make: Make, clock: ManualClock) -> None:
    store = MemoryStore(clock=clock)
    first = make(tree(acknowledgement_timeout=30), *NAMES, store=store)
    async with first.running():
        alert = first.fire("Down")
        await first.pass_(5)
        first.manager.acknowledge(alert, by="ann")
        await first.manager.flush(1)
    second = make(tree(acknowledgement_timeout=30), *NAMES, store=store)
    second.firing = first.firing
    await clock.advance(20)
    await second.manager.restore()
    async with second.running():
        await second.pass_(40)
        await second.manager.flush(1)
    assert [times(second, name) for name in NAMES] == [[35], [35], [45]]
    assert await store.load("alerting.acknowledgements") == {}


async def test_an_alert_that_joins_an_acknowledged_group_starts_it_again(make: Make) -> None:
    desk = make(tree(), *NAMES)
    async with desk.running():
        alert = desk.fire("Down", host="a")
        await desk.pass_(5)
        desk.manager.acknowledge(alert, by="ann")
        await desk.pass_(15)
        desk.fire("Down", host="b")
        await desk.pass_(10)
    assert len(times(desk, "boss")) == 1


async def test_every_level_that_was_told_hears_of_the_end(make: Make) -> None:
    desk = make(tree(), *NAMES)
    async with desk.running():
        alert = desk.fire("Down")
        await desk.pass_(15)
        desk.stop(alert)
        await desk.pass_(6)
        assert [len(times(desk, name, "resolved")) for name in NAMES] == [1, 1, 1]
        desk.fire("Down")
        await desk.pass_(5)
    assert len(times(desk, "pager")) == 2
    assert len(times(desk, "boss")) == 1, "a new incident starts at the first level"


async def test_how_far_it_came_survives_a_restart(make: Make, clock: ManualClock) -> None:
    store = MemoryStore(clock=clock)
    first = make(tree(), *NAMES, store=store)
    async with first.running():
        alert = first.fire("Down")
        await first.pass_(5)
        first.manager.acknowledge(alert, by="ann")
        await first.manager.flush(1)
    second = make(tree(), *NAMES, store=store)
    second.firing = first.firing
    await second.manager.restore()
    async with second.running():
        await second.pass_(30)
        assert times(second, "boss") == []
        assert second.manager.active_alerts()[0].alert.acknowledged_by == "ann"
    assert times(second, "pager") == []


@pytest.mark.parametrize(
    ("make_one", "says"),
    [
        (lambda: Level(()), "to of an escalation level"),
        (lambda: Level(("",)), "to must be"),
        (lambda: Level(("a",), wait=0), "wait must be"),
        (lambda: Escalation("x", []), "levels of escalation 'x'"),
        (lambda: Escalation("", [Level(("a",))]), "name must be"),
        (lambda: Escalation("x", [Level(("a",))], repeats=10), "repeats must be .* at most 9"),
        (
            lambda: Escalation("x", [Level(("a",))], acknowledgement_timeout=0),
            "acknowledgement_timeout must be",
        ),
    ],
)
def test_nonsense_is_refused(make_one: Callable[[], object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make_one()
