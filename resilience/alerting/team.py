"""This process among the others of its service: whether it leads, what fires in them, and when to look again."""

from __future__ import annotations

from resilience.alerting.leadership import Leadership
from resilience.alerting.peers import Peers

__all__ = ["Team"]

_LOOKS = 5.0  # seconds between two looks at what the others have written


class Team:
    """One process of several.

    Args:
        leadership: says which of them leads.
    """

    def __init__(self, leadership: Leadership) -> None:
        self.peers: Peers = Peers(leadership.holder)
        self._leadership = leadership
        self.began: bool = False  # whether it has been working before what is stored is taken (again)
        self.news: int = 1  # how often what is stored had to be taken (again)
        self._known = 0
        self._due = 0.0

    @property
    def elected(self) -> bool:
        """Whether the lease is this process's."""
        return self._leadership.leads

    @property
    def leads(self) -> bool:
        """True if this process is elected and knows everything that was stored."""
        return self.elected and self._known == self.news

    async def renew(self) -> bool:
        """Renew the lease when it is time; returns whether everything must be taken from the store (again)."""
        if await self._leadership.renew():
            self.news += 1
        return self._known != self.news

    async def join(self) -> None:
        """Take the lease if it is free, at the start.

        Raises:
            StoreError: nobody can know who leads.
        """
        await self.renew()
        if self._leadership.error is not None and not self.elected:
            raise self._leadership.error

    async def confirm(self) -> bool:
        """Return whether this process leads now; a lease that has expired by time is renewed or found lost first."""
        if self.elected and self._leadership.expired:
            await self.renew()
        return self.leads

    def begin(self, news: int) -> None:
        """Note that what was stored is known, as of the `news` at which reading began."""
        self._known, self.began = news, True

    def due(self, now: float) -> bool:
        """Say whether it is time to look at what the others have written."""
        if now < self._due:
            return False
        self._due = now + _LOOKS
        return True

    async def leave(self) -> None:
        """Let another process lead at once."""
        await self._leadership.give_up()
