"""The formats of access logs, one file each; a file `name.py` with a class `Format` is a format of that name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

from resilience.core.validate import choice

__all__ = ["Entry", "LogFormat", "make", "names"]

Entry: TypeAlias = tuple[float, str, str, str, float | None]
"""One request: Unix seconds, method, target (path and query), status, seconds that it took where the log says so.

A plain tuple: a log has millions, and a class of its own would cost as much again as reading the line.
"""


class LogFormat(Protocol):
    """Reads the lines of one format."""

    def read(self, lines: Sequence[str], malformed: Callable[[str], object]) -> Iterator[Entry]:
        """Yield the requests of some lines.

        Args:
            lines: without their line ends.
            malformed: told each line that is no request of this format.
        """


def names() -> list[str]:
    """Return the names of all formats."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def make(name: str, **options: Any) -> LogFormat:
    """Return a format by its name.

    Args:
        name: one of `names()`.
        options: arguments of its class.

    Raises:
        ConfigError: there is none of that name, or an option cannot be meant.

    Example:
        >>> line = '10.0.0.1 - - [21/Sep/2026:14:13:20 +0000] "GET /pay?id=7 HTTP/1.1" 200 512 "-" "curl" 0.049'
        >>> list(make("combined").read([line], print))
        [(1790000000.0, 'GET', '/pay?id=7', '200', 0.049)]
    """
    choice("format", name, names())
    made: LogFormat = importlib.import_module(f"{__name__}.{name}").Format(**options)
    return made
