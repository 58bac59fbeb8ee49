"""Outlier ejection: of several hosts that do the same, leave out for a while those that keep failing, but never too many."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from resilience.core.classify import ErrorFilter
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.ports import CallContext, Clock
from resilience.core.validate import integer, number
from resilience.core.verdict import Verdict
from resilience.errors import CircuitOpen
from resilience.policies.base import RefusingPolicy
from resilience.policies.judge import Judged
from resilience.policies.settings import Mode, changed, is_observing

__all__ = ["HostEjected", "OutlierEjection", "OutlierSettings", "OutlierStatistics"]

H = TypeVar("H", bound=Hashable)


@dataclass(frozen=True, slots=True)
class HostEjected:
    """A host is left out for a while.

    Args:
        name: name of the ejection.
        host: the host.
        at: monotonic seconds.
        duration: seconds for which it is left out.
        failures: how many calls to it failed in a row.
    """

    name: str
    host: object
    at: float
    duration: float
    failures: int


@dataclass(frozen=True, slots=True)
class OutlierStatistics:
    """What an outlier ejection knows at one moment.

    Args:
        name: its name.
        hosts: how many hosts it knows.
        ejected: the hosts left out now, and the seconds until each comes back.
        spared: how often a host was kept only because too many others were left out.
        rejected: calls refused so far (in `observe` mode: that would have been).
    """

    name: str
    hosts: int
    ejected: dict[object, float]
    spared: int
    rejected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierSettings(Judged):
    """The options of an `OutlierEjection`, which describes them; validated as a whole."""

    consecutive_failures: int = 5
    duration: float = 30.0
    max_duration: float = 300.0
    recovery: float = 10.0
    max_share: float = 0.1
    max_hosts: int = 1000
    mode: Mode = "normal"

    def __post_init__(self) -> None:
        integer("consecutive_failures", self.consecutive_failures)
        number("duration", self.duration, above=0)
        number("max_duration", self.max_duration, low=self.duration)
        number("recovery", self.recovery, above=0)
        number("max_share", self.max_share, low=0, high=1)
        integer("max_hosts", self.max_hosts)
        self.judge("outlier")
        is_observing(self.mode)

    def ejection(self, number: int) -> float:
        """Return how long the `number`-th ejection of a host lasts, in seconds."""
        return min(self.duration * number, self.max_duration)


class _Host:
    """What is known of one host."""

    __slots__ = ("back_at", "ejected_at", "ejections", "failures", "name")

    def __init__(self, name: object) -> None:
        self.name: object = name
        self.failures: int = 0
        self.ejections: int = 0
        self.ejected_at: float = -math.inf
        self.back_at: float = -math.inf


class OutlierEjection(RefusingPolicy[_Host]):
    """Leaves out the hosts that keep failing, and never more than a share of all it knows.

    The host is the key of the call's context. `eligible(hosts)` says which of several may be called; a call to a host that is
    left out is refused. Where many fail at once, the trouble is seldom with the hosts: then those beyond the share go on
    being called. The figures are those of Envoy's outlier detection, with its `always_eject_one_host`; `max_hosts` is this
    library's.

    Args:
        consecutive_failures: failures in a row that eject a host, at least 1. Default 5.
        duration: seconds of a host's first ejection; the n-th lasts n times as long. Default 30.
        max_duration: seconds that an ejection lasts at most. Default 300.
        recovery: seconds in service that make one earlier ejection forgotten. Default 10, Envoy's sweep.
        max_share: share of the known hosts that may be out at once, 0..1; one host always may. Default 0.1.
        max_hosts: hosts remembered, at least 1; the one not called for longest is forgotten. Default 1000.
        on: what counts as a failure: exception types or a predicate. Default every `Exception`.
        ignore: what counts as nothing; looked at before `on`.
        failed_result: says of a returned value that it is a failure (a 503, say).
        name: what events, errors and statistics call it.
        mode: `normal`, or `observe`: all the same, but nothing is refused.
        clock: where time comes from.

    Raises:
        ConfigError: an option is outside its range.

    Example:
        >>> ejection = OutlierEjection(consecutive_failures=1)
        >>> now = ejection.clock.monotonic()
        >>> token = ejection.enter(now, CallContext(key="a"))
        >>> ejection.leave(token, None, ConnectionError(), now, now)
        >>> ejection.eligible(["a", "b"])
        ['b']
    """

    kind = "outlier_ejection"

    def __init__(
        self,
        *,
        consecutive_failures: int = 5,
        duration: float = 30.0,
        max_duration: float = 300.0,
        recovery: float = 10.0,
        max_share: float = 0.1,
        max_hosts: int = 1000,
        on: ErrorFilter = Exception,
        ignore: ErrorFilter = (),
        failed_result: Callable[[Any], bool] | None = None,
        name: str | None = None,
        mode: Mode = "normal",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(name=name, clock=clock)
        self._hosts: OrderedDict[object, _Host] = OrderedDict()  # called longest ago first
        self._ejected: dict[object, _Host] = {}
        self._spared = 0
        self._apply(
            OutlierSettings(
                consecutive_failures=consecutive_failures,
                duration=duration,
                max_duration=max_duration,
                recovery=recovery,
                max_share=max_share,
                max_hosts=max_hosts,
                on=on,
                ignore=ignore,
                failed_result=failed_result,
                mode=mode,
            )
        )

    def _apply(self, settings: OutlierSettings) -> None:
        self.settings = settings
        self._judge = settings.judge(self.name)
        self._observing = is_observing(settings.mode)

    def enter(self, now: float, context: CallContext | None) -> _Host:
        """Let a call to its host go.

        Raises:
            CircuitOpen: the host is left out for now.
        """
        key = None if context is None else context.key
        host = self._hosts.get(key)
        if host is None:
            host = self._hosts[key] = _Host(key)
            if len(self._hosts) > self.settings.max_hosts:
                forgotten, _ = self._hosts.popitem(last=False)
                self._ejected.pop(forgotten, None)
        else:
            self._hosts.move_to_end(key)
        if now < host.back_at:
            self._reject(host, now)
        return host

    def _reject(self, host: _Host, now: float) -> None:
        wait = host.back_at - now
        if self._refuses("ejected", now, wait):
            raise CircuitOpen(
                f"{self.name!r} leaves host {host.name!r} out", policy=self.name, retry_after=wait
            )

    def leave(
        self, token: _Host, result: object, error: BaseException | None, started: float, now: float
    ) -> None:
        """Count the call for its host, unless it began before the host's last ejection was over."""
        host = token
        if started < host.back_at:
            return
        verdict = self._judge(result, error)
        if verdict is Verdict.SUCCESS:
            host.failures = 0
        elif verdict is Verdict.FAILURE:
            host.failures += 1
            if host.failures >= self.settings.consecutive_failures:
                self._eject(host, now)

    def _eject(self, host: _Host, now: float) -> None:
        settings = self.settings
        self._let_back(now)
        if self._hosts.get(host.name) is not host:  # forgotten meanwhile
            return
        # A billionth more, since 0.29 * 100 as floats is below 29.
        if len(self._ejected) >= max(1, int(settings.max_share * len(self._hosts) + 1e-9)):
            self._spared += 1
            return
        if host.ejections:
            host.ejections = max(0, host.ejections - int((now - host.back_at) / settings.recovery))
        host.ejections += 1
        host.ejected_at = now
        duration = settings.ejection(host.ejections)
        host.back_at = now + duration
        self._ejected[host.name] = host
        failures, host.failures = host.failures, 0
        if self.events:
            self.events.emit(HostEjected(self.name, host.name, now, duration, failures))

    def _let_back(self, now: float) -> None:
        for key in [key for key, host in self._ejected.items() if now >= host.back_at]:
            del self._ejected[key]

    def eligible(self, hosts: Iterable[H]) -> list[H]:
        """Return those of `hosts` that may be called now, in their order; all of them in `observe` mode."""
        if self._observing:
            return list(hosts)
        self._let_back(self.clock.monotonic())
        return [host for host in hosts if host not in self._ejected]

    def statistics(self) -> OutlierStatistics:
        """Say how it stands."""
        now = self.clock.monotonic()
        self._let_back(now)
        ejected = {key: host.back_at - now for key, host in self._ejected.items()}
        return OutlierStatistics(self.name, len(self._hosts), ejected, self._spared, self._rejected)

    def reconfigure(self, **options: Any) -> None:
        """Change options while it works; what is known of the hosts stays.

        How long a host is left out is reckoned anew from when it was ejected.

        Raises:
            ConfigError: an option is unknown or outside its range; nothing was changed.
        """
        self._apply(changed(self.settings, options))
        for host in self._ejected.values():
            host.back_at = host.ejected_at + self.settings.ejection(host.ejections)
        while len(self._hosts) > self.settings.max_hosts:
            forgotten, _ = self._hosts.popitem(last=False)
            self._ejected.pop(forgotten, None)
