"""The alert lifecycle, against Prometheus' rules and against an independent, much simpler model."""

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.core.clock import Instant
from resilience.errors import ConfigError, QueryError
from resilience.rules.model import AlertRule
from resilience.rules.state import AlertState, AlertTransition, RuleState, fingerprint

A = ((("job", "a"),), 1.0)
B = ((("job", "b"),), 2.0)


def at(seconds: float) -> Instant:
    return Instant(1_000 + seconds, 1_700_000_000 + seconds)


def rule(**options: Any) -> AlertRule:
    return AlertRule("Down", condition=bool, **{"no_data": "resolve", **options})


def changes(transitions: Sequence[AlertTransition]) -> list[tuple[str, str]]:
    return [(t.previous.value, t.state.value) for t in transitions]


def test_fires_at_the_first_evaluation_at_which_for_has_passed() -> None:
    state = RuleState(rule(for_=60))
    assert changes(state.evaluate([A], at(0))) == [("inactive", "pending")]
    assert changes(state.evaluate([A], at(59.9))) == []
    assert changes(state.evaluate([A], at(60))) == [("pending", "firing")]
    alert = state.alerts[0]
    assert (alert.active_at, alert.fired_at) == (at(0), at(60))


def test_for_is_met_even_where_clock_readings_round_below_it() -> None:
    state = RuleState(rule(for_=300))
    state.evaluate([A], Instant(1000.3, 0))
    assert Instant(1300.3 - 1e-9, 0).monotonic - 1000.3 < 300
    assert changes(state.evaluate([A], Instant(1300.3 - 1e-9, 300))) == [("pending", "firing")]


def test_without_for_an_alert_fires_at_once_in_one_transition() -> None:
    assert changes(RuleState(rule()).evaluate([A], at(0))) == [("inactive", "firing")]


def test_a_pending_alert_that_ends_was_never_an_alert() -> None:
    state = RuleState(rule(for_=60, keep_firing_for=600))
    state.evaluate([A], at(0))
    assert changes(state.evaluate([], at(30))) == [("pending", "inactive")]
    assert state.alerts == state.resolved == []


def test_keep_firing_for_counts_from_the_first_false_evaluation_and_restarts_with_each_true_one() -> None:
    state = RuleState(rule(keep_firing_for=60))
    state.evaluate([A], at(0))
    assert changes(state.evaluate([], at(100))) == []
    assert changes(state.evaluate([], at(159))) == []
    state.evaluate([A], at(159.5))
    assert state.alerts[0].keep_firing_since is None
    assert changes(state.evaluate([], at(170))) == []
    assert changes(state.evaluate([], at(230))) == [("firing", "resolved")]


def test_each_label_set_lives_its_own_life() -> None:
    state = RuleState(rule(for_=60))
    state.evaluate([A], at(0))
    state.evaluate([A, B], at(60))
    assert {alert.labels["job"]: alert.state.value for alert in state.alerts} == {
        "a": "firing",
        "b": "pending",
    }


def test_resolved_alerts_are_remembered_for_fifteen_minutes() -> None:
    state = RuleState(rule())
    state.evaluate([A], at(0))
    state.evaluate([], at(10))
    state.evaluate([], at(10 + 899))
    assert [alert.state for alert in state.resolved] == [AlertState.RESOLVED]
    state.evaluate([], at(10 + 900))
    assert state.resolved == []


def test_an_alert_that_comes_back_is_a_new_one() -> None:
    state = RuleState(rule())
    state.evaluate([A], at(0))
    state.evaluate([], at(10))
    assert changes(state.evaluate([A], at(20))) == [("resolved", "firing")]
    assert state.alerts[0].active_at == at(20)
    assert state.alerts[0].resolved_at is None


def test_a_value_in_a_label_makes_a_new_alert_each_time() -> None:
    state = RuleState(rule(labels={"value": "{{ $value }}"}))
    state.evaluate([A], at(0))
    assert changes(state.evaluate([(A[0], 1.5)], at(10))) == [("inactive", "firing"), ("firing", "resolved")]


def test_annotations_follow_the_value() -> None:
    state = RuleState(rule(annotations={"summary": "{{ $labels.job }}: {{ $value | humanizePercentage }}"}))
    state.evaluate([(A[0], 0.25)], at(0))
    assert state.alerts[0].annotations == {"summary": "a: 25%"}
    state.evaluate([(A[0], 0.5)], at(10))
    assert state.alerts[0].annotations == {"summary": "a: 50%"}
    assert state.alerts[0].value == 0.5


def test_annotations_follow_labels_that_do_not_identify_the_alert() -> None:
    state = RuleState(rule(labels={"pod": ""}, annotations={"summary": "{{ $labels.pod }}"}))
    for pod in ("x", "y"):
        state.evaluate([((("pod", pod),), 1.0)], at(0))
        assert [dict(alert.annotations) for alert in state.alerts] == [{"summary": pod}]


def test_annotations_follow_what_they_query() -> None:
    state = RuleState(rule(annotations={"summary": '{{ query "x" | first | value }}'}))
    for value in (1.0, 2.0):
        state.evaluate([A], at(0), query=lambda _: [((), value)])  # noqa: B023  called at once
        assert state.alerts[0].annotations == {"summary": f"{value:g}"}


def test_a_template_that_fails_says_so_in_its_text() -> None:
    state = RuleState(rule(annotations={"summary": "{{ $labels.job.x }}"}))
    state.evaluate([A], at(0))
    assert (
        state.alerts[0].annotations["summary"].startswith("<error expanding template: can't evaluate field x")
    )


def test_labels_are_the_elements_and_the_rules_and_the_name() -> None:
    state = RuleState(rule(severity="critical", labels={"job": "", "team": "{{ $labels.job }}-team"}))
    state.evaluate([((("__name__", "up"), ("job", "a"), ("alertname", "x")), 0.0)], at(0))
    assert state.alerts[0].labels == {"alertname": "Down", "severity": "critical", "team": "a-team"}


def test_two_elements_of_one_label_set_are_an_error_that_changes_nothing() -> None:
    state = RuleState(rule(labels={"job": "all"}))
    state.evaluate([A], at(0))
    with pytest.raises(QueryError, match="same labelset"):
        state.evaluate([A, B], at(10))
    assert [alert.active_at for alert in state.alerts] == [at(0)]


def test_more_alerts_than_the_limit_are_an_error_that_changes_nothing() -> None:
    state = RuleState(rule())
    state.evaluate([A], at(0), limit=1)
    with pytest.raises(QueryError, match="exceeded limit of 1 with 2 alerts"):
        state.evaluate([A, B], at(10), limit=1)
    assert [alert.labels["job"] for alert in state.alerts] == ["a"]


def test_series_are_those_that_prometheus_writes() -> None:
    state = RuleState(rule(for_=60))
    state.evaluate([A], Instant(0, 1_700_000_000.9))
    assert state.series() == [
        ((("__name__", "ALERTS"), ("alertname", "Down"), ("alertstate", "pending"), ("job", "a")), 1.0),
        ((("__name__", "ALERTS_FOR_STATE"), ("alertname", "Down"), ("job", "a")), 1_700_000_000.0),
    ]


# -- missing data


def silence(state: RuleState, seconds: float) -> list[tuple[str, str]]:
    return changes(state.evaluate([], at(seconds), data=False))


def test_no_data_resolves_like_a_false_evaluation_where_prometheus_would() -> None:
    state = RuleState(rule(keep_firing_for=60))
    state.evaluate([A], at(0))
    assert silence(state, 10) == []
    assert silence(state, 70) == [("firing", "resolved")]


def test_no_data_that_is_ok_resolves_at_once() -> None:
    state = RuleState(rule(no_data="ok", keep_firing_for=60))
    state.evaluate([A], at(0))
    assert silence(state, 10) == [("firing", "resolved")]


def test_no_data_keeps_alerts_as_they_are_within_the_grace() -> None:
    state = RuleState(rule(no_data="keep", no_data_grace=300, for_=60))
    state.evaluate([A], at(0))
    assert silence(state, 100) == []
    assert state.alerts[0].state is AlertState.PENDING
    state.evaluate([A], at(110))
    assert silence(state, 120) == []
    assert silence(state, 419) == []
    assert silence(state, 420) == [("firing", "resolved")]


def test_a_false_evaluation_with_data_resolves_whatever_no_data_says() -> None:
    state = RuleState(rule(no_data="keep"))
    state.evaluate([A], at(0))
    assert changes(state.evaluate([], at(10), data=True)) == [("firing", "resolved")]


def test_no_data_is_looked_at_for_each_alert() -> None:
    state = RuleState(rule(no_data="keep", labels={"team": "web"}))
    state.evaluate([A, B], at(0))
    transitions = state.evaluate([], at(10), data=lambda labels: labels.get("job") == "b")
    assert [(t.alert.labels["job"], t.state.value) for t in transitions] == [("b", "resolved")]
    state = restarted(state, 20, at(30))
    asked: list[dict[str, str]] = []
    state.evaluate([], at(40), data=lambda labels: bool(asked.append(dict(labels))))
    assert asked == [{"job": "a"}]


def test_no_data_alerts_after_for_and_resolves_when_data_is_back() -> None:
    state = RuleState(rule(no_data="alert", for_=60))
    assert silence(state, 0) == [("inactive", "pending")]
    assert silence(state, 60) == [("pending", "firing")]
    assert math.isnan(state.alerts[0].value)
    assert state.alerts[0].labels == {"alertname": "Down"}
    assert changes(state.evaluate([], at(70))) == [("firing", "resolved")]


# -- restarts


def restarted(state: RuleState, saved_at: float, now: Instant, **options: Any) -> RuleState:
    other = RuleState(state.rule)
    saved = json.loads(json.dumps([item for _, item in state.changes(everything=True)]))
    other.restore(saved, now, down_at=at(saved_at).wall, **options)
    return other


def test_downtime_does_not_count_towards_for() -> None:
    state = RuleState(rule(for_=60))
    state.evaluate([A], at(0))
    state = restarted(state, 30, Instant(7, at(530).wall))
    assert changes(state.evaluate([A], Instant(36, at(559).wall))) == []
    assert changes(state.evaluate([A], Instant(37, at(560).wall))) == [("pending", "firing")]
    assert state.alerts[0].active_at == Instant(-23, at(500).wall)


def test_a_hold_survives_a_restart() -> None:
    state = RuleState(rule(keep_firing_for=60))
    state.evaluate([A], at(0))
    state.evaluate([], at(10))
    state = restarted(state, 40, Instant(7, at(540).wall))
    assert changes(state.evaluate([], Instant(36, 0))) == []
    assert changes(state.evaluate([], Instant(37, 0))) == [("firing", "resolved")]


def test_nothing_resolves_after_a_restart_until_windows_have_filled_up() -> None:
    state = RuleState(rule())
    state.evaluate([A], at(0))
    state = restarted(state, 10, Instant(7, at(500).wall), settle=300, silence=400)
    assert changes(state.evaluate([], Instant(306, 0))) == []
    assert changes(state.evaluate([], Instant(308, 0), data=False)) == []
    assert state.alerts[0].active_at.wall == at(0).wall
    assert changes(state.evaluate([], Instant(309, 0))) == [("firing", "resolved")]


@pytest.mark.parametrize("saved", [[{}], [{"labels": 1}], [{"labels": {}, "state": "odd"}], [None]])
def test_saved_state_that_is_none_is_refused(saved: Any) -> None:
    with pytest.raises(ConfigError, match="saved state of alert rule 'Down' cannot be read"):
        RuleState(rule()).restore(saved, at(0), down_at=0)


def test_the_fingerprint_is_alertmanagers() -> None:
    # The offset basis of FNV-1a, for the empty set; and what Alertmanager 0.25 answered for an alert of these labels.
    assert fingerprint({}) == "cbf29ce484222325"
    assert fingerprint({"alertname": "Down", "severity": "page", "job": "sh\u00f6p"}) == "b331a492a5e318f7"
    assert (
        fingerprint({"a": "b", "c": "d"})
        == fingerprint({"c": "d", "a": "b"})
        != fingerprint({"a": "bc", "": "d"})
    )


# -- an independent model


def model(history: list[bool], step: float, for_: float, keep: float) -> list[str]:
    """What an alert is after each evaluation, worked out from the whole history each time."""
    states: list[str] = []
    for now in range(len(history)):
        start = last_true = None
        state = "none"
        for i in range(now + 1):
            if history[i]:
                if start is None:
                    start = i
                last_true = i
                state = "firing" if state == "firing" or (i - start) * step >= for_ else "pending"
            elif state == "firing" and (i - (last_true + 1)) * step < keep:
                pass
            elif state in ("firing", "pending"):
                state, start = ("resolved" if state == "firing" else "none"), None
        states.append(state)
    return states


@given(
    history=st.lists(st.booleans(), max_size=25),
    step=st.sampled_from([1, 5, 15]),
    for_=st.sampled_from([0, 1, 5, 14, 15, 30]),
    keep=st.sampled_from([0, 1, 5, 29, 30]),
    restart=st.integers(0, 25),
)
def test_any_history_gives_what_the_model_gives_with_or_without_a_restart(
    history: list[bool], step: int, for_: int, keep: int, restart: int
) -> None:
    state = RuleState(rule(for_=for_, keep_firing_for=keep))
    seen = []
    for index, active in enumerate(history):
        now = at(index * step)
        if index == restart:
            state = restarted(state, index * step, now)
        state.evaluate([A] if active else [], now)
        known = [*state.alerts, *state.resolved]
        seen.append(known[0].state.value if known else "none")
    assert seen == model(history, step, for_, keep)
