"""Slow and failed requests in the log, a sample of them, each with the trace that it belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from resilience.core.log import log
from resilience.core.validate import number
from resilience.core.verdict import Verdict
from resilience.policies.rate_algorithms import ALGORITHMS
from resilience_middleware.exchange import Exchange

__all__ = ["RequestLog", "trace_of"]

_FAILED: Final = 500
# W3C Trace Context, section 3.2.2: version, trace, parent, flags.
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class RequestLog:
    """Writes `request_failed` and `request_slow` events: method, route, status, seconds and, where one came, `trace_id`.

    Args:
        slow: seconds from which a request that went well is worth a line; None for none of these.
        per_second: lines a second at most, in the long run; as many may come at once, but at least one. The next line
            says how many requests were left out before it.

    Raises:
        ConfigError: `slow` or `per_second` is not above 0.

    Example:
        >>> RequestLog(slow=2.5)
        RequestLog(slow=2.5, per_second=1)
    """

    def __init__(self, *, slow: float | None = None, per_second: float = 1.0) -> None:
        self.slow: float | None = None if slow is None else number("slow", slow, above=0)
        self.per_second: float = number("per_second", per_second, above=0)
        self._bucket = ALGORITHMS["token_bucket"](self.per_second, 1.0, max(1, round(self.per_second)))
        self._left_out = 0

    def __repr__(self) -> str:
        return f"RequestLog(slow={self.slow}, per_second={self.per_second:g})"

    def look(self, exchange: Exchange, route: str, now: float) -> None:
        """Write a line, if a request is worth one and there were not too many of late.

        Args:
            exchange: the request.
            route: its template.
            now: monotonic seconds.
        """
        seconds = now - exchange.started
        failed = exchange.verdict is Verdict.FAILURE or exchange.code >= _FAILED
        if not failed and (self.slow is None or seconds < self.slow):
            return
        if not self._bucket.take(now):
            self._left_out += 1
            return
        facts: dict[str, Any] = {
            "method": exchange.scope["method"],
            "route": route,
            "status": exchange.code or None,
            "seconds": round(seconds, 3),
        }
        if (trace := trace_of(exchange.scope["headers"])) is not None:
            facts["trace_id"] = trace
        if self._left_out:
            facts["left_out"], self._left_out = self._left_out, 0
        log(__name__).warning("request_failed" if failed else "request_slow", **facts)


def trace_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the id of the trace that a request belongs to, from its `traceparent`; None without a valid one.

    Example:
        >>> trace_of([(b"traceparent", b"00-" + b"4b" * 16 + b"-" + b"01" * 8 + b"-01")])
        '4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b'
    """
    for name, value in headers:
        if name == b"traceparent" and (found := _TRACEPARENT.fullmatch(value)) and found[1].strip(b"0"):
            return found[1].decode()
    return None
