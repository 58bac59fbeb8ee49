"""A post-mortem to be filled in, with the figures that are known.

Its parts are those of the SRE Book, appendix D ("Example Postmortem").
"""

from __future__ import annotations

from collections.abc import Iterator

from resilience.core.humanize import attained, date, duration, exact_percent, percent, timestamp
from resilience.reports.formats.markdown import escape
from resilience.reports.model import Episode, Incident, Objective

__all__ = ["post_mortem"]


def post_mortem(
    incident: Incident, objective: Objective | None = None, episode: Episode | None = None
) -> str:
    """Return Markdown with the incident's figures, and places for what only people know.

    Args:
        incident: what happened.
        objective: what it was about, where that is known.
        episode: the alerts that belong to it, which share its timeline.

    Example:
        >>> print(post_mortem(Incident("7f", "ErrorBudgetBurn", started=0, ended=600)).splitlines()[0])
        # Post-mortem: ErrorBudgetBurn, 1970-01-01
    """
    return "\n".join(_lines(incident, objective, episode)) + "\n"


def _lines(incident: Incident, objective: Objective | None, episode: Episode | None) -> Iterator[str]:
    yield f"# Post-mortem: {escape(incident.name)}, {date(incident.started)}"
    yield ""
    yield "Authors:  "
    yield "Status: draft"
    yield from ("", "## Summary", "")
    lasted = "goes on" if incident.ended is None else f"lasted {duration(incident.ended - incident.started)}"
    service = f" of {escape(incident.service)}" if incident.service else ""
    yield f"{escape(incident.name)}{service} fired at {timestamp(incident.started, seconds=False)} and {lasted}."
    if incident.summary:
        yield escape(incident.summary)
    yield from ("", "## Impact", "")
    yield "| Figure | Value |"
    yield "| --- | --- |"
    yield f"| Alert | {escape(incident.id)} |"
    yield f"| Severity | {escape(incident.severity)} |"
    yield f"| Began | {timestamp(incident.started, seconds=False)} |"
    yield f"| Ended | {timestamp(incident.ended, seconds=False)} |"
    yield f"| Error budget burned | {percent(incident.burned, up=True)} |"
    if episode is not None and len(episode.alerts) > 1:
        until = "goes on" if episode.ended is None else f"until {timestamp(episode.ended, seconds=False)}"
        more = len(episode.alerts) - 1
        yield f"| With {more} more {'alert' if more == 1 else 'alerts'} | from {timestamp(episode.started, seconds=False)}, {until} |"
        yield f"| Error budget burned by all of it | {percent(episode.burned, up=True)} |"
    if objective is not None:
        yield f"| Objective | {escape(objective.name)}, {exact_percent(objective.target)} |"
        yield f"| Kept now | {attained(objective.actual, objective.target)} |"
        yield f"| Error budget left now | {percent(objective.remaining)} |"
    yield from ("", "Who noticed what, and how many: ", "", "## Root causes", "", "## Trigger", "")
    yield from ("## Detection", "", "## Resolution", "", "## Timeline (UTC)", "")
    alerts = (incident,) if episode is None else episode.alerts
    for at, name, what in sorted(
        (at, _name(each) if len(alerts) > 1 else "", what)
        for each in alerts
        for at, what in each.events or [(each.started, "fired")]
    ):
        yield f"- {timestamp(at, seconds=False)}: {f'{escape(name)}: ' if name else ''}{escape(what)}"
    yield from ("", "## What went well", "", "## What went wrong", "", "## Where we got lucky", "")
    yield from ("## Action items", "", "| Action | Type | Owner | Due |", "| --- | --- | --- | --- |")
    yield "| | prevent | | |"
    yield "| | detect | | |"
    yield "| | mitigate | | |"


def _name(incident: Incident) -> str:
    return f"{incident.name} ({incident.summary})" if incident.summary else incident.name
