"""Warnings of `validate` about what can match nothing of what its file defines."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from resilience.cli.main import main
from resilience.config import read
from resilience.config.unreachable import unreachable
from resilience.rules import packs

ROOT = Path(__file__).parents[2]

RULES = """
groups:
  - name: shop
    rules:
      - {alert: HighErrorRate, expr: 'sum(rate(http_requests_total{verdict="failure"}[5m])) > 1', labels: {severity: critical}}
      - {alert: DeepQueue, expr: 'queue_depth{queue="mail"} > 10', labels: {severity: warning}}
"""


def warnings(tmp_path: Path, text: str, rules: str = RULES) -> list[str]:
    (tmp_path / "rules.yml").write_text(rules)
    file = tmp_path / "reliability.yaml"
    file.write_text("rules: [rules.yml]\n" + text)
    return unreachable(read(file, strict=False))


def test_an_objective_of_a_service_that_is_written_differently(tmp_path: Path) -> None:
    text = "service: shop\nservices: [{name: Shop, slos: [{id: ok, target: 99.9}]}]\n"
    assert warnings(tmp_path, text) == [
        (
            "objective 'ok' is of the service 'Shop', and this service is 'shop': it can have no data;"
            " did you mean 'shop'?"
        )
    ]


def test_a_file_with_several_services_has_data_for_all(tmp_path: Path) -> None:
    text = (
        "services: [{name: shop, slos: [{id: a, target: 99}]}, {name: till, slos: [{id: b, target: 99}]}]\n"
    )
    assert warnings(tmp_path, text) == []


@pytest.mark.parametrize(
    ("expression", "warning"),
    [
        (
            'sum(rate(http_requests_total{service="Shop"}[5m])) > 1',
            "http_requests_total has no series with service=\"Shop\" in this configuration; did you mean 'shop'?",
        ),
        (
            'slo_burn_rate{slo="okay"} > 1',
            "slo_burn_rate has no series with slo=\"okay\" in this configuration; did you mean 'ok'?",
        ),
        (
            'ALERTS{alertname="HihgErrors"} > 0',
            "ALERTS has no series with alertname=\"HihgErrors\" in this configuration; did you mean 'HighErrors'?",
        ),
        ('sum(rate(orders_total{service="Shop"}[5m])) > 1', None),
        ('http_requests_in_flight{service=~"shop|till"} > 1', None),
        ('http_requests_in_flight{service!="till"} > 1', None),
        ('ALERTS{alertname=~"High.*"} > 0', None),
    ],
)
def test_rules_that_contradict_the_names_of_the_file(
    tmp_path: Path, expression: str, warning: str | None
) -> None:
    rules = f"groups: [{{name: shop, rules: [{{alert: HighErrors, expr: {json.dumps(expression)}}}]}}]"
    text = "service: shop\nservices: [{name: shop, slos: [{id: ok, target: 99.9}]}]\n"
    found = [each.partition("rule 'HighErrors': ")[2] for each in warnings(tmp_path, text, rules)]
    assert found == ([] if warning is None else [warning])


CHANNELS = "service: shop\nchannels: {ops: {log: {}}, pager: {log: {}}}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "routes: [{severity: critcal, to: pager}, {to: ops}]",
            [
                "routes[0]: no alert of this configuration matches severity=\"critcal\"; did you mean 'critical'?",
                "channel 'pager': no alert of this configuration reaches it",
            ],
        ),
        ("routes: [{severity: critical, to: pager}]", []),
        (
            "routes: [{severity: page, to: pager}]",
            [
                'routes[0]: no alert of this configuration matches severity="page"; there are: critical, warning'
            ],
        ),
        ("routes: [{queue: mail, to: pager}]", []),
        (
            "routes: [{severity: critical, to: pager, routes: [{severity: warning, to: ops}]}]",
            ['routes[0].routes[0]: no alert of this configuration matches {severity="warning"}'],
        ),
        (
            "routes: [{to: ops}, {severity: critical, to: pager}]",
            [
                "routes[1]: the routes before it take every alert of this configuration",
                "channel 'pager': no alert of this configuration reaches it",
            ],
        ),
        ("routes: [{to: ops, continue: true}, {severity: critical, to: pager}]", []),
        (
            "inhibitions: [{source: ['severity=\"critical\"'], target: ['alertname=\"DeepQueu\"']}]",
            [
                (
                    'inhibitions[0] target: no alert of this configuration matches alertname="DeepQueu";'
                    " did you mean 'DeepQueue'?"
                )
            ],
        ),
        ("inhibitions: [{source: ['severity=\"critical\"'], target: ['severity=\"warning\"']}]", []),
        ("routes: [{alertname: RuleEvaluationFailed, to: pager}]", []),
        (
            "routes: [{service: Shop, alertname: HighErrorRate, to: pager}]",
            ['routes[0]: no alert of this configuration matches {alertname="HighErrorRate",service="Shop"}'],
        ),
        ("labels: {env: prod}\nroutes: [{env: prod, to: pager}]", []),
        (
            "routes: [{to: ops, escalation: night}]\nescalations: {night: {levels: [{to: pager, wait: 5m}]}}",
            [],
        ),
        (
            (
                "time_intervals: {nights: [{weekdays: [sunday]}]}\n"
                "maintenance: [{match: ['alertname=\"Nightly\"'], during: nights}]"
            ),
            ['maintenance[0]: no alert of this configuration matches alertname="Nightly"'],
        ),
        ("", []),
    ],
)
def test_what_no_alert_of_the_file_can_reach(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert warnings(tmp_path, CHANNELS + text) == expected


def test_routes_of_a_file_without_rules_are_left_alone(tmp_path: Path) -> None:
    text = CHANNELS + "routes: [{severity: page, to: pager}]"
    assert warnings(tmp_path, text, "groups: []") == []


def test_a_warning_fails_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "reliability.yaml"
    file.write_text("service: shop\nservices: [{name: Shop, slos: [{id: ok, target: 99.9}]}]\n")
    assert main(["validate", str(file)]) == 0
    assert "warning: objective 'ok' is of the service 'Shop'" in capsys.readouterr().out
    assert main(["validate", "--json", str(file)]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert len(plain[0]["warnings"]) == 1


@pytest.mark.parametrize("name", packs.names())
def test_no_pack_has_a_warning(tmp_path: Path, name: str) -> None:
    text = f"service: shop\nservices: [{{name: shop, slos: [{{id: ok, target: 99.9}}]}}]\npacks: [{name}]\n"
    assert warnings(tmp_path, text, "groups: []") == []


def documented() -> list[tuple[str, str]]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    blocks = re.compile(r"```ya?ml\n(.*?)```", re.DOTALL)
    found = [(page.name, block) for page in pages for block in blocks.findall(page.read_text())]
    return [
        (page, block)
        for page, block in found
        if re.search(r"^(service|services|channels|routes):", block, re.MULTILINE)
    ]


def test_no_documented_configuration_has_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    looked_at = 0
    for page, block in documented():
        text = block if re.search(r"^services?:", block, re.MULTILINE) else f"service: shop\n{block}"
        file = tmp_path / "reliability.yaml"
        file.write_text(text)
        main(["validate", "--json", str(file)])
        [verdict] = json.loads(capsys.readouterr().out)
        looked_at += verdict["loaded"]
        assert verdict["warnings"] == [], f"{page}:\n{block}"
    assert looked_at > 5
