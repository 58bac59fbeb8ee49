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
        self._stale = True
        self._due = 0.0

    @property
    def elected(self) -> bool:
        """Whether the lease is this process's."""
        return self._leadership.leads

    @property
    def leads(self) -> bool:
        """Whether it is, and everything that was stored is known."""
        return self.elected and not self._stale

    async def renew(self) -> bool:
        """Renew the lease when it is time; returns whether everything must be taken from the store (again)."""
        self._stale = await self._leadership.renew() or self._stale
        return self._stale

    def begin(self) -> None:
        """Note that what was stored is known."""
        self._stale, self.began = False, True

    def due(self, now: float) -> bool:
        """Say whether it is time to look at what the others have written."""
        if now < self._due:
            return False
        self._due = now + _LOOKS
        return True

    async def leave(self) -> None:
        """Let another process lead at once."""
        await self._leadership.give_up()
