"""The library's log, through structlog, imported when something is first logged."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["log"]


@functools.cache
def log(name: str) -> FilteringBoundLogger:
    """Return the structlog logger of a module.

    structlog pulls in rich where that is installed (80-131 ms), so it must not be imported with the package.

    Args:
        name: the module's `__name__`.

    Example:
        >>> log("resilience.example").bind(service="shop") is not None
        True
    """
    import structlog  # noqa: PLC0415  see above

    return cast("FilteringBoundLogger", structlog.get_logger(name, component=name))
