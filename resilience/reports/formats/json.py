"""A report as JSON."""

from __future__ import annotations

import json

from resilience.reports.model import Report
from resilience.reports.plain import plain

__all__ = ["render"]


def render(report: Report) -> str:
    """Write a report as one JSON document."""
    return json.dumps(plain(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
