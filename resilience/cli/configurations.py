"""The configuration files of a command: given as FILE or by `--config`, everywhere in the same way."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from resilience import config
from resilience.cli.output import note_input
from resilience.config import Config

__all__ = ["DEFAULT", "configuration_option", "configurations_option", "read", "strict_option"]

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT: Final = Path("reliability.yaml")
"""The configuration of a command that is given none."""


def configurations_option(function: F) -> F:
    """Give a command FILE... and `--config FILE`..., as the one argument `files`; `reliability.yaml` by default."""

    @functools.wraps(function)
    def command(*, given: tuple[Path, ...], named: tuple[Path, ...], **options: Any) -> Any:
        return function(files=(*given, *named) or (DEFAULT,), **options)

    option = click.option(
        "--config",
        "named",
        type=click.Path(path_type=Path),
        multiple=True,
        help=f"The same as FILE; may be given again. {DEFAULT} by default.",
    )
    argument = click.argument("given", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
    return argument(option(command))  # type: ignore[return-value]  # what click makes of a function stays a function


def configuration_option(
    function: F, *, also: tuple[str, ...] = (), absent: str = f"{DEFAULT} by default"
) -> F:
    """Give a command FILE and `--config FILE`, as the one argument `file`, None where neither is given.

    Args:
        function: the command's function.
        also: further names of `--config`.
        absent: text about a command that is given none, for its help.

    Raises:
        click.UsageError: when the command runs with both.
    """

    @functools.wraps(function)
    def command(*, given: Path | None, named: Path | None, **options: Any) -> Any:
        if given is not None and named is not None:
            raise click.UsageError(
                "FILE and --config exclude each other: the command reads one configuration"
            )
        return function(file=given or named, **options)

    option = click.option(
        "--config",
        *also,
        "named",
        type=click.Path(path_type=Path),
        help=f"The same as FILE; {absent}.",
    )
    argument = click.argument("given", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
    return argument(option(command))  # type: ignore[return-value]  # as above


def strict_option(function: F) -> F:
    """Give a command the option `--strict`, as the argument `strict`."""
    return click.option(
        "--strict",
        is_flag=True,
        help="Refuse a configuration if an environment variable for a channel or another secret is not set.",
    )(function)


def read(file: Path, *, strict: bool = False) -> Config:
    """Read a configuration; no output of the command may replace one of its files.

    Args:
        file: its path.
        strict: False if environment variables for secrets need not be set.

    Raises:
        ConfigError: the configuration is invalid.
    """
    found = config.read(file, strict=strict)
    for each in found.files:
        note_input(each)
    return found
