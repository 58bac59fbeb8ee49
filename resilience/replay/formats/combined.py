"""The combined log format of nginx and Apache, with the request's duration at the end where it is logged."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from resilience.replay.formats import Entry
from resilience.replay.formats._times import common_log_time, duration_reader

__all__ = ["Format"]

# What nearly every line looks like: sets of one character are what Python's matcher is fast at.
_USUAL: Final = re.compile(
    r"[^\[]*\[([^\]]+)\] "  # host, identity, user; time
    r'"([^ ]*) ([^ ]*) [^"]*" '  # method, target, protocol
    r'(\d\d\d) [^ ]* "[^"]*" "[^"]*"'  # status, bytes, referrer, user agent
    r"(?: (\d+(?:\.\d+)?))?$"
)
# Possessive quantifiers and atomic groups: a client writes most of a line, and no line may take quadratic time.
_QUOTED: Final = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# Users may have spaces in their names, and some logs begin with a virtual host: the time is what stands in brackets.
_ANY: Final = re.compile(
    r"[^\[]*+\[([^\]]++)\] "
    r'"(?>([A-Z]++)(?: ([^ "\\]*+))?)?+[^"\\]*+(?:\\.[^"\\]*+)*+" '  # what is no HTTP has no method
    r"(\d{3}) (?:\d+|-)"
    rf"(?: {_QUOTED} {_QUOTED}"
    r'(?: "?(?:\w+=)?(\d++(?:\.\d++)?)?+.*+)?)?$'  # duration, and whatever else is logged
)


class Format:
    r"""Lines of `combined`, of `common`, and of `combined` with `$request_time` (nginx) or `%D` (Apache) after it.

    The duration may stand in quotes, and may have a name: `rt=0.049`. What a client sent that was no HTTP is a request
    as well, without method and path.

    Args:
        unit: of the duration, `s`, `ms` or `us`; None to tell by its form, a decimal point meaning seconds and none
            microseconds.

    Raises:
        ConfigError: there is no such unit.

    Example:
        >>> line = '10.0.0.1 - - [21/Sep/2026:14:13:20 +0000] "\\x16\\x03" 400 157 "-" "-"'
        >>> list(Format().read([line, "nonsense"], print))
        nonsense
        [(1790000000.0, '', '', '400', None)]
    """

    def __init__(self, unit: str | None = None) -> None:
        self._seconds = duration_reader(unit)

    def read(self, lines: Sequence[str], malformed: Callable[[str], object]) -> Iterator[Entry]:
        """Yield the requests of some lines; see `LogFormat`."""
        usual, other, seconds = _USUAL.match, _ANY.match, self._seconds
        known, at = "", 0.0
        for line in lines:
            found = usual(line) or other(line)
            if found is None:
                malformed(line)
                continue
            time, method, target, status, duration = found.groups()
            if time != known:
                try:
                    at = common_log_time(time)
                except ValueError:
                    malformed(line)
                    continue
                known = time
            yield at, method or "", target or "", status, seconds(duration) if duration else None
