"""Objectives: as rules for Prometheus, explained, imported and exported."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from ruamel.yaml import YAML

from resilience.alerting.matchers import Matchers
from resilience.cli.configurations import configurations_option, strict_option
from resilience.cli.figures import objectives_of
from resilience.cli.output import json_option, output_option, print_json, print_table, write
from resilience.core import yaml
from resilience.core.duration import format_duration
from resilience.core.humanize import burn_rate, duration, exact_percent
from resilience.core.ports import Matcher
from resilience.errors import ConfigError
from resilience.rules import dump
from resilience.slo import SLO, compile_rules
from resilience.slo.alerts import explanations
from resilience.slo.burn_rate import BurnRateAlert, detection_time, reset_time
from resilience.slo.formats.importing import FORMATS, import_slos
from resilience.slo.formats.native_write import to_config
from resilience.slo.formats.openslo_write import export_openslo

__all__ = ["slo"]


@click.group()
def slo() -> None:
    """Objectives: as rules for Prometheus, explained, imported and exported."""


@slo.command("rules")
@configurations_option
@strict_option
@output_option
@json_option
def write_rules(files: tuple[Path, ...], output: Path | None, *, strict: bool, as_json: bool) -> None:
    """Write the objectives' recording and alerting rules, one document, as Prometheus reads them.

    JSON is YAML, too: Prometheus reads both.
    """
    groups = compile_rules(objectives_of(files, strict=strict))
    text = dump(groups)
    write(_json(yaml.load(text).data) if as_json else text, output)
    if output is not None:
        click.echo(f"{output}: {sum(len(group.rules) for group in groups)} rule(s)", err=True)


@slo.command("inhibitions")
@configurations_option
@strict_option
@output_option
@json_option
def write_inhibitions(files: tuple[Path, ...], output: Path | None, *, strict: bool, as_json: bool) -> None:
    """Write the inhibitions between the objectives' alerts as Alertmanager reads them."""
    rules = [
        {
            "source_matchers": _matchers(found.source),
            "target_matchers": _matchers(found.target),
            "equal": list(found.equal),
        }
        for found in explanations(compile_rules(objectives_of(files, strict=strict)))
    ]
    data = {"inhibit_rules": rules}
    write(_json(data) if as_json else _yaml(data), output)


def _matchers(matchers: Sequence[Matcher]) -> list[str]:
    return [str(Matchers([each]))[1:-1] for each in matchers]


@slo.command("explain")
@click.argument("slo_id")
@configurations_option
@strict_option
@json_option
def explain(slo_id: str, files: tuple[Path, ...], *, strict: bool, as_json: bool) -> None:
    """Say what the objective SLO_ID promises, and when which alert tells of it."""
    found = {each.id: each for each in objectives_of(files, strict=strict)}
    if slo_id not in found:
        raise ConfigError(f"SLO_ID must be one of {', '.join(found)}, got {slo_id!r}")
    chosen = found[slo_id]
    alerts = [_alert(chosen, each) for each in chosen.burn_rates]
    if as_json:
        print_json({**_promise(chosen), "alerts": alerts})
        return
    for line in _told(chosen):
        click.echo(line)
    if alerts:
        click.echo()
        headers = (
            "alert",
            "severity",
            "burns",
            "windows",
            "fires above",
            "at 100% errors after",
            "resolves after",
        )
        print_table(headers, [_row(each) for each in alerts])


@slo.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--from",
    "form",
    type=click.Choice(sorted(FORMATS)),
    help="Its format; recognized by its version when not given.",
)
@output_option
@json_option
@click.pass_context
def import_(ctx: click.Context, file: Path, form: str | None, output: Path | None, *, as_json: bool) -> None:
    """Write the objectives of a FILE in another tool's format as a configuration.

    Exits with 1 when something was lost, which is named on stderr.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", file=str(file)) from error
    found = import_slos(text, file=str(file), form=form)
    if not found.slos:
        raise ConfigError("there is no objective in it", file=str(file))
    config = to_config(found.slos)
    write(_json(config) if as_json else _yaml(config), output)
    ctx.exit(_tell(found.lost))


@slo.command("export")
@configurations_option
@strict_option
@output_option
@json_option
@click.pass_context
def export(
    ctx: click.Context, files: tuple[Path, ...], output: Path | None, *, strict: bool, as_json: bool
) -> None:
    """Write the objectives as OpenSLO v1; as JSON, in one list.

    Exits with 1 when something was lost, which is named on stderr.
    """
    text, lost = export_openslo(objectives_of(files, strict=strict))
    if as_json:
        text = _json([document.data for document in yaml.load_all(text)])
    write(text, output)
    ctx.exit(_tell(lost))


def _yaml(data: dict[str, Any]) -> str:
    emitter = YAML(typ="safe", pure=True)
    emitter.default_flow_style = False
    emitter.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel declares it as None
    emitter.width = 1_000_000
    text = io.StringIO()
    emitter.dump(data, text)
    return text.getvalue()


def _json(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _tell(lost: Sequence[str]) -> int:
    for each in lost:
        click.echo(f"lost: {each}", err=True)
    return int(bool(lost))


def _promise(chosen: SLO) -> dict[str, Any]:
    return {
        "id": chosen.id,
        "name": chosen.name,
        "service": chosen.service,
        "target": Decimal(chosen.target),
        "budget": chosen.budget,
        "window": chosen.window,
        "downtime": float(chosen.budget) * chosen.window,
    }


def _told(chosen: SLO) -> Iterator[str]:
    period = f"a {chosen.calendar.unit}" if chosen.calendar is not None else format_duration(chosen.window)
    target = Decimal(chosen.target)
    what = "of time" if chosen.sliced else f"of what its {chosen.sli.kind} indicator counts"
    yield f"{chosen.name} of {chosen.service}: {exact_percent(target)} {what} is good in {period}."
    allowed = float(chosen.budget) * chosen.window
    yield f"The error budget is {exact_percent(chosen.budget)}: {duration(allowed)} of full outage, or 1 in {1 / chosen.budget:.0f}."
    yield "What is left of it is judged as it is, below zero, too; without traffic there is nothing to judge."
    for each in chosen.alerting.exhaustion:
        yield f"At {exact_percent(each.consumed)} of it spent there is an alert of severity {each.severity}."


def _alert(chosen: SLO, alert: BurnRateAlert) -> dict[str, Any]:
    everything = Decimal(1)
    return {
        "name": alert.name,
        "severity": alert.severity,
        "factor": alert.factor,
        "window": format_duration(alert.window),
        "shortWindow": format_duration(alert.short_window),
        "threshold": alert.threshold(chosen.budget),
        "detection": detection_time(alert, chosen.budget, everything),
        "reset": reset_time(alert, chosen.budget, everything),
    }


def _row(alert: dict[str, Any]) -> tuple[str, ...]:
    return (
        alert["name"],
        alert["severity"],
        burn_rate(alert["factor"]),
        f"{alert['window']}/{alert['shortWindow']}",
        exact_percent(alert["threshold"]),
        duration(float(alert["detection"])),
        duration(float(alert["reset"])),
    )
