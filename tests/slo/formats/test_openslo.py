from __future__ import annotations

import json
from decimal import Decimal

import pytest

from resilience.core import yaml
from resilience.errors import ConfigError
from resilience.slo import (
    SLO,
    Alerting,
    BurnRateAlert,
    Calendar,
    Composite,
    EventRatio,
    Exclusion,
    Latency,
    Ratio,
    Threshold,
)
from resilience.slo.formats.openslo_read import import_openslo
from resilience.slo.formats.openslo_write import export_openslo
from tests.slo.formats.junk import spoiled

RATIO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: web-ok, displayName: Web is up}
spec:
  service: web
  description: most requests succeed
  indicatorRef: web-ratio
  timeWindow: [{duration: 28d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.995}]
  alertPolicies: [fast-burn]
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: web-ratio}
spec:
  ratioMetric:
    counter: true
    good: {metricSource: {type: Prometheus, spec: {query: 'http_requests_total{code!~"5.."}'}}}
    total: {metricSource: {type: Prometheus, spec: {query: http_requests_total}}}
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: fast-burn}
spec:
  conditions: [{conditionRef: burn-2h}]
  notificationTargets: [{targetRef: pager}]
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: burn-2h}
spec:
  severity: page
  condition: {kind: burnrate, op: gt, threshold: 10, lookbackWindow: 2h, alertAfter: 5m}
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: pager}
spec: {target: slack}
"""

THRESHOLD = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: queue}
spec:
  service: web
  indicator:
    metadata: {name: depth}
    spec: {thresholdMetric: {metricSource: {type: Prometheus, spec: {query: max(queue_depth)}}}}
  timeWindow: [{duration: 1M, isRolling: false, calendar: {startTime: "2026-01-01 00:00:00", timeZone: Europe/Berlin}}]
  budgetingMethod: Timeslices
  objectives: [{targetPercent: 99, op: lte, value: 100, timeSliceTarget: 0.9, timeSliceWindow: 5m}]
"""


INLINE = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: inline, labels: {team: [a, b]}}
spec:
  colour: blue
  service: web
  indicator:
    metadata: {name: errors}
    spec:
      ratioMetric:
        rawType: failure
        raw: {metricSource: {metricSourceRef: prom, type: Prometheus, spec: {query: 'sum(rate(bad[5m])) / sum(rate(all[5m]))'}}}
  timeWindow: [{duration: 28d, isRolling: true}, {duration: 7d, isRolling: true}]
  objectives: [{target: 0.99, displayName: few fail}]
  alertPolicies:
    - kind: AlertPolicy
      metadata: {name: p}
      spec:
        alertWhenBreaching: true
        alertWhenNoData: true
        conditions:
          - kind: AlertCondition
            metadata: {name: burn}
            spec: {severity: page, condition: {kind: burnrate, op: lt, threshold: 2, lookbackWindow: 1h, alertAfter: 5m}}
"""


def test_openslo_with_a_ratio_and_an_alert_policy_is_read() -> None:
    found = import_openslo(RATIO)
    [slo] = found.slos
    assert (slo.id, slo.service, slo.name, slo.window) == ("web-ok", "web", "Web is up", 28 * 86_400)
    assert slo.target == Decimal("0.995")
    assert slo.sli == EventRatio("http_requests_total", good='http_requests_total{code!~"5.."}')
    [alert] = slo.burn_rates
    assert (alert.name, str(alert.factor), alert.window, alert.for_, alert.severity) == (
        "burn-2h",
        "10",
        7200,
        300,
        "page",
    )
    assert found.lost == (
        "SLO web-ok: notification targets; alerts go by `routes`",
        "AlertNotificationTarget pager: nothing of it is used here",
    )


def test_openslo_with_a_threshold_is_read() -> None:
    found = import_openslo(THRESHOLD)
    [slo] = found.slos
    assert slo.sli == Threshold("max(queue_depth)", at_most=100)
    assert slo.calendar == Calendar("month", "Europe/Berlin")
    assert (slo.budgeting, slo.slice_length, slo.slice_target) == ("timeslices", 300, Decimal("0.9"))
    assert found.lost == ("SLO queue: startTime of its calendar; a month begins where the calendar says",)


def test_what_is_exported_to_openslo_comes_back_the_same() -> None:
    alerting = Alerting((BurnRateAlert("fast", Decimal(6), window=7200, severity="page", for_=60),))
    slos = [
        SLO(
            "a",
            service="shop",
            target="0.995",
            sli=EventRatio("all", bad="bad"),
            alerting=alerting,
            description="x",
        ),
        SLO(
            "b",
            service="shop",
            target="0.99",
            sli=Threshold("max(q)", at_least=2),
            calendar=Calendar("quarter"),
        ),
        SLO(
            "c",
            service="shop",
            target="0.99",
            sli=Latency(0.25),
            window=7 * 86_400,
            budgeting="ratio_timeslices",
        ),
    ]
    text, _ = export_openslo(slos)
    for before, after in zip(slos, import_openslo(text).slos, strict=True):
        for option in (
            "id",
            "service",
            "target",
            "window",
            "calendar",
            "description",
            "measure",
            "slice_target",
        ):
            assert getattr(after, option) == getattr(before, option), option
        assert [(a.name, a.factor, a.window) for a in after.burn_rates] == [
            (a.name, a.factor, a.window) for a in before.burn_rates
        ]


def test_what_openslo_has_no_words_for_is_named() -> None:
    slo = SLO("a", service="s", target=0.99, tier=2, exclusions=(Exclusion(0, 1),), alerting=Alerting((), ()))
    both = SLO("both", service="s", target=0.99, sli=Composite({"a": 1}))
    text, lost = export_openslo([slo, both])
    assert "both" not in text
    assert lost == (
        "a: exclusions",
        "a: the least numbers of events and failures",
        "a: tier",
        "both: a composite has no counterpart, and is left out",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: SLO", "apiVersion must be openslo/v1"),
        ("{apiVersion: openslo/v1, kind: Thing}", "kind must be one of"),
        (RATIO.replace("web-ratio", "nothing", 1), "indicator 'nothing' is in no document"),
        (RATIO.replace("type: Prometheus", "type: Datadog"), "must be of type Prometheus"),
        (RATIO.replace("target: 0.995", "value: 1"), "needs target or targetPercent"),
        (THRESHOLD.replace("op: lte, ", ""), "needs op"),
        (THRESHOLD.replace("1M", "2M"), "a calendar window must be one of"),
    ],
)
def test_openslo_that_cannot_be_meant_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        import_openslo(text)


# -- whatever stands in a file --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [THRESHOLD, INLINE])
def test_no_junk_in_a_file_is_more_than_a_message(text: str) -> None:
    refused = 0
    for document in spoiled(yaml.load(text).data):
        try:
            import_openslo(json.dumps(document))
        except ConfigError:
            refused += 1
    assert refused > 100


def test_an_indicator_of_failures_is_turned_round() -> None:
    [slo] = import_openslo(INLINE).slos
    assert slo.sli == Ratio("1 - (sum(rate(bad[5m])) / sum(rate(all[5m])))")


def test_whatever_nobody_reads_is_named() -> None:
    assert set(import_openslo(INLINE).lost) == {
        "SLO inline: its alert policies, of which nothing can be read; the default alerts replace them",
        "SLO inline: metadata.labels",
        "SLO inline: spec.colour",
        "SLO inline: spec.indicator.spec.ratioMetric.raw.metricSource.metricSourceRef",
        "SLO inline: spec.alertPolicies[0].spec.alertWhenNoData",
        "SLO inline: condition burn, 'burnrate' with op lt",
        "SLO inline: spec.timeWindow[1].duration",
        "SLO inline: spec.timeWindow[1].isRolling",
    }


# -- alerts ---------------------------------------------------------------------------------------------------------


def _without(*lines: str) -> str:
    """RATIO without the lines that have one of these texts."""
    return "\n".join(line for line in RATIO.splitlines() if not any(text in line for text in lines))


def test_an_objective_without_alert_policies_has_no_alerts() -> None:
    [slo] = import_openslo(_without("alertPolicies")).slos
    assert slo.burn_rates == ()
    assert slo.alerting.exhaustion == ()


def test_an_objective_has_only_the_alerts_that_its_policies_name() -> None:
    [slo] = import_openslo(RATIO).slos
    assert [alert.name for alert in slo.burn_rates] == ["burn-2h"]
    assert (slo.alerting.exhaustion, slo.alerting.min_failures) == ((), 0)


def test_an_objective_whose_only_policy_does_not_alert_has_no_alerts() -> None:
    silent = RATIO.replace(
        "  conditions: [{conditionRef", "  alertWhenBreaching: false\n  conditions: [{conditionRef"
    )
    found = import_openslo(silent)
    assert found.slos[0].burn_rates == ()
    assert "AlertPolicy fast-burn: a policy that does not alert when breaching" in found.lost


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            RATIO.replace("alertPolicies: [fast-burn]", "alertPolicies: [other]"),
            "AlertPolicy 'other' is in no document",
        ),
        (
            RATIO.replace("conditionRef: burn-2h", "conditionRef: other"),
            "AlertCondition 'other' is in no document",
        ),
        (RATIO.replace("kind: burnrate", "kind: budget"), "condition burn-2h, 'budget' with op gt"),
    ],
)
def test_default_alerts_that_replace_unreadable_policies_are_named(text: str, reason: str) -> None:
    found = import_openslo(text)
    assert found.slos[0].alerting == Alerting()
    assert any(reason in line for line in found.lost)
    assert (
        "SLO web-ok: its alert policies, of which nothing can be read; the default alerts replace them"
        in found.lost
    )


# -- windows, numbers and texts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "calendar"),
    [
        (
            "{duration: 1M, calendar: {startTime: 2026-01-01 00:00:00, timeZone: Europe/Berlin}}",
            "Europe/Berlin",
        ),
        ("{duration: 1M, calendar: {timeZone: UTC}, isRolling: false}", "UTC"),
        ("{duration: 28d}", None),
        ("{duration: 28d, isRolling: true, calendar: {timeZone: UTC}}", None),
    ],
)
def test_a_window_with_a_calendar_is_not_rolling_unless_the_file_says_so(
    window: str, calendar: str | None
) -> None:
    [slo] = import_openslo(RATIO.replace("{duration: 28d, isRolling: true}", window)).slos
    assert slo.calendar == (None if calendar is None else Calendar("month", calendar))


def test_scalars_that_become_text_keep_how_they_are_written() -> None:
    text = RATIO.replace("service: web", "service: 1.10").replace(
        "description: most requests succeed", "description: true"
    )
    [slo] = import_openslo(text.replace("severity: page", "severity: 0x10")).slos
    assert (slo.service, slo.description, slo.burn_rates[0].severity) == ("1.10", "true", "0x10")


def test_a_target_is_read_digit_by_digit() -> None:
    [slo] = import_openslo(RATIO.replace("target: 0.995", "target: 0.99999999999999999999")).slos
    assert slo.target == Decimal("0.99999999999999999999")


def test_metrics_that_are_no_counters_are_summed_over_time() -> None:
    gauges = RATIO.replace("counter: true", "counter: false").replace(
        "query: http_requests_total}", "query: sum(clients)}"
    )
    [slo] = import_openslo(gauges).slos
    assert slo.measure == EventRatio(
        "sum_over_time((sum(clients))[{{window}}:])",
        good='sum_over_time(http_requests_total{code!~"5.."}[{{window}}])',
    ).measure("web", "web-ok")


def test_errors_name_the_document_and_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^slo\.yaml:11:16: SLO web-ok: ") as caught:
        import_openslo(RATIO.replace("target: 0.995", "target: 995"), file="slo.yaml")
    assert "target must be a ratio" in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            RATIO + "---\n" + RATIO.split("---", maxsplit=1)[0],
            "SLO web-ok: there are two of this kind and name",
        ),
        ("", "there is no objective in it"),
        ("[5]", "must be a mapping"),
    ],
)
def test_files_whose_documents_cannot_be_told_apart_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        import_openslo(text)


# -- round trips ----------------------------------------------------------------------------------------------------

_QUIET = Alerting((), (), min_failures=0)
_OBJECTIVES = [
    SLO("quiet", service="shop", target="0.995", sli=EventRatio("all", bad="bad"), alerting=_QUIET),
    SLO(
        "alerting",
        service="shop",
        target="0.9995",
        sli=EventRatio("all", good="good"),
        window=28 * 86_400,
        alerting=Alerting((BurnRateAlert("a", Decimal("6.5"), window=7200, for_=60),), (), min_failures=0),
        name="Named",
        description="Described",
    ),
    SLO("calendar", service="shop", target="0.99", calendar=Calendar("week", "Asia/Tokyo"), alerting=_QUIET),
    SLO("slices", service="shop", target="0.99", budgeting="timeslices", slice_target="0.9", alerting=_QUIET),
    SLO("ratios", service="shop", target="0.99", budgeting="ratio_timeslices", alerting=_QUIET),
    SLO("time", service="shop", target="0.99", sli=Threshold("max(q)", at_least=2), alerting=_QUIET),
    SLO("latency", service="shop", target="0.99", sli=Latency(0.25), alerting=_QUIET),
    SLO("percentile", service="shop", target="0.99", sli=Latency(0.25, percentile=99), alerting=_QUIET),
    SLO(
        "ratio",
        service="shop",
        target="0.99",
        sli=Ratio("sum(rate(a[5m])) / sum(rate(b[5m]))"),
        alerting=_QUIET,
    ),
]


@pytest.mark.parametrize("slo", _OBJECTIVES, ids=lambda slo: slo.id)
def test_export_and_import_are_inverse_as_documents_and_as_a_list_in_json(slo: SLO) -> None:
    text, lost = export_openslo([slo])
    assert not [line for line in lost if "short window" not in line]
    as_json = json.dumps([document.data for document in yaml.load_all(text)])
    for written in (text, as_json):
        found = import_openslo(written)
        assert found.lost == ()
        [after] = found.slos
        assert export_openslo([after])[0] == text
        for option in (
            "id",
            "service",
            "name",
            "target",
            "window",
            "calendar",
            "measure",
            "sliced",
            "slice_target",
        ):
            assert getattr(after, option) == getattr(slo, option), option
        assert after.alerting == slo.alerting
