"""What happened to alerts, for people to look up later."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from resilience.core.humanize import alert_name
from resilience.core.ports import Notification, Put
from resilience.core.rows import Moment, decode, encode
from resilience.core.validate import integer, number

__all__ = ["AlertEvent", "History", "group_name"]

_TABLE = "alerting.history"
_NAMES = 3  # alerts that the name of a group names
_EVENT = {"at": Moment, "kind": str, "subject": str, "fingerprint": str, "labels": {str: str}, "detail": str}


@dataclass(frozen=True)
class AlertEvent:
    """One thing that happened.

    Args:
        at: Unix seconds.
        kind: `fired`, `resolved`, `acknowledged`, `acknowledgement_expired`, `silenced`, `unsilenced`, `notified`, or
            `undelivered` for a notification that was refused or given up.
        subject: the alert's name; for notifications the names and labels of the group's alerts, for silences the matchers.
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


def group_name(notification: Notification) -> str:
    """Return the names of a notification's alerts and the labels that they have in common.

    Args:
        notification: the notification of a group.

    Example:
        >>> from resilience.core.ports import NotifiedAlert
        >>> full = NotifiedAlert("1", "firing", {"alertname": "DiskFull"}, {}, 0.0, None)
        >>> group_name(Notification("1", "ops", "firing", {"host": "db1"}, (full,), 0.0))
        'DiskFull host=db1'
    """
    names = sorted({alert.labels.get("alertname", "") for alert in notification.alerts})
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return alert_name({"alertname": ", ".join(names[:_NAMES]) + more, **notification.group})
