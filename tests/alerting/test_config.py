"""Routes and the rest as `reliability.yaml` writes them, and Alertmanager's own file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from resilience.alerting import alertmanager_config
from resilience.alerting.config import from_config
from resilience.alerting.route import Router
from resilience.errors import ConfigError

CHANNELS = ["ops", "pager", "boss"]
FULL: dict[str, Any] = {
    "grouping": {"group_by": ["alertname", "service"], "group_wait": "10s"},
    "time_intervals": {"nights": [{"times": [{"start_time": "00:00", "end_time": "06:00"}]}]},
    "escalations": {
        "oncall": {
            "levels": [{"to": "pager", "wait": "15m"}, {"to": ["boss", "ops"]}],
            "repeats": 2,
            "acknowledgement_timeout": "1h",
        }
    },
    "routes": [
        {"severity": "critical", "to": "ops", "escalation": "oncall", "continue": True},
        {
            "match": ['team=~"db|web"'],
            "to": ["ops", "boss"],
            "mute": "nights",
            "repeat_interval": "1d",
            "routes": [{"team": "db", "group_by": "..."}],
        },
    ],
    "inhibitions": [{"source": "severity=critical", "target": ["severity=warning"], "equal": ["service"]}],
    "maintenance": [{"match": "service=batch", "during": "nights"}],
    "flapping": {"changes": 8, "window": "10m"},
    "heartbeat": "https://hc.example/S3CRET",
    "service": "shop",
}


def test_everything_is_read() -> None:
    config = from_config(FULL, CHANNELS)
    assert config.route is not None
    router = Router(config.route)
    first, second = router.find({"severity": "critical", "team": "db"})
    assert first.to == ("ops",)
    assert first.escalation is not None
    assert [level.to for level in first.escalation.levels] == [("pager",), ("boss", "ops")]
    assert (first.escalation.levels[0].wait, first.escalation.repeats) == (900, 2)
    assert first.escalation.acknowledgement_timeout == 3600
    assert (first.group_wait, first.group_by) == (10, ("alertname", "service"))
    assert (second.to, second.group_by, second.repeat_interval) == (("ops", "boss"), ("...",), 86_400)
    [rest] = router.find({})
    assert rest.to == tuple(CHANNELS)
    [web] = router.find({"team": "web"})
    assert web.quiet(1_700_010_000.0)
    assert not web.quiet(1_700_060_000.0)
    assert config.inhibitions[0].equal == ("service",)
    assert config.maintenance[0].mutes({"service": "batch"}, 1_700_010_000.0)
    assert config.flapping is not None
    assert config.heartbeat is not None
    assert "S3CRET" not in repr(config)


def test_nothing_means_the_defaults() -> None:
    config = from_config({"service": "shop"}, CHANNELS)
    assert config.route is None
    assert config.inhibitions == ()
    assert config.heartbeat is None


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"routes": {}}, "routes must be a list"),
        ({"routes": ["ops"]}, r"routes\[0\] must be a mapping"),
        ({"routes": [{"to": "nobody"}]}, r"routes\[0\] to must be one of ops, pager, boss, got 'nobody'"),
        ({"routes": [{"gruop_wait": "1s", "to": "ops"}]}, "did you mean 'group_wait'"),
        ({"routes": [{"team": ["db"], "to": "ops"}]}, "a label's value is a text"),
        ({"routes": [{"to": "ops", "group_wait": 30}]}, r"routes\[0\] group_wait must be a duration"),
        (
            {"routes": [{"to": "ops", "mute": "nights"}]},
            r"mute must be one of \(none is defined\), got 'nights'",
        ),
        ({"routes": [{"to": "ops", "escalation": "oncall"}]}, "escalation must be one of"),
        ({"routes": [{"to": "ops", "continue": "yes"}]}, "continue must be true or false"),
        ({"routes": [{"to": "ops", "match": "a"}]}, "a matcher must read like"),
        ({"grouping": {"colour": 1}}, "grouping must be made of group_by"),
        ({"inhibitions": [{"source": "a=b"}]}, "inhibitions need matchers as source and target"),
        ({"maintenance": [{"during": "nights"}]}, "maintenance during must be one of"),
        ({"escalations": {"x": {}}}, "levels of escalation 'x'"),
        ({"escalations": {"x": {"levels": [{"to": "ops", "delay": "1m"}]}}}, "must be made of to, wait"),
        ({"escalations": {"x": {"levels": [{"to": "ops"}], "repeats": True}}}, "repeats must be"),
        ({"flapping": {"changes": 1}}, "changes must be"),
        ({"heartbeat": "hc.example/S3CRET"}, "url must be an http"),
        ({"heartbeat": {"interval": "1m"}}, "url must be a non-empty string"),
        ({"alertmanager": "a.yml", "routes": []}, "alertmanager must stand alone"),
    ],
)
def test_what_cannot_be_meant_is_refused(sections: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        from_config(sections, CHANNELS)
    assert "S3CRET" not in str(caught.value)


ALERTMANAGER = """
global:
  resolve_timeout: 5m
templates: ["*.tmpl"]
route:
  receiver: ops
  group_by: [alertname]
  repeat_interval: 3h
  routes:
    - match: {severity: critical}
      match_re: {team: db|web}
      receiver: pager
      mute_time_intervals: [nights]
      group_wait: 5s
    - matchers: [ team = "x" ]
      active_time_intervals: [nights]
      continue: true
      labels: {a: b}
inhibit_rules:
  - source_match: {severity: critical}
    target_match_re: {severity: warning|info}
    equal: [host]
  - source_matchers: [a="b"]
    target_matchers: [c="d"]
    name: new
time_intervals:
  - name: nights
    time_intervals:
      - times: [{start_time: "00:00", end_time: "06:00"}]
receivers:
  - name: ops
    slack_configs: [{api_url: https://x, send_resolved: false}]
  - name: pager
"""


def test_alertmanagers_file_is_read_and_what_is_left_out_is_named(tmp_path: Path) -> None:
    file = tmp_path / "am.yml"
    file.write_text(ALERTMANAGER)
    found = alertmanager_config.read(file, CHANNELS)
    router = Router(found.route)
    [place] = router.find({"severity": "critical", "team": "db"})
    assert (place.to, place.group_wait, place.group_by, place.repeat_interval) == (
        ("pager",),
        5,
        ("alertname",),
        10_800,
    )
    assert place.quiet(1_700_010_000.0)
    [place] = router.find({"team": "x"})
    assert place.to == ("ops",)
    assert not place.quiet(1_700_010_000.0)
    assert [str(rule.target) for rule in found.inhibitions] == ['{severity=~"warning|info"}', '{c="d"}']
    assert [line.removeprefix(f"{file}:") for line in found.unsupported] == [
        "3: global is not supported",
        "4: templates is not supported",
        "32: slack_configs of receiver 'ops' is not supported",
        "32: send_resolved: false of receiver 'ops' (whoever hears 'firing' hears 'resolved') is not supported",
        "25: name of an inhibition rule is not supported",
        "18: labels of a route is not supported",
    ]


def test_without_group_by_an_alertmanager_file_makes_one_group(tmp_path: Path) -> None:
    file = tmp_path / "am.yml"
    file.write_text("route: {receiver: ops}")
    [place] = Router(alertmanager_config.read(file).route).find({"alertname": "a"})
    assert place.group_labels({"alertname": "a"}) == {}


def test_a_configuration_can_point_to_it(tmp_path: Path) -> None:
    (tmp_path / "am.yml").write_text(ALERTMANAGER)
    with capture_logs() as lines:
        config = from_config({"alertmanager": "am.yml"}, CHANNELS, folder=tmp_path)
    assert config.route is not None
    assert len(config.inhibitions) == 2
    assert {line["event"] for line in lines} == {"alertmanager_config_unsupported"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("receivers: []", "is a mapping with a route"),
        ("route: {receiver: nobody}", "am.yml:1:.*receiver must be one of the channels ops.*got 'nobody'"),
        ("route: {receiver: ops, group_wait: 3}", "am.yml:1:.*group_wait must be a duration"),
        ("route: {receiver: ops, routes: [7]}", "a route is a mapping"),
        (
            "route: {receiver: ops, routes: [{mute_time_intervals: [x]}]}",
            "must name time intervals of the file, got 'x'",
        ),
        ("route: {receiver: ops, mute_time_intervals: [x]}", "root route must have no mute_time_intervals"),
        ("route: {receiver: ops, matchers: [a=b]}", "root route must have no matchers"),
        ("route: {group_by: [a]}", "root route must name a receiver"),
        ("route: {receiver: ops, routes: 7}", "am.yml:1:.*routes must be a list"),
        ("route: {receiver: ops, group_by: 7}", "am.yml:1:.*group_by must be a list"),
        ("route: {receiver: ops, routes: [{match: 7}]}", "match must be a mapping of labels to values"),
        ("route: {receiver: ops, routes: [{matchers: [7]}]}", "matchers must be a list of texts"),
        ("route: {receiver: ops}\nreceivers: 7", "am.yml:2:.*receivers must be a list"),
        ("route: {receiver: ops}\nreceivers: [7]", "am.yml:2:.*a receiver is a mapping with a name"),
        ("route: {receiver: ops}\ninhibit_rules: [7]", "am.yml:2:.*an inhibition rule is a mapping"),
        (
            "route: {receiver: ops}\ninhibit_rules: [{source_matchers: [7]}]",
            "am.yml:2:.*source_matchers must be a list of texts",
        ),
        ("route: {receiver: ops}\ntime_intervals: 7", "am.yml:2:.*time_intervals must be"),
    ],
)
def test_a_broken_alertmanager_file_is_refused_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "am.yml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        alertmanager_config.read(file, CHANNELS)


def test_values_of_an_alertmanager_file_are_matched_as_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text("""\
x-common: &common {match: {paging: true, version: 1.10, team: }}
route:
  receiver: ops
  routes:
    - {receiver: pager, <<: *common}
    - {receiver: boss, match_re: {code: 5.0}, group_by: [on, 1.10]}
inhibit_rules:
  - {source_match: {level: 1.0}, target_match_re: {level: 2.0}, equal: [1.50]}
""")
    config = alertmanager_config.read(file)
    first, second = config.route.routes
    assert str(first.matchers) == '{paging="true",team="",version="1.10"}'
    assert str(second.matchers) == '{code=~"5.0"}'
    assert second.group_by == ("on", "1.10")
    [inhibition] = config.inhibitions
    assert (str(inhibition.source), str(inhibition.target)) == ('{level="1.0"}', '{level=~"2.0"}')
    assert inhibition.equal == ("1.50",)


def test_names_of_an_alertmanager_file_are_kept_as_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text("""route: {receiver: 1.10, routes: [{receiver: true, mute_time_intervals: [2.50]}]}
receivers: [{name: 1.10}, {name: true}]
time_intervals: [{name: 2.50, time_intervals: [{months: [1]}]}]
""")
    config = alertmanager_config.read(file, ["1.10", "true"])
    [muted] = config.route.routes
    assert (config.route.to, muted.to) == (("1.10",), ("true",))
    assert [each.name for each in muted.mute] == list(config.time_intervals) == ["2.50"]
