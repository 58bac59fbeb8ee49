"""A laboratory for alerts: a service in virtual time, traffic by shape, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import anyio

from resilience import config
from resilience.alerting import AlertEvent
from resilience.core.clock import ManualClock
from resilience.core.ports import Notification, Notifier
from resilience.core.validate import number, text
from resilience.core.verdict import Verdict
from resilience.errors import ConfigError
from resilience.reliability import Reliability
from resilience.rules import AlertState, AlertTransition, RuleGroup, packs
from resilience.stores.memory import MemoryStore
from resilience.testing.notifier import RecordingNotifier

__all__ = ["Happening", "Lab", "Shape", "Traffic"]

Shape: TypeAlias = float | Callable[[float], float]
"""A figure, or a function of the seconds since the traffic began."""

_STEP = 15.0  # seconds from tick to tick, where no rule is evaluated more often
_HARDLY = 1e-9  # shares are floats


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests of one route; each figure is a number or a function of the seconds since the traffic began.

    Args:
        route: the route's template.
        rate: requests per second, zero or more.
        errors: the share of them that fails, 0 to 1, evenly spread.
        latency: seconds that each takes, zero or more.
        method: the HTTP method.

    Raises:
        ConfigError: a figure is out of range; a function's are checked when they are used.
    """

    route: str = "/"
    rate: Shape = field(default=10.0, kw_only=True)
    errors: Shape = field(default=0.0, kw_only=True)
    latency: Shape = field(default=0.05, kw_only=True)
    method: str = field(default="GET", kw_only=True)

    def __post_init__(self) -> None:
        text("route", self.route)
        text("method", self.method)
        if not all(callable(shape) for shape in (self.rate, self.errors, self.latency)):
            self.at(0.0)

    def at(self, elapsed: float) -> tuple[float, float, float]:
        """Return rate, errors and latency at so many seconds since the traffic began.

        Raises:
            ConfigError: one of them is out of range.
        """
        rate, errors, latency = (
            shape(elapsed) if callable(shape) else shape for shape in (self.rate, self.errors, self.latency)
        )
        return (
            number("rate", rate, low=0),
            number("errors", errors, low=0, high=1),
            number("latency", latency, low=0),
        )


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened in the laboratory.

    Args:
        at: seconds since it began.
        kind: `pending`, or the kind of an `AlertEvent`: `fired`, `resolved`, `notified`, `acknowledged`, ...
        subject: the alert's name; of a notification its status and group.
        labels: of the alert or the group.
        detail: the channel that was notified, or who did what.
    """

    at: float
    kind: str
    subject: str
    labels: Mapping[str, str]
    detail: str = ""

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.at), 60)
        clock = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
        labels = ",".join(f"{name}={value}" for name, value in self.labels.items() if name != "alertname")
        return " ".join(filter(None, (clock, self.kind, self.subject, labels, self.detail)))


class Lab:
    """One service under test: its clock moves only with its traffic, its channels only remember.

    It judges by all rule packs but the watchdog, unless `use` says otherwise. A pytest test gets one as the fixture
    `lab`.

    Example:
        >>> import asyncio
        >>> async def main():
        ...     lab = Lab()
        ...     await lab.traffic(errors=0.5, minutes=10)
        ...     return lab.firing, [each.status for each in lab.notifications]
        >>> asyncio.run(main())
        ({'HighErrorRate'}, ['firing'])
    """

    def __init__(self) -> None:
        self.clock: ManualClock = ManualClock()
        self._began = self.clock.now()
        self._timeline: list[Happening] = []
        self._channels: list[RecordingNotifier] = []
        self._reliability: Reliability | None = None
        self._fractions: dict[tuple[str, str], _Fraction] = {}

    def use(
        self,
        *,
        file: str | Path | None = None,
        environ: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Reliability:
        """Say what is under test; before the first traffic, and once.

        Args:
            file: a `reliability.yaml`. Its channels are replaced by ones that remember, its state stays in memory,
                and its heartbeat is left out.
            environ: the environment that the file is read with; the process's own when None.
            options: keyword arguments of `Reliability`, which go before what the file says: `rules`, `slos`, `route`.

        Returns:
            the service, whose `signals` tests may set themselves.

        Raises:
            ConfigError: something of it cannot be meant, or there is a service under test already.
        """
        if self._reliability is not None:
            message = "use() must come once, and before the first traffic"
            raise ConfigError(message)
        if file is None:
            given: dict[str, Any] = {"service": "lab"}
            if "rules" not in options:
                given["rules"] = _packs(options.get("prefix", ""))
        else:
            given = dict(config.read(file, environ=environ).arguments)
        given |= options
        if given.get("alerting") is not None:
            given["alerting"] = replace(given["alerting"], heartbeat=None)
        self._channels = [_recording(notifier) for notifier in given.get("notifiers") or ()]
        self._channels = self._channels or [RecordingNotifier("lab")]
        given |= {"notifiers": self._channels, "store": MemoryStore(), "clock": self.clock}
        made = self._reliability = Reliability(**given)
        made.transitions.subscribe(self._moved)
        made.alerts.events.subscribe(self._noted)
        return made

    @property
    def reliability(self) -> Reliability:
        """The service under test; the default one where `use` was not called."""
        return self._reliability or self.use()

    async def traffic(
        self,
        *flows: Traffic,
        seconds: float = 0.0,
        minutes: float = 0.0,
        hours: float = 0.0,
        days: float = 0.0,
        **shape: Any,
    ) -> None:
        """Let time pass in which requests are answered.

        Fractions are carried over to the next call: many short calls have as many failures as a long one.

        Args:
            flows: routes and their shapes; one of `shape` when there is none.
            seconds: how long, together with the next three.
            minutes: likewise.
            hours: likewise.
            days: likewise.
            shape: arguments of a single `Traffic`: `rate`, `errors`, `latency`, `route`, `method`.

        Raises:
            ConfigError: both flows and a shape, no time, or a figure out of range.
        """
        if flows and shape:
            message = f"traffic takes either Traffic(...) or the figures of a single one, got both: {', '.join(shape)}"
            raise ConfigError(message)
        await self._pass(seconds + 60 * minutes + 3600 * hours + 86_400 * days, flows or (Traffic(**shape),))

    async def wait(
        self, *, seconds: float = 0.0, minutes: float = 0.0, hours: float = 0.0, days: float = 0.0
    ) -> None:
        """Let time pass without a request.

        Args:
            seconds: how long, together with the next three.
            minutes: likewise.
            hours: likewise.
            days: likewise.

        Raises:
            ConfigError: no time.
        """
        await self._pass(seconds + 60 * minutes + 3600 * hours + 86_400 * days, ())

    # -- what came of it ----------------------------------------------------------------------------------------

    @property
    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        return {active.alert.labels["alertname"] for active in self.reliability.alerts.active_alerts()}

    @property
    def pending(self) -> set[str]:
        """The names of the alerts whose condition holds, but not yet for long enough."""
        return {alert.rule for alert in self.reliability.rules.alerts() if alert.state is AlertState.PENDING}

    @property
    def notifications(self) -> list[Notification]:
        """What was delivered, by all channels, in the order in which it was decided."""
        sent = (notification for channel in self._channels for notification in channel.notifications)
        return sorted(sent, key=lambda notification: notification.at)

    def timeline(self) -> list[Happening]:
        """Return what happened to alerts, in order; `str()` of each is a line to read."""
        return list(self._timeline)

    # -- how time passes ----------------------------------------------------------------------------------------

    async def _pass(self, duration: float, flows: tuple[Traffic, ...]) -> None:
        number("seconds, minutes, hours and days together", duration, above=0)
        rel, clock = self.reliability, self.clock
        requests = [
            _Requests(flow, self._fractions.setdefault((flow.method, flow.route), _Fraction()))
            for flow in flows
        ]
        async with anyio.create_task_group() as background:
            background.start_soon(rel.alerts.run)
            for elapsed, step in _steps(duration, self._step(rel)):
                for each in requests:
                    each.answer(rel, elapsed, step)
                await clock.advance(step)
                await rel.tick()
            await clock.advance()  # what the last tick decided is delivered
            background.cancel_scope.cancel()

    @staticmethod
    def _step(rel: Reliability) -> float:
        return min([_STEP, *(group.interval for group in rel.rules.groups if group.interval is not None)])

    def _moved(self, change: AlertTransition) -> None:
        if change.state is AlertState.PENDING:
            at = change.at.monotonic - self._began.monotonic
            self._timeline.append(Happening(at, "pending", change.alert.rule, change.alert.labels))

    def _noted(self, event: AlertEvent) -> None:
        at = event.at - self._began.wall
        self._timeline.append(Happening(at, event.kind, event.subject, event.labels, event.detail))


@dataclass(slots=True)
class _Fraction:
    """Fractions of a request and of a failure of one route, carried over to the next step and the next traffic."""

    request: float = 0.0
    failure: float = 0.0


class _Requests:
    """The requests of one route as they come."""

    def __init__(self, traffic: Traffic, fraction: _Fraction) -> None:
        self._traffic = traffic
        self._fraction = fraction

    def answer(self, rel: Reliability, elapsed: float, step: float) -> None:
        """Record what is answered in one step."""
        rate, errors, latency = self._traffic.at(elapsed)
        fraction = self._fraction
        fraction.request += rate * step
        method, route, request = self._traffic.method, self._traffic.route, rel.sli.request
        while fraction.request >= 1 - _HARDLY:
            fraction.request -= 1
            fraction.failure += errors
            if fraction.failure >= 1 - _HARDLY:
                fraction.failure -= 1
                request(method, route, "500", Verdict.FAILURE, latency)
            else:
                request(method, route, "200", Verdict.SUCCESS, latency)


def _packs(prefix: str) -> list[RuleGroup]:
    """All packs but the one whose alert always fires."""
    names = (name for name in packs.names() if name != "watchdog")
    return [group for name in names for group in packs.load(name, prefix=prefix)]


def _recording(notifier: Notifier) -> RecordingNotifier:
    return notifier if isinstance(notifier, RecordingNotifier) else RecordingNotifier(notifier.name)


def _steps(duration: float, step: float) -> Iterator[tuple[float, float]]:
    """Yield the beginning and the length of each step; the last one may be shorter."""
    done = 0.0
    while duration - done > _HARDLY:
        length = min(step, duration - done)
        yield done, length
        done += length
