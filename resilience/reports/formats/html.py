"""A report as one HTML file: no script, nothing loaded from elsewhere; for screens, dark ones, too, and for paper."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from resilience.core import humanize
from resilience.errors import MissingExtra
from resilience.reports import charts
from resilience.reports.episodes import stretches, summaries
from resilience.reports.model import Report

__all__ = ["render"]

_LONGEST_TABLE = 200  # rows of what happened


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
    environment.globals.update({name: getattr(humanize, name) for name in humanize.__all__})
    # Charts escape their texts themselves.
    for name in charts.__all__:
        environment.globals[name] = functools.partial(_markup, getattr(charts, name))
    environment.globals["summaries"] = summaries
    template = files("resilience.reports").joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        report=report,
        episodes=report.episodes[-_LONGEST_TABLE:],
        more=len(report.episodes) - _LONGEST_TABLE,
        spans=functools.partial(stretches, report.episodes),
    )


def _markup(chart: Callable[..., str], *figures: Any) -> Any:
    from markupsafe import Markup  # noqa: PLC0415  comes with jinja2

    return Markup(chart(*figures))  # noqa: S704  see above
