"""Check configurations: what does not load, and what loads and cannot be meant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from resilience import config
from resilience.cli.output import json_option, print_json
from resilience.errors import ConfigError, QueryError
from resilience.rules.checks import Severity, check
from resilience.slo import compile_rules

__all__ = ["validate"]

_DEFAULT = Path("reliability.yaml")


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What was found in one file."""

    file: str
    objectives: int
    rules: int
    findings: list[str]
    loaded: bool = True


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@click.pass_context
def validate(ctx: click.Context, files: tuple[Path, ...], *, as_json: bool) -> None:
    """Check configuration FILES (reliability.yaml here, by default): objectives, rules, channels, routes.

    Exits with 2 when a file does not load, with 1 when one loads and something in it cannot be meant. Environment variables that the files name must be set, or have defaults.
    """
    if not files and not _DEFAULT.is_file():
        raise click.UsageError(f"there is no {_DEFAULT} here: name the files")
    verdicts = [_look(file) for file in files or (_DEFAULT,)]
    if as_json:
        print_json(verdicts)
    else:
        for each in verdicts:
            for finding in each.findings:
                click.echo(finding)
            count = f"{each.objectives} objective(s), {each.rules} rule(s)"
            found = click.style("ok", fg="green") if not each.findings else f"{len(each.findings)} finding(s)"
            click.echo(f"{each.file}: {count}: {found}")
    if not all(each.loaded for each in verdicts):
        ctx.exit(2)
    ctx.exit(int(any(each.findings for each in verdicts)))


def _look(file: Path) -> _Verdict:
    try:
        said = config.read(file).arguments
        groups = (*said.get("rules", ()), *compile_rules(said.get("slos", ())))
    except (ConfigError, QueryError) as error:
        shown = str(error) if str(file) in str(error) else f"{file}: {error}"
        return _Verdict(str(file), 0, 0, [" ".join(shown.split())], loaded=False)
    findings = [str(each) for each in check(groups) if each.severity is not Severity.HINT]
    return _Verdict(str(file), len(said.get("slos", ())), sum(len(group.rules) for group in groups), findings)
