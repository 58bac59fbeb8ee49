"""One check of a registry: its options, its looks, what they add up to."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from resilience.core.deadline import timeout as deadline
from resilience.core.interrupts import INTERRUPTS, is_cancelled
from resilience.core.labels import clean
from resilience.core.log import shown
from resilience.core.ports import Check, CheckResult, Clock, Status
from resilience.core.validate import flag, integer, number, text
from resilience.errors import ConfigError
from resilience.health.hysteresis import Hysteresis
from resilience.health.report import CheckReport
from resilience.probes.function import LONGEST_DETAIL, finding

__all__ = ["CheckOptions", "RegisteredCheck", "names"]


def names(option: str, given: Collection[str]) -> frozenset[str]:
    """Return names as a set; a single one may stand by itself.

    Raises:
        ConfigError: one is no name.
    """
    return frozenset(text(option, name) for name in ([given] if isinstance(given, str) else given))


def _figure(found: object) -> Any:
    """Return a number as it is, and whatever else a check found as a text that every output can hold."""
    if isinstance(found, float) or (isinstance(found, int) and abs(found) <= sys.maxsize):
        return found
    return clean(shown(found, str))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """The options of a check, which `HealthRegistry.add_check` describes; valid as a whole."""

    timeout: float
    interval: float | None
    retries: int
    failure_status: Status
    tags: frozenset[str]
    critical: bool
    depends_on: frozenset[str]

    def __post_init__(self) -> None:
        number("timeout", self.timeout, above=0)
        if self.interval is not None:
            number("interval", self.interval, above=0)
        integer("retries", self.retries, low=0)
        if self.failure_status not in {Status.UNHEALTHY, Status.DEGRADED}:
            message = (
                f"failure_status must be Status.UNHEALTHY or Status.DEGRADED, got {self.failure_status!r}"
            )
            raise ConfigError(message)
        object.__setattr__(self, "failure_status", Status(self.failure_status))  # a word of it is accepted
        flag("critical", self.critical)

    @property
    def longest(self) -> float:
        """Seconds that one look takes at most, repeats included."""
        return self.timeout * (self.retries + 1)


class RegisteredCheck:
    """A check under its name.

    Args:
        name: in the registry.
        check: what looks.
        options: how.
        hysteresis: when its status follows.
        outside: whether it, or what it depends on, looks outside of the process.
        clock: where time comes from.
    """

    def __init__(
        self,
        name: str,
        check: Check,
        options: CheckOptions,
        hysteresis: Hysteresis,
        *,
        outside: bool,
        clock: Clock,
    ) -> None:
        self.name: str = name
        self.options: CheckOptions = options
        self.outside: bool = outside
        self.report: CheckReport = CheckReport(critical=options.critical)
        self.slow: bool = False
        self.probe: Check = check
        self.hysteresis: Hysteresis = hysteresis
        self._clock = clock
        self._looked: float | None = None

    def outside_with(self, checks: Mapping[str, RegisteredCheck]) -> bool:
        """Return True if it, or one of the checks that it depends on, looks outside of the process."""
        needed = (checks[name] for name in self.options.depends_on)
        return getattr(self.probe, "outside", False) or any(each.outside_with(checks) for each in needed)

    def fresh(self, seconds: float) -> bool:
        """Whether the last look is not older than that."""
        return self._looked is not None and self._clock.monotonic() - self._looked < seconds

    def known(self) -> CheckReport:
        """Return what a check with an interval knows: nothing, when its last look is older than two intervals."""
        if self._looked is None or self.options.interval is None:
            return self.report
        age = self._clock.monotonic() - self._looked
        if age <= 2 * self.options.interval + self.options.longest:
            return self.report
        return replace(self.report, status=Status.UNKNOWN, detail=f"nobody has looked for {age:.0f} s")

    async def look(self) -> CheckReport:
        """Look, again where that failed and is to be tried again; what it found is what counts from now on."""
        clock, options = self._clock, self.options
        started = clock.monotonic()
        result = await self._once()
        for _ in range(options.retries):
            if result.status is not Status.UNHEALTHY:
                break
            result = await self._once()
        now, wall = clock.monotonic(), clock.time()
        failed = result.status is Status.UNHEALTHY
        last_success = self.report.last_success
        if result.status is Status.UNKNOWN:
            status = Status.UNKNOWN  # no verdict: what was counted stays
        else:
            found = options.failure_status if failed else result.status
            status = self.hysteresis.judge(found, now, failed=failed)
            last_success = last_success if failed else wall
        self._looked = now
        self.report = CheckReport(
            status,
            clean(result.detail),
            latency=now - started,
            checked=wall,
            last_success=last_success,
            observed={clean(name): _figure(each) for name, each in result.observed.items()},
            critical=options.critical,
        )
        return self.report

    def skip(self, detail: str) -> CheckReport:
        """Take note that a look would say nothing."""
        self._looked = self._clock.monotonic()
        self.report = replace(self.report, status=Status.UNKNOWN, detail=detail)
        return self.report

    async def _once(self) -> CheckResult:
        limit = deadline(self.options.timeout, clock=self._clock)
        try:
            async with limit:
                return finding(await self.probe.check())
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            return CheckResult(Status.UNHEALTHY, "what it waited for was cancelled")
        except INTERRUPTS:
            raise
        except BaseException as error:  # noqa: BLE001  whatever is wrong with a check, it is not well
            if isinstance(error, TimeoutError) and limit.expired():
                return CheckResult(Status.UNHEALTHY, f"no answer within {self.options.timeout:g} s")
            detail = f"{type(error).__name__}: {shown(error, str)}".rstrip(": ")
            return CheckResult(Status.UNHEALTHY, detail[:LONGEST_DETAIL])
