"""Rule files: Prometheus' format, strictly, with the line of every fault."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.errors import ConfigError
from resilience.rules import AlertRule, NoData, RecordingRule, RuleGroup, dump, load, loads, write

FILE = """\
groups:
  - name: shop
    interval: 30s
    limit: 10
    query_offset: 1m
    labels: {team: web, severity: none}
    rules:
      - record: job:errors:rate5m
        expr: sum by (job) (rate(errors_total[5m]))
        labels: {version: 1.10}
      - alert: Errors
        expr: |
          job:errors:rate5m
            > 5
        for: 10m
        keep_firing_for: 5m
        labels: {severity: page}
        annotations:
          summary: "{{ $labels.job }} fails"
          runbook_url: https://runbooks/errors
          resilience_no_data: keep
          resilience_no_data_grace: 2m
"""


def test_reads_everything_that_prometheus_knows() -> None:
    (group,) = loads(FILE, file="r.yml")
    assert (group.name, group.interval, group.limit, group.query_offset, group.file) == (
        "shop",
        30,
        10,
        60,
        "r.yml",
    )
    record, alert = group.rules
    assert isinstance(record, RecordingRule)
    assert (record.name, record.labels, record.line) == (
        "job:errors:rate5m",
        {"severity": "none", "team": "web", "version": "1.10"},
        8,
    )
    assert isinstance(alert, AlertRule)
    assert (alert.for_, alert.keep_firing_for, alert.severity, alert.line) == (600, 300, "page", 11)
    assert alert.labels == {"severity": "page", "team": "web"}
    assert alert.runbook_url == "https://runbooks/errors"
    assert (alert.no_data, alert.no_data_grace) == (NoData.KEEP, 120)


def test_missing_data_means_what_prometheus_means_unless_the_file_says_otherwise() -> None:
    (group,) = loads("groups: [{name: a, rules: [{alert: A, expr: up == 0}]}]")
    assert group.rules[0].no_data is NoData.RESOLVE
    assert AlertRule("A", "up == 0").no_data is NoData.KEEP


def rule(text: str) -> str:
    return f"groups:\n  - name: a\n    rules:\n{text}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nope: 1", "r.yml:1:1: unknown key 'nope'; allowed are groups"),
        ("- a", "r.yml:1:1: expected a mapping with groups"),
        ("groups: 1", "r.yml:1:9: groups must be a list"),
        ("groups:\n  - name: a\n    intervall: 5m", "r.yml:3:5: unknown key 'intervall'"),
        ("groups:\n  - rules: []", "r.yml:2:5: group name must be a non-empty string"),
        ("groups:\n  - name: a\n  - name: a", "r.yml:3:5: group name 'a' stands twice in this file"),
        ("groups:\n  - name: a\n    interval: 5 minutes", "r.yml:3:15: interval must be a duration"),
        ("groups:\n  - name: a\n    limit: many", "limit must be a whole number"),
        (rule("    - expr: up"), "r.yml:4:7: a rule needs exactly one of record and alert"),
        (rule("    - {alert: A, record: b, expr: up}"), "exactly one of record and alert"),
        (rule("    - alert: A"), "r.yml:4:7: a rule needs an expr"),
        (rule("    - alert: A\n      expr: up ==\n"), "r.yml:5:13: expr: "),
        (rule("    - alert: A\n      expr: |\n        up\n        + )\n"), "r.yml:7: expr: "),
        (rule("    - record: b\n      expr: up\n      for: 5m"), "r.yml:6:7: unknown key 'for'"),
        (rule("    - record: sum(a{b='c'})\n      expr: up"), "record must be a metric name (not empty, valid UTF-8, without braces)"),
        (rule("    - alert: A\n      expr: up\n      labels: {'': c}"), "r.yml:6:20: a name in labels"),
        (rule("    - alert: A\n      expr: up\n      labels: {__name__: c}"), "a name in labels"),
        (rule("    - alert: A\n      expr: up\n      labels: {a: [1]}"), "r.yml:6:19: a must be a string"),
        (rule("    - alert: A\n      expr: up\n      annotations:\n        b: '{{ nope }}'"), "r.yml:7:12: b: template: function 'nope' is not defined"),
        (rule("    - alert: A\n      expr: up\n      for: -5m"), "r.yml:6:12: for must be a duration"),
        (rule("    - alert: A\n      expr: up\n      annotations: {resilience_no_data: perhaps}"), "resilience_no_data must be one of resolve, alert, ok, keep"),
    ],
)  # fmt: skip
def test_a_fault_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loads(text, file="r.yml")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_nothing_is_loaded_when_one_of_several_files_has_a_fault(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text(FILE)
    bad.write_text("groups: 1")
    assert len(load(good)) == 1
    with pytest.raises(ConfigError, match=r"bad\.yml:1:9"):
        load(good, bad)


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB", "shop")
    (group,) = loads(rule('    - alert: A\n      expr: up{job="${JOB}"} == 0'))
    assert group.rules[0].expr == 'up{job="${JOB}"} == 0'


def test_what_is_written_reads_the_same(tmp_path: Path) -> None:
    groups = loads(FILE, file=str(tmp_path / "r.yml"))
    write(tmp_path / "r.yml", groups)
    assert load(tmp_path / "r.yml") == groups


def test_keys_are_written_in_the_order_in_which_people_read_them() -> None:
    text = dump(loads(FILE))
    positions = [
        text.index(f"{key}: ")
        for key in ("name", "interval", "limit", "record", "alert", "for", "keep_firing_for")
    ]
    assert positions == sorted(positions)


def test_a_python_condition_cannot_be_written() -> None:
    with pytest.raises(ConfigError, match="alert rule 'A' is a Python function"):
        dump([RuleGroup("a", (AlertRule("A", condition=bool),))])


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20
).filter(lambda text: text.strip() and "{{" not in text)


@given(name=TEXTS, label=TEXTS, annotation=TEXTS, seconds=st.integers(0, 10_000_000))
def test_any_rule_survives_being_written(name: str, label: str, annotation: str, seconds: int) -> None:
    alert = AlertRule(
        name,
        "up == 0",
        for_=seconds / 1000,
        labels={"a": label},
        annotations={"b": annotation},
        no_data="resolve",
    )
    assert loads(dump([RuleGroup("g", (alert,))]))[0].rules == (alert,)


@pytest.mark.server("promtool")
def test_promtool_finds_no_fault_in_what_is_written(tmp_path: Path) -> None:
    text = FILE.replace("    query_offset: 1m\n", "").replace("    labels: {team: web, severity: none}\n", "")
    write(tmp_path / "r.yml", loads(text))
    checked = subprocess.run(
        ["promtool", "check", "rules", "--lint-fatal", tmp_path / "r.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "2 rules found" in checked.stdout


SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.sampled_from(
    ["", "up", "up == 0", "a:b", "5m", "1x", "{{ $value }}", "{{", "sum(", "keep", "\u2028"]
)  # fmt: skip
KEYS = st.sampled_from(
    [
        "groups",
        "name",
        "rules",
        "interval",
        "limit",
        "query_offset",
        "labels",
        "record",
        "alert",
        "expr",
        "for",
        "keep_firing_for",
        "annotations",
        "a",
    ]
)


@given(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
        max_leaves=12,
    ).map(lambda data: {"groups": data})
    | st.lists(st.dictionaries(KEYS, SCALARS, max_size=5), max_size=3).map(
        lambda rules: {"groups": [{"name": "g", "rules": rules}]}
    )
)
def test_any_data_is_rules_or_refused(data: object) -> None:
    text = json.dumps(data).replace("Infinity", ".inf").replace("NaN", ".nan")
    try:
        loads(text)
    except ConfigError as error:
        assert error.line is not None  # noqa: PT017  not each file is refused
