"""What the console remembers between two looks: where breakers have been, and how the checks were."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Final

from resilience.core.log import log
from resilience.health import HealthReport, HealthTransition
from resilience.policies.breaker_events import BreakerTransition
from resilience.reliability import Reliability

__all__ = ["Happening", "Watch"]

_CHECKS_EVERY: Final = 10.0  # probes are not looked at more often than that for the page's sake
_KEPT: Final = 50


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened beside alerts.

    Args:
        at: Unix seconds.
        kind: `breaker` or `check`.
        subject: which one.
        detail: what.
    """

    at: float
    kind: str
    subject: str
    detail: str


class Watch:
    """Keeps the changes of a service's breakers and checks, and the last report of its checks.

    Args:
        rel: the service.
    """

    def __init__(self, rel: Reliability) -> None:
        self.rel: Reliability = rel
        self.worker: str = f"worker {os.getpid()} on {socket.gethostname()}"
        self.health: HealthReport | None = None
        self.happenings: deque[Happening] = deque(maxlen=_KEPT)
        self._states: defaultdict[str, deque[tuple[float, str, str]]] = defaultdict(
            lambda: deque(maxlen=_KEPT)
        )
        self._due = 0.0
        self._looking: asyncio.Task[None] | None = None
        rel.registry.subscribe(self._on_policy_event)
        rel.health.events.subscribe(self._on_health)

    def states(self, breaker: str) -> list[tuple[float, str, str]]:
        """Return when a breaker changed, from what to what, oldest first; in Unix seconds."""
        return list(self._states[breaker]) if breaker in self._states else []

    def look(self) -> None:
        """Look at the checks in the background, when that is due."""
        now = self.rel.clock.monotonic()
        if now >= self._due and self._looking is None:
            self._due = now + _CHECKS_EVERY
            self._looking = asyncio.create_task(self._look(), name="console health")

    async def _look(self) -> None:
        try:
            self.health = await self.rel.health.check_all()
        except Exception as error:  # noqa: BLE001  what is not known is shown as that
            log(__name__).error("console_health_failed", error=repr(error), exc_info=error)
        finally:
            self._looking = None

    def _on_policy_event(self, event: object) -> None:
        if isinstance(event, BreakerTransition):
            now = self.rel.clock.time()
            self._states[event.name].append((now, event.previous, event.state))
            words = f"{event.previous} to {event.state}: {event.reason}".replace("_", " ")
            self.happenings.append(Happening(now, "breaker", event.name, words))

    def _on_health(self, event: HealthTransition) -> None:
        words = f"{event.previous.value} to {event.status.value}" + (
            f": {event.detail}" if event.detail else ""
        )
        self.happenings.append(Happening(event.at, "check", event.check, words))
