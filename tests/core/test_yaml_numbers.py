"""Numbers in YAML that no float can hold: one line with the place, wherever they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilience import config
from resilience.core import yaml
from resilience.errors import ConfigError
from resilience.rules import file as rule_file
from resilience.rules.test import run

HUGE = ["0x" + "f" * 5000, "9" * 5000, "-" + "9" * 400, "0o" + "7" * 5000, "0b" + "1" * 2000, "1_0" * 3000]
EXTREME = [*HUGE, "1e400", "-1e400", ".inf", ".nan", "9" * 300, "-1"]

RULES = """\
groups:
  - name: g
    interval: {}
    limit: {}
    query_offset: {}
    rules:
      - alert: A
        expr: {}
        for: {}
        keep_firing_for: {}
"""
TESTS = """\
evaluation_interval: {}
tests:
  - interval: {}
    promql_expr_test:
      - expr: "1"
        eval_time: {}
        exp_samples: [{{labels: "{{}}", value: {}}}]
"""
CONFIG = """\
service: {{name: shop, interval: {}, memory_limit: {}}}
reload: {{watch: {}}}
pipelines: {{p: {{timeout: {}, retry: {{attempts: {}}}, circuit_breaker: {{failures: {}}}}}}}
guards: {{timeout: {}, limit: {{rate: {}}}}}
health: {{checks: [{{type: http, url: "http://x", timeout: {}, interval: {}}}]}}
packs: [{{error_rate: {{threshold: {}}}}}]
services: [{{name: shop, slos: [{{id: a, target: {}, window: {}, sli: {{type: latency, threshold: {}}}}}]}}]
budget_policy: {{below: {}}}
alerting: {{group_wait: {}, repeat_interval: {}}}
channels: {{w: {{type: webhook, url: "http://x", timeout: {}}}}}
"""


@pytest.mark.parametrize("text", HUGE)
def test_an_integer_that_no_float_can_hold_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^f\.yml:2:4: .* is not a int$") as error:
        yaml.load(f"x: 1\ny: {text}\n", file="f.yml")
    assert len(str(error.value)) < 300


def one_line(error: ConfigError) -> None:
    text = str(error)
    assert "\n" not in text
    assert len(text) < 2_000
    assert error.file is not None
    assert error.line is not None


def filled(template: str, place: int, value: str) -> str:
    count = template.replace("{{", "").count("{}")
    return template.format(*(value if number == place else "1" for number in range(count)))


@pytest.mark.parametrize("value", EXTREME, ids=lambda value: f"{value[:6]}-{len(value)}")
@pytest.mark.parametrize("kind", ["rules", "tests", "config"])
def test_an_extreme_number_in_any_field_is_taken_or_refused_in_one_line(
    kind: str, value: str, tmp_path: Path
) -> None:
    template = {"rules": RULES, "tests": TESTS, "config": CONFIG}[kind]
    read = {"rules": rule_file.load, "tests": run, "config": config.read}[kind]
    file = tmp_path / "file.yml"
    for place in range(template.replace("{{", "").count("{}")):
        file.write_text(filled(template, place, value))
        try:
            read(file)
        except ConfigError as error:
            one_line(error)


@pytest.mark.parametrize("value", EXTREME, ids=lambda value: f"{value[:6]}-{len(value)}")
@pytest.mark.parametrize(
    "line", [line for line in CONFIG.splitlines() if "{}" in line], ids=lambda line: line[:9]
)
def test_an_extreme_number_in_any_field_of_one_section_is_taken_or_refused_in_one_line(
    line: str, value: str, tmp_path: Path
) -> None:
    file = tmp_path / "reliability.yaml"
    template = line if line.startswith("service:") else f"service: shop\n{line}"
    for place in range(template.replace("{{", "").count("{}")):
        file.write_text(filled(template, place, value))
        try:
            config.read(file)
        except ConfigError as error:
            one_line(error)
