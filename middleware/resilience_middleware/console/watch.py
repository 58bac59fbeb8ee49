"""What the console remembers between two looks: where breakers have been, and how the checks were."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

from resilience import promql
from resilience.core.interrupts import INTERRUPTS
from resilience.core.log import log
from resilience.health import HealthReport, HealthTransition
from resilience.policies.breaker_events import BreakerTransition
from resilience.policies.keyed import Keyed
from resilience.reliability import Reliability

__all__ = ["Happening", "Watch"]

_CHECKS_EVERY: Final = 10.0  # probes are not looked at more often than that for the page's sake
_KEPT: Final = 50
_MOST_BREAKERS: Final = 1000  # whose past is kept: a crawler has one for each host


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened beside alerts.

    Args:
        at: Unix seconds.
        kind: `breaker` or `check`.
        subject: which one.
        detail: what.
        made_by: what of the page of rules explains it, by id.
    """

    at: float
    kind: str
    subject: str
    detail: str
    made_by: str


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
        self._states: OrderedDict[tuple[str, str], deque[tuple[float, str, str]]] = OrderedDict()
        self._engine = promql.Engine(rel.signals.source)
        self._queries: dict[str, promql.Query] = {}
        self._due = 0.0
        self._looking: asyncio.Task[None] | None = None
        rel.registry.follow(self._on_policy_event)
        rel.health.events.subscribe(self._on_health)

    @property
    def alerts_of(self) -> str:
        """Whose alerts this worker knows: on a common store, those of all."""
        return f"all workers, as {self.worker} knows" if self.rel.alerts.shared else self.worker

    def states(self, path: str, name: str) -> list[tuple[float, str, str]]:
        """Return when a breaker changed, from what to what, oldest first; in Unix seconds.

        Args:
            path: of the policy that it is, or that has one for each key.
            name: the breaker's own.
        """
        return list(self._states.get((path, name), ()))

    def ask(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and values of a PromQL vector, as of the last tick."""
        found = self._queries.get(query) or self._queries.setdefault(query, self._engine.compile(query))
        self._engine.forget()
        result = found(self.rel.signals.last_tick.monotonic)
        if not isinstance(result, promql.Vector):
            return []
        return [(dict(labels), value) for labels, value in zip(result.labels, result.values, strict=True)]

    def look(self) -> None:
        """Look at the checks in the background, when that is due."""
        now = self.rel.clock.monotonic()
        if now >= self._due and self._looking is None:
            self._due = now + _CHECKS_EVERY
            self._looking = asyncio.create_task(self._look(), name="console health")

    async def _look(self) -> None:
        try:
            self.health = await self.rel.health.check_all()
        except INTERRUPTS:
            raise
        except BaseException as error:  # noqa: BLE001  what is not known is shown as that
            log(__name__).error("console_health_failed", error=error, exc_info=error)
        finally:
            self._looking = None

    def _on_policy_event(self, path: str, event: object) -> None:
        if not isinstance(event, BreakerTransition):
            return
        now = self.rel.clock.time()
        past = self._states.setdefault((path, event.name), deque(maxlen=_KEPT))
        past.append((now, event.previous, event.state))
        self._states.move_to_end((path, event.name))
        if len(self._states) > _MOST_BREAKERS:
            self._states.popitem(last=False)
        words = f"{event.previous} to {event.state}: {event.reason}".replace("_", " ")
        keyed = isinstance(self.rel.registry.find(path), Keyed)
        subject = f"{path} {event.name}" if keyed else path
        self.happenings.append(Happening(now, "breaker", subject, words, f"policy-{path}"))

    def _on_health(self, event: HealthTransition) -> None:
        words = f"{event.previous.value} to {event.status.value}" + (
            f": {event.detail}" if event.detail else ""
        )
        self.happenings.append(Happening(event.at, "check", event.check, words, f"check-{event.check}"))
