"""Limits on wrong tokens: per client and in all. The right token is never limited."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from resilience.core.ports import Clock
from resilience.policies import RateLimiter
from resilience.policies.keyed import Keyed

__all__ = ["FailedLogins"]

_PER_CLIENT, _IN_ALL, _SECONDS = 10, 100, 60.0
_CLIENTS: Final = 10_000


class FailedLogins:
    """Counter of logins with a wrong token: ten a minute of one client, a hundred of all.

    Args:
        clock: where time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._each = Keyed(
            lambda _: RateLimiter(_PER_CLIENT, per=_SECONDS, clock=clock),
            max_keys=_CLIENTS,
            name="console logins",
            clock=clock,
        )
        self._all = RateLimiter(_IN_ALL, per=_SECONDS, name="console logins of all", clock=clock)

    def add(self, client: Hashable) -> None:
        """Count a wrong token.

        Args:
            client: who sent it.

        Raises:
            RateLimited: there were too many.
        """
        now = self._clock.monotonic()
        self._each.get(client).enter(now, None)
        self._all.enter(now, None)
