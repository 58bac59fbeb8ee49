"""Show the settings in force, and where each comes from."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from pathlib import Path

import click

from resilience.cli.configurations import DEFAULT, configuration_option, strict_option
from resilience.cli.output import json_option, print_json, print_table
from resilience.config import Setting, read
from resilience.core.duration import format_duration
from resilience.errors import ConfigError
from resilience.reliability import Reliability

__all__ = ["config"]

_SECTIONS = {
    "watch": "reload.watch",
    "sighup": "reload.sighup",
}  # where an option stands, if not under its name


@click.group()
def config() -> None:
    """Show the settings in force, and where each comes from."""


@config.command()
@configuration_option
@click.option("--no-file", is_flag=True, help="Only what the environment says.")
@strict_option
@json_option
def show(file: Path | None, *, no_file: bool, strict: bool, as_json: bool) -> None:
    """Print what FILE (reliability.yaml here, by default) and the environment say together; secrets are masked.

    Exits with 2 when something of it cannot be meant.
    """
    if no_file and file is not None:
        raise ConfigError("--no-file and a file exclude each other")
    said = read(None if no_file else file or DEFAULT, strict=strict).settings
    settings = [*said, *_defaults({each.path for each in said})]
    if as_json:
        print_json(settings)
    else:
        print_table(
            ("setting", "value", "from"), [(each.path, str(each.value), each.origin) for each in settings]
        )


def _defaults(said: Collection[str]) -> Iterator[Setting]:
    """The plain options of a Reliability that nobody has set."""
    for name, parameter in inspect.signature(Reliability).parameters.items():
        path, default = _SECTIONS.get(name, name), parameter.default
        if path not in said and isinstance(default, bool | float):
            yield Setting(path, default if isinstance(default, bool) else format_duration(default), "default")
