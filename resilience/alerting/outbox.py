"""The outbox: what is to be sent is written down before it is sent, and struck out after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from resilience.alerting.codec import dump_notification
from resilience.core.ports import Notification, Put
from resilience.core.rows import encode

__all__ = ["Outbox"]

_TABLE = "alerting.outbox"


class Outbox:
    """Notifications that were decided and have not arrived yet.

    One is `add`ed at a tick's decision, stored with the tick, `release`d when the store has it, and `settle`d once it
    has arrived or was given up. What a crash leaves unsettled is sent again with the same key: at least once.
    """

    table = _TABLE

    def __init__(self) -> None:
        self._staged: list[Notification] = []
        self._unsettled: dict[str, Notification] = {}
        self._resumed: set[str] = set()
        self._puts: list[Put] = []

    def add(self, notification: Notification) -> None:
        """Take in a decision."""
        self._note(notification)
        self._puts.append(_put(notification))

    def resumed(self, notification: Notification) -> bool:
        """Return True if a notification is from before a restart: it may have been sent then."""
        return notification.key in self._resumed

    def release(self) -> list[Notification]:
        """Return what may be sent now, in the order it was decided, each once."""
        staged, self._staged = self._staged, []
        return staged

    def settle(self, notification: Notification) -> None:
        """Strike out what has arrived or was given up."""
        if self._unsettled.pop(notification.key, None) is not None:
            self._resumed.discard(notification.key)
            self._puts.append(Put(_TABLE, notification.key, None))

    def puts(self) -> list[Put]:
        """What is to be stored since the last call."""
        puts, self._puts = self._puts, []
        return puts

    def rows(self) -> Iterator[Put]:
        """Yield everything that is to be stored."""
        return map(_put, self._unsettled.values())

    def restore(self, found: Iterable[Notification]) -> None:
        """Take back what was stored; it is to be sent again."""
        for notification in sorted(found, key=lambda each: each.at):
            self._note(notification)
            self._resumed.add(notification.key)

    def _note(self, notification: Notification) -> None:
        self._staged.append(notification)
        self._unsettled[notification.key] = notification


def _put(notification: Notification) -> Put:
    return Put(_TABLE, notification.key, encode(dump_notification(notification)))
