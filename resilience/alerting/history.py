"""What happened to alerts, for people to look up later."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from resilience.core.ports import Put
from resilience.core.rows import Moment, decode, encode
from resilience.core.validate import integer, number

__all__ = ["AlertEvent", "History"]

_TABLE = "alerting.history"
_EVENT = {"at": Moment, "kind": str, "subject": str, "fingerprint": str, "labels": {str: str}, "detail": str}


@dataclass(frozen=True)
class AlertEvent:
    """One thing that happened.

    Args:
        at: Unix seconds.
        kind: `fired`, `resolved`, `acknowledged`, `acknowledgement_expired`, `silenced`, `unsilenced`, `notified`, or
            `undelivered` for a notification that was refused or given up.
        subject: the alert's name; for notifications and silences the group's key or the matchers.
        fingerprint: of the alert, empty for what is not about one.
        labels: of the alert or the group.
        detail: who, which channel, or why.
    """

    at: float
    kind: str
    subject: str
    fingerprint: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    detail: str = ""


class History:
    """The newest events, in memory and in the store.

    Args:
        limit: how many are kept; 5,000 by default.

    Raises:
        ConfigError: the limit is not a whole number of at least 1.
    """

    table = _TABLE

    def __init__(self, *, limit: int = 5_000) -> None:
        self._limit = integer("limit", limit)
        self._events: deque[tuple[str, AlertEvent]] = deque()
        self._order = itertools.count()

    def add(self, event: AlertEvent) -> list[Put]:
        """Add an event; returns what is to be stored and removed."""
        # Sorted by key is sorted by time; the count tells events of one moment apart.
        key = f"{event.at:018.6f}-{next(self._order) % 1_000_000:06d}"
        self._events.append((key, event))
        puts = [Put(_TABLE, key, _encoded(event))]
        while len(self._events) > self._limit:
            puts.append(Put(_TABLE, self._events.popleft()[0], None))
        return puts

    def find(
        self,
        *,
        fingerprint: str | None = None,
        service: str | None = None,
        since: float = 0.0,
        limit: int = 100,
    ) -> list[AlertEvent]:
        """Return events, the newest first.

        Args:
            fingerprint: only those of this alert.
            service: only those whose labels say this service.
            since: only those at or after this Unix time.
            limit: how many at most, 100 by default.
        """
        since = number("since", since)
        meant = (
            event
            for _, event in reversed(self._events)
            if event.at >= since
            and (fingerprint is None or event.fingerprint == fingerprint)
            and (service is None or event.labels.get("service") == service)
        )
        return list(itertools.islice(meant, integer("limit", limit)))

    def rows(self) -> Iterator[Put]:
        """Yield everything that is to be stored."""
        return (Put(_TABLE, key, _encoded(event)) for key, event in self._events)

    def restore(self, rows: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> None:
        """Take back what was stored, before anything new is added."""
        found = sorted(dict(rows).items())[-self._limit :]
        self._events.extend((key, AlertEvent(**decode(row, _EVENT))) for key, row in found)


def _encoded(event: AlertEvent) -> bytes:
    return encode({**vars(event), "labels": dict(event.labels)})
