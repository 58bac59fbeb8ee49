"""Check rule files, and run their unit tests."""

from __future__ import annotations

import contextlib
import math
import re
from collections import Counter
from pathlib import Path

import click

from resilience.cli.output import json_option, print_json
from resilience.errors import ConfigError
from resilience.rules import file as rule_file
from resilience.rules.checks import Finding, Severity, check
from resilience.rules.model import RuleGroup
from resilience.rules.test import Outcome, run
from resilience.signals.names import METRICS

__all__ = ["rules"]

_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
_BUCKET = re.compile(r'([\w:]+)_bucket\{(?:.*,)?le="([0-9.e+-]+)"')  # one that ends
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.HINT: "cyan"}


@click.group()
def rules() -> None:
    """Check rule files, and run their unit tests."""


@rules.command("check")
@_FILES
@click.option(
    "--metrics",
    type=click.Path(path_type=Path),
    help="A file with the names of your own metrics: one a line, or what their /metrics page shows, which tells of the"
    " buckets of histograms, too.",
)
@click.option("--prefix", default="", help="What your Signals put before the names of the library's metrics.")
@json_option
@click.pass_context
def check_files(
    ctx: click.Context, files: tuple[Path, ...], metrics: Path | None, prefix: str, *, as_json: bool
) -> None:
    """Check rule FILES: what does not load, what can't be reached, what nobody records, what makes alerts anew.

    Metrics are known that the library records, and those that the FILES record. Any other may be the application's own,
    and is a hint, unless it nearly is one of them; with --metrics, which says what the application has, it is a warning.

    Exits with 1 when there is a finding (hints do not count), with 2 when a file does not load.
    """
    known, buckets = (None, {}) if metrics is None else _own(metrics)
    groups: list[RuleGroup] = []
    faults: list[ConfigError] = []
    broken = 0
    for file in files:
        read, found = rule_file.check(file)
        if found:
            faults += found
            broken += 1
        else:
            groups.extend(read)
    names = {prefix + name for name in METRICS} | (known or set())
    findings = check(groups, metrics=names, complete=known is not None, buckets=buckets, prefix=prefix)
    count = sum(len(group.rules) for group in groups)
    if as_json:
        print_json({"rules": count, "faults": [str(fault) for fault in faults], "findings": findings})
    else:
        _print_findings(findings)
        for fault in faults:
            click.echo(f"error: {fault}", err=True)
        if broken < len(files):  # of files that did not load there is nothing to sum up
            click.echo(_summary(count, len(files) - broken, findings))
    ctx.exit(2 if faults else int(any(finding.severity is not Severity.HINT for finding in findings)))


@rules.command("test")
@_FILES
@click.option(
    "--semantics",
    type=click.Choice(["2", "3"]),
    default="3",
    show_default=True,
    help="Major version of Prometheus whose range selectors are meant.",
)
@json_option
@click.pass_context
def test_files(ctx: click.Context, files: tuple[Path, ...], semantics: str, *, as_json: bool) -> None:
    """Run unit test FILES in promtool's format.

    Exits with 1 when a test fails, with 2 when a file does not load.
    """
    outcomes: list[Outcome] = []
    faults: list[ConfigError] = []
    for file in files:
        try:
            outcomes.append(run(file, semantics=int(semantics)))
        except ConfigError as error:
            faults.append(error)
    if as_json:
        print_json({"faults": [str(fault) for fault in faults], "files": outcomes})
    else:
        for outcome in outcomes:
            _print_outcome(outcome)
        for fault in faults:
            click.echo(f"error: {fault}", err=True)
    ctx.exit(2 if faults else int(not all(outcome.passed for outcome in outcomes)))


def _own(file: Path) -> tuple[set[str], dict[str, float]]:
    """Read the names of metrics, and the last buckets of histograms from the text format for what Prometheus scrapes."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"metric names cannot be read: {error}", file=str(file)) from error
    samples = [line.strip() for line in lines if not line.startswith("#")]
    names = {re.split(r"[\s{]", sample, maxsplit=1)[0] for sample in samples}
    buckets: dict[str, float] = {}
    for sample in samples:
        if found := _BUCKET.match(sample):
            with contextlib.suppress(ValueError):
                buckets[found[1]] = max(buckets.get(found[1], -math.inf), float(found[2]))
    return names - {""}, buckets


def _print_findings(findings: list[Finding]) -> None:
    for finding in findings:
        severity = finding.severity.value
        coloured = click.style(severity, fg=_COLOURS[finding.severity])
        click.echo(str(finding).replace(f": {severity}: ", f": {coloured}: ", 1))


def _summary(rules_: int, files: int, findings: list[Finding]) -> str:
    counts = Counter(finding.severity for finding in findings)
    found = ", ".join(f"{counts[severity]} {severity.value}(s)" for severity in Severity if counts[severity])
    return f"{rules_} rule(s) in {files} file(s): {found or 'nothing found'}"


def _print_outcome(outcome: Outcome) -> None:
    verdict = (
        click.style("passed", fg="green") if outcome.passed else click.style("FAILED", fg="red", bold=True)
    )
    click.echo(f"{outcome.file}: {verdict} ({outcome.tests} test(s))")
    for warning in outcome.warnings:
        click.echo(f"  warning: {warning}")
    for failure in outcome.failures:
        click.echo(f"  {outcome.file}:{failure.line}: {failure.what}")
        if failure.error is not None:
            click.echo(f"    error: {failure.error}")
        for line in failure.diff:
            click.echo("    " + click.style(line, fg={"-": "red", "+": "green"}.get(line[0])))
