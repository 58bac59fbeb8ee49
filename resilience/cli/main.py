"""Find the command that is meant, run it, and answer with an exit code: 0 fine, 1 a finding, 2 bad input."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import io
import linecache
import logging
import os
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import resilience
from resilience import cli
from resilience.cli.streams import abandon, say, usable
from resilience.errors import ConfigError, MissingExtra, QueryError, ResilienceError, shortened

__all__ = ["Commands", "main"]

_ENTRY_POINTS = "resilience.commands"
_HELPERS = frozenset({"configurations", "desk", "figures", "main", "output", "streams"})
_BAD_INPUT = 2
_RENAMED = {
    "validate-slos": "use: resilience validate",
    "calculate-budgets": "use: resilience budgets, with --check-violations as there",
    "slo-report": "use: resilience report, with --days, --services, --format and --output as there",
    "generate-dashboards": "dashboards are not generated yet",
}
"""Commands of other toolkits, and what does the same here."""
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class Commands(click.Group):
    """The commands of this folder, and those of the entry-point group; each imported only when it is run.

    A file `name.py` beside this one that defines the click command `name` is a command; so is each entry point of
    the group `resilience.commands` that leads to one.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, sorted."""
        return sorted({*super().list_commands(ctx), *_own(), *_foreign()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        name = cmd_name.replace("-", "_")
        found: Any
        if name in _own():
            found = getattr(importlib.import_module(f"{cli.__name__}.{name}"), name)
        elif cmd_name in (foreign := _foreign()):
            found = foreign[cmd_name].load()
        else:
            if cmd_name in _RENAMED:
                message = f"No such command {cmd_name!r}; {_RENAMED[cmd_name]}."
                raise click.UsageError(message, ctx)
            return super().get_command(ctx, cmd_name)
        if not isinstance(found, click.Command):
            message = f"command {cmd_name!r} is {found!r}, which is no click command"
            raise ConfigError(message)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        own, foreign = _own(), _foreign()
        rows = []
        for name in self.list_commands(ctx):
            module = name.replace("-", "_")
            place = own[module] if module in own else foreign[name].module
            rows.append((name, _summary(place) or f"(from {place})"))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _own() -> dict[str, str]:
    """Names of the commands in this folder, and their modules."""
    return {
        module.name: f"{cli.__name__}.{module.name}"
        for module in pkgutil.iter_modules(cli.__path__)
        if module.name not in _HELPERS
    }


def _foreign() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=_ENTRY_POINTS)}


def _summary(module: str) -> str:
    """Read the first line of a module's docstring, without running the module."""
    top, *inner = module.split(".")
    spec = importlib.util.find_spec(
        top
    )  # of the top alone: looking for what is inside imports what is around it
    if spec is None or spec.origin is None:
        return ""
    file = Path(spec.origin).parent.joinpath(*inner).with_suffix(".py") if inner else Path(spec.origin)
    # From the file, not by the loader: pytest's own, for packages with a plugin, gives no source.
    return linecache.getline(str(file), 1).strip().strip('"').rstrip(".")


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(resilience.__version__, "--version", prog_name="resilience")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    show_default=True,
    help="What is logged, to stderr.",
)
@click.pass_context
def _root(ctx: click.Context, log_level: str) -> None:
    """Keep asyncio services up, and know whether they are."""
    _configure_log(ctx, log_level)


def _configure_log(ctx: click.Context, level: str) -> None:
    import structlog  # noqa: PLC0415  35 ms that `--version` and `--help` need not pay

    # A program that calls `main` by itself gets its own configuration back.
    before = functools.partial(structlog.configure, **structlog.get_config())
    ctx.call_on_close(before if structlog.is_configured() else structlog.reset_defaults)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty() and "NO_COLOR" not in os.environ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: those after the program's name; the process's own when None.

    Returns:
        0 when all is well, 1 when the command found something, 2 when it was used wrongly or its input is bad.
    """
    with usable():
        try:
            return _run(arguments)
        except OSError as error:  # of a standard stream, or of the machine: a full disk, too many open files
            abandon()
            say(f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}")
            return 1


def _run(arguments: Sequence[str] | None) -> int:
    try:
        answer = _root.main(
            args=None if arguments is None else list(arguments),
            prog_name="resilience",
            standalone_mode=False,
            color=False if "NO_COLOR" in os.environ else None,
        )
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        say(shortened(shown.getvalue().rstrip()))
        return _BAD_INPUT
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except ResilienceError as error:
        say(f"error: {' '.join(str(error).split())}")
        return _BAD_INPUT if isinstance(error, ConfigError | QueryError | MissingExtra) else 1
    return answer if isinstance(answer, int) else 0
