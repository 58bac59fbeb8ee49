"""Every pack is tested in promtool's format, with promtool's verdict; parameters are set and refused."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from resilience.cli.main import main
from resilience.core import yaml
from resilience.errors import ConfigError
from resilience.rules import AlertRule, RecordingRule, checks, packs, write

HERE = Path(__file__).parent
DOCS = HERE.parents[2] / "docs" / "packs.md"
NAMES = packs.names()
DEMANDED = {
    "api_availability",
    "circuit_breaker",
    "cost",
    "error_rate",
    "event_loop",
    "memory",
    "quota",
    "retry_storm",
    "self_monitoring",
    "session_duration",
    "tool_execution",
    "ttfa",
    "watchdog",
}


def constants(name: str, **settings: float) -> dict[str, str]:
    return {
        rule.name.rpartition(":")[2]: rule.expr
        for group in packs.load(name, **settings)
        for rule in group.rules
        if isinstance(rule, RecordingRule) and rule.name.startswith(f"pack:{name}:")
    }


def test_the_packs_that_are_promised_are_there() -> None:
    assert set(NAMES) >= DEMANDED


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("semantics", ["2", "3"])
def test_a_packs_unit_tests_pass(name: str, semantics: str) -> None:
    assert main(["rules", "test", "--semantics", semantics, str(HERE / f"{name}.test.yml")]) == 0


@pytest.mark.server("promtool")
@pytest.mark.parametrize("name", NAMES)
def test_promtool_finds_no_fault_in_a_pack_and_comes_to_the_same_verdicts(name: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    write(file, packs.load(name))
    for command in (
        ["check", "rules", "--lint-fatal", str(file)],
        ["check", "rules", "--lint-fatal", str(Path(packs.__file__).with_name(f"{name}.yml"))],
        ["test", "rules", str(HERE / f"{name}.test.yml")],
    ):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_is_shown_to_fire_in_each_severity_and_not_to_fire(name: str) -> None:
    tested = set()
    for test in yaml.read(HERE / f"{name}.test.yml").data["tests"]:
        for case in test["alert_rule_test"]:
            severities = [alert["exp_labels"]["severity"] for alert in case["exp_alerts"]]
            tested |= {(case["alertname"], severity) for severity in severities or ["not"]}
    rules = [rule for group in packs.load(name) for rule in group.rules if isinstance(rule, AlertRule)]
    expected = {(rule.name, rule.severity) for rule in rules} | {(rule.name, "not") for rule in rules}
    assert tested == expected - {("Watchdog", "not")}


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_tells_people_how_bad_it_is_what_it_means_and_what_to_do(name: str) -> None:
    groups = packs.load(name)
    assert not checks.check(groups)
    for rule in (rule for group in groups for rule in group.rules if isinstance(rule, AlertRule)):
        assert rule.severity in {"none", "warning", "critical"}
        assert rule.annotations.keys() >= {"summary", "description", "runbook"}


@pytest.mark.parametrize("name", NAMES)
def test_each_parameter_has_a_unit_and_is_used_by_a_rule(name: str) -> None:
    exprs = [rule.expr or "" for group in packs.load(name) for rule in group.rules]
    for parameter in packs.parameters(name):
        assert parameter.unit in {"ratio", "seconds", "count", "times"}
        assert any(f"scalar(pack:{name}:{parameter.name})" in expr for expr in exprs)


@pytest.mark.parametrize("name", NAMES)
def test_the_docs_name_each_pack_with_its_alerts_and_the_defaults_of_its_parameters(name: str) -> None:
    [row] = (line for line in DOCS.read_text().splitlines() if line.startswith(f"| `{name}` |"))
    for rule in (rule for group in packs.load(name) for rule in group.rules if isinstance(rule, AlertRule)):
        assert f"`{rule.name}`" in row
    for parameter in packs.parameters(name):
        assert f"`{parameter.name}` {parameter.value:g}" in row


def test_a_parameter_that_is_set_replaces_its_constant_alone() -> None:
    assert constants("error_rate", threshold=0.02) == {**constants("error_rate"), "threshold": "0.02"}


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("nope", {}, "pack must be one of .*error_rate"),
        ("error_rate", {"treshold": 0.02}, "pack error_rate: treshold is no parameter; there are threshold"),
        ("watchdog", {"threshold": 1}, "there are none"),
        ("error_rate", {"prefix": "a-"}, "prefix must be a metric name"),
        ("error_rate", {"threshold": 2}, "threshold must be a number above 0 and at most 1, got 2"),
        ("error_rate", {"threshold": "0.02"}, "threshold must be a number"),
        ("error_rate", {"requests": 0}, "requests must be a number above 0"),
        ("error_rate", {"threshold": 1.0}, "HighErrorRate: never true"),
        ("error_rate", {"budget": 0.1}, "never true: .* the threshold is 1.44"),
    ],
)
def test_what_cannot_be_meant_is_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        packs.load(name, **settings)


def test_sets_have_names_of_their_own() -> None:
    assert packs.ttfa_alert_rules == packs.load("ttfa")
    assert packs.all_alert_rules == packs.all()
    assert {group.name for group in packs.all()} == {f"resilience_{name}" for name in NAMES}
    assert {"all_alert_rules", "error_rate_alert_rules"} <= set(dir(packs))
    for missing in ("nope", "nope_alert_rules"):
        with pytest.raises(AttributeError, match=missing):
            getattr(packs, missing)
