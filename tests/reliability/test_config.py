from __future__ import annotations

from pathlib import Path

import pytest

from resilience import config
from resilience.errors import ConfigError
from resilience.reliability import Reliability

RULES = "groups: [{name: shop, rules: [{alert: Down, expr: up == 0}]}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "shop.yml").write_text(RULES)
    return tmp_path


def written(folder: Path, text: str) -> Path:
    file = folder / "reliability.yaml"
    file.write_text(text)
    return file


def test_a_service_its_rule_files_and_a_webhook_are_read(folder: Path) -> None:
    file = written(
        folder,
        'version: "1.0"\nservice: shop\nrules: [rules/*.yml]\nchannels: {ops: {webhook: "${HOOK}"}}\n',
    )
    read = config.read(file, environ={"HOOK": "http://127.0.0.1:9/x"})
    assert read.arguments["service"] == "shop"
    assert [group.name for group in read.arguments["rules"]] == ["shop"]
    assert [notifier.name for notifier in read.arguments["notifiers"]] == ["ops"]


def test_a_reliability_is_made_of_a_file_and_options_go_before_it(folder: Path) -> None:
    rel = Reliability.from_file(written(folder, "service: shop\nrules: [rules/shop.yml]\n"), service="cart")
    assert rel.service == "cart"
    assert [group.name for group in rel.rules.groups] == ["shop"]


def test_variables_have_defaults_and_none_is_left_unset(folder: Path) -> None:
    file = written(folder, 'service: "${SERVICE:-shop}"\n')
    assert config.read(file, environ={}).arguments["service"] == "shop"
    assert config.read(file, environ={"SERVICE": "cart"}).arguments["service"] == "cart"
    with pytest.raises(
        ConfigError, match=r"reliability.yaml:1:\d+: the environment variable NAME is not set"
    ):
        config.read(written(folder, 'service: "${NAME}"\n'), environ={})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a configuration is a mapping with the keys"),
        ("service: shop\nservise: x\n", r"yaml:2:\d+: unknown key 'servise'; known are"),
        ("service: 7\n", r"yaml:1:\d+: service must be a non-empty string, got 7"),
        ("version: 2\nservice: a\n", r'yaml:1:\d+: version must be "1.0", got 2'),
        ("service: a\nrules: x.yml\n", r"yaml:2:\d+: rules must be a list of rule files"),
        ("service: a\nrules: [nope/*.yml]\n", r"yaml:2:\d+: no rule file is found at 'nope/\*.yml'"),
        ("service: a\nrules: [7]\n", r"yaml:2:\d+: rules: rules must be a non-empty string, got 7"),
        ("service: a\nrules: [/nope.yml]\n", "/nope.yml: No such file"),
        ("service: a\nchannels: [x]\n", r"yaml:2:\d+: channels must be a mapping"),
        ("service: a\nchannels: {x: {fax: y}}\n", r"yaml:2:\d+: kind of channel 'x' must be one of"),
        ("service: [\n", "reliability.yaml:"),
    ],
)
def test_a_broken_file_gives_one_line_with_its_place(folder: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        config.read(written(folder, text), environ={})
    assert "\n" not in str(refused.value)


def test_a_broken_rule_file_is_named_itself(folder: Path) -> None:
    (folder / "rules" / "shop.yml").write_text(
        "groups: [{name: shop, rules: [{alert: Down, expr: 'up =='}]}]\n"
    )
    with pytest.raises(ConfigError, match=r"rules/shop\.yml:1"):
        config.read(written(folder, "service: shop\nrules: [rules/shop.yml]\n"), environ={})


def test_a_missing_file_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file or directory"):
        Reliability.from_file(tmp_path / "none.yaml")


async def test_the_sections_of_alerting_and_state_reach_the_service(folder: Path) -> None:
    file = written(
        folder,
        "service: shop\n"
        "state: shop.db\n"
        "channels: {ops: {log: {}}, boss: {log: {}}}\n"
        "escalations: {oncall: {levels: [{to: boss, wait: 10m}]}}\n"
        "routes: [{severity: critical, to: ops, escalation: oncall}]\n"
        "inhibitions: [{source: severity=critical, target: severity=warning}]\n"
        "reload: {watch: 0, sighup: false}\n",
    )
    arguments = config.read(file, environ={}).arguments
    assert arguments["store"].path == folder / "shop.db"
    assert arguments["alerting"].route.routes[0].escalation.name == "oncall"
    assert (arguments["watch"], arguments["sighup"]) == (0, False)
    async with Reliability.from_file(file) as rel:
        assert sorted(rel.alerts.notifiers) == ["boss", "ops"]
    assert (folder / "shop.db").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("service: a\nroutes: [{to: fax}]\n", r"yaml:2:\d+: routes\[0\] to must be one of"),
        ("service: a\nchannels: {b: {log: {}}}\nescalations: {e: {levels: []}}\n", r"yaml:3:"),
        ("service: a\nflapping: {often: 1}\nheartbeat: x\n", r"yaml:2:\d+: flapping must be made of"),
        ("service: a\nstate: ''\n", r"yaml:2:\d+: state must be a non-empty string"),
        ("service: a\ninterval: 5\n", r"yaml:2:\d+: interval must be a duration"),
        ("service: a\nreload: {wach: 1s}\n", r"yaml:2:\d+: reload must be a mapping of watch and sighup"),
        ("service: a\nreload: {sighup: 2}\n", r"yaml:2:\d+: sighup must be true or false"),
        ("service: a\ntoken: 12345\n", r"yaml:2:\d+: token must be a non-empty string .*, got a int"),
    ],
)
def test_what_a_section_cannot_mean_is_named_with_its_line(folder: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.read(written(folder, text), environ={})


def test_the_environment_goes_before_the_file_and_reaches_every_setting(folder: Path) -> None:
    file = written(
        folder, "service: shop\nchannels: {Ops: {email: {host: a, sender: s@a.example, to: x@a.example}}}\n"
    )
    environ = {
        "RESILIENCE_SERVICE": "cart",
        "RESILIENCE_TOKEN": "12345",
        "RESILIENCE_RULES": "[rules/shop.yml]",
        "RESILIENCE_INTERVAL": "2s",
        "RESILIENCE_CHANNELS__OPS__EMAIL__PORT": "25",
        "RESILIENCE_CHANNELS__OPS__EMAIL__USERNAME": "ops",
        "RESILIENCE_CHANNELS__OPS__EMAIL__PASSWORD": "0123456",
        "RESILIENCE_CHANNELS__LOG__LOG": "{}",
        "RESILIENCE_ROUTES__0__TO": "log",
        "RESILIENCE_ROUTES__0__SEVERITY": "critical",
        "RESILIENCE_ROUTES__1__TO__0": "Ops",
        "RESILIENCE_RELOAD__SIGHUP": "true",
        "RESILIENCE_PORT": "tcp://10.0.0.1:80",  # what Kubernetes sets for a service of that name
        "OTHER": "x",
    }
    read = config.read(file, environ=environ)
    arguments = read.arguments
    assert (arguments["service"], arguments["token"], arguments["interval"]) == ("cart", "12345", 2.0)
    assert arguments["sighup"] is True
    assert [group.name for group in arguments["rules"]] == ["shop"]
    assert [notifier.name for notifier in arguments["notifiers"]] == ["Ops", "log"]
    assert [route.to for route in arguments["alerting"].route.routes] == [("log",), ("Ops",)]
    origins = {each.path: each.origin for each in read.settings}
    assert origins["channels.Ops.email.port"] == "RESILIENCE_CHANNELS__OPS__EMAIL__PORT"
    assert origins["channels.Ops.email.host"] == f"{file}:2"
    assert origins["rules.0"] == "RESILIENCE_RULES"
    assert "12345" not in repr(read)
    assert read.keys["channels"]["Ops"]["email"]["password"] == "0123456", "digits may be a password"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("RESILIENCE_SERVICES_", "x", "RESILIENCE_SERVICES_ names no setting"),
        ("RESILIENCE_CHANELS__OPS__LOG", "{}", "RESILIENCE_CHANELS__OPS__LOG names no setting"),
        ("RESILIENCE_RULES__2", "x", "RESILIENCE_RULES__2 must lead to a value, and rules has nothing named '2'"),
        ("RESILIENCE_SERVICE__X", "x", "RESILIENCE_SERVICE__X must lead to a value, and service has nothing"),
        ("RESILIENCE_INTERVAL", "soon", r"interval must be a duration .* \(environment variable RESILIENCE_INTERVAL"),
        ("RESILIENCE_TOKEN", "[s3cret", "RESILIENCE_TOKEN must be text, or YAML on one line"),
    ],
)  # fmt: skip
def test_a_slip_in_the_environment_is_named_and_no_secret_shown(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        config.read(None, environ={"RESILIENCE_SERVICE": "shop", "RESILIENCE_RULES": "[]", name: value})
    assert "s3cret" not in str(refused.value)


def test_what_is_read_is_what_is_watched_folders_of_patterns_included(folder: Path) -> None:
    file = written(folder, "service: shop\nrules: [rules/*.yml]\n")
    rules = folder / "rules"
    assert set(config.read(file, environ={}).files) == {file, rules, rules / "shop.yml"}
    plain = written(folder, "service: shop\nrules: [rules/shop.yml]\n")
    assert set(config.read(plain, environ={}).files) == {file, rules / "shop.yml"}


def test_an_alertmanager_file_is_read_watched_and_named_in_its_own_errors(folder: Path) -> None:
    file = written(folder, "service: shop\nprefix: app_\nchannels: {ops: {log: {}}}\nalertmanager: am.yml\n")
    (folder / "am.yml").write_text("route: {receiver: ops}\nreceivers: [{name: ops}]\n")
    read = config.read(file, environ={})
    assert read.arguments["alerting"].route.to == ("ops",)
    assert read.arguments["prefix"] == "app_"
    assert folder / "am.yml" in read.files
    (folder / "am.yml").write_text("route: [\n")
    with pytest.raises(ConfigError, match=r"am\.yml:"):
        config.read(file, environ={})
