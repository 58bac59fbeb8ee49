"""A report as CSV (RFC 4180): one row for each objective."""

from __future__ import annotations

import csv
import io

from resilience.reports.model import Report
from resilience.reports.plain import plain

__all__ = ["render"]

_COLUMNS = (
    "service",
    "id",
    "name",
    "owner",
    "tier",
    "target",
    "actualValue",
    "targetMet",
    "status",
    "badEvents",
    "totalEvents",
    "budgetConsumed",
    "budgetRemaining",
    "secondsToExhaustion",
    "trend",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def render(report: Report) -> str:
    """Write the objectives; percentages as numbers, nothing where there is no figure."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS, extrasaction="ignore")
    writer.writeheader()
    for service in plain(report)["services"]:
        for slo in service["slos"]:
            budget = slo["errorBudget"]
            row = {
                **slo,
                "service": service["name"],
                "budgetConsumed": budget["consumed"],
                "budgetRemaining": budget["remaining"],
                "secondsToExhaustion": budget["secondsToExhaustion"],
            }
            writer.writerow({column: _cell(value) for column, value in row.items()})
    return text.getvalue()


def _cell(value: object) -> object:
    """Keep a spreadsheet from taking text for a formula (OWASP, "CSV Injection")."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
