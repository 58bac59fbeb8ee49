"""The formats of reports, one file each; a file of this folder that defines `render` is one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import cast

from resilience.core.validate import choice
from resilience.reports.model import Report

__all__ = ["FORMATS", "render"]

FORMATS = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
"""Their names."""


def render(report: Report, format: str) -> str:  # noqa: A002  the word of the command, too
    """Write a report.

    Args:
        report: what to write.
        format: one of `FORMATS`.

    Raises:
        ConfigError: there is no such format.
        MissingExtra: what the format needs is not installed.

    Example:
        >>> from resilience.reports import build
        >>> render(build([], start=0, end=60), "csv").split(",")[:3]
        ['service', 'id', 'name']
    """
    module = importlib.import_module(f"{__name__}.{choice('format', format, FORMATS)}")
    write = cast("Callable[[Report], str]", module.render)
    return write(report)
