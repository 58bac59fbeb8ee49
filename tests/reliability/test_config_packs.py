"""Rule packs in the configuration."""

from pathlib import Path

import pytest

from resilience import config
from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.reliability import Reliability


def written(folder: Path, packs: str) -> Path:
    file = folder / "reliability.yaml"
    file.write_text(f"service: shop\n{packs}")
    return file


def rules(file: Path) -> dict[str, str | None]:
    return {rule.name: rule.expr for group in config.read(file).arguments["rules"] for rule in group.rules}


def test_packs_stand_beside_rule_files(tmp_path: Path) -> None:
    (tmp_path / "own.yml").write_text("groups: [{name: own, rules: [{alert: Down, expr: up == 0}]}]")
    file = written(tmp_path, "rules: [own.yml]\npacks: [ttfa, watchdog]\n")
    assert {"Down", "HighTimeToFirstAudio", "Watchdog"} <= rules(file).keys()


def test_parameters_are_set_there(tmp_path: Path) -> None:
    found = rules(written(tmp_path, "packs: {error_rate: {threshold: 0.02}, watchdog: }\n"))
    assert found["pack:error_rate:threshold"] == "0.02"
    assert "Watchdog" in found


def test_they_read_the_signals_under_the_prefix_of_the_configuration(tmp_path: Path) -> None:
    found = rules(written(tmp_path, "prefix: rel_\npacks: [quota]\n"))
    assert found["QuotaUsedUp"] == "rel_quota_used / rel_quota_limit >= scalar(pack:quota:critical)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("packs: error_rate", r"yaml:2:\d+: packs must be a list of packs, or a mapping"),
        ("packs: [nope]", r"yaml:2:\d+: pack must be one of"),
        ("packs: {ttfa: 3}", r"yaml:2:\d+: pack ttfa must have a mapping of parameters to numbers, got 3"),
        ("packs:\n  ttfa: {nope: 3}", r"yaml:3:\d+: pack ttfa: nope is no parameter; there are warning"),
    ],
)
def test_a_fault_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.read(written(tmp_path, text))


async def test_a_changed_parameter_is_in_force_after_a_reload(tmp_path: Path, clock: ManualClock) -> None:
    rel = Reliability.from_file(written(tmp_path, "packs: [error_rate]"), clock=clock)
    written(tmp_path, "packs: {error_rate: {threshold: 0.02}}")
    events: list[object] = []
    rel.reloader.events.subscribe(events.append)
    await rel.reloader.reload()
    assert [event.at_restart for event in events] == [()]  # type: ignore[attr-defined]  # a Reload
    assert "0.02" in {rule.expr for group in rel.rules.groups for rule in group.rules}
