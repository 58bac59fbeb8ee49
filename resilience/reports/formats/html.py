"""A report as one HTML file: no script, nothing loaded from elsewhere; for screens, dark ones, too, and for paper."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from resilience.errors import MissingExtra
from resilience.reports import charts, words
from resilience.reports.model import Report

__all__ = ["render"]

_LONGEST_TABLE = 200  # incidents that are listed one by one


def render(report: Report) -> str:
    """Write a report as one page.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: PLC0415  an extra
    except ImportError as error:
        module = "jinja2"
        raise MissingExtra(module, "reports") from error
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update({name: getattr(words, name) for name in words.__all__})
    # Charts escape their texts themselves.
    for chart in (charts.compliance_chart, charts.budget_chart, charts.latency_chart):
        environment.globals[chart.__name__] = functools.partial(_markup, chart)
    template = files("resilience.reports").joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        report=report,
        incidents=report.incidents[:_LONGEST_TABLE],
        more=len(report.incidents) - _LONGEST_TABLE,
    )


def _markup(chart: Callable[..., str], *figures: Any) -> Any:
    from markupsafe import Markup  # noqa: PLC0415  comes with jinja2

    return Markup(chart(*figures))  # noqa: S704  see above
