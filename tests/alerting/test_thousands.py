"""Thousands of alerts and hundreds of silences: in slices, remembered, and never seen half done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from resilience.alerting import Matchers, RaisedAlert, Route
from resilience.core.external_labels import ExternalLabels
from resilience.rules.state import Alert, fingerprint

Desk = Any
QUICK = Route(to=("ops",), group_by=("alertname",), group_wait=0, group_interval=4, repeat_interval=3600)
MANY = 2_000


def storm(desk: Desk) -> list[Alert]:
    for number in range(MANY):
        desk.fire(f"A{number % 20}", n=str(number))
    return list(desk.firing.values())


async def turns_during(work: Any) -> int:
    """Count the turns that the event loop has while something is awaited."""
    task, turns = asyncio.ensure_future(work), 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    await task
    return turns


async def test_a_storm_of_alerts_leaves_the_loop_its_turns(make: Callable[..., Desk]) -> None:
    desk = make(QUICK)
    alerts = storm(desk)
    assert await turns_during(desk.manager.decide(desk.clock.now(), alerts)) > 20
    await desk.manager.commit()
    assert len(desk.manager.active_alerts()) == MANY
    assert await turns_during(desk.manager.decide(desk.clock.now(), [])) > 5
    assert desk.manager.active_alerts() == []


@pytest.mark.parametrize("later", [1, 7, 30])
async def test_who_reads_or_changes_in_the_middle_of_a_tick_finds_it_done(
    make: Callable[..., Desk], later: int
) -> None:
    desk, once = make(QUICK), make(QUICK)
    alerts = storm(desk)
    once.manager.tick(desk.clock.now(), alerts)
    tick = asyncio.ensure_future(desk.manager.decide(desk.clock.now(), alerts))
    for _ in range(later):
        await asyncio.sleep(0)
    assert not tick.done()
    assert desk.manager.active_alerts() == once.manager.active_alerts()
    desk.manager.acknowledge(alerts[0].fingerprint, by="ann")
    desk.manager.send_alert(RaisedAlert("Raised"))
    await tick
    desk.manager.tick(desk.clock.now(), alerts)
    assert len(desk.manager.active_alerts()) == MANY + 1
    kinds = [event.kind for event in desk.manager.history(limit=2 * MANY)]
    assert (kinds.count("fired"), kinds.count("acknowledged")) == (MANY + 1, 1)


async def test_what_is_decided_in_slices_is_what_is_decided_at_once(make: Callable[..., Desk]) -> None:
    sliced, once = make(QUICK), make(QUICK)
    alerts = storm(sliced)
    heard: list[tuple[str, str]] = []
    sliced.manager.events.subscribe(lambda event: heard.append((event.kind, event.fingerprint)))
    async with sliced.running(), once.running():
        for which in (alerts, alerts[: MANY // 2], []):
            await sliced.manager.decide(sliced.clock.now(), which)
            once.manager.tick(sliced.clock.now(), which)
            await sliced.manager.commit()
            await once.manager.commit()
            await sliced.clock.advance(5)
        assert sliced.phones["ops"].notifications == once.phones["ops"].notifications
        assert len(sliced.phones["ops"].notifications) > 0
    found = [(event.kind, event.fingerprint) for event in reversed(sliced.manager.history(limit=4 * MANY))]
    assert heard == found


async def test_a_tick_whose_caller_is_cancelled_is_done_all_the_same(make: Callable[..., Desk]) -> None:
    desk = make(QUICK)
    alerts = storm(desk)
    tick = asyncio.ensure_future(desk.manager.decide(desk.clock.now(), alerts))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tick.cancel()
    await asyncio.gather(tick, return_exceptions=True)
    assert len(desk.manager.active_alerts()) == MANY


async def test_silences_are_matched_with_each_alert_once(
    make: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make(QUICK)
    alerts = storm(desk)
    for number in range(50):
        desk.manager.silence([f'n="{number}"'], end=desk.clock.time() + 600, author="ann", comment="known")
    matched = []
    match = Matchers.match

    def counted(matchers: Matchers, labels: Any) -> bool:
        matched.append(matchers)
        return match(matchers, labels)

    monkeypatch.setattr(Matchers, "match", counted)
    await desk.manager.decide(desk.clock.now(), alerts)
    assert sum(each.silenced_by is not None for each in desk.manager.active_alerts()) == 50
    assert len(matched) == 50, "each alert with the silences that require a value of its labels"
    before = len(matched)
    for _ in range(3):
        await desk.manager.decide(desk.clock.now(), alerts)
        desk.manager.active_alerts()
    assert len(matched) == before
    desk.manager.silence(['n="60"'], end=desk.clock.time() + 600, author="ann", comment="known")
    await desk.manager.decide(desk.clock.now(), alerts)
    assert sum(each.silenced_by is not None for each in desk.manager.active_alerts()) == 51
    assert len(matched) == before + 2, "the new silence, when it is made and with the alert that it mutes"


async def test_a_silence_that_ended_or_was_taken_back_mutes_no_more(make: Callable[..., Desk]) -> None:
    desk = make(QUICK)
    desk.fire("Down")

    def muted() -> bool:
        desk.manager.tick(desk.clock.now(), list(desk.firing.values()))
        return desk.manager.active_alerts()[0].silenced_by is not None

    for _ in range(200):  # more than are kept in order
        now = desk.clock.time()
        made = desk.manager.silence(['alertname="Down"'], end=now + 60, author="ann", comment="known")
        assert muted()
        desk.clock.shift(1)
        desk.manager.unsilence(made.id)
        assert not muted()
    later = desk.manager.silence(
        ['alertname="Down"'], start=now + 90, end=now + 95, author="ann", comment="known"
    )
    assert not muted()
    desk.clock.shift(90)
    assert muted()
    desk.clock.shift(10)
    assert not muted()
    assert later in desk.manager.silences


async def test_alerts_that_did_not_change_are_made_anew_neither_by_labels_nor_by_readers(
    make: Callable[..., Desk],
) -> None:
    desk = make(QUICK, external=ExternalLabels({"region": "eu"}))
    desk.fire("Down"), desk.fire("Up")
    down, up = desk.firing.values()
    first = desk.manager.labelled([down, up])
    changed = replace(up, value=2.0)
    second = desk.manager.labelled([down, changed])
    assert second[0] is first[0]
    assert (second[1].value, second[1].labels) == (2.0, {**up.labels, "region": "eu"})
    assert second[1].fingerprint == first[1].fingerprint == fingerprint(second[1].labels)
    shown = []
    for alerts in ([down, up], [down, changed], [down], [down, up]):
        desk.manager.tick(desk.clock.now(), alerts)
        shown.append({each.alert.labels["alertname"]: each.alert for each in desk.manager.active_alerts()})
    assert all(each["Down"] is shown[0]["Down"] for each in shown)
    assert [each["Up"].value if "Up" in each else None for each in shown] == [up.value, 2.0, None, up.value]
    desk.manager.acknowledge(first[0].fingerprint, by="ann")
    assert {each.alert.acknowledged_by for each in desk.manager.active_alerts()} == {"ann", None}
