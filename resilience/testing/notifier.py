"""A channel that delivers into a list."""

from __future__ import annotations

from resilience.core.ports import Notification
from resilience.core.validate import text

__all__ = ["RecordingNotifier"]


class RecordingNotifier:
    """Keeps what it is sent, and fails when it is told to.

    Args:
        name: the channel's name.
        failures: errors to raise, one for each of the next sends; what fails is not kept.

    Example:
        >>> import asyncio
        >>> from resilience.core.ports import Notification
        >>> pager = RecordingNotifier()
        >>> asyncio.run(pager.send(Notification("k", "pager", "firing", {}, (), 0.0)))
        >>> pager.statuses
        ['firing']
    """

    def __init__(self, name: str = "recording", *, failures: tuple[Exception, ...] = ()) -> None:
        self.name: str = text("name", name)
        self.notifications: list[Notification] = []
        self._failures = list(failures)

    @property
    def statuses(self) -> list[str]:
        """`firing`, `resolved` or `acknowledged`, one for each notification."""
        return [notification.status for notification in self.notifications]

    async def send(self, notification: Notification) -> None:
        """Keep the notification, or raise the next failure."""
        if self._failures:
            raise self._failures.pop(0)
        self.notifications.append(notification)

    async def close(self) -> None:
        """Nothing to let go of."""
