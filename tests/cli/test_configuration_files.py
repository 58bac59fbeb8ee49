"""One way to name the configuration of a command: as FILE and by `--config`, everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from resilience.cli.main import Commands, main


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


def test_every_command_takes_its_configuration_as_a_file_and_by_an_option() -> None:
    found = {}
    for name, command in commands(Commands("resilience")):
        options = {option for each in command.params for option in each.opts}
        files = [
            each.metavar
            for each in command.params
            if isinstance(each, click.Argument) and each.name == "given"
        ]
        assert ("--config" in options) == bool(files), name
        found[name] = files
    assert {name for name, files in found.items() if files} == {
        *("alerts test-channel", "backtest", "budgets", "config show", "gate", "report", "validate"),
        *("slo explain", "slo export", "slo inhibitions", "slo rules"),
    }


@pytest.mark.parametrize(
    "command",
    [
        *("validate", "config show", "slo rules", "slo inhibitions", "slo export", "slo explain ok"),
        "alerts test-channel ops",
    ],
)
def test_both_forms_read_the_same_file(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(
        "service: shop\nchannels: {ops: {log: {}}}\nservices: [{name: shop, slos: [{id: ok, target: 99.9}]}]\n"
    )
    ended = []
    for form in ([str(file)], ["--config", str(file)]):
        ended.append((main([*command.split(), *form]), capsys.readouterr().out))
    assert ended[0] == ended[1]
    assert ended[0][0] != 2
    assert ended[0][1]


def test_a_configuration_is_given_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "test-channel", "ops", "a.yaml", "--config", "b.yaml"]) == 2
    assert "FILE and --config exclude each other" in capsys.readouterr().err
