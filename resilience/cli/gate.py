"""Say whether a deployment may go out, by the error budget policy."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from resilience.cli.figures import Figures, figures_options, run
from resilience.cli.output import json_option, plain, print_json
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.humanize import percent
from resilience.core.validate import text
from resilience.errors import ConfigError
from resilience.slo.budget_policy import FREEZE, Consequence, read_policy

__all__ = ["gate"]


@click.command()
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path),
    required=True,
    help="The policy: a list of lines, or a configuration with `budget_policy`.",
)
@click.option("--override", metavar="REASON", help="Let it out nevertheless; the reason is recorded.")
@click.option("--by", default=getpass.getuser, show_default="you", help="Who overrides.")
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("gate-overrides.jsonl"),
    show_default=True,
    help="Where overrides are recorded, one JSON object a line.",
)
@figures_options
@json_option
@click.pass_context
def gate(
    ctx: click.Context,
    figures: Figures,
    *,
    policy_file: Path,
    override: str | None,
    by: str,
    record: Path,
    as_json: bool,
) -> None:
    """Say whether a deployment may go out: not while the policy says `freeze deploys`.

    Exits with 0 when it may, with 1 when it may not or when nobody knows, since the figures cannot be had.
    """
    policy = read_policy(policy_file)
    if FREEZE not in policy.actions:
        # A gate that nothing closes looks like one that is open.
        raise ConfigError(
            f"no line of it says `{FREEZE}`, which is what closes the gate", file=str(policy_file)
        )
    slos: list[dict[str, Any]] = run(figures, lambda source: source.slos())
    policy.check([slo["id"] for slo in slos])
    left = {slo["id"]: _decimal(slo["budget"]["remaining"]) for slo in slos}
    unsure = {slo["id"] for slo in slos if not slo["budget"].get("conclusive", True)}
    spent = {name: None if name in unsure else share for name, share in left.items()}
    reasons = [each for each in policy.decide(spent) if each.action == FREEZE]
    told = {
        "at": SYSTEM_CLOCK.time(),
        "reasons": [_reason(each) for each in reasons],
        "remaining": left,
        "inconclusive": sorted(unsure),
    }
    overridden = override is not None and bool(reasons)
    if overridden:
        _record(record, {**told, "by": text("--by", by), "reason": text("--override", override)})
    allowed = overridden or not reasons
    if as_json:
        print_json({"allowed": allowed, "overridden": overridden, **told})
    else:
        for line in _lines(left, unsure, reasons, override if overridden else None, by):
            click.echo(line)
    ctx.exit(int(not allowed))


def _lines(
    left: dict[str, Decimal | None],
    unsure: set[str],
    reasons: list[Consequence],
    override: str | None,
    by: str,
) -> list[str]:
    few = ", by too few events to act on"
    shown = [
        f"  {name}: {percent(share)} of its budget left{few if name in unsure and share is not None else ''}"
        for name, share in left.items()
    ]
    if not reasons:
        return [click.style("open", fg="green", bold=True) + ": a deployment may go out", *shown]
    closed = [f"{click.style('closed', fg='red', bold=True)}: {each}" for each in reasons]
    if override is not None:
        closed.append(f"{click.style('overridden', fg='yellow', bold=True)} by {by}: {override}")
    return [*closed, *shown]


def _reason(consequence: Consequence) -> dict[str, Any]:
    return {"slo": consequence.slo, "condition": consequence.condition, "remaining": consequence.remaining}


def _record(file: Path, entry: dict[str, Any]) -> None:
    when = datetime.fromtimestamp(entry["at"], UTC).isoformat(timespec="seconds")
    line = json.dumps(plain({**entry, "at": when}), ensure_ascii=False)
    try:
        with file.open("a", encoding="utf-8") as record:
            record.write(line + "\n")
    except OSError as error:
        # An override that leaves no trace is none.
        raise ConfigError(f"the override cannot be recorded: {error.strerror}", file=str(file)) from error


def _decimal(figure: float | None) -> Decimal | None:
    return None if figure is None else Decimal(str(figure))
