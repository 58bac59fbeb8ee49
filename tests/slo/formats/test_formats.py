from __future__ import annotations

import json
from collections.abc import Callable
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
from resilience.slo.formats.document import Imported
from resilience.slo.formats.openslo_read import import_openslo
from resilience.slo.formats.openslo_write import export_openslo
from resilience.slo.formats.sloth import import_sloth
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


SLOTH = """
version: "prometheus/v1"
service: "myservice"
labels: {owner: "myteam"}
slos:
  - name: "requests-availability"
    objective: 99.9
    description: "most requests succeed"
    sli:
      events:
        error_query: sum(rate(http_requests_total{code=~"(5..|429)"}[{{.window}}]))
        total_query: sum(rate(http_requests_total[{{.window}}]))
    alerting:
      name: MyServiceHighErrorRate
      annotations: {summary: "high error rate"}
      page_alert: {labels: {severity: pageteam, routing_key: myteam}}
      ticket_alert: {disable: true}
  - name: raw
    objective: 99
    sli: {raw: {error_ratio_query: 'sum(rate(bad[{{ .window }}])) / sum(rate(all[{{ .window }}]))'}}
"""


def test_sloth_is_read_and_what_is_lost_is_named() -> None:
    found = import_sloth(SLOTH)
    events, raw = found.slos
    assert (events.id, events.service, events.target) == (
        "myservice-requests-availability",
        "myservice",
        Decimal("0.999"),
    )
    assert [(alert.name, alert.severity) for alert in events.burn_rates] == [
        ("fast", "pageteam"),
        ("slow", "pageteam"),
    ]
    assert events.labels == {"owner": "myteam"}
    assert raw.measure.bad == "sum(increase(bad[{{window}}]))"
    assert len(raw.burn_rates) == 4
    assert found.lost == (
        "myservice-requests-availability: the alert's name 'MyServiceHighErrorRate'; it is ErrorBudgetBurn here",
        "myservice-requests-availability: alerting.page_alert.labels.routing_key",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: other", "version must be prometheus/v1"),
        (SLOTH.replace("events:", "plugin:"), "must have events or raw"),
        (SLOTH.replace("total_query", "query"), "total_query must be PromQL"),
        (SLOTH.replace("objective: 99.9", "objective: 0.9"), "percentage"),
    ],
)
def test_sloth_that_cannot_be_meant_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        import_sloth(text)


# -- whatever stands in a file --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "text"),
    [
        *((import_openslo, part) for part in (THRESHOLD, INLINE)),
        (import_sloth, SLOTH),
    ],
)
def test_no_junk_in_a_file_is_more_than_a_message(read: Callable[[str], Imported], text: str) -> None:
    refused = 0
    for document in spoiled(yaml.load(text).data):
        try:
            read(json.dumps(document))
        except ConfigError:
            refused += 1
    assert refused > 100


def test_an_indicator_of_failures_is_turned_round() -> None:
    [slo] = import_openslo(INLINE).slos
    assert slo.sli == Ratio("1 - (sum(rate(bad[5m])) / sum(rate(all[5m])))")


def test_whatever_nobody_reads_is_named() -> None:
    assert set(import_openslo(INLINE).lost) == {
        "SLO inline: metadata.labels",
        "SLO inline: spec.colour",
        "SLO inline: spec.indicator.spec.ratioMetric.raw.metricSource.metricSourceRef",
        "SLO inline: alertPolicies[0].spec.alertWhenNoData",
        "SLO inline: condition burn, 'burnrate' with op lt",
        "SLO inline: spec.timeWindow[1].duration",
        "SLO inline: spec.timeWindow[1].isRolling",
    }
