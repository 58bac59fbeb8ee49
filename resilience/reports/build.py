"""From figures to a report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from resilience.core.validate import number
from resilience.reports.advice import advise
from resilience.reports.episodes import cost, gather
from resilience.reports.model import Heat, Incident, Objective, Report, Service

__all__ = ["build"]


def build(
    objectives: Iterable[Objective],
    *,
    start: float,
    end: float,
    incidents: Iterable[Incident] = (),
    latency: Mapping[str, Heat] | None = None,
) -> Report:
    """Make a report.

    Args:
        objectives: figures of the period.
        start: Unix seconds.
        end: Unix seconds, after `start`.
        incidents: alerts; those outside the period are left out.
        latency: by service.

    Returns:
        the report; the same figures make the same id.

    Raises:
        ConfigError: the period is none.

    Example:
        >>> from decimal import Decimal
        >>> ok = Objective("ok", "OK", "shop", Decimal("0.99"), Decimal("0.995"), status="healthy")
        >>> build([ok], start=0, end=86_400).id
        'SLO-19700102-987a3a'
    """
    number("end", end, above=number("start", start))
    found: dict[str, list[Objective]] = {}
    for objective in sorted(objectives, key=lambda each: (each.service, each.id)):
        found.setdefault(objective.service, []).append(objective)
    heats = latency or {}
    services = [Service(name, each, heats.get(name)) for name, each in found.items()]
    known = {each.id: each for service in services for each in service.objectives}
    kept = sorted(
        (
            _burned(each, known.get(each.slo))
            for each in incidents
            if each.started <= end and (each.ended is None or each.ended >= start)
        ),
        key=lambda each: each.started,
    )
    seed = f"{start} {end} {sorted(known)}".encode()
    report_id = f"SLO-{datetime.fromtimestamp(end, UTC):%Y%m%d}-{hashlib.sha256(seed).hexdigest()[:6]}"
    happened = gather(kept, known)
    return Report(report_id, start, end, services, kept, advise(known.values(), happened), happened)


def _burned(incident: Incident, objective: Objective | None) -> Incident:
    if incident.burned is not None:
        return incident
    return replace(incident, burned=cost(objective, incident.started, incident.ended))
