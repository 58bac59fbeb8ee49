"""Log of the library: structlog where the application configured it, else the standard library's `logging`."""

from __future__ import annotations

import functools
import logging
import sys
from typing import Any, Final

from resilience.core.interrupts import INTERRUPTS

__all__ = ["Log", "log"]

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class Log:
    """Logger of one module; a line that cannot be written is dropped.

    The destination is chosen at each line, because applications configure their logging after they import this
    package. The library adds no handler: without any, Python writes warnings and errors to stderr, and nothing below.

    Args:
        name: the module's `__name__`; the logger of `logging` has the same name, below `resilience`.

    Example:
        >>> Log("resilience.example").debug("example_event", service="shop")  # below WARNING: not written
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, event: str, /, **details: Any) -> None:
        """Log an event for developers of the library."""
        self._write("debug", event, details)

    def info(self, event: str, /, **details: Any) -> None:
        """Log an event of normal operation."""
        self._write("info", event, details)

    def warning(self, event: str, /, **details: Any) -> None:
        """Log an event that may need a person's attention."""
        self._write("warning", event, details)

    def error(self, event: str, /, **details: Any) -> None:
        """Log a failure."""
        self._write("error", event, details)

    def _write(self, level: str, event: str, details: dict[str, Any]) -> None:
        try:
            # An application that configured structlog has imported it: the library never has to (80-131 ms with rich).
            structlog = sys.modules.get("structlog")
            if structlog is not None and structlog.is_configured():
                logger = structlog.get_logger(self._name, component=self._name)
                getattr(logger, level)(event, **details)
            else:
                _to_logging(self._name, _LEVELS[level], event, details)
        except INTERRUPTS:
            raise
        except BaseException:  # noqa: BLE001, S110  a full disk, a closed stream or a processor's error: nowhere to report
            pass


def _to_logging(name: str, level: int, event: str, details: dict[str, Any]) -> None:
    logger = logging.getLogger(name.replace("resilience_middleware", "resilience.middleware", 1))
    if logger.isEnabledFor(level):
        error = details.pop("exc_info", None)
        words = " ".join([event, *(f"{key}={value!r}" for key, value in details.items())])
        logger.log(level, "%s", words, exc_info=error)


@functools.cache
def log(name: str) -> Log:
    """Return the logger of a module.

    Args:
        name: the module's `__name__`.

    Example:
        >>> log("resilience.example") is log("resilience.example")
        True
    """
    return Log(name)
