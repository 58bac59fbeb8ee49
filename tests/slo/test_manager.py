from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience import promql
from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.rules import AlertState
from resilience.signals import Signals
from resilience.slo import (
    SLO,
    Alerting,
    Availability,
    Calendar,
    Composite,
    Correctness,
    Exclusion,
    Figures,
    Freshness,
    Latency,
    SLOManager,
    Threshold,
    Throughput,
)
from resilience.slo.compile import counted_events
from resilience.slo.plain import plain_slo
from tests.slo.conftest import Service
from tests.stored import kept, rows_of

DAY = 86_400


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 50)), min_size=1, max_size=60))
def test_a_budget_is_that_of_exact_counts(ticks: list[tuple[int, int]]) -> None:
    service = Service(SLO("ok", service="shop", target="0.999"), tick=7.3)
    for good, bad in ticks:
        service._good.inc(good)
        service._bad.inc(bad)
        service.clock.shift(7.3)
        service.pass_tick()
    bad, total = sum(bad for _, bad in ticks), sum(good + bad for good, bad in ticks)
    budget = service.slos.error_budget("ok")
    assert (budget.bad, budget.total) == (bad, total)
    if total:
        assert budget.remaining is not None
        exact = 1 - Fraction(bad, total) / Fraction(1, 1000)
        assert abs(Fraction(budget.remaining) - exact) <= Fraction(1, 10**20) * max(1, abs(exact))


def test_irregular_ticks_lose_no_event() -> None:
    service = Service(SLO("ok", service="shop", target="0.999"))
    for number in range(300):
        service._good.inc(number % 7 * 100)
        service._bad.inc(number % 3)
        service.clock.shift(0.05 + number % 11 * 0.13)
        service.pass_tick()
    budget = service.slos.error_budget("ok")
    assert budget.bad == sum(number % 3 for number in range(300))
    assert budget.total - budget.bad == sum(number % 7 * 100 for number in range(300))


def test_an_objective_counts_from_its_registration_on() -> None:
    service = Service(tick=1)
    service.traffic(5, errors=0.5)
    service.slos.register(SLO("late", service="shop", target=0.999))
    service.traffic(1, requests=10)
    assert service.slos.error_budget("late").total == 10


def test_thirty_days_pass_in_seconds() -> None:
    service = Service(SLO("ok", service="shop", target=0.999), tick=300)
    service.traffic(30 * DAY // 300, errors=0.0005)
    budget = service.slos.error_budget("ok")
    assert budget.remaining == Decimal("0.5")
    assert budget.burn_rates[3600] == Decimal("0.5")
    assert budget.total == 8640 * 10_000


def test_a_rolling_budget_recovers_once_its_period_has_passed() -> None:
    service = Service(SLO("ok", service="shop", target=0.99, window=3600), tick=60)
    service.traffic(10, errors=0.5)
    assert service.slos.status("ok").status == "breached"
    service.traffic(62)
    assert service.slos.error_budget("ok").remaining == 1


def test_a_calendar_budget_is_whole_again_with_the_new_month() -> None:
    # The manual clock begins on 14 November 2023.
    service = Service(SLO("ok", service="shop", target=0.99, calendar=Calendar("month")), tick=3600)
    service.traffic(24, errors=0.5)
    assert service.slos.error_budget("ok").status == "exhausted"
    service.traffic(24 * 17)
    assert service.slos.error_budget("ok").remaining == 1
    assert service.slos.error_budget("ok").period == 31 * DAY


def test_the_last_day_of_a_long_month_knows_of_the_first() -> None:
    service = Service(SLO("ok", service="shop", target=0.99, calendar=Calendar("month")), tick=3600)
    start, end = Calendar("month").around(1_704_100_000)  # January 2024
    service.traffic(round((start - service.clock.time()) / 3600) + 1)
    service.traffic(23, errors=0.5)
    spent = service.slos.error_budget("ok").bad
    assert spent >= 23 * 5000
    service.traffic(round((end - service.clock.time()) / 3600) - 1)
    assert service.clock.time() < end
    assert service.slos.error_budget("ok").bad == spent
    assert len(service.slos.history("ok")) > 700
    service.traffic(2)
    assert service.slos.error_budget("ok").bad == 0


def test_maintenance_leaves_the_budget_alone_and_pages_nobody() -> None:
    start = ManualClock().time()
    slo = SLO("ok", service="shop", target=0.999, exclusions=(Exclusion(start, 3600),))
    service = Service(slo, tick=60)
    changes = service.traffic(59, errors=1)
    assert changes == []
    assert service.slos.error_budget("ok").total == 0
    changes = service.traffic(30)
    assert changes == []
    assert service.slos.error_budget("ok").remaining == 1
    assert service.traffic(10, errors=0.5) != []


def test_slices_of_time_are_good_or_bad() -> None:
    slo = SLO("ok", service="shop", target=0.9, budgeting="timeslices", slice_length=60, slice_target=0.95)
    service = Service(slo, tick=10)
    service.traffic(6 * 6, errors=0.04)
    service.traffic(6 * 4, errors=0.5)
    budget = service.slos.error_budget("ok")
    assert (budget.bad, budget.total) == (4, 10)
    service.traffic(60, requests=0)
    assert service.slos.error_budget("ok").total == 10


def test_ratio_slices_count_by_their_share() -> None:
    slo = SLO("ok", service="shop", target=0.9, budgeting="ratio_timeslices", slice_length=60)
    service = Service(slo, tick=60)
    service.traffic(1, errors=0.5, requests=10)
    service.traffic(1, errors=0.0, requests=10_000)
    assert service.slos.error_budget("ok").sli == Decimal("0.75")


def test_burning_slices_alert_as_events_do() -> None:
    slo = SLO("ok", service="shop", target=0.95, budgeting="timeslices", slice_length=60)
    service = Service(slo, tick=60)
    service.traffic(60)
    names = {change.alert.labels["alertname"] for _, change in service.traffic(60, errors=0.5)}
    assert "ErrorBudgetBurn" in names


def test_throughput_and_freshness_are_judged_by_time() -> None:
    service = Service(
        SLO("enough", service="shop", target=0.9, sli=Throughput(5)),
        SLO("fresh", service="shop", target=0.9, sli=Freshness(300, job="import")),
        tick=60,
    )
    last = service.signals.gauge("job_last_success_timestamp_seconds", labels=("job",))
    last["import",].set(service.clock.time())
    service.traffic(5, requests=600)
    service.traffic(5, requests=60)
    assert service.slos.error_budget("enough").sli == Decimal("0.5")
    assert service.slos.error_budget("fresh").sli == Decimal("0.5")


def test_a_threshold_of_latency_may_be_a_whole_number() -> None:
    assert Latency(1) == Latency(1.0)
    assert SLO("fast", service="shop", target=0.5, sli=Latency(1)).measure is not None


def test_latency_counts_requests_by_their_buckets() -> None:
    service = Service(SLO("fast", service="shop", target=0.9, sli=Latency(0.25)))
    for duration in (0.1, 0.2, 0.25, 0.3):
        service.slos.record_metric("fast", success=True, duration=duration)
    service.clock.shift(1)
    service.pass_tick()
    assert service.slos.error_budget("fast").sli == Decimal("0.75")


def test_what_the_application_reports_is_its_own_objective() -> None:
    service = Service(SLO("right", service="shop", target=0.9, sli=Correctness()))
    for success in (True, True, True, False):
        service.slos.record_metric("right", success)
    service.clock.shift(1)
    service.pass_tick()
    assert service.slos.status("right").current == Decimal("0.75")
    with pytest.raises(ConfigError, match="timestamp must not be before the last tick"):
        service.slos.record_metric("right", success=True, timestamp=1.0)


def test_a_composite_weighs_ratios() -> None:
    service = Service(
        SLO("a", service="shop", target=0.9),
        SLO("b", service="shop", target=0.9, sli=Correctness()),
        SLO("both", service="shop", target=0.9, sli=Composite({"a": 3, "b": 1})),
    )
    assert service.slos.status("both").status == "no_data"
    service.slos.record_metric("b", success=False)
    service.traffic(1, errors=0.0)
    assert service.slos.error_budget("both").sli == Decimal("0.75")


@pytest.mark.parametrize("components", [{"nothing": 1}, {"both": 1}])
def test_a_composite_of_what_there_is_not_is_refused(components: dict[str, float]) -> None:
    slos = SLOManager(Signals(ManualClock()))
    with pytest.raises(ConfigError, match="components of 'both' must be among"):
        slos.register(SLO("both", service="shop", target=0.9, sli=Composite(components)))
    assert not slos.slos


def test_a_taken_id_is_refused_and_nothing_is_added() -> None:
    slos = SLOManager(Signals(ManualClock()))
    slos.register(SLO("ok", service="shop", target=0.9))
    with pytest.raises(ConfigError, match="'ok' is taken"):
        slos.register(SLO("new", service="shop", target=0.9), SLO("ok", service="till", target=0.9))
    assert list(slos.slos) == ["ok"]


def test_burn_rates_at_exactly_the_factor_do_not_fire() -> None:
    service = Service(SLO("ok", service="shop", target=0.999), tick=60)
    service.traffic(61, errors=0.0144)
    [fast, *_] = service.slos.check_burn_rate_alerts("ok")
    assert (fast.long, fast.short, fast.firing) == (Decimal("14.4"), Decimal("14.4"), False)
    assert all(
        "fast" not in alert.annotations.get("burn_rates", "") for alert in service.slos.active_alerts("shop")
    )


def test_active_alerts_are_those_of_a_service_and_can_be_resolved() -> None:
    resolved: list[str] = []
    service = Service(SLO("ok", service="shop", target=0.999), tick=60)
    service.slos._resolve = resolved.append
    service.traffic(10, errors=0.5)
    [alert, *_] = service.slos.active_alerts("shop")
    assert alert.state is AlertState.FIRING
    assert service.slos.active_alerts("till") == []
    service.slos.resolve_alert(alert.fingerprint)
    assert resolved == [alert.fingerprint]
    with pytest.raises(ConfigError, match="alert_id must be"):
        service.slos.resolve_alert("nope")


def test_budgets_outlive_the_process() -> None:
    slo = SLO("ok", service="shop", target=0.999)
    service = Service(slo, tick=60)
    service.traffic(60, errors=0.0005)
    saved = rows_of(service.slos)
    later = Service(slo, tick=60)
    later.clock.shift(1_000_000 - 500)  # another machine's monotonic clock
    later.clock.step_wall(service.clock.time() - later.clock.time() + 600)
    later.slos.restore(saved, later.clock.now(), down_at=service.clock.time())
    assert later.slos.error_budget("ok").total == 600_000
    assert later.slos.error_budget("ok").remaining == Decimal("0.5")


def test_a_damaged_row_is_named_and_the_others_count() -> None:
    slo = SLO("ok", service="shop", target=0.99, window=7200)
    service = Service(slo, tick=60)
    service.traffic(10, errors=0.1)
    rows = rows_of(service.slos)["budgets"]
    last = max(rows)
    damaged = {
        last: rows[last].replace(b'"bad":1', b'"bad":-1'),
        "ok/x": rows[last],
        "ok/1": b"[" * 100_000,
        "gone/2": rows[last].replace(b'"start":1', b'"start":99999999'),
    }
    newer = {"ok/7": rows[last].replace(b'"version":1', b'"version":2')}
    later = Service(slo, tick=60)
    saved = {"budgets": {**rows, **damaged, **newer}}
    unread = later.slos.restore(saved, service.clock.now(), down_at=service.clock.time())["budgets"]
    assert (unread.damaged, unread.newer) == (damaged, {"ok/7"})
    # A bucket of 10 s has the events of one tick.
    assert later.slos.error_budget("ok").total == 9 * 10_000


def test_a_closed_bucket_is_stored_once_and_nothing_where_nothing_counts() -> None:
    service = Service(SLO("ok", service="shop", target=0.99, window=7200), tick=5)
    rows: dict[str, dict[str, bytes]] = {}
    for _ in range(40):
        service.traffic(1, errors=0.1)
        changed = {put.key for put in service.slos.puts() if put.table == "budgets"}
        assert len(changed - {"ok/"}) == 1
    service = Service(SLO("ok", service="shop", target=0.99, window=7200), tick=5)
    for _ in range(3000):
        service.traffic(1, errors=0.1)
        kept(rows, service.slos)
    assert rows == rows_of(service.slos)
    assert len(rows["budgets"]) <= 722
    service.traffic(1, requests=0)
    service.traffic(1, requests=0)
    assert all(put.value is None for put in service.slos.puts())


def test_a_process_goes_on_with_the_bucket_that_another_one_began() -> None:
    slo = SLO("ok", service="shop", target=0.99)
    rows: dict[str, dict[str, bytes]] = {}
    wall = ManualClock().time()
    for run in range(20):
        service = Service(slo, tick=1)
        service.clock.step_wall(wall + run * 10 - service.clock.time())
        service.signals.tick(service.clock.now())
        service.slos.restore(rows, service.clock.now(), down_at=service.clock.time())
        service.traffic(5, errors=0.1)
        kept(rows, service.slos)
    assert service.slos.error_budget("ok").total == 20 * 5 * 10_000
    assert len(rows["budgets"]) <= 3  # the objective, and one hour or two


def test_what_another_server_says_is_judged_by_the_same_arithmetic() -> None:
    slos = SLOManager(Signals(ManualClock()))
    slos.register(SLO("ok", service="shop", target=0.999, backend="prometheus"))
    slos.observe("ok", Figures(bad=5, total=10_000, windows={3600: (144, 10_000), 300: (145, 10_000)}))
    budget = slos.error_budget("ok")
    assert (budget.remaining, budget.burn_rates[3600], budget.burn_rates[300]) == (
        Decimal("0.5"),
        Decimal("14.4"),
        Decimal("14.5"),
    )


def test_a_share_of_good_events_is_turned_into_a_budget() -> None:
    slos = SLOManager(Signals(ManualClock()))
    slos.register(SLO("ok", service="shop", target=0.999))
    assert slos.calculate_error_budget("ok", 0.9995).remaining == Decimal("0.5")
    assert slos.calculate_error_budget("ok", 1).remaining == 1
    assert slos.calculate_error_budget("ok", "0.998").remaining == -1
    with pytest.raises(ConfigError, match="actual must be"):
        slos.calculate_error_budget("ok", 99.9)
    with pytest.raises(ConfigError, match="slo_id must be one of ok"):
        slos.error_budget("nope")


def test_a_target_that_is_met_with_little_budget_left_is_at_risk() -> None:
    service = Service(SLO("ok", service="shop", target=0.999), tick=60)
    service.traffic(10, errors=0.0008)
    assert service.slos.status("ok").status == "at_risk"
    service.traffic(30)
    assert service.slos.status("ok").status == "meeting"


def test_budgets_are_exported_as_signals() -> None:
    service = Service(SLO("ok", service="shop", target=0.999), tick=60)
    service.traffic(10, errors=0.0005)
    found = promql.evaluate(
        'slo_error_budget_remaining_ratio{slo="ok",service="shop"}',
        service.signals.source,
        service.clock.monotonic(),
    )
    assert list(found.values) == [0.5]
    [bucket] = service.slos.history("ok")
    assert (bucket.bad, bucket.total) == (50, 100_000)


# -- other objectives while it runs -----------------------------------------------------------------------------------


def test_objectives_change_and_those_that_count_the_same_keep_their_budget() -> None:
    stays, stricter = SLO("stays", service="shop", target=0.99), SLO("ok", service="shop", target=0.99)
    service = Service(stays, stricter, SLO("gone", service="shop", target=0.99))
    service.traffic(60, errors=0.02)
    before = service.slos.error_budget("stays")
    service.slos.reload(
        [stays, replace(stricter, target=Decimal("0.999")), SLO("new", service="shop", target=0.9)]
    )
    assert list(service.slos.slos) == ["stays", "ok", "new"]
    assert service.slos.error_budget("stays") == before
    assert service.slos.error_budget("ok").bad == before.bad
    assert service.slos.error_budget("ok").remaining == -19
    assert service.slos.error_budget("new").total == 0
    service.traffic(1, requests=10)
    assert service.slos.error_budget("new").total == 10
    assert service.slos.error_budget("stays").total == before.total + 10
    assert {group.name for group in service.rules.groups} == {
        f"slo:{name}{part}" for name in ("stays", "ok", "new") for part in ("", ":budget")
    }
    shown = promql.evaluate(
        "count by (slo) (slo_period_events)", service.signals.source, service.clock.monotonic()
    )
    assert isinstance(shown, promql.Vector)
    assert {dict(labels)["slo"] for labels in shown.labels} == {"stays", "ok", "new"}


def test_an_alert_lives_on_over_a_change_and_resolves_with_its_objective() -> None:
    ok, other = SLO("ok", service="shop", target=0.999), SLO("other", service="shop", target=0.999)
    service = Service(ok, other)
    service.traffic(120, errors=0.5)
    fired = {alert.fingerprint: alert.active_at for alert in service.slos.active_alerts()}
    assert {alert.labels["slo"] for alert in service.slos.active_alerts()} == {"ok", "other"}
    service.slos.reload([replace(ok, name="Renamed")])
    service.traffic(1, errors=0.5)
    left = service.slos.active_alerts()
    assert {alert.labels["slo"] for alert in left} == {"ok"}
    assert all(fired[alert.fingerprint] == alert.active_at for alert in left)


def test_a_change_that_cannot_be_meant_changes_nothing() -> None:
    service = Service(SLO("ok", service="shop", target=0.99))
    service.traffic(10, errors=0.5)
    before, groups = service.slos.error_budget("ok"), service.rules.groups
    new = SLO("new", service="shop", target=0.9)
    for slos in ([new, new], [new, SLO("both", service="shop", target=0.9, sli=Composite({"what": 1}))]):
        with pytest.raises(ConfigError):
            service.slos.reload(slos)
    assert list(service.slos.slos) == ["ok"]
    assert service.slos.error_budget("ok") == before
    assert service.rules.groups == groups


def test_an_objective_that_counts_something_else_begins_anew() -> None:
    service = Service(SLO("ok", service="shop", target=0.99))
    service.traffic(10, errors=0.5)
    service.slos.reload([SLO("ok", service="shop", target=0.99, sli=Latency(0.25))])
    assert service.slos.error_budget("ok").total == 0
    saved = rows_of(service.slos)
    service.slos.reload([SLO("ok", service="shop", target=0.99)])
    service.slos.restore(saved, service.clock.now(), down_at=service.clock.time())
    assert service.slos.error_budget("ok").total == 0


def test_a_period_that_gets_shorter_keeps_what_is_still_in_it() -> None:
    slo = SLO("ok", service="shop", target=0.99, window=7200)
    service = Service(slo, tick=60)
    service.traffic(60, errors=1)
    service.traffic(60)
    service.slos.reload([replace(slo, window=3600)])
    assert service.slos.error_budget("ok").total == pytest.approx(61 * 10_000, abs=2 * 10_000)
    assert service.slos.error_budget("ok").bad == pytest.approx(10_000, abs=2 * 10_000)


# -- composites -------------------------------------------------------------------------------------------------------


def test_the_history_of_a_composite_sums_up_to_its_budget() -> None:
    service = Service(
        SLO("ok", service="shop", target=0.99),
        SLO("other", service="till", target=0.99),
        SLO("idle", service="none", target=0.99),
        SLO("both", service="shop", target=0.99, sli=Composite({"ok": 3, "other": 1, "idle": 1})),
        tick=1800,
    )
    till = service.signals.counter(
        "http_requests_total", labels=("service", "method", "route", "code", "verdict")
    )
    for bad in (0, 40, 10):
        till["till", "GET", "/", "500", "failure"].inc(bad)
        till["till", "GET", "/", "200", "success"].inc(100)
        service.traffic(2, errors=0.01 if bad else 0.0, requests=1000)
    budget, history = service.slos.error_budget("both"), service.slos.history("both")
    assert len(history) >= 3
    assert sum(each.bad for each in history) == pytest.approx(float(budget.bad))
    assert sum(each.total for each in history) == pytest.approx(1)
    assert all(0 <= each.bad <= each.total for each in history)
    assert history[0].bad == 0


def test_what_is_left_of_all_budgets_is_that_of_each() -> None:
    service = Service(
        SLO("ok", service="shop", target=0.99),
        SLO("idle", service="none", target=0.99),
        SLO("both", service="shop", target=0.99, sli=Composite({"ok": 3, "idle": 1})),
    )
    service.traffic(10, errors=0.005)
    left = service.slos.budgets_left()
    assert left == {name: service.slos.error_budget(name).remaining for name in service.slos.slos}
    assert left["idle"] is None


@pytest.mark.parametrize(
    ("alerting", "requests", "bad", "enough"),
    [
        (Alerting(), 100, 1, False),
        (Alerting(), 100, 2, True),
        (Alerting(min_failures=0), 100, 1, True),
        (Alerting(min_events=200), 100, 9, False),
        (Alerting(min_events=200), 200, 9, True),
        (Alerting(min_events=50, period_events=1000), 200, 9, False),
        (Alerting(min_events=5000, period_events=100), 200, 9, True),
        (Alerting(min_events=5000), 100, 0, True),
    ],
)
def test_nothing_follows_from_a_budget_that_too_few_events_have_spent(
    alerting: Alerting, requests: int, bad: int, enough: bool
) -> None:
    service = Service(SLO("ok", service="shop", target=0.999, alerting=alerting))
    service.traffic(5, requests=0)
    service._good.inc(requests - bad)
    service._bad.inc(bad)
    service.traffic(120, requests=0)
    remaining = service.slos.error_budget("ok").remaining
    assert remaining == 1 - bad * Decimal(1000) / requests
    assert service.slos.budgets_left() == {"ok": remaining if enough else None}
    assert plain_slo(service.slos, service.slos.slos["ok"])["budget"]["conclusive"] is enough
    spent = [
        each.labels["consumed"]
        for each in service.slos.active_alerts()
        if each.labels["alertname"] == "ErrorBudgetExhaustion"
    ]
    assert sorted(spent) == (["100", "50", "75", "90"] if enough and bad else [])


# -- slices that a Prometheus judges alone ------------------------------------------------------------------------------


@pytest.mark.parametrize("budgeting", ["timeslices", "ratio_timeslices", "occurrences"])
def test_recorded_slices_are_the_slices_that_a_process_counts(budgeting: str) -> None:
    sli = Throughput(1.0) if budgeting == "occurrences" else Availability()
    there = SLO(
        "there",
        service="shop",
        target=0.9,
        sli=sli,
        budgeting=budgeting,
        slice_target=0.95,
        backend="prometheus",
    )
    here = replace(there, id="here", backend="inprocess")
    service = Service(there, here, tick=60)
    for minute in range(40):
        service.traffic(
            1, errors=0.2 if minute in (20, 21, 30) else 0.02, requests=0 if minute in (5, 6) else 100
        )
    counted, recorded = (
        [
            _figure(service, query)
            for query in (counted_events(slo).total_in("20m"), counted_events(slo).bad_in("20m"))
        ]
        for slo in (here, there)
    )
    assert recorded == pytest.approx(counted, abs=0.03)
    assert recorded[0] == 20
    expected = {"timeslices": 3, "ratio_timeslices": 3 * 0.2 + 17 * 0.02, "occurrences": 0}[budgeting]
    assert recorded[1] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("sli", "slices"),
    [
        (Latency(0.25, percentile=99), 0),
        (Threshold("scalar(vector(7))", at_most=5), 10),
        (Threshold("-Inf", at_least=0), 10),
    ],
)
def test_what_is_no_number_is_no_recorded_slice(sli: Latency | Threshold, slices: int) -> None:
    service = Service(SLO("there", service="shop", target=0.9, sli=sli, backend="prometheus"), tick=60)
    durations = service.signals.histogram(
        "http_request_duration_seconds", labels=("service", "method", "route")
    )
    durations["shop", "GET", "/"].observe(0.1)
    service.traffic(10)
    service.traffic(10)
    total, bad = (
        f"sum({count}_over_time(slo:slice_bad:ratio{{slo='there'}}[10m])) or vector(0)"
        for count in ("count", "sum")
    )
    assert (_figure(service, total), _figure(service, bad)) == (slices, slices)


def _figure(service: Service, query: str) -> float:
    found = promql.evaluate(query, service.signals.source, service.clock.monotonic())
    assert isinstance(found, promql.Vector)
    return found.values[0]
