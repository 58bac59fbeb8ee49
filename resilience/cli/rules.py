"""Check rule files, and run their unit tests."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from resilience.cli.output import json_option, print_json
from resilience.errors import ConfigError
from resilience.rules import file as rule_file
from resilience.rules.checks import Finding, Severity, check
from resilience.rules.model import RuleGroup
from resilience.rules.test import Outcome, run

__all__ = ["rules"]

_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.HINT: "cyan"}


@click.group()
def rules() -> None:
    """Check rule files, and run their unit tests."""


@rules.command("check")
@_FILES
@click.option(
    "--metrics",
    type=click.Path(path_type=Path),
    help="A file of metric names, one a line: rules that name others are reported.",
)
@json_option
@click.pass_context
def check_files(ctx: click.Context, files: tuple[Path, ...], metrics: Path | None, *, as_json: bool) -> None:
    """Check rule FILES: what does not load, what can't be reached, what makes alerts anew.

    Exits with 1 when there is a finding (hints do not count), with 2 when a file does not load.
    """
    known = None if metrics is None else set(_lines(metrics))
    groups: list[RuleGroup] = []
    faults: list[ConfigError] = []
    for file in files:
        try:
            groups.extend(rule_file.load(file))
        except ConfigError as error:
            faults.append(error)
    findings = check(groups, metrics=known)
    count = sum(len(group.rules) for group in groups)
    if as_json:
        print_json({"rules": count, "faults": [str(fault) for fault in faults], "findings": findings})
    else:
        _print_findings(findings)
        for fault in faults:
            click.echo(f"error: {fault}", err=True)
        if len(faults) < len(files):  # of files that did not load there is nothing to sum up
            click.echo(_summary(count, len(files) - len(faults), findings))
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


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"metric names cannot be read: {error}", file=str(file)) from error


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
    for failure in outcome.failures:
        click.echo(f"  {outcome.file}:{failure.line}: {failure.what}")
        if failure.error is not None:
            click.echo(f"    error: {failure.error}")
        for line in failure.diff:
            click.echo("    " + click.style(line, fg={"-": "red", "+": "green"}.get(line[0])))
