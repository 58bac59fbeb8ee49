"""One cause notifies once for each severity: burn rates share a rule, and a page explains a spent budget."""

from __future__ import annotations

from resilience.alerting import Route
from resilience.core.verdict import Verdict
from resilience.reliability import Reliability
from resilience.rules import AlertRule
from resilience.slo import SLO, Alerting, BurnRateAlert, ExhaustionAlert, compile_rules
from resilience.slo.alerts import BURN_ALERT, EXHAUSTION_ALERT, burn_rates_in
from resilience.slo.plain import plain_slo
from resilience.testing import ManualClock, RecordingNotifier

STEP = 15.0


async def outage(rel: Reliability, clock: ManualClock, seconds: float) -> None:
    for _ in range(int(seconds / STEP)):
        for _ in range(20):
            rel.sli.request("GET", "/", "500", Verdict.FAILURE, 0.01)
        await clock.advance(STEP)


async def test_a_total_outage_sends_one_page_and_one_ticket(clock: ManualClock) -> None:
    pager = RecordingNotifier("pager")
    route = Route(to=("pager",), group_by=("...",), group_wait=0.0, group_interval=5.0)
    slo = SLO("ok", service="shop", target=0.999)
    async with Reliability(
        "shop", slos=[slo], notifiers=[pager], route=route, clock=clock, interval=STEP
    ) as rel:
        await outage(rel, clock, 900)
        told = [
            (each.labels["alertname"], each.labels["severity"])
            for sent in pager.notifications
            for each in sent.alerts
        ]
        assert sorted(told) == [(BURN_ALERT, "critical"), (BURN_ALERT, "warning")]
        active = rel.alerts.active_alerts()
        spent = {
            each.alert.labels["consumed"]: each.inhibited_by
            for each in active
            if "consumed" in each.alert.labels
        }
        assert spent.keys() == {"50", "75", "90", "100"}
        assert None not in spent.values()
        page = next(each.alert for each in active if each.alert.labels["severity"] == "critical")
        assert page.labels == {
            "alertname": BURN_ALERT,
            "service": "shop",
            "severity": "critical",
            "slo": "ok",
        }
        assert page.annotations["burn_rates"] == "fast, slow"
        shown = plain_slo(rel.slos, rel.slos.slos["ok"])["burn_rate_alerts"]
        assert {each["name"] for each in shown if each["firing"]} == {"fast", "slow", "gradual", "chronic"}


async def test_an_alert_resolved_by_hand_leaves_both_lists_of_active_alerts(clock: ManualClock) -> None:
    slo = SLO("ok", service="shop", target=0.999)
    async with Reliability("shop", slos=[slo], clock=clock, interval=STEP) as rel:
        await outage(rel, clock, 900)
        first, *others = rel.slos.active_alerts()
        rel.slos.resolve_alert(first.fingerprint)
        for _ in range(2):  # before and after the next evaluation, in which the condition still holds
            left = {alert.fingerprint for alert in others}
            assert {alert.fingerprint for alert in rel.slos.active_alerts()} == left
            assert {each.alert.fingerprint for each in rel.alerts.active_alerts()} == left
            await outage(rel, clock, STEP)


def test_burn_rates_of_one_severity_are_one_rule_and_others_stay_apart() -> None:
    alerts = (
        BurnRateAlert("fast", 14, window=3600, severity="critical"),
        BurnRateAlert("slow", 6, window=21_600, severity="warning"),
        BurnRateAlert("late", 3, window=21_600, severity="warning", for_=60),
    )
    exhaustion = tuple(ExhaustionAlert(each, "warning") for each in ("0.5", "0.75", "0.9"))
    slo = SLO("ok", service="shop", target=0.99, alerting=Alerting(alerts, exhaustion))
    rules = [rule for group in compile_rules([slo]) for rule in group.rules if isinstance(rule, AlertRule)]
    found = [
        (rule.labels["severity"], rule.labels.get("burn_rate_for"))
        for rule in rules
        if rule.name == BURN_ALERT
    ]
    assert found == [("critical", None), ("warning", "0s"), ("warning", "1m")]
    assert [rule.labels["consumed"] for rule in rules if rule.name == EXHAUSTION_ALERT] == ["50", "75", "90"]


def test_names_are_found_whole_in_the_annotation() -> None:
    assert burn_rates_in({"burn_rates": "very fast"}, ["fast", "very fast"]) == {"very fast"}
    assert burn_rates_in({}, ["fast"]) == frozenset()
