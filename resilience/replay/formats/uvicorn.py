"""The access log of uvicorn, with a time before each line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from resilience.replay.formats import Entry
from resilience.replay.formats._times import duration_reader, iso_time

__all__ = ["Format"]

_LINE: Final = re.compile(
    r"\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)\]?[ ,].*?"
    r'"([A-Z]+) ([^ "]*) HTTP/[\d.]+" (\d{3})(?: [A-Za-z\' -]*+)?(?: ?(\d++(?:\.\d++)?+))?+\s*$'
)


class Format:
    """Lines of the logger `uvicorn.access` whose formatter writes `%(asctime)s` first.

    By itself uvicorn logs no time, and what has no time cannot be replayed: such lines count as malformed. A duration
    may follow the status.

    Args:
        unit: of the duration, `s`, `ms` or `us`; None to tell by its form, see `combined`.

    Raises:
        ConfigError: there is no such unit.

    Example:
        >>> line = '2026-09-21 14:13:20,250 INFO: 10.0.0.1:5150 - "GET /pay?id=7 HTTP/1.1" 200 OK'
        >>> list(Format().read([line], print))
        [(1790000000.25, 'GET', '/pay?id=7', '200', None)]
    """

    def __init__(self, unit: str | None = None) -> None:
        self._seconds = duration_reader(unit)

    def read(self, lines: Sequence[str], malformed: Callable[[str], object]) -> Iterator[Entry]:
        """Yield the requests of some lines; see `LogFormat`."""
        for line in lines:
            found = _LINE.match(line)
            if found is None:
                malformed(line)
                continue
            time, method, target, status, duration = found.groups()
            try:
                at = iso_time(time)
            except ValueError:
                malformed(line)
                continue
            yield at, method, target, status, self._seconds(duration) if duration else None
