"""Check configurations: what does not load, and what loads and cannot be meant."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import click

from resilience.cli.configurations import configurations_option, read, strict_option
from resilience.cli.output import json_option, print_json
from resilience.config.unreachable import unreachable
from resilience.errors import ConfigError, QueryError, shortened
from resilience.rules.checks import check
from resilience.slo import compile_rules

__all__ = ["validate"]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What was found in one file."""

    file: str
    objectives: int
    rules: int
    findings: list[str]
    warnings: list[str] = field(default_factory=list)
    loaded: bool = True
    unchecked: tuple[str, ...] = ()


@click.command()
@configurations_option
@strict_option
@json_option
@click.pass_context
def validate(ctx: click.Context, files: tuple[Path, ...], *, strict: bool, as_json: bool) -> None:
    """Check each configuration FILE (reliability.yaml here, by default): objectives, rules, channels, routes.

    Exits with 2 when a file does not load, with 1 when one loads and something in it cannot be meant. A warning about
    what can match nothing of what its file defines (an objective, a rule, a route, a channel) fails no file. Environment
    variables for secrets need not be set, except with --strict; what needs them is named on stderr.
    """
    verdicts = [_look(file, strict=strict) for file in files]
    if as_json:
        print_json(verdicts)
    else:
        for each in verdicts:
            for finding in each.findings:
                click.echo(finding)
            for warning in each.warnings:
                click.echo(f"{each.file}: warning: {warning}")
            count = f"{each.objectives} objective(s), {each.rules} rule(s)"
            found = click.style("ok", fg="green") if not each.findings else f"{len(each.findings)} finding(s)"
            click.echo(f"{each.file}: {count}: {found}")
    for each in verdicts:
        for setting in each.unchecked:
            click.echo(f"{each.file}: not checked: {setting}", err=True)
    if not all(each.loaded for each in verdicts):
        ctx.exit(2)
    ctx.exit(int(any(each.findings for each in verdicts)))


def _look(file: Path, *, strict: bool) -> _Verdict:
    name = shortened(str(file))
    try:
        configuration = read(file, strict=strict)
        said = configuration.arguments
        groups = (*said.get("rules", ()), *compile_rules(said.get("slos", ())))
    except (ConfigError, QueryError) as error:
        shown = str(error) if name in str(error) else f"{name}: {error}"
        return _Verdict(name, 0, 0, [" ".join(shown.split())], loaded=False)
    findings = [str(each) for each in check(groups, hints=False)]
    rules = sum(len(group.rules) for group in groups)
    return _Verdict(
        name,
        len(said.get("slos", ())),
        rules,
        findings,
        unreachable(configuration),
        unchecked=tuple(configuration.unset),
    )
