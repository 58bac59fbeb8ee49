"""JSON, an object a line, under the names that servers and loggers use."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from resilience.replay.formats import Entry
from resilience.replay.formats._times import UNITS, common_log_time, duration_reader, iso_time

__all__ = ["Format"]

# nginx' variables, Apache's usual names, Caddy, Traefik, ECS, OpenTelemetry; the first that is there counts.
_TIME: Final = (
    "time",
    "timestamp",
    "@timestamp",
    "ts",
    "time_iso8601",
    "time_local",
    "msec",
    "StartUTC",
    "date",
)
_METHOD: Final = ("method", "request_method", "http_method", "RequestMethod", "http.request.method")
_PATH: Final = (
    "path", "uri", "request_uri", "url", "RequestPath", "url.path", "http.target",
)  # fmt: skip
_STATUS: Final = (
    "status", "status_code", "code", "response_status", "DownstreamStatus", "http.response.status_code",
)  # fmt: skip
_DURATION: Final[Mapping[str, str]] = {
    "duration": "s",
    "duration_s": "s",
    "duration_seconds": "s",
    "request_time": "s",
    "latency": "s",
    "duration_ms": "ms",
    "latency_ms": "ms",
    "response_time_ms": "ms",
    "duration_us": "us",
}
_MILLISECONDS_FROM: Final = 1e11  # as seconds, the year 5138: such a figure is milliseconds


class Format:
    """JSON lines; nested objects are looked into by names with dots, `{"http": {"request": {"method": ...}}}`.

    Times are Unix seconds, milliseconds, ISO 8601 or those of the common log format. A `request` of text is a request
    line, one that is an object holds method and path, as Caddy's.

    Args:
        unit: of the duration, `s`, `ms` or `us`; None to tell by its name.

    Raises:
        ConfigError: there is no such unit.

    Example:
        >>> line = '{"time": "2026-09-21T14:13:20Z", "request": "GET /pay?id=7 HTTP/2.0", "status": 200, "duration_ms": 49}'
        >>> list(Format().read([line], print))
        [(1790000000.0, 'GET', '/pay?id=7', '200', 0.049)]
    """

    def __init__(self, unit: str | None = None) -> None:
        if unit is not None:
            duration_reader(unit)
        self._unit = unit

    def read(self, lines: Sequence[str], malformed: Callable[[str], object]) -> Iterator[Entry]:
        """Yield the requests of some lines; see `LogFormat`."""
        for line in lines:
            try:
                entry = self._entry(json.loads(line))
            except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
                malformed(line)
            else:
                yield entry

    def _entry(self, data: Any) -> Entry:
        if not isinstance(data, dict):
            message = "no object"
            raise TypeError(message)
        method, target = self._request(data)
        return (
            _moment(_first(data, _TIME)),
            method,
            target,
            str(int(_first(data, _STATUS))),
            self._duration(data),
        )

    @staticmethod
    def _request(data: Mapping[str, Any]) -> tuple[str, str]:
        request = data.get("request")
        if isinstance(request, str):
            method, _, rest = request.partition(" ")
            return method, rest.partition(" ")[0]
        inner = request if isinstance(request, dict) else data
        return str(_first(inner, _METHOD)), str(_first(inner, _PATH))

    def _duration(self, data: Mapping[str, Any]) -> float | None:
        for name, unit in _DURATION.items():
            if name in data and data[name] is not None:
                seconds = float(data[name]) / UNITS[self._unit or unit]
                return seconds if 0 <= seconds < math.inf else None
        return None


def _first(data: Mapping[str, Any], names: Iterable[str]) -> Any:
    for name in names:
        value: Any = data.get(name)
        if value is None:
            value = data
            for part in name.split("."):
                value = value.get(part) if isinstance(value, dict) else None
        if value is not None and not isinstance(value, dict):
            return value
    raise KeyError(names)


def _moment(value: object) -> float:
    """Read a time in any of the forms."""
    if isinstance(value, str):
        try:
            seconds = float(value)
        except ValueError:
            return iso_time(value) if value[4:5] == "-" else common_log_time(value)
    else:
        seconds = float(value)  # type: ignore[arg-type]  # what is no number raises TypeError, as it should
    if not math.isfinite(seconds):
        message = f"no time: {value!r}"
        raise ValueError(message)
    return seconds / 1000 if seconds > _MILLISECONDS_FROM else seconds
