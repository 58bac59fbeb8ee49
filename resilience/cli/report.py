"""Write a report on objectives, or the post-mortem of an incident."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from resilience.cli.figures import Figures, burn_note, figures_options, progress, run
from resilience.cli.output import output_option, write
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.validate import number
from resilience.errors import ConfigError
from resilience.reports import FORMATS, Heat, Incident, Objective, Report, Step, build, post_mortem, render
from resilience.slo.alerts import BURN_ALERT

__all__ = ["report"]

_DAY = 86_400.0
_STEPS = 60  # of a chart
_SHOWN_APART = frozenset({"alertname", "severity", "service", "slo", "owner", "tier"})


@click.command()
@click.option(
    "--days",
    type=click.FloatRange(0, 366, min_open=True),
    default=30,
    show_default=True,
    help="Length of the period.",
)
@click.option("--services", help="Only these, with commas between: shop,payments.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="html",
    show_default=True,
    help="How it is written.",
)
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@output_option
@click.option("--incident", help="Write the post-mortem of the alert with this id instead, as Markdown.")
@figures_options
def report(
    figures: Figures,
    *,
    days: float,
    services: str | None,
    form: str,
    output: Path | None,
    incident: str | None,
) -> None:
    """Write a report on objectives, or the post-mortem of an incident.

    The figures come from a running service (--url), its state file (--state) or a Prometheus (--prometheus).
    """
    wanted = None if services is None else {name.strip() for name in services.split(",")}
    end, days = SYSTEM_CLOCK.time(), number("--days", days)  # click takes nan for a number of any range
    found: Report = run(figures, lambda source: _collect(source, end - days * _DAY, end, wanted))
    text = render(found, form) if incident is None else _post_mortem(found, incident)
    write(text, output)
    if output is not None:
        click.echo(f"{output}: {found.meeting} of {len(found.objectives)} objectives met", err=True)


async def _collect(source: Figures, start: float, end: float, wanted: set[str] | None) -> Report:
    slos = await source.slos()
    missing = (wanted or set()) - {slo["service"] for slo in slos}
    if missing:
        raise ConfigError(f"--services: there is no objective of {', '.join(sorted(missing))}")
    kept = [slo for slo in slos if wanted is None or slo["service"] in wanted]
    objectives = [
        _objective(slo, await source.history(slo["id"], start, end), start, end)
        for slo in progress(kept, "history")
    ]
    ids, services = {slo["id"] for slo in kept}, sorted({slo["service"] for slo in kept})
    about = [
        each
        for each in _incidents(await source.events(start))
        if wanted is None or each.slo in ids or each.service in wanted
    ]
    heats = {name: _heat(await source.latency(name, start, end)) for name in services}
    latency = {name: heat for name, heat in heats.items() if heat.times}
    return build(objectives, start=start, end=end, incidents=about, latency=latency)


def _post_mortem(found: Report, incident_id: str) -> str:
    about = [each for each in found.incidents if each.id == incident_id]
    if not about:
        known = ", ".join(dict.fromkeys(each.id for each in found.incidents)) or "none in the period"
        raise ConfigError(
            f"--incident must be the id of an alert in the period ({known}), got {incident_id!r}"
        )
    objective = next((each for each in found.objectives if each.id == about[-1].slo), None)
    episode = next(each for each in found.episodes if about[-1] in each.alerts)
    return post_mortem(about[-1], objective, episode)


def _objective(slo: Mapping[str, Any], history: Mapping[str, Any], start: float, end: float) -> Objective:
    budget = slo["budget"]
    steps = _steps(history, start, end)
    bad, total = sum(step.bad for step in steps), sum(step.total for step in steps)
    # The service knows its own period to the event; another one is as long as its steps say.
    own = end - start >= slo["window"] or not total
    return Objective(
        slo["id"],
        slo["name"],
        slo["service"],
        Decimal(str(slo["target"])),
        _decimal(slo["current"]) if own else 1 - _exact(bad) / _exact(total),
        bad=budget["bad"] if own else bad,
        total=budget["total"] if own else total,
        remaining=_decimal(budget["remaining"]),
        status=budget["status"],
        burn_rates={window: _decimal(rate) for window, rate in budget["burn_rates"].items()},
        burn_note=burn_note(budget),
        exhaustion=budget["time_to_exhaustion"],
        steps=steps if total else (),
        history=[
            Step(at + history["step"], bad, total)
            for at, bad, total in history["buckets"]
            if start <= at + history["step"] and at <= end
        ],
        owner=slo["owner"] or "",
        tier=slo["tier"],
    )


def _steps(history: Mapping[str, Any], start: float, end: float) -> list[Step]:
    """Join buckets into as many steps as a chart can show."""
    count = max(1, min(_STEPS, int((end - start) // history["step"])))
    length = (end - start) / count
    sums = [[0.0, 0.0] for _ in range(count)]
    for at, bad, total in history["buckets"]:
        index = int((at - start) // length)
        if 0 <= index < count:
            sums[index][0] += bad
            sums[index][1] += total
    return [Step(start + (index + 1) * length, bad, total) for index, (bad, total) in enumerate(sums)]


def _heat(latency: Mapping[str, Any]) -> Heat:
    bounds = [math.inf if bound is None else bound for bound in latency["bounds"]]
    return Heat(latency["times"], bounds, latency["counts"])


def _incidents(events: Iterable[Mapping[str, Any]]) -> list[Incident]:
    """Pair what fired with what was resolved; what was done in between belongs to it."""
    found: list[Incident] = []
    open_: dict[str, dict[str, Any]] = {}
    for event in sorted(events, key=lambda each: float(each["at"])):
        key = event["fingerprint"]
        if event["kind"] == "fired":
            open_[key] = {
                "labels": event["labels"],
                "name": event["subject"],
                "started": event["at"],
                "events": [],
            }
        if key not in open_:
            continue
        open_[key]["events"].append((event["at"], " ".join(filter(None, (event["kind"], event["detail"])))))
        if event["kind"] == "resolved":
            found.append(_incident(key, open_.pop(key), event["at"]))
    return found + [_incident(key, each, None) for key, each in open_.items()]


def _incident(key: str, noted: Mapping[str, Any], ended: float | None) -> Incident:
    labels = noted["labels"]
    return Incident(
        key,
        noted["name"],
        noted["started"],
        ended,
        severity=labels.get("severity", ""),
        service=labels.get("service", ""),
        slo=labels.get("slo", ""),
        summary=_summary(labels),
        events=tuple(noted["events"]),
    )


def _summary(labels: Mapping[str, str]) -> str:
    """What tells it from other alerts of its objective, else from others of its name."""
    if labels.get("alertname") == BURN_ALERT:
        return "budget burns too fast"
    if "consumed" in labels:
        return f"{labels['consumed']}% of the budget spent"
    return ", ".join(f"{name} {value}" for name, value in sorted(labels.items()) if name not in _SHOWN_APART)


def _exact(figure: float) -> Decimal:
    return Decimal(str(figure))


def _decimal(figure: float | None) -> Decimal | None:
    return None if figure is None else Decimal(str(figure))
