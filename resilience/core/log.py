"""Log of the library: structlog where the application configured it, else the standard library's `logging`."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from typing import Any, Final

from resilience.core.interrupts import INTERRUPTS

__all__ = ["Log", "log", "shown"]

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
        """Log an event for developers."""
        self._write("debug", event, **details)

    def info(self, event: str, /, **details: Any) -> None:
        """Log an event of normal operation."""
        self._write("info", event, **details)

    def warning(self, event: str, /, **details: Any) -> None:
        """Log an event that may need a person's attention, or the end of one."""
        self._write("warning", event, **details)

    def error(self, event: str, /, **details: Any) -> None:
        """Log a failure; `exc_info` is the exception whose traceback is written."""
        self._write("error", event, **details)

    def _write(
        self, level: str, event: str, /, *, exc_info: BaseException | None = None, **details: Any
    ) -> None:
        try:
            shown = {name: _shown(value) for name, value in details.items()}
            # An application that configured structlog has imported it: the library never has to (80-131 ms with rich).
            structlog = sys.modules.get("structlog")
            if structlog is not None and structlog.is_configured():
                traceback = {} if exc_info is None else {"exc_info": exc_info}
                logger = structlog.get_logger(self._name, component=self._name)
                getattr(logger, level)(event, **shown, **traceback)
            else:
                logger = logging.getLogger(
                    self._name.replace("resilience_middleware", "resilience.middleware")
                )
                if logger.isEnabledFor(_LEVELS[level]):
                    line = " ".join([event, *(f"{name}={value!r}" for name, value in shown.items())])
                    logger.log(_LEVELS[level], "%s", line, exc_info=exc_info)
        except INTERRUPTS:
            raise
        except BaseException:  # noqa: BLE001, S110  a full disk, a closed stream or a processor: no place to report it
            pass


def _shown(value: object) -> object:
    """Return exceptions and functions as text: they may not be printable, and processors may not know them."""
    return shown(value) if isinstance(value, BaseException) or callable(value) else value


def shown(value: object, show: Callable[[object], str] = repr) -> str:
    """Return the text of a user's object; the name of its class where the text cannot be made.

    Args:
        value: the object.
        show: makes the text: `repr`, or `str`.

    Example:
        >>> shown(ValueError("no"))
        "ValueError('no')"
    """
    try:
        return show(value)
    except Exception:  # noqa: BLE001  the user's class
        return type(value).__name__


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
