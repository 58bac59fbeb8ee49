"""Play access logs through objectives and rules: what would have fired."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from resilience.cli import configurations
from resilience.cli.configurations import configuration_option
from resilience.cli.output import json_option, print_json, print_table
from resilience.core.humanize import attained, burn_rate, duration, percent, timestamp
from resilience.errors import ConfigError
from resilience.replay import Backtest, BacktestResult, Refused, formats
from resilience.replay.lines import STDIN, blocks
from resilience.rules import RuleGroup, load
from resilience.slo import SLO

__all__ = ["backtest"]


@click.command()
@click.option("--logs", required=True, multiple=True, metavar="FILE", help="An access log, .gz or not; - for stdin. Repeat it for more, oldest first.")  # fmt: skip
@click.option("--format", "log_format", type=click.Choice(formats.names()), default="combined", show_default=True, help="What its lines look like.")  # fmt: skip
@functools.partial(configuration_option, also=("--slo",))
@click.option("--rules", "rule_files", multiple=True, type=click.Path(path_type=Path), help="A rule file, beside those of the configuration.")  # fmt: skip
@click.option("--service", help="Whose log it is; the configuration's service by default.")
@click.option("--unit", type=click.Choice(["s", "ms", "us"]), help="Unit of the durations, where the format leaves that open.")  # fmt: skip
@click.option("--route", "routes", multiple=True, metavar="TEMPLATE", help="A route template, /users/{id}, for the label `route`.")  # fmt: skip
@click.option("--interval", type=float, default=15.0, show_default=True, help="Seconds between evaluations.")
@click.option("--what-if", "scales", type=float, multiple=True, metavar="FACTOR", help="Also judge with the thresholds of burn-rate alerts multiplied by this.")  # fmt: skip
@json_option
@click.pass_context
def backtest(  # noqa: PLR0917  click gives options by their names
    ctx: click.Context,
    logs: tuple[str, ...],
    log_format: str,
    file: Path | None,
    rule_files: tuple[Path, ...],
    service: str | None,
    unit: str | None,
    routes: tuple[str, ...],
    interval: float,
    scales: tuple[float, ...],
    *,
    as_json: bool,
) -> None:
    """Play access logs through objectives and rules: which alerts would have fired, when, for how long, at what cost.

    Exits with 1 when an alert would have fired, with 2 when a file cannot be read.
    """
    named, slos, groups = _judged_by(file, rule_files)
    service = service or named
    if service is None:
        raise click.UsageError("--service must say whose log it is where no configuration does")
    options: dict[str, Any] = {"what_if": scales} if scales else {}
    test = Backtest(service, slos=slos, rules=groups, routes=routes, interval=interval, **options)
    result = test.run(_blocks(logs), formats.make(log_format, unit=unit))
    if not result.requests and result.malformed.count:
        # Nothing would have fired, but only because nothing was read.
        example = f", such as {result.malformed.examples[0]!r}"
        raise ConfigError(
            f"none of {result.malformed.count} lines is a request of the format {log_format!r}{example}"
        )
    if as_json:
        print_json(result)
    else:
        _print(result)
    ctx.exit(int(bool(result.incidents)))


def _judged_by(
    file: Path | None, rule_files: Sequence[Path]
) -> tuple[str | None, Sequence[SLO], list[RuleGroup]]:
    """Service, objectives and rules, of the configuration and of rule files."""
    if file is None and not rule_files:
        raise click.UsageError("there is nothing to judge by: give --slo, --rules or both")
    arguments = {} if file is None else configurations.read(file).arguments
    return (
        arguments.get("service"),
        arguments.get("slos", ()),
        [*arguments.get("rules", ()), *load(*rule_files)],
    )


def _blocks(logs: Sequence[str]) -> Iterator[list[str]]:
    """The lines of all logs, with a progress bar on a terminal."""
    sizes = [_size(log) for log in logs]
    bar = (
        click.progressbar(length=sum(sizes), file=sys.stderr, show_pos=False)
        if sys.stderr.isatty() and sum(sizes)
        else nullcontext()
    )
    with bar as shown:
        for log in logs:
            read = 0

            def progress(position: int) -> None:
                nonlocal read
                if shown is not None:
                    shown.update(position - read)
                read = position

            yield from blocks(log, progress=progress)


def _size(log: str) -> int:
    if log == STDIN:
        return 0
    try:
        return Path(log).stat().st_size
    except OSError as error:
        raise ConfigError(f"the log cannot be read: {error}", file=log) from error


def _print(result: BacktestResult) -> None:
    period = f", {timestamp(result.start)} to {timestamp(result.end)}" if result.requests else ""
    click.echo(
        f"{result.service}: {result.requests} requests{period};"
        f" {result.malformed.count} malformed lines, {result.misdated} with a wrong time,"
        f" {result.late} requests too late to be counted"
    )
    _print_examples(result.malformed)
    for group, rule, error in result.failures:
        click.echo(f"  rule {rule} of {group} cannot be evaluated: {error}")
    click.echo()
    if result.incidents:
        print_table(
            ("Fired", "For", "Alert", "Severity", "Labels", "Budget burned"),
            [
                (
                    timestamp(incident.started),
                    duration(incident.duration) + ("" if incident.ended else " and on"),
                    incident.alert,
                    incident.labels.get("severity", ""),
                    _labels(incident.labels),
                    percent(incident.burned, up=True),
                )
                for incident in result.incidents
            ],
        )
    else:
        click.echo("No alert would have fired.")
    if result.budgets:
        click.echo()
        print_table(
            ("Objective", "Status", "Good", "Budget consumed", "Budget left"),
            [
                (
                    name,
                    budget.status,
                    attained(budget.sli, 1 - budget.budget),
                    percent(budget.consumed, up=True),
                    percent(budget.remaining),
                )
                for name, budget in result.budgets.items()
            ],
        )
    if result.what_if:
        click.echo()
        print_table(
            ("Objective", "Burn-rate alert", "Threshold", "Fired", "For", "First"),
            [
                (
                    each.slo,
                    each.alert,
                    burn_rate(each.factor) + (" (as it is)" if each.scale == 1 else ""),
                    each.fired,
                    duration(each.duration),
                    timestamp(each.first),
                )
                for each in result.what_if
            ],
        )


def _print_examples(malformed: Refused) -> None:
    for line in malformed.examples:
        click.echo(f"  malformed: {line!r}")


def _labels(labels: Mapping[str, str]) -> str:
    shown = {
        name: value for name, value in labels.items() if name not in {"alertname", "severity", "service"}
    }
    return ", ".join(f"{name}={value}" for name, value in shown.items())
