"""HealthRegistry: the checks of a service, looked at together."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.events import Listeners
from resilience.core.log import log
from resilience.core.options import named_options
from resilience.core.ports import CallContext, Check, Clock, Status
from resilience.core.validate import number, text
from resilience.errors import ConfigError
from resilience.health.check import CheckOptions, RegisteredCheck, names
from resilience.health.hysteresis import Hysteresis
from resilience.health.report import CheckReport, HealthReport, HealthTransition, overall
from resilience.policies.coalesce import Coalesce
from resilience.probes.function import Finding, FunctionProbe
from resilience.signals import InstrumentRegistry

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

__all__ = ["GROUPS", "LIVENESS", "READINESS", "STARTUP", "HealthRegistry"]

STARTUP: Final = "startup"
"""The group that decides whether the service has started."""
LIVENESS: Final = "liveness"
"""The group that decides whether the process has to be killed; never something outside of it."""
READINESS: Final = "readiness"
"""The group that decides whether requests are sent here."""

GROUPS: Final = (STARTUP, LIVENESS, READINESS)
"""The groups that decide something; without a check in one, nothing speaks against it."""

F = TypeVar("F", bound=Callable[[], Finding | Awaitable[Finding]])

_FIGURES: Final = {Status.HEALTHY: 1.0, Status.DEGRADED: 0.5, Status.UNHEALTHY: 0.0}


_around: ContextVar[tuple[RegisteredCheck, ...]] = ContextVar("health_looks", default=())
"""The checks that the current code looks for: one that asks for the health of all gets its own last report."""


@named_options
class HealthRegistry:
    """Checks by name: run at once, each with its own timeout; callers at the same time share one look.

    Args:
        cache: seconds for which a look is not repeated, however many ask; 1 by default.
        slow: seconds from which on a look is reported as slow in the log; 1 by default, the timeout of a
            Kubernetes probe.
        signals: where `health_check_status{check}` is written: 1 healthy, 0.5 degraded, 0 unhealthy, none while unknown.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of its range.

    Example:
        >>> import asyncio
        >>> health = HealthRegistry()
        >>> @health.check("queue")
        ... def queue_is_short():
        ...     return True
        >>> asyncio.run(health.check_all()).overall
        <Status.HEALTHY: 'healthy'>
    """

    def __init__(
        self,
        *,
        cache: float = 1.0,
        slow: float = 1.0,
        signals: InstrumentRegistry | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.events: Listeners[HealthTransition] = Listeners()
        self._cache = number("cache", cache, low=0)
        self._slow = number("slow", slow, above=0)
        self._clock = clock
        self._statuses = (
            None
            if signals is None
            else signals.gauge(
                "health_check_status", "1 healthy, 0.5 degraded, 0 unhealthy.", labels=("check",)
            )
        )
        self._checks: dict[str, RegisteredCheck] = {}
        self._flights = Coalesce(name="health", clock=clock)
        self._tasks: TaskGroup | None = None

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._checks))

    def __len__(self) -> int:
        return len(self._checks)

    def __contains__(self, name: object) -> bool:
        return name in self._checks

    def __getitem__(self, name: str) -> RegisteredCheck:
        """Return a check by its name, with its options and its last report.

        Raises:
            KeyError: there is none.
        """
        return self._checks[name]

    @property
    def groups(self) -> frozenset[str]:
        """The groups there are: the three that decide something, and those that checks name."""
        return frozenset(GROUPS).union(*(each.options.tags for each in self._checks.values()))

    def add_check(
        self,
        name: str,
        check: Check | Callable[[], Finding | Awaitable[Finding]],
        *,
        timeout: float = 5.0,
        interval: float | None = None,
        retries: int = 0,
        failure_status: Status = Status.UNHEALTHY,
        tags: Collection[str] = (READINESS,),
        critical: bool = True,
        depends_on: Collection[str] = (),
        failure_threshold: int = 1,
        failing_for: float = 0.0,
        success_threshold: int = 1,
    ) -> None:
        """Add a check.

        Args:
            name: unique here.
            check: a probe, or a function that returns a `CheckResult`, a `Status`, a bool, or None where all is well;
                a plain `def` runs in a thread.
            timeout: seconds for one look; 5 by default.
            interval: seconds between looks in the background, from which then everybody is told; None to look when
                somebody asks.
            retries: how often a look that failed is repeated at once.
            failure_status: what a failure counts as: `Status.UNHEALTHY`, or `Status.DEGRADED`.
            tags: the groups it belongs to; `readiness` by default. A group of any other name may be asked for.
            critical: whether the whole is unhealthy where this is; else it degrades it.
            depends_on: checks, added before, without which this one says nothing: while one of them is unhealthy or unknown, this one
                is not looked at, and unknown.
            failure_threshold: failures in a row before its status follows; 1 by default.
            failing_for: seconds in error before its status follows; 0 by default.
            success_threshold: successes in a row before it is well again; 1 by default.

        Raises:
            ConfigError: the name is taken, an option is out of its range, or something outside of the process would
                decide liveness.
        """
        if text("name", name) in self._checks:
            raise ConfigError(f"name must be unique, and there is a check {name!r} already")
        groups, needed = names("tags", tags), names("depends_on", depends_on)
        if unknown := needed - self._checks.keys():
            raise ConfigError(
                f"depends_on must be checks that were added before, got {', '.join(sorted(unknown))}"
            )
        outside = getattr(check, "outside", False) or any(self._checks[each].outside for each in needed)
        self._refuse_outside(name, groups, outside)
        options = CheckOptions(
            timeout=timeout,
            interval=interval,
            retries=retries,
            failure_status=failure_status,
            tags=groups,
            critical=critical,
            depends_on=needed,
        )
        hysteresis = Hysteresis(
            failure_threshold=failure_threshold,
            failing_for=failing_for,
            success_threshold=success_threshold,
        )
        probe = check if hasattr(check, "check") else FunctionProbe(check)
        added = RegisteredCheck(name, probe, options, hysteresis, outside=outside, clock=self._clock)
        self._checks[name] = added
        if self._tasks is not None and interval is not None:
            self._tasks.start_soon(self._look_for_ever, added, interval)

    def check(self, name: str, **options: Any) -> Callable[[F], F]:
        """Add the function below as a check: `@health.check("queue", interval=10)`.

        Args:
            name: unique here.
            options: those of `add_check`.
        """

        def add(function: F) -> F:
            self.add_check(name, function, **options)
            return function

        return add

    def remove_check(self, name: str) -> None:
        """Take a check out; one that others depend on stays.

        Raises:
            ConfigError: there is none of this name, or another one depends on it.
        """
        if name not in self._checks:
            raise ConfigError(f"there is no check {name!r}")
        if dependent := [each.name for each in self._checks.values() if name in each.options.depends_on]:
            raise ConfigError(f"{', '.join(dependent)} depends on {name!r}")
        del self._checks[name]
        if self._statuses is not None:
            self._statuses.remove(name)

    def exchange(self, removed: Collection[str], add: Callable[[HealthRegistry], None]) -> Callable[[], None]:
        """Take some checks out and add others as one change; the other checks keep their state and their place.

        Args:
            removed: names of checks; one of them may be added anew.
            add: adds checks to the registry that it is given.

        Returns:
            a function that puts everything back.

        Raises:
            ConfigError: a check is refused, or one that stays depends on one that is gone; nothing is changed then.
        """
        before = self._checks
        self._checks = {name: each for name, each in before.items() if name not in removed}
        kept = dict(self._checks)
        try:
            add(self)
            for each in kept.values():
                self._refuse_missing(each)
                self._refuse_outside(each.name, each.options.tags, each.outside_with(self._checks))
        except ConfigError:
            self._checks = before
            raise
        after = self._checks
        self._checks = {name: after[name] for name in (*before, *after) if name in after}
        for each in kept.values():
            each.outside = each.outside_with(after)
        self._forget_statuses(removed)

        def restore() -> None:
            self._checks = before
            for each in kept.values():
                each.outside = each.outside_with(before)
            self._forget_statuses(after.keys() - kept.keys())

        return restore

    def _forget_statuses(self, checks: Iterable[str]) -> None:
        if self._statuses is not None:
            for name in checks:
                self._statuses.remove(name)

    def _refuse_missing(self, check: RegisteredCheck) -> None:
        if missing := check.options.depends_on - self._checks.keys():
            raise ConfigError(
                f"{check.name} depends on {', '.join(map(repr, sorted(missing)))}, which is removed"
            )

    @staticmethod
    def _refuse_outside(name: str, groups: Collection[str], outside: bool) -> None:  # noqa: FBT001  a private check
        if LIVENESS in groups and outside:
            raise ConfigError(
                f"tags of {name!r} must not be {LIVENESS}: it looks outside of the process, and restarting every"
                " process does not mend what is down elsewhere"
            )

    async def check_all(self, tags: Collection[str] | None = None) -> HealthReport:
        """Look at everything, or at some groups; what was looked at within `cache` seconds is not looked at again.

        Args:
            tags: the groups, one or several; None for all checks.

        Returns:
            the checks, and what they make together. It never raises because of a check.
        """
        import anyio  # noqa: PLC0415  20 ms that `import resilience` need not take

        wanted = None if tags is None else names("tags", tags)
        chosen = [
            each
            for each in self._checks.values()
            if wanted is None or not wanted.isdisjoint(each.options.tags)
        ]
        found: dict[str, CheckReport] = {}

        async def fill(check: RegisteredCheck) -> None:
            found[check.name] = await self._report(check)

        async with anyio.create_task_group() as looks:
            for each in chosen:
                looks.start_soon(fill, each)
        return HealthReport(overall(found.values()), {each.name: found[each.name] for each in chosen})

    async def run(self) -> None:
        """Look at the checks with an interval until cancelled; a `Reliability` does this while it runs."""
        import anyio  # noqa: PLC0415  as above

        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                for each in self._checks.values():
                    if each.options.interval is not None:
                        tasks.start_soon(self._look_for_ever, each, each.options.interval)
                await anyio.sleep_forever()
            finally:
                self._tasks = None

    async def _look_for_ever(self, check: RegisteredCheck, interval: float) -> None:
        while self._checks.get(check.name) is check:
            await self._shared(check)
            await self._clock.sleep(interval)

    async def _report(self, check: RegisteredCheck) -> CheckReport:
        if check.options.interval is not None:
            return check.known()
        if check.fresh(self._cache) or check in _around.get():
            return check.report
        return await self._shared(check)

    async def _shared(self, check: RegisteredCheck) -> CheckReport:
        # One task for all who ask: a probe that hangs up does not end the look that others wait for.
        look = functools.partial(self._look, check)
        return await self._flights.execute(look, CallContext(identity=check))

    async def _look(self, check: RegisteredCheck) -> CheckReport:
        previous = check.report
        missing = await self._missing(check)
        token = _around.set((*_around.get(), check))
        try:
            report = await check.look() if missing is None else check.skip(missing)
        finally:
            _around.reset(token)
        if self._checks.get(check.name) is not check:
            return report  # removed meanwhile
        self._tell(check, previous, report)
        return report

    async def _missing(self, check: RegisteredCheck) -> str | None:
        """Say why a look would say nothing."""
        for name in sorted(check.options.depends_on & self._checks.keys()):  # one removed meanwhile has none
            status = (await self._report(self._checks[name])).status
            if status in {Status.UNHEALTHY, Status.UNKNOWN}:
                return f"not looked at: it depends on {name}, which is {status.value}"
        return None

    def _tell(self, check: RegisteredCheck, previous: CheckReport, report: CheckReport) -> None:
        slow = report.latency is not None and report.latency >= self._slow
        if slow and not check.slow:
            log(__name__).warning("health_check_slow", check=check.name, seconds=report.latency)
        check.slow = slow
        if self._statuses is not None:
            if report.status is Status.UNKNOWN:
                self._statuses.remove(check.name)
            else:
                self._statuses.bind(check.name).set(_FIGURES[report.status])
        if report.status is previous.status:
            return
        change = HealthTransition(
            check.name, previous.status, report.status, self._clock.time(), report.detail
        )
        if (previous.status, report.status) != (Status.UNKNOWN, Status.HEALTHY):
            log(__name__).warning(
                "health_changed", check=check.name, status=report.status.value, detail=report.detail
            )
        self.events.emit(change)
