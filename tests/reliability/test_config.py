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
