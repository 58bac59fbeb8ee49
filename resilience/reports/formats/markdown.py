"""A report as Markdown, for pull requests, wikis and chats."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from resilience.core.humanize import (
    NOTHING,
    attained,
    burn_rate,
    date,
    duration,
    exact_percent,
    exhausted_in,
    percent,
    points,
    timestamp,
)
from resilience.reports.episodes import summaries
from resilience.reports.model import Report, Service

__all__ = ["escape", "render"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#|~!&])")
_MET = {True: "yes", False: "**no**", None: NOTHING}


def escape(text: str) -> str:
    r"""Return text that stands for itself in Markdown, on one line.

    Example:
        >>> escape("<b>*a*|b")
        '\\<b\\>\\*a\\*\\|b'
    """
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def render(report: Report) -> str:
    """Write a report: summary, services, incidents, recommendations."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# Service levels, {date(report.start)} to {date(report.end)}"
    yield ""
    judged = [each for each in report.objectives if each.met is not None]
    yield f"{report.meeting} of {len(judged)} objectives with events were met ({percent(report.compliance)})."
    risk = ", ".join(escape(name) for name in report.at_risk)
    yield f"Services at risk: {risk or 'none'}."
    for service in report.services:
        yield from _service(service)
    yield from ("", "## Incidents", "")
    if report.episodes:
        yield from _table(
            ("What", "Severity", "Service", "From", "Lasted", "Budget burned", "Alerts"),
            (
                (
                    escape(each.name),
                    escape(each.severity),
                    escape(each.service),
                    timestamp(each.started, seconds=False),
                    duration(each.ended - each.started) if each.ended is not None else "goes on",
                    percent(each.burned, up=True),
                    escape(summaries(each)),
                )
                for each in report.episodes
            ),
        )
    else:
        yield "None."
    yield from ("", "## Recommendations", "")
    for number, each in enumerate(report.recommendations, 1):
        yield f"{number}. **{escape(each.title)}** ({escape(each.figure)})"
        for action in each.actions:
            yield f"   - {escape(action)}"
    if not report.recommendations:
        yield "None: carry on."
    yield from ("", f"Report {escape(report.id)}")


def _service(service: Service) -> Iterator[str]:
    yield from ("", f"## {escape(service.name)}: {service.status.replace('_', ' ')}", "")
    yield from _table(
        ("Objective", "Target", "Actual", "Met", "Budget left", "Burn rate", "Gone in", "Trend"),
        (
            (
                escape(each.name),
                exact_percent(each.target),
                attained(each.actual, each.target),
                _MET[each.met],
                percent(each.remaining),
                burn_rate(each.burn_rate),
                exhausted_in(each.exhaustion, each.status),
                points(each.trend),
            )
            for each in service.objectives
        ),
    )
    for note in dict.fromkeys(each.burn_note for each in service.objectives if each.burn_note):
        yield from ("", escape(note))


def _table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    heads = list(headers)
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
