"""Show what is left of the error budgets."""

from __future__ import annotations

from typing import Any

import click

from resilience.cli.figures import Figures, burn_note, figures_options, run
from resilience.cli.output import json_option, print_json, print_table
from resilience.core.humanize import NOTHING, attained, burn_rate, exact_percent, exhausted_in, percent, words

__all__ = ["budgets"]

_VIOLATED = frozenset({"exhausted"})


@click.command()
@click.option("--check-violations", is_flag=True, help="Exit with 1 when a budget is spent.")
@figures_options
@json_option
@click.pass_context
def budgets(ctx: click.Context, figures: Figures, *, check_violations: bool, as_json: bool) -> None:
    """Show what is left of the error budgets.

    The figures come from a running service (--url), its state file (--state) or a Prometheus (--prometheus).
    """
    found: list[dict[str, Any]] = run(figures, lambda source: source.slos())
    if as_json:
        print_json(found)
    else:
        headers = ("slo", "service", "target", "actual", "consumed", "left", "burn rate", "gone in", "budget")
        print_table(headers, [_row(each) for each in found])
        for note in dict.fromkeys(burn_note(each["budget"]) for each in found):
            if note:
                click.echo(note)
    violated = [each["id"] for each in found if each["budget"]["status"] in _VIOLATED]
    if check_violations and violated:
        click.echo(f"spent: {', '.join(violated)}", err=True)
        ctx.exit(1)


def _row(slo: dict[str, Any]) -> tuple[str, ...]:
    budget = slo["budget"]
    rates = [
        f"{burn_rate(rate)}/{window}" for window, rate in budget["burn_rates"].items() if rate is not None
    ]
    unknown = "unknown" if budget.get("burn_rates_at", 0) is None else NOTHING
    return (
        slo["id"],
        slo["service"],
        exact_percent(slo["target"]),
        attained(slo["current"], slo["target"]),
        percent(budget["consumed"], up=True),
        percent(budget["remaining"]),
        " ".join(rates) or unknown,
        exhausted_in(budget["time_to_exhaustion"], budget["status"]),
        words(budget["status"]),
    )
