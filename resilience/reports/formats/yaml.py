"""A report as YAML."""

from __future__ import annotations

import io

from ruamel.yaml import YAML

from resilience.reports.model import Report
from resilience.reports.plain import plain

__all__ = ["render"]


def render(report: Report) -> str:
    """Write a report as one YAML document, its keys in the order of the JSON."""
    emitter = YAML(typ="safe", pure=True)
    emitter.default_flow_style = False
    emitter.allow_unicode = True
    emitter.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel declares it as None
    text = io.StringIO()
    emitter.dump(plain(report), text)
    return text.getvalue()
