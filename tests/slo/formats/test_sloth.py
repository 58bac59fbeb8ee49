from __future__ import annotations

import json
from decimal import Decimal

import pytest

from resilience.core import yaml
from resilience.errors import ConfigError
from resilience.slo.formats.importing import import_slos
from resilience.slo.formats.native_read import from_config
from resilience.slo.formats.native_write import to_config
from resilience.slo.formats.openslo_write import export_openslo
from resilience.slo.formats.sloth import import_sloth
from resilience.slo.query import ratio_parts
from tests.slo.formats.junk import spoiled

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
        (SLOTH.replace("events:", "other:"), "must have events or raw"),
        (SLOTH.replace("total_query", "query"), "total_query must be PromQL"),
        (SLOTH.replace("objective: 99.9", "objective: 0.9"), "percentage"),
    ],
)
def test_sloth_that_cannot_be_meant_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        import_sloth(text)


KUBERNETES = """
apiVersion: sloth.slok.dev/v1
kind: PrometheusServiceLevel
metadata: {name: shop, namespace: monitoring, labels: {role: alert-rules}}
spec:
  service: shop
  labels: {owner: buyers}
  slos:
    - name: availability
      objective: 99.5
      sli:
        events:
          errorQuery: sum(rate(orders_total{outcome="failed"}[{{.window}}]))
          totalQuery: sum(rate(orders_total[{{.window}}]))
      alerting:
        name: ShopBurns
        pageAlert: {labels: {severity: page}}
        ticketAlert: {disable: true}
"""


def _raw(query: str) -> str:
    return (
        "{version: prometheus/v1, service: shop, slos: [{name: raw, objective: 99, sli: {raw: {error_ratio_query:"
        f" {json.dumps(query)}}}}}}}]}}"
    )


def test_the_kubernetes_resource_is_read_like_the_specification() -> None:
    found = import_sloth(KUBERNETES)
    [slo] = found.slos
    assert (slo.id, slo.service, slo.target) == ("shop-availability", "shop", Decimal("0.995"))
    assert slo.measure.bad == 'sum(increase(orders_total{outcome="failed"}[{{window}}]))'
    assert [(alert.name, alert.severity) for alert in slo.burn_rates] == [("fast", "page"), ("slow", "page")]
    assert slo.labels == {"owner": "buyers"}
    assert found.lost == ("shop-availability: the alert's name 'ShopBurns'; it is ErrorBudgetBurn here",)


def test_each_document_of_a_file_is_a_service() -> None:
    found = import_sloth(f"---\n{SLOTH}\n---\n{KUBERNETES}")
    assert [slo.service for slo in found.slos] == ["myservice", "myservice", "shop"]


def test_an_error_ratio_of_one_minus_good_events_counts_the_good_ones() -> None:
    [slo] = import_sloth(_raw("1 - (sum(rate(good[{{.window}}])) / sum(rate(all[{{.window}}])))")).slos
    assert (slo.measure.good, slo.measure.bad) == ("sum(increase(good[{{window}}]))", None)


def test_each_subtraction_from_one_turns_good_and_bad_events_round() -> None:
    ratio = "sum(rate(a[5m])) / sum(rate(b[5m]))"
    assert ratio_parts("query", ratio).good == "sum(increase(a[{{window}}]))"
    assert ratio_parts("query", f"1 - {ratio}").bad == "sum(increase(a[{{window}}]))"
    assert ratio_parts("query", f"1 - (1 - {ratio})").good == "sum(increase(a[{{window}}]))"


def test_the_range_of_a_subquery_is_each_window_and_ranges_within_it_stay() -> None:
    [slo] = import_sloth(
        _raw(
            "sum(sum_over_time((count(signal < 0.75))[{{.window}}:]) OR on() vector(0))"
            " / sum(count_over_time(max_over_time(signal[5m])[{{.window}}:1m]))"
        )
    ).slos
    assert slo.measure.bad == "sum(sum_over_time((count(signal < 0.75))[{{window}}:]) or on () vector(0))"
    assert slo.measure.total == "sum(count_over_time((max_over_time(signal[5m]))[{{window}}:1m]))"


@pytest.mark.parametrize("window", ["{{.window}}", "{{ .window }}", "{{- .window -}}", " {{-  .window  -}} "])
def test_the_window_is_read_as_go_templates_write_it(window: str) -> None:
    [slo] = import_sloth(_raw(f"sum(rate(bad[{window}])) / sum(rate(all[{window}]))")).slos
    assert slo.measure.bad == "sum(increase(bad[{{window}}]))"


def test_scalars_that_become_text_keep_how_they_are_written() -> None:
    text = SLOTH.replace('{owner: "myteam"}', "{generated: true, version: 1.10, le: 0.20, team: , 5: 0x5}")
    slo = import_sloth(text.replace('service: "myservice"', "service: 1.0")).slos[0]
    assert slo.service == "1.0"
    assert slo.labels == {"generated": "true", "version": "1.10", "le": "0.20", "team": "", "5": "0x5"}


def test_plugins_of_objectives_are_lost_and_those_of_indicators_refused() -> None:
    chained = KUBERNETES.replace(
        "  service: shop\n", "  service: shop\n  sloPlugins: {chain: [{id: debug}]}\n"
    )
    assert "service shop: spec.sloPlugins" in import_sloth(chained).lost
    with pytest.raises(ConfigError, match=r"shop-availability: sli\.plugin has no queries"):
        import_sloth(KUBERNETES.replace("events:", "plugin:"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            KUBERNETES.replace("PrometheusServiceLevel", "AlertWindows"),
            "3:7: kind must be PrometheusServiceLevel",
        ),
        (KUBERNETES.replace("dev/v1", "dev/v2"), "2:13: apiVersion must be sloth.slok.dev/v1"),
        (KUBERNETES.replace("name: availability", "name: "), r"slos\[0\] needs a name"),
        (KUBERNETES.replace("disable: true", "disable: maybe"), "18:32: .*must be true or false"),
        (_raw("histogram_share(0.2, bad[{{.window}}]) / sum(rate(all[{{.window}}]))"), "histogram_share"),
        (_raw("sum(rate(bad[{{.window}}]))"), "must be a ratio of two counts"),
        (f"{KUBERNETES}---{KUBERNETES}", "id must be unique"),
    ],
)
def test_what_sloth_cannot_mean_here_is_refused_with_its_reason(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        import_sloth(text)


def test_no_junk_in_a_file_is_more_than_a_message() -> None:
    for text in (SLOTH, KUBERNETES):
        refused = 0
        for document in spoiled(yaml.load(text).data):
            try:
                import_sloth(json.dumps(document))
            except ConfigError:
                refused += 1
        assert refused > 50


def test_what_is_imported_is_written_as_a_configuration_that_reads_back_the_same() -> None:
    slos = import_sloth(f"{SLOTH}---{KUBERNETES}").slos
    again, _ = from_config(to_config(slos))
    assert sorted(again, key=lambda slo: slo.id) == sorted(slos, key=lambda slo: slo.id)


def test_the_format_is_recognized_by_its_version() -> None:
    for text in (SLOTH, KUBERNETES):
        assert import_slos(text) == import_sloth(text)
    exported, _ = export_openslo(import_sloth(KUBERNETES).slos)
    assert [slo.id for slo in import_slos(exported).slos] == ["shop-availability"]


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match="not recognized: OpenSLO has apiVersion openslo/v1, Sloth has version"
    ):
        import_slos("{services: []}", file="reliability.yaml")
