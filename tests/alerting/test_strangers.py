"""Whatever is handed to alerting: refused at the door with nothing changed, or handled; the next tick works."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from resilience import AlertRule, Reliability
from resilience.alerting import Inhibition, MaintenanceWindow, Matchers, RaisedAlert, Route
from resilience.alerting.group import Group
from resilience.alerting.leadership import Leadership
from resilience.alerting.plain import plain_alert, plain_event, plain_silence
from resilience.alerting.stored import StoredAlerts
from resilience.alerting.vetting import vetted
from resilience.core.clock import Instant, ManualClock
from resilience.core.ports import Matcher, Notification, NotifiedAlert, Put
from resilience.errors import ConfigError
from resilience.notifiers._text import moment
from resilience.rules.state import Alert, AlertState
from resilience.stores.memory import MemoryStore

Desk = Any
QUICK = Route(to=("ops",), group_wait=0, group_interval=4, repeat_interval=3600)


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


ODD: list[Any] = [
    *(None, True, 5, -1, 10**400, 10**5000, 1.5, math.nan, math.inf, 1e300, Decimal("2.5"), Fraction(1, 3)),
    *("", " ", "a", "a b", "\ud800", "a\0b", "x" * 100_000, "{{ $labels.x }}", '{a="b"}', b"bytes"),
    *(
        [],
        ["\ud800"],
        [None],
        {},
        {"a": None},
        {None: "a"},
        {"a b": "c"},
        {"a": "\udfff"},
        {"a": ValueError()},
    ),
    *((), object(), ValueError("x"), Unprintable(), lambda: None, range(3), Matcher("a", "=", "b")),
]
"""One value of each kind that somebody may hand over."""

NEVER = 'team="none"'  # so that no silence mutes what the test waits for


def readable(desk: Desk) -> Iterator[object]:
    """Show everything that pages, exports and webhooks show."""
    manager = desk.manager
    for found, plain in (
        (manager.active_alerts(), plain_alert),
        (manager.history(), plain_event),
        (manager.silences, plain_silence),
    ):
        for each in found:
            json.dumps(plain(each), allow_nan=False, ensure_ascii=False).encode()
            yield each
    for phone in desk.phones.values():
        for notification in phone.notifications:
            told = [
                [dict(each.labels), dict(each.annotations), moment(each.started)]
                for each in notification.alerts
            ]
            json.dumps([told, notification.group_key, dict(notification.group)], ensure_ascii=False).encode()


def state_of(desk: Desk) -> tuple[object, ...]:
    return list(readable(desk)), len(desk.manager._state.puts), desk.manager._state.raised.firing.copy()


async def works(desk: Desk) -> None:
    """Prove that a critical alert that fires now is told, that all can be shown, and that a restart goes through."""
    desk.fire("Critical", severity="critical")
    await desk.pass_(12)
    assert any("Critical" in names for _, _, names in desk.phones["ops"].told)
    list(readable(desk))


ENTRIES: dict[str, Callable[[Desk, Any], object]] = {
    "send_alert": lambda desk, value: desk.manager.send_alert(value),
    "name": lambda desk, value: desk.manager.send_alert(RaisedAlert(value)),
    "severity": lambda desk, value: desk.manager.send_alert(RaisedAlert("Odd", value)),
    "labels": lambda desk, value: desk.manager.send_alert(RaisedAlert("Odd", labels=value)),
    "label": lambda desk, value: desk.manager.send_alert(RaisedAlert("Odd", labels={"a": value})),
    "annotations": lambda desk, value: desk.manager.send_alert(RaisedAlert("Odd", annotations=value)),
    "annotation": lambda desk, value: desk.manager.send_alert(RaisedAlert("Odd", annotations={"a": value})),
    "value": lambda desk, value: desk.manager.send_alert(RaisedAlert("Odd", value=value)),
    "resolve": lambda desk, value: desk.manager.resolve(value),
    "acknowledge": lambda desk, value: desk.manager.acknowledge(value, "ann"),
    "acknowledge by": lambda desk, value: desk.manager.acknowledge(next(iter(desk.firing)), value),
    "silence": lambda desk, value: _silence(desk, matchers=value),
    "matcher": lambda desk, value: _silence(desk, matchers=[value]),
    "matcher value": lambda desk, value: _silence(desk, matchers=[Matcher("a", "=", value), NEVER]),
    "matcher regex": lambda desk, value: _silence(desk, matchers=[Matcher("a", "=~", value), NEVER]),
    "matcher op": lambda desk, value: _silence(desk, matchers=[Matcher("a", value, "b"), NEVER]),
    "matcher label": lambda desk, value: _silence(desk, matchers=[Matcher(value, "=", "b"), NEVER]),
    "start": lambda desk, value: _silence(desk, start=value),
    "end": lambda desk, value: _silence(desk, end=value),
    "author": lambda desk, value: _silence(desk, author=value),
    "comment": lambda desk, value: _silence(desk, comment=value),
    "unsilence": lambda desk, value: desk.manager.unsilence(value),
    "window": lambda desk, value: _window(desk, MaintenanceWindow("w", value, value)),
    "window name": lambda desk, value: MaintenanceWindow(value, Matchers(), value),
    "inhibition": lambda desk, value: Inhibition(value, value),
    "inhibition equal": lambda desk, value: Inhibition(Matchers(), Matchers(), equal=(value,)),
    "history": lambda desk, value: desk.manager.history(alert_id=value, since=value, limit=value),
    "active_alerts": lambda desk, value: desk.manager.active_alerts(service=value),
}


def _silence(desk: Desk, **options: Any) -> object:
    given = {"matchers": ['a="b"'], "end": desk.clock.time() + 60, "author": "ann", "comment": "known"}
    return desk.manager.silence(**{**given, **options})


def _window(desk: Desk, window: MaintenanceWindow) -> None:
    desk.manager.prepared(desk.phones, maintenance=[window])()


@pytest.mark.parametrize("entry", ENTRIES)
async def test_whatever_is_handed_over_is_refused_at_the_door_or_handled(
    make: Callable[..., Desk], entry: str
) -> None:
    for value in ODD:
        desk = make(QUICK)
        async with desk.running():
            desk.fire("Known")
            await desk.pass_(2)
            before: object = state_of(desk)
            with contextlib.suppress(ConfigError):
                ENTRIES[entry](desk, value)
                before = None  # it was taken
            assert before in (None, state_of(desk)), "nothing has changed"
            await works(desk)
            again = make(QUICK, store=desk.manager._keeper._storage._store)
            await again.manager.restore()
            again.manager.tick(again.clock.now(), list(desk.firing.values()))
            await again.manager.commit()
            assert {each.alert.fingerprint for each in again.manager.active_alerts()} == {
                each.alert.fingerprint for each in desk.manager.active_alerts()
            }


async def test_what_has_one_meaning_is_taken_as_text(make: Callable[..., Desk]) -> None:
    alert = RaisedAlert(
        "Odd", labels={"code": 503, "on": True}, annotations={"share": Decimal("0.5")}, value=Decimal("2.5")
    )
    desk = make(QUICK)
    alert_id = desk.manager.send_alert(alert)
    assert alert_id == desk.manager.send_alert(RaisedAlert("Odd", labels={"code": "503", "on": "true"}))
    assert (alert.labels, alert.annotations, alert.value) == (
        {"code": "503", "on": "true"},
        {"share": "0.5"},
        2.5,
    )


async def test_what_no_output_can_hold_is_replaced(make: Callable[..., Desk]) -> None:
    desk = make(QUICK)
    async with desk.running():
        desk.manager.send_alert(RaisedAlert("a\ud800", labels={"b": "c\0"}, annotations={"d": "\udfff"}))
        desk.manager.silence(
            Matchers(['x="\ud800"']), end=desk.clock.time() + 9, author="e\0", comment="\ud800"
        )
        await desk.pass_(3)
        [told] = desk.phones["ops"].notifications
        [alert] = told.alerts
        assert alert.labels == {"b": "c\ufffd", "alertname": "a\ufffd", "severity": "warning"}
        assert alert.annotations == {"d": "\ufffd"}
        [silence] = desk.manager.silences
        assert (silence.author, silence.comment) == ("e\ufffd", "\ufffd")
        list(readable(desk))


FIELDS = [
    *("rule", "group", "labels", "annotations", "state", "value", "active_at", "fingerprint", "fired_at"),
    "resolved_at",
]


@pytest.mark.parametrize("field", FIELDS)
async def test_of_alerts_that_cannot_be_handled_each_is_left_out_and_the_others_go_on(
    make: Callable[..., Desk], field: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk = make(QUICK)
    async with desk.running():
        good = desk.firing[desk.fire("Good")]
        for number, value in enumerate(ODD):
            odd: Any = replace(good, labels={"alertname": f"Odd{number}"}, fingerprint=f"{number:016x}")
            desk.firing[f"odd{number}"] = replace(odd, **{field: value})
            desk.firing[f"resolved{number}"] = replace(odd, **{"state": AlertState.RESOLVED, field: value})
        desk.firing["none"] = None
        await works(desk)
        assert any("Good" in names for _, _, names in desk.phones["ops"].told)
        log = caplog.text
        assert log.count("alert=\"'NoneType'") == 1, "what is left out is said once"


async def test_an_alert_that_becomes_bad_goes_on_as_it_was(make: Callable[..., Desk]) -> None:
    desk = make(QUICK)
    async with desk.running():
        alert_id = desk.fire("Down")
        await desk.pass_(3)
        bad: Any = {"summary": ValueError()}
        desk.firing[alert_id] = replace(desk.firing[alert_id], annotations=bad)
        await desk.pass_(10)
        assert [status for _, status, _ in desk.phones["ops"].told] == ["firing"]
        assert desk.manager.active_alerts()[0].alert.annotations == {"summary": "Down!"}


async def test_a_bad_alert_in_one_that_stands_by_harms_nothing(
    make: Callable[..., Desk], clock: ManualClock
) -> None:
    store = MemoryStore(clock=clock)
    one, two = (
        make(QUICK, store=store, leadership=Leadership(store, "shop/alerting", clock=clock), service="shop")
        for _ in range(2)
    )
    async with one.running(), two.running():
        await one.manager.restore()
        await two.manager.restore()
        two.firing["bad"] = replace(two.firing[two.fire("Good")], fingerprint="b", labels={"a": 1})  # type: ignore[dict-item]
        for _ in range(12):
            await two.tick(0)
            await one.tick()
        assert [names for _, _, names in one.phones["ops"].told] == [("Good",)]


async def test_a_stored_alert_that_no_receiver_takes_is_put_right_or_left(make: Callable[..., Desk]) -> None:
    store = MemoryStore()
    row = {
        "rule": "Old", "labels": {"alertname": "Old", "n": "5"}, "annotations": {"d": "\ud800"}, "value": None,
        "fingerprint": "0001", "at": 1_700_000_000.0,
    }  # fmt: skip
    await store.write(
        [
            Put("alerting.raised", "0001", json.dumps(row).encode()),
            Put(
                "alerting.raised",
                "0002",
                json.dumps({**row, "labels": {"n": []}, "fingerprint": "0002"}).encode(),
            ),
        ]
    )
    desk = make(QUICK, store=store)
    async with desk.running():
        await desk.manager.restore()
        await works(desk)
        labels = [each.alert.labels for each in desk.manager.active_alerts()]
        assert {"alertname": "Old", "n": "5"} in labels
        assert len(labels) == 2


# A log that draws a traceback in colours needs minutes for a message of 100,000 characters.
ANSWERS = [value[:2000] if isinstance(value, str) else value for value in ODD]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda value: type(value).__name__)
async def test_whatever_a_condition_returns_critical_rules_are_told(answer: Any) -> None:
    clock = ManualClock()
    told: list[Notification] = []

    class Wire:
        name = "wire"

        async def send(self, notification: Notification) -> None:
            json.dumps(
                [[dict(a.labels), dict(a.annotations)] for a in notification.alerts], ensure_ascii=False
            ).encode()
            told.append(notification)

    odd = [
        AlertRule("Odd", condition=lambda: answer),
        AlertRule("OddLabels", condition=lambda: {answer: 1}),
        AlertRule("OddName", condition=lambda: [({answer: "x"}, 1)]),
        AlertRule("OddValue", condition=lambda: [((("a", "b"),), answer)]),
        AlertRule("OddText", condition=lambda: [((("a", answer),), 1)], annotations={"s": "{{ $labels.a }}"}),
        AlertRule("OddError", condition=lambda: (_ for _ in ()).throw(ValueError(answer))),
    ]
    rel = Reliability(
        "shop",
        rules=[*odd, AlertRule("Critical", condition=lambda: True)],
        notifiers=[Wire()],
        route=Route(to=("wire",), group_wait=0),
        clock=clock,
    )
    async with rel:
        for _ in range(20):
            await clock.advance(1)
        names = {alert.labels["alertname"] for each in told for alert in each.alerts}
        assert "Critical" in names
        body, _ = rel.metrics()
        body.decode()
        assert b'resilience_tick_failures_total{service="shop"} 0.0' in body


def alert_of(**labels: str) -> NotifiedAlert:
    return NotifiedAlert("f", "firing", labels, {}, 1e300, None)


def test_a_time_that_no_date_shows_is_written_as_the_nearest() -> None:
    assert moment(alert_of().started) == "9999-12-31T23:59:59.000Z"
    assert moment(math.nan) == moment(-5) == "1970-01-01T00:00:00.000Z"


def test_an_alert_needs_its_moment_on_both_clocks() -> None:
    at = Instant(1.0, 1.0)
    good = Alert("r", "g", {"alertname": "A"}, {}, AlertState.FIRING, 1.0, at, "f", at)
    assert vetted(good) is good
    with pytest.raises(ConfigError, match="fired_at"):
        vetted(replace(good, fired_at=Instant(1.0, math.nan)))


async def test_a_group_that_cannot_decide_does_not_hold_up_the_others(
    make: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make(QUICK)
    decide = Group.decide

    def broken(group: Group, *given: Any) -> Any:
        if group.labels == {"alertname": "Bad"} and desk.clock.monotonic() < 1030:
            raise ValueError("broken")
        return decide(group, *given)

    monkeypatch.setattr(Group, "decide", broken)
    async with desk.running():
        desk.fire("Bad")
        await works(desk)
        await desk.pass_(70)
        assert {names for _, _, names in desk.phones["ops"].told} == {("Bad",), ("Critical",)}


async def test_who_acknowledges_in_the_state_file_is_shown_on_every_output(make: Callable[..., Desk]) -> None:
    store = MemoryStore()
    stored = StoredAlerts(store, "shop")
    desk = make(QUICK, store=store, service="shop")
    async with desk.running():
        alert_id = desk.fire("Down")
        await desk.pass_(3)
        await stored.acknowledge(alert_id, "ann\ud800")
        for value in ODD:
            with pytest.raises(ConfigError):
                await stored.resolve(value)
            with contextlib.suppress(ConfigError):
                await stored.silence(value, end=value, author=value, comment=value)
        again = make(QUICK, store=store, service="shop")
        await again.manager.restore()
        again.manager.tick(again.clock.now(), list(desk.firing.values()))
        assert again.manager.active_alerts()[0].alert.acknowledged_by == "ann\ufffd"
        list(readable(again))
